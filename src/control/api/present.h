/*
 * present: stored documents as clients see them: in the version asked for, with resourceVersion; lists; tables.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"
#include "control/model/kind.h"
#include "pb/document.h"

/* "networking.istio.io/v1beta1". In the arena. */
const char *present_api_version(enum kind kind, const char *version, struct arena *arena);
/* The stored text as a document; NULL when it is none (it is then left out and reported by whoever loads objects). */
struct value *present_read(struct slice stored, struct arena *arena);
/* With this apiVersion and, unless 0, this resourceVersion. */
struct value *present_object(const struct value *document, enum kind kind, const char *version,
                             uint64_t revision, struct arena *arena);
/* An empty list, whose "items" are to be appended to; continuation NULL = complete. */
struct value *present_list(enum kind kind, const char *version, uint64_t revision,
                           const char *continuation, struct arena *arena, struct value **items);

enum present_form { PRESENT_OBJECT, PRESENT_TABLE, PRESENT_METADATA };
/* What the Accept header asks for. */
enum present_form present_form_of(struct slice accept);

/* PartialObjectMetadata of a presented object. */
struct value *present_metadata(const struct value *object, struct arena *arena);
