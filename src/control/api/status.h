/*
 * status: the Status object, by which the API says that something failed or was done.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"
#include "pb/document.h"
#include "pb/problem.h"
#include "pb/type.h"

/* What went wrong, for a client: code 0 = nothing did. Texts live in the request's arena or are literals. */
struct failure {
    unsigned code;
    const char *message;
    const char *reason;              /* NULL: the usual one of the code */
    const struct problems *problems; /* 422: become details.causes; may be NULL */
};
/* Fills it; always false. */
bool fail(struct failure *failure, struct arena *arena, unsigned code, const char *format, ...)
    PRINTF(4, 5);

/* kind may be NULL; name may be empty. */
struct value *status_of_failure(const struct failure *failure, const struct pb_kind *kind,
                                struct slice name, struct arena *arena);
/* What a delete answers. */
struct value *status_of_success(const struct pb_kind *kind, struct slice name, struct slice uid,
                                struct arena *arena);
/* "virtualservices.networking.istio.io", "services". */
const char *status_resource(const struct pb_kind *kind, struct arena *arena);
/* The failure that many problems are: 422 with a cause each. */
bool fail_invalid(struct failure *failure, const struct pb_kind *kind, struct slice name,
                  const struct problems *problems, struct arena *arena);
