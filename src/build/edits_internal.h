/*
 * edits: header edits and formats from the messages that describe them.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/header_edits.h"
#include "build/messages_internal.h"

struct edit_messages {
    const char *add_field,
        *remove_field; /* "request_headers_to_add", "request_headers_to_remove" */
    HeaderValueOptionMessage *const *add;
    size_t add_count;
    char *const *remove;
    size_t remove_count;
};
MUST_USE bool build_header_edits(struct builder *b, const struct edit_messages *messages,
                                 struct header_edits *out);

/* Enters `field`. */
MUST_USE bool build_format(struct builder *b, const char *field, const FormatStringMessage *message,
                           struct format *out);
/* The bytes of a data source, in the object's memory. Files are read only where options.here holds; else *bytes is empty. */
MUST_USE bool build_data_source(struct builder *b, const char *field,
                                const DataSourceMessage *message, size_t most, struct slice *bytes);
