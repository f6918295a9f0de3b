/*
 * predicate: and, or and not over tests that the user supplies, compiled to jumps.
 *
 * Evaluation walks a flat array, stops as soon as the outcome is known, and never recurses.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct table_memory;

enum { PREDICATE_MAX_STEPS = 16384, PREDICATE_MAX_DEPTH = 32 };

/* What is compiled: a tree, which may be thrown away afterwards. */
enum predicate_kind {
    PREDICATE_NEVER,
    PREDICATE_ALWAYS,
    PREDICATE_TEST,
    PREDICATE_NOT, /* of the first child */
    PREDICATE_AND, /* of no children: holds */
    PREDICATE_OR,  /* of no children: fails */
};
struct predicate_node {
    enum predicate_kind kind;
    const void *test; /* TEST: what the evaluator gets */
    const struct predicate_node *children;
    size_t child_count;
};

struct predicate_step {
    const void *test;
    uint16_t if_true, if_false; /* the next step, PREDICATE_HOLDS or PREDICATE_FAILS */
};
enum { PREDICATE_HOLDS = UINT16_MAX, PREDICATE_FAILS = UINT16_MAX - 1 };

struct predicate {
    const struct predicate_step *steps;
    uint16_t start; /* the first step, PREDICATE_HOLDS or PREDICATE_FAILS */
    uint16_t count;
};

/* False when it is too large or too deep. */
MUST_USE bool predicate_build(struct predicate *predicate, const struct predicate_node *root,
                              struct table_memory *memory, struct error *error);
bool predicate_holds(const struct predicate *predicate,
                     bool (*test)(const void *test, const void *input), const void *input);
