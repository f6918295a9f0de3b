/*
 * transport_internal: the two halves of a transport: what every one is, and what TLS adds.
 */
#pragma once

#include "io/loop.h"
#include "net/transport.h"

/* Only with TLS. */
struct transport_tls {
    struct transport *transport;
    struct tls_session *session;
    struct task flush;      /* seals */
    struct chain cipher_in; /* received and not yet opened */
    struct chain plain_out; /* opened and not yet delivered */
    struct timer timer;     /* the handshake's; once open: to flush again when memory was refused */
    size_t plain_sealed;    /* plaintext bytes that the conn still holds in sealed form */
    int socket_error;       /* told when all that came before it is delivered */
    bool is_input_ended;    /* FIN has come */
    bool is_end_due;        /* close_notify and FIN follow the queued bytes */
    bool is_fin_sent;
    bool is_ended; /* the peer's close_notify has come */
    bool is_failed;
};

struct transport {
    struct conn *conn;
    struct loop *loop;
    const struct transport_events *events;
    void *owner;
    struct task run; /* opens, delivers what waits, feeds TLS; after close: reaps */
    struct transport_tls *tls;
    struct chain *input; /* plaintext that was read before the transport; NULL when there is none */
    bool is_open : 1;
    bool is_reading : 1;
    bool is_read_end_told : 1;
    bool is_error_told : 1;
    bool is_closed : 1;
};

/* While the owner reads and bytes wait, each block goes out with one reference. True when the chain is empty. */
bool transport_deliver(struct transport *transport, struct chain *bytes);
void transport_tell_error(struct transport *transport, enum transport_failure_kind kind, int error);

extern const struct conn_events transport_tls_events;
MUST_USE bool transport_tls_begin(struct transport *transport, struct chain *input,
                                  const struct transport_options *options);
/* The run task's work. */
void transport_tls_run(struct transport *transport);
void transport_tls_write(struct transport *transport, struct chain *bytes);
void transport_tls_end(struct transport *transport);
/* Seals what is queued and close_notify. False when memory was refused: then only a reset is honest. */
MUST_USE bool transport_tls_seal_all(struct transport *transport);
/* Something waits that no socket event will announce. */
bool transport_tls_has_news(const struct transport *transport);
void transport_tls_free(struct transport *transport);
