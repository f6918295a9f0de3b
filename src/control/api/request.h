/*
 * request: what a method, path and query ask for. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"
#include "control/api/authorize.h"
#include "control/api/selector.h"
#include "control/api/status.h"
#include "control/model/kind.h"

enum { QUERY_BYTES_MAX = 16 * 1024, FIELD_MANAGER_BYTES_MAX = 128 };

enum target {
    TARGET_DISCOVERY, /* everything that is neither of the following: by its path */
    TARGET_OBJECTS,
    TARGET_TOKENS,
    TARGET_LEASES,
    TARGET_PROXIES,
};
enum unknown_fields { UNKNOWN_REFUSED, UNKNOWN_WARNED, UNKNOWN_IGNORED };

/* Texts live in the arena or in the path. */
struct request {
    enum target target;
    enum verb verb;
    enum kind kind;          /* TARGET_OBJECTS */
    const char *version;     /* "v1beta1", of the kind's own */
    const char *resource;    /* the plural */
    struct slice name_space; /* empty: all, or of a kind without */
    struct slice name;       /* empty: a collection; a lease's number */
    bool status;             /* /status */
    bool dry_run;
    enum unknown_fields unknown;
    /* lists and watches */
    struct selector selector;
    uint64_t limit;     /* 0: none */
    struct slice after; /* of the continuation: the last key of the page before */
    uint64_t revision;  /* resourceVersion; 0: now */
    bool has_revision;  /* resourceVersion was given and is not 0 */
    bool exact;         /* resourceVersionMatch=Exact, or a continuation */
    bool bookmarks;
    bool initial_events;        /* sendInitialEvents=true */
    uint64_t timeout_s;         /* 0: none */
    const char *include_object; /* of tables */
};

MUST_USE bool request_parse(struct slice method, struct slice path, struct slice query,
                            struct arena *arena, struct request *out, struct failure *failure);
/* Percent-decoded, in the arena; false when an escape is broken. */
MUST_USE bool request_unescape(struct slice text, bool plus_is_space, struct arena *arena,
                               struct slice *out);
/* What a page's last key and revision become in metadata.continue. */
const char *request_continuation(uint64_t revision, struct slice last_key, struct arena *arena);
