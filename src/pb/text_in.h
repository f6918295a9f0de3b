/*
 * text_in: messages from YAML and JSON.
 *
 * Strict is for what people write: an unknown field, a wrong type, an unknown enum name is fatal, with its place and a "did
 * you mean". Lenient is for what other systems and newer versions hold: such a field is skipped and reported. Both take the
 * JSON name and the original name of a field, null as absent, and {} as present; both refuse two names of one field and
 * two members of a oneof.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "pb/document.h"
#include "pb/problem.h"

#include <protobuf-c/protobuf-c.h>

enum text_mode { TEXT_STRICT, TEXT_LENIENT };

/* The message in problems->arena; NULL when there were fatal problems. */
MUST_USE void *text_decode(const struct value *value, const ProtobufCMessageDescriptor *type,
                           enum text_mode mode, struct problems *problems);

/* The same from text, with the first fatal problem as the error. The text holds exactly one document. */
MUST_USE void *text_read_yaml(struct slice text, const char *name,
                              const ProtobufCMessageDescriptor *type, enum text_mode mode,
                              struct arena *arena, struct error *error);
MUST_USE void *text_read_json(struct slice text, const char *name,
                              const ProtobufCMessageDescriptor *type, enum text_mode mode,
                              struct arena *arena, struct error *error);
/* From a file, by YAML's rules, which take JSON too. */
MUST_USE void *text_read_file(const char *path, const ProtobufCMessageDescriptor *type,
                              enum text_mode mode, struct arena *arena, struct error *error);
