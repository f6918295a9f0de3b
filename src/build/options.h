/*
 * options: where a resource is being built, and what that place can do.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct build_options {
    /* True on the proxy. False where tulled dry-builds: files named by a resource are then checked for form only,
     * since they lie on another host (and nobody may probe tulled's own). */
    bool here;
    bool hides_environment; /* %ENVIRONMENT(X)% is refused: who wrote it may not read the proxy's */
    int64_t now_s;          /* Unix seconds: certificates past their end are refused */
    struct slice hostname;  /* what %HOSTNAME% writes */
};
