/*
 * admit: may this object act as it is written?
 *
 * Walks an object of a served kind and reports every field that is set but refused, missing though required, or over
 * a limit, by the options in proto/. Admission takes the problems as fatal; loading skips the fields, and a rule that
 * holds a problem that `restricts` must not act (control/model decides which rule that is, by the path).
 */
#pragma once

#include "pb/document.h"
#include "pb/problem.h"
#include "pb/text_in.h"

#include <protobuf-c/protobuf-c.h>

/* Unknown fields and wrong types are text_decode's business and pass here. */
void admit_check(const struct value *value, const ProtobufCMessageDescriptor *type,
                 enum text_mode mode, struct problems *problems);
