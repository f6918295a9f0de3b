/*
 * header_edits: what a route, virtual host or table adds to heads and takes from them.
 *
 * Within one list removals come first, as Envoy has it. Pseudo-headers and Host cannot be edited.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "build/format.h"
#include "match/request.h"

enum header_edit_kind {
    HEADER_EDIT_REMOVE,
    HEADER_EDIT_APPEND, /* add another value, or the first */
    HEADER_EDIT_ADD_IF_ABSENT,
    HEADER_EDIT_SET, /* replace all values, or add */
    HEADER_EDIT_SET_IF_PRESENT,
};
enum { HEADER_EDITS_MAX = 1000 };

struct header_edit {
    enum header_edit_kind kind : 8;
    bool keep_empty; /* an empty value is written too; otherwise it drops the edit */
    struct header_key key;
    struct slice name;           /* as configured, for HTTP/1 */
    const struct format *format; /* NULL: `value` is the value */
    struct slice value;
};

struct header_edits {
    const struct header_edit *items;
    size_t count;
};
