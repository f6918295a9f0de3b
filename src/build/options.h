/*
 * options: where a resource is being built, and what that place can do.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

/* HTTP header names as numbers, so that match/ and build/ need not know the codec's table. */
typedef uint16_t header_numberer(struct slice lower_case_name);

struct build_options {
    /* True on the proxy. False where tulled dry-builds: files named by a resource are then checked for form only,
     * since they lie on another host (and nobody may probe tulled's own). */
    bool here;
    int64_t now_s;        /* Unix seconds: certificates past their end are refused */
    struct slice node_id; /* for %ENVIRONMENT%-like operators and logs */
};
