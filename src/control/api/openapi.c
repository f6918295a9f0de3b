#include "control/api/openapi.h"

#include "base/buffer.h"
#include "base/hash.h"
#include "base/memory.h"
#include "control/api/openapi_internal.h"
#include "control/api/tree.h"
#include "control/model/kind.h"

enum { DOCUMENTS_MAX = 16 };

struct v3_document {
    char *path; /* "apis/networking.istio.io/v1" */
    struct buffer json;
};
struct openapi {
    struct buffer v2_json, v2_protobuf, v3_index;
    struct v3_document documents[DOCUMENTS_MAX];
    size_t count;
};

static void put_info(struct value *document, const char *version, struct arena *arena)
{
    struct value *info = tree_put_object(document, "info", arena);
    tree_put_str(info, "title", "Tulle", arena);
    tree_put_str(info, "version", version, arena);
}

static void make_v2(struct openapi *openapi, const char *version)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct value *document = value_new(&arena, VALUE_OBJECT);
    tree_put_str(document, "swagger", "2.0", &arena);
    put_info(document, version, &arena);
    struct value *paths = tree_put_object(document, "paths", &arena);
    struct schemas schemas = {
        .arena = &arena, .v3 = false, .out = tree_put_object(document, "definitions", &arena)};
    for (enum kind k = 0; k < KINDS; k++) {
        schemas_add_kind(&schemas, k);
        for (size_t i = 0; kind_schema(k)->versions[i]; i++)
            paths_add(paths, k, kind_schema(k)->versions[i], false, &arena);
    }
    schemas_finish(&schemas);
    value_write_json(document, false, &openapi->v2_json);
    openapi_v2_pack(document, &openapi->v2_protobuf);
    arena_fini(&arena);
}

static struct v3_document *find_document(const struct openapi *openapi, struct slice path)
{
    for (size_t i = 0; i < openapi->count; i++) {
        if (slice_equals_str(path, openapi->documents[i].path))
            return (struct v3_document *)&openapi->documents[i];
    }
    return NULL;
}

/* The document of one version of one group. */
static void make_v3(struct openapi *openapi, const char *path, const char *group,
                    const char *group_version, const char *version)
{
    if (find_document(openapi, slice_str(path)) || openapi->count == DOCUMENTS_MAX)
        return;
    struct arena arena;
    arena_init(&arena, NULL);
    struct value *document = value_new(&arena, VALUE_OBJECT);
    tree_put_str(document, "openapi", "3.0.0", &arena);
    put_info(document, version, &arena);
    struct value *paths = tree_put_object(document, "paths", &arena);
    struct value *components = tree_put_object(document, "components", &arena);
    struct schemas schemas = {
        .arena = &arena, .v3 = true, .out = tree_put_object(components, "schemas", &arena)};
    for (enum kind k = 0; k < KINDS; k++) {
        const struct pb_kind *kind = kind_schema(k);
        for (size_t i = 0; strcmp(kind->group, group) == 0 && kind->versions[i]; i++) {
            if (strcmp(kind->versions[i], group_version) != 0)
                continue;
            schemas_add_kind(&schemas, k);
            paths_add(paths, k, group_version, true, &arena);
        }
    }
    schemas_finish(&schemas);
    struct v3_document *made = &openapi->documents[openapi->count++];
    made->path = str_copy(path);
    value_write_json(document, false, &made->json);
    arena_fini(&arena);
}

static void make_index(struct openapi *openapi)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct value *document = value_new(&arena, VALUE_OBJECT);
    struct value *paths = tree_put_object(document, "paths", &arena);
    for (size_t i = 0; i < openapi->count; i++) {
        const struct v3_document *one = &openapi->documents[i];
        char hash[33];
        hash128_hex(hash128(buffer_slice(&one->json)), hash);
        struct value *entry = tree_put_object(paths, one->path, &arena);
        tree_put_str(entry, "serverRelativeURL",
                     arena_format(&arena, "/openapi/v3/%s?hash=%s", one->path, hash), &arena);
    }
    value_write_json(document, false, &openapi->v3_index);
    arena_fini(&arena);
}

struct openapi *openapi_create(const char *version)
{
    struct openapi *openapi = mem_new(struct openapi);
    make_v2(openapi, version);
    for (enum kind k = 0; k < KINDS; k++) {
        const struct pb_kind *kind = kind_schema(k);
        for (size_t i = 0; kind->versions[i]; i++) {
            owned_str path = kind->group[0]
                                 ? str_format("apis/%s/%s", kind->group, kind->versions[i])
                                 : str_format("api/%s", kind->versions[i]);
            make_v3(openapi, path, kind->group, kind->versions[i], version);
        }
    }
    make_index(openapi);
    return openapi;
}

void openapi_destroy(struct openapi *openapi)
{
    if (!openapi)
        return;
    for (size_t i = 0; i < openapi->count; i++) {
        mem_free(openapi->documents[i].path);
        buffer_fini(&openapi->documents[i].json);
    }
    buffer_fini(&openapi->v2_json);
    buffer_fini(&openapi->v2_protobuf);
    buffer_fini(&openapi->v3_index);
    mem_free(openapi);
}

struct slice openapi_v2_json(const struct openapi *openapi)
{
    return buffer_slice(&openapi->v2_json);
}

struct slice openapi_v2_protobuf(const struct openapi *openapi)
{
    return buffer_slice(&openapi->v2_protobuf);
}

struct slice openapi_v3_index(const struct openapi *openapi)
{
    return buffer_slice(&openapi->v3_index);
}

struct slice openapi_v3_json(const struct openapi *openapi, struct slice path)
{
    const struct v3_document *document = find_document(openapi, path);
    return document ? buffer_slice(&document->json) : SLICE_NONE;
}
