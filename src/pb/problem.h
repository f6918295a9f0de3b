/*
 * problem: what is wrong with an object that someone wrote, each with its place.
 *
 * Reading and checking collect problems instead of stopping at the first, so that one run names them all and
 * an API answer can list its causes. At most PROBLEMS_MAX are kept; `count` counts on.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"

enum { PROBLEMS_MAX = 32 };

enum problem_kind {
    PROBLEM_UNKNOWN_FIELD, /* TUL0007 */
    PROBLEM_WRONG_TYPE,    /* TUL0008: a string where a number belongs */
    PROBLEM_BAD_VALUE,     /* TUL0009: right type, wrong value: no such enum name, out of range */
    PROBLEM_TWICE,         /* TUL0010: two names of one field, or two members of a oneof */
    PROBLEM_REFUSED,       /* TUL0011: known, but does not act yet */
    PROBLEM_MISSING,       /* TUL0012: required */
    PROBLEM_LIMIT,         /* TUL0013: too long, too many */
};

struct problem {
    enum problem_kind kind;
    bool fatal;       /* false: the field is skipped, and the rest holds */
    bool restricts;   /* the field narrows what the rule that holds it applies to */
    const char *path; /* "spec.http[0].retires", in the arena */
    uint32_t line, column;
    const char *what; /* one sentence */
    const char *fix;  /* or NULL */
};

struct problems {
    struct arena *arena; /* given by the owner; texts live there */
    const char *name;    /* of the text: "cart.yaml"; may be NULL */
    struct problem items[PROBLEMS_MAX];
    size_t count; /* may exceed PROBLEMS_MAX */
    size_t fatal_count;
};

const char *problem_code(enum problem_kind kind);
/* The place: "cart.yaml:9:7", or the path where there is no line. In the arena. */
const char *problem_where(const struct problems *problems, const struct problem *problem);
/* Returns the problem to be completed (fix), or NULL when there are too many already. */
struct problem *problems_add(struct problems *problems, const struct problem *problem);
/* Fills the error with the first fatal problem, saying how many more there are. True when there is none. */
MUST_USE bool problems_are_none(const struct problems *problems, struct error *error);
