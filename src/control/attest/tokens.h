/*
 * tokens: one-time tokens by which a workload gets its first certificate.
 *
 * A token is 256 random bits; the store holds its SHA-256 with the SPIFFE ID that it stands for, under a lease of five minutes.
 * Consuming deletes the key in the transaction that compares its revision, so of two who show one token one gets in.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct loop;
struct store;
struct tokens;

enum { TOKEN_LIFETIME_MS = 5 * 60 * 1000, TOKENS_UNDER_WAY_MAX = 10000 };

/* All must outlive it; the trust domain is copied. */
struct tokens *tokens_open(struct loop *loop, struct store *store, const char *trust_domain);
/* No answer comes any more. Accepts NULL. */
void tokens_close(struct tokens *tokens);

/* On success reason is NULL; token is empty when one was consumed. Borrowed for the call. */
struct token_answer {
    const char *token, *spiffe_id;
    const char *reason;
    bool unavailable; /* the store's fault: try again */
};
typedef void tokens_on_answer(void *owner, const struct token_answer *answer);
/* A ticket for tokens_cancel. on_answer comes once, from the loop. */
uint64_t tokens_create(struct tokens *tokens, struct slice name_space, struct slice account,
                       tokens_on_answer *on_answer, void *owner);
uint64_t tokens_consume(struct tokens *tokens, struct slice token, tokens_on_answer *on_answer,
                        void *owner);
/* Harmless when it was answered. A token that is being consumed stays consumed. */
void tokens_cancel(struct tokens *tokens, uint64_t ticket);
