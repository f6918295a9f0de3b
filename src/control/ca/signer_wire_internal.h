/* signer_wire_internal: the messages between us and the signing child, one a datagram of the socket pair. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "control/ca/authority.h"

enum { SIGNER_MESSAGE_MAX = 128 << 10 };

enum signer_message {
    /* To the child. */
    SIGNER_ORDER = 1, /* number, lifetime, spiffe id, request, dns names */
    SIGNER_RENEW,     /* end, so that a successor opens the authority anew */
    /* From the child. */
    SIGNER_READY,   /* follows a crash or not, expiry, renewal, chain, roots, warning */
    SIGNER_BROKEN,  /* what, where, why, fix: it cannot open the authority, and ends */
    SIGNER_SIGNED,  /* number, begin, end, serial, certificate (DER) */
    SIGNER_REFUSED, /* number, what, fix */
};

/* Writing: the kind first. */
void wire_start(struct buffer *message, enum signer_message kind);
void wire_put_number(struct buffer *message, uint64_t number);
void wire_put_text(struct buffer *message, struct slice text);

/* Reading: a message that is too short gives zeros and empty texts, and good becomes false. */
struct wire_reader {
    struct slice left;
    bool good;
};
enum signer_message wire_read(struct wire_reader *reader, struct slice message);
uint64_t wire_take_number(struct wire_reader *reader);
struct slice wire_take_text(struct wire_reader *reader);

/* The whole child: opens, shuts itself in, signs until the socket ends. Returns its exit status. */
enum { SIGNER_EXIT_RENEW = 0, SIGNER_EXIT_CLOSED = 3, SIGNER_EXIT_BROKEN = 4 };
int signer_child_run(int socket, const char *folder, const char *trust_domain, bool follows_crash);
/* Forks children one after the other, as long as there is work for one. Does not return. */
NORETURN void signer_guard_run(int socket, const char *folder, const char *trust_domain);
