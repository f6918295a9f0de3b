/*
 * text_in: what its two files share. text_in.c walks objects, text_in_forms.c reads what has a form of its own.
 */
#pragma once

#include "base/buffer.h"
#include "pb/text_in.h"
#include "pb/type.h"

struct text_in {
    struct problems *problems;
    struct arena *arena;
    enum text_mode mode;
    const char *root;   /* "VirtualService": where paths begin, for messages */
    struct buffer path; /* "spec.http[0]" */
    size_t depth;       /* of messages */
    size_t restricts;   /* fields on the path that restrict */
};

/* Extends the path by ".name" or "[index]"; returns the size to go back to with path_leave. */
size_t path_enter(struct text_in *in, struct slice name);
size_t path_enter_index(struct text_in *in, size_t index);
void path_leave(struct text_in *in, size_t size);

/* "VirtualService.http[0]": the path as people say it, without the spec that every object has. In the arena. */
const char *path_words(struct text_in *in);

/* Reports; fatal when strict. Always false, so that `return report(...)` reads well. fix may be NULL. */
bool report(struct text_in *in, enum problem_kind kind, const struct value *value, const char *fix,
            const char *format, ...) PRINTF(5, 6) COLD;
/* "expected a number, not the string "x"". */
bool report_type(struct text_in *in, const struct value *value, const char *expected);

/* Reads a value into a member of the field's type. False after a report, with the member as it was. */
bool read_scalar(struct text_in *in, const struct value *value,
                 const ProtobufCFieldDescriptor *field, void *member);
/* A message of the type, in its own form or `form`. NULL after a report. */
ProtobufCMessage *read_message(struct text_in *in, const struct value *value,
                               const struct pb_type *type, enum json_form form);
/* The plain form; `skip` names a member that is not a field ("@type"), or is empty. */
bool read_fields(struct text_in *in, const struct value *object, const struct pb_type *type,
                 ProtobufCMessage *message, struct slice skip);
/* Any other form. The message is new. */
bool read_form(struct text_in *in, const struct value *value, const struct pb_type *type,
               ProtobufCMessage *message, enum json_form form);
