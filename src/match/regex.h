/*
 * regex: regular expressions in linear time (RE2's syntax), for text that peers choose.
 *
 * Patterns come from configuration and are limited in bytes and in the size of their program, so that no
 * pattern costs much memory and none costs more than linear time. A regex is immutable and may be used by
 * any thread. Text is bytes: "." is any one byte but a newline, whether or not the text is UTF-8.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

struct regex;

enum {
    REGEX_MAX_BYTES = 1024,    /* of a pattern */
    REGEX_MAX_PROGRAM = 16384, /* instructions of the compiled program */
    REGEX_MAX_GROUPS = 10,     /* \0 to \9 in a substitution */
    REGEX_MAX_SUBSTITUTION = 1024,
    REGEX_MAX_REPLACEMENTS = 128, /* in one text */
};

MUST_USE bool regex_compile(struct slice pattern, bool ignore_case, struct regex **out,
                            struct error *error);
void regex_destroy(struct regex *regex);

/* The whole text matches. */
bool regex_matches(const struct regex *regex, struct slice text);
/* Some part of the text matches. */
bool regex_finds(const struct regex *regex, struct slice text);
struct slice regex_pattern(const struct regex *regex);
bool regex_ignores_case(const struct regex *regex);

/* A substitution may use \0 to \9, as far as the pattern has groups, and \\. */
MUST_USE bool regex_check_substitution(const struct regex *regex, struct slice substitution,
                                       struct error *error);
/* Replaces every match in the text. False when the result needs more than `capacity` bytes, or when there are more
 * than REGEX_MAX_REPLACEMENTS matches. */
MUST_USE bool regex_replace(const struct regex *regex, struct slice text, struct slice substitution,
                            char *out, size_t capacity, size_t *size);

#ifdef __cplusplus
}
#else
OWNED(regex, regex_destroy)
#endif
