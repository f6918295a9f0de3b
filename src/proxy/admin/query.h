/*
 * query: what the query string of an admin request asks for. Pure.
 */
#pragma once

#include "base/attributes.h"
#include "base/log.h"
#include "base/slice.h"

/* The value of a parameter as it is written, empty when it has none; data == NULL when it is not there. */
struct slice query_value(struct slice query, const char *name);
/*
 * Undoes "%XX" and "+" into `plain`, which holds text.size bytes at most; what is no escape stays as it is. False when
 * `most` bytes do not suffice.
 */
MUST_USE bool query_plain(struct slice text, char *plain, size_t most, struct slice *out);

/* room empty: of every room. */
typedef void query_level(struct slice room, enum log_level level, void *to);
/*
 * level=debug for all, paths=xds:debug,http:info for some, NAME=LEVEL as older tools say it. False, with nothing told,
 * when any part is not understood.
 */
MUST_USE bool query_levels(struct slice query, query_level *tell, void *to);
