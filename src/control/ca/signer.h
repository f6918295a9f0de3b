/*
 * signer: certificates on order, from a child process that alone holds the keys (CONTROL-PLANE "Identity and ownership").
 *
 * The child is forked by signer_create, which therefore comes before any thread of ours. It has no network, opens no
 * file once it is ready, and parses what strangers send. Should it crash, a guard between us starts another; orders that
 * it held are answered as failed and may be sent again. When the intermediate is due, the child is renewed by itself.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"
#include "io/loop.h"

struct signer;

enum {
    SIGNER_WAITING_MAX = 10000, /* orders not answered yet; one more is answered as failed */
    SIGNER_SERIAL_HEX = 33,
};

/* Makes or opens the authority in that folder (authority.h) and waits until the child is ready, 30 s at most. */
MUST_USE bool signer_create(const char *folder, const char *trust_domain, struct signer **out,
                            struct error *error);
/* Ends the child. Orders must have been answered or cancelled. Accepts NULL. */
void signer_destroy(struct signer *signer);

/* What everyone may know; PEM, borrowed until the next on_change. */
struct signer_trust {
    struct slice chain;        /* follows every leaf: the intermediate */
    struct slice roots;        /* the trust bundle, ours first */
    struct hash128 generation; /* of the bundle's content: proxies report it back */
    int64_t expiry_s;          /* of the intermediate */
    const char *warning;       /* what will need a person before long; "" = nothing */
};
const struct signer_trust *signer_trust(const struct signer *signer);
bool signer_is_alive(const struct signer *signer);

/* Answers come on this loop from now on; on_change (may be NULL) after a renewal, a restart or the end of the child. 0
 * or a negative
   errno. */
MUST_USE int signer_start(struct signer *signer, struct loop *loop, void (*on_change)(void *owner),
                          void *owner);
void signer_stop(struct signer *signer);
/* Opens the authority anew, as when root.pem has been brought back; on_change tells when it is done. False when it cannot be
   asked now. */
bool signer_renew(struct signer *signer);

/* What goes into the issue log. */
struct issue_record {
    char serial[SIGNER_SERIAL_HEX]; /* lower-case hexadecimal */
    struct slice spiffe_id;
    int64_t not_before_s, not_after_s;
    uint8_t certificate_hash[32]; /* SHA-256 of the DER */
};

struct signer_answer {
    bool good;
    struct slice certificate; /* the leaf, PEM; the chain is signer_trust's */
    struct issue_record record;
    const struct error *error; /* when it is not good */
    bool try_again;            /* the fault is not the order's */
};

/* Embedded in the asker; zeroed before first use. */
struct signer_order {
    struct list node; /* next == NULL: not under way */
    uint64_t number;
    struct buffer message;
    char *spiffe_id;
    const char *refusal; /* NULL: it goes to the child */
    bool is_sent;
    void (*on_answer)(struct signer_order *order, const struct signer_answer *answer);
};
struct authority_order;
/* Copies what it needs. on_answer comes once, from the loop, never from this call. */
void signer_sign(struct signer *signer, struct signer_order *order,
                 const struct authority_order *what,
                 void (*on_answer)(struct signer_order *order, const struct signer_answer *answer));
/* No answer will come. Harmless when the order is not under way. */
void signer_cancel(struct signer *signer, struct signer_order *order);
OWNED(signer, signer_destroy)
