/*
 * explain: what a kind and its fields are, from the comments in proto/.
 *
 * Only the control plane and the command line link the comments; a proxy that does not call this carries none.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "pb/type.h"

/* NULL when there is no comment. */
const char *pb_type_doc(const struct pb_type *type);
const char *pb_field_doc(const struct pb_type *type, size_t field);

/* "string", "[]HTTPRoute", "map<string, StringMatch>", "duration": as people say it. In `out`. */
void explain_type_name(const struct pb_type *type, size_t field, struct buffer *out);
/* The type of a message field or of a map's values; NULL for a scalar and for what has no fields in JSON. */
const struct pb_type *explain_field_type(const struct pb_type *type, size_t field);

/* False for a field that is refused when an object is applied. */
bool explain_acts(const struct pb_type *type, size_t field);
/* "required; 1 to 65535; at most 253 bytes", or nothing. */
void explain_limits(const struct pb_type *type, size_t field, struct buffer *out);

/* Text for `tulle explain virtualservice.spec.http`; false when the path leads nowhere. */
MUST_USE bool explain_path(struct slice path, bool recursive, struct buffer *out,
                           struct error *error);
/* docs/reference/fields.md: every field of every served kind. */
void explain_reference(struct buffer *out);
