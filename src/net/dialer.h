/*
 * dialer: everything that connects goes through it, one a loop.
 *
 * It never dials ourselves: a local address (any interface's, loopback, wildcard, v4-mapped) with a port that this
 * process listens on is refused, before a socket is made. Several addresses race: the next family starts 250 ms after the
 * one before, or at once when that failed (RFC 8305).
 */
#pragma once

#include "base/attributes.h"
#include "base/handle.h"
#include "io/address.h"

struct conn;
struct dialer;
struct helper_pool;
struct interfaces;
struct loop;
struct sockmap;

enum { DIAL_ADDRESSES_MAX = 16, DIAL_RACE_DELAY_MS = 250, DIAL_TIMEOUT_MS = 5000 };

struct dialer_options {
    struct loop *loop;
    const struct interfaces *interfaces; /* what is local; outlives the dialer */
    struct helper_pool
        *helpers; /* makes sockets in other network namespaces; NULL when none are dialled */
};
struct dialer *dialer_create(const struct dialer_options *options);
/* Dials that are under way end without an answer. Accepts NULL. */
void dialer_destroy(struct dialer *dialer);
OWNED(dialer, dialer_destroy)
/* Where this process listens. */
struct dialer_own {
    struct address at; /* a wildcard: that port of every local address */
    bool is_elsewhere; /* in another network namespace, such as a pod's */
    bool is_udp;       /* datagrams; what is dialled never meets it */
};
/* All of them; copied. A dial inside of another namespace can meet those only that are elsewhere. */
void dialer_set_own(struct dialer *dialer, const struct dialer_own *own, size_t count);
/* True when a dial to it in our own network namespace would be refused. */
bool dialer_is_own(const struct dialer *dialer, const struct address *address);
/* The same for datagrams; is_elsewhere: they leave in another network namespace. */
bool dialer_is_own_udp(const struct dialer *dialer, const struct address *address,
                       bool is_elsewhere);

enum dial_status {
    DIAL_OK,
    DIAL_FAILED, /* error is the last address's errno */
    DIAL_TIMED_OUT,
    DIAL_SELF,      /* it would have been ourselves */
    DIAL_NO_MEMORY, /* the budget or the descriptors are spent */
};
const char *dial_status_name(enum dial_status status);

struct dial_result {
    enum dial_status status;
    int error;              /* positive errno, 0 with OK and SELF */
    struct conn *conn;      /* OK: open, reading is off, and now the receiver's */
    struct address address; /* that was reached, or tried last */
};
typedef void dialer_on_dialed(void *owner, const struct dial_result *result);

struct dial_options {
    const struct address *addresses; /* in order of preference; copied */
    size_t address_count;            /* 1 to DIAL_ADDRESSES_MAX */
    struct address from;             /* bind address; candidates of the other family are skipped */
    uint32_t mark;
    bool is_transparent;   /* `from` is somebody else's address */
    int network_namespace; /* descriptor of one, borrowed until the answer; 0 or less = our own */
    uint32_t timeout_ms;   /* of the whole dial; 0 = DIAL_TIMEOUT_MS */
    unsigned conn_flags;   /* CONN_EXEMPT */
    uint32_t keepalive_s;  /* SO_KEEPALIVE after so much silence; 0 = off */
    uint32_t keepalive_interval_s, keepalive_probes; /* 0 = as the kernel has it */
    struct sockmap *sockmap; /* claims what is dialled on this host (io/sockmap.h); NULL: nothing */
};
/* Always answers, from the loop, unless cancelled. Returns its name for cancel. */
handle dialer_dial(struct dialer *dialer, const struct dial_options *options,
                   dialer_on_dialed *on_dialed, void *owner);
/* No answer comes any more. A stale name is ignored. */
void dialer_cancel(struct dialer *dialer, handle dial);
size_t dialer_active(const struct dialer *dialer);
