/*
 * h1_fields_internal: the field lines of a head, shared by requests, responses and trailers.
 */
#pragma once

#include "http/h1_head.h"

struct fields {
    const struct head_input *input;
    struct head_framing *framing;
    struct headers *list;
    int64_t content_length;
    uint8_t codings;
};
/* From line `first_line` on. */
enum http_refusal fields_read(struct fields *fields, unsigned first_line);
/* Takes the next element off a comma-separated list; trimmed, may be empty. */
struct slice next_element(struct slice *list);
bool list_has(struct slice list, struct slice token);
