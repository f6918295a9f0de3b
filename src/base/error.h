/*
 * error: what a person must act on, in words.
 *
 * Functions that a person's mistake can fail take a `struct error *` and return false after filling it.
 * The form is the one of docs/reference/errors.md: a code, what happened, where, why it matters and
 * how to mend it. An error is a value: it owns its strings, error_fini frees them, and a zeroed one is
 * "no error". The first fill wins; later fills only add context with error_at.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct error {
    char *code;  /* "TUL0007", "IST0101"; NULL when the message needs none */
    char *what;  /* one sentence in the user's words */
    char *where; /* "cart.yaml:9:7", a peer, an object; NULL when unknown */
    char *why;   /* the consequence; may be NULL */
    char *fix;   /* the remedy; may be NULL */
};

/* Fills `what`; always returns false, so `return error_set(error, ...)` reads well. error may be NULL. */
bool error_set(struct error *error, const char *code, const char *format, ...) PRINTF(3, 4) COLD;
/* Adds where, why and fix; a value that is set already stays. */
void error_at(struct error *error, const char *format, ...) PRINTF(2, 3) COLD;
void error_why(struct error *error, const char *format, ...) PRINTF(2, 3) COLD;
void error_fix(struct error *error, const char *format, ...) PRINTF(2, 3) COLD;
/* Puts "outer: " before what. */
void error_prefix(struct error *error, const char *format, ...) PRINTF(2, 3) COLD;
static inline bool error_is_set(const struct error *error)
{
    return error && error->what;
}
/* Moves; `from` is empty afterwards. */
void error_move(struct error *to, struct error *from);
void error_fini(struct error *error);
#define owned_error __attribute__((cleanup(error_fini))) struct error
/* "error CODE: what\n --> where\nwhy: ...\nfix: ..." ; one line (without newline) when `brief`. Heap. */
char *error_text(const struct error *error, bool brief);
/* The candidate nearest to `word` by edit distance, or NULL when none is near: for "did you mean". */
const char *nearest_word(struct slice word, const char *const *candidates, size_t count);
