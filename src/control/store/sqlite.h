/*
 * sqlite: the embedded store: one file, one writer thread with group commit, a log of revisions.
 */
#pragma once

#include "control/store/store.h"

struct sqlite_options {
    const char *path; /* ":memory:" for tests */
    size_t history;   /* revisions kept for watches and old lists; 0 = 100,000 */
};
/* Opens or makes the file (0600) and checks it. False with TUL4001 when another process has it, TUL4002 when it is damaged. */
MUST_USE bool sqlite_store_open(struct loop *loop, const struct sqlite_options *options,
                                struct store **out, struct error *error);
