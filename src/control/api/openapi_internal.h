/*
 * openapi_internal: the pieces of a schema document: definitions (schema.c), paths (schema_paths.c), and the binary form of
 * version 2 (openapi_v2.c).
 */
#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "base/vector.h"
#include "control/model/kind.h"
#include "pb/document.h"
#include "pb/type.h"

struct schemas {
    struct arena *arena;
    bool v3;
    struct value *out;                    /* name → schema */
    VECTOR(const struct pb_type *) types; /* met so far; those from `done` on wait to be written */
    size_t done;
};
/* The kind's own schema; the types it reaches wait. */
void schemas_add_kind(struct schemas *schemas, enum kind kind);
/* Writes what waits, and what that reaches, and frees the list. */
void schemas_finish(struct schemas *schemas);
/* The name of a kind's schema: "io.istio.networking.v1.VirtualService". In the arena. */
const char *schema_kind_name(enum kind kind, struct arena *arena);
/* [{"group", "version", "kind"}], for one version or, NULL, for all. */
struct value *schema_kind_versions(enum kind kind, const char *version, struct arena *arena);

/* The paths of a kind, with what kubectl looks for in them: verbs, media types of patches, query parameters. */
void paths_add(struct value *paths, enum kind kind, const char *version, bool v3,
               struct arena *arena);

/* A version 2 document as openapi.v2.Document. */
void openapi_v2_pack(const struct value *document, struct buffer *out);
