/* The paths of a schema document: just what clients look for to know what a kind can do. */
#include "control/api/openapi_internal.h"

#include "control/api/tree.h"

static const char *const patch_types[] = {"application/json-patch+json",
                                          "application/merge-patch+json",
                                          "application/strategic-merge-patch+json"};

static void put_parameter(struct value *list, const char *name, const char *in, const char *doc,
                          bool v3, struct arena *arena)
{
    struct value *parameter = value_new(arena, VALUE_OBJECT);
    tree_put_str(parameter, "name", name, arena);
    tree_put_str(parameter, "in", in, arena);
    tree_put_str(parameter, "description", doc, arena);
    if (strcmp(in, "path") == 0)
        tree_put_bool(parameter, "required", true, arena);
    struct value *type = v3 ? tree_put_object(parameter, "schema", arena) : parameter;
    tree_put_str(type, "type", "string", arena);
    value_append(list, parameter);
}

static void put_patch_types(struct value *operation, bool core, bool v3, struct arena *arena)
{
    struct value *to =
        v3 ? tree_put_object(tree_put_object(operation, "requestBody", arena), "content", arena)
           : tree_put_list(operation, "consumes", arena);
    for (size_t i = 0; i < COUNT(patch_types) - !core; i++) {
        if (v3)
            tree_put_object(tree_put_object(to, patch_types[i], arena), "schema", arena);
        else
            value_append(to, value_new_string(arena, slice_str(patch_types[i])));
    }
}

static void put_operation(struct value *path, enum kind kind, const char *version,
                          const char *method, const char *action, bool v3, struct arena *arena)
{
    struct value *operation = tree_put_object(path, method, arena);
    bool is_patch = strcmp(method, "patch") == 0;
    bool writes = is_patch || strcmp(method, "post") == 0 || strcmp(method, "put") == 0;
    tree_put_str(operation, "operationId",
                 arena_format(arena, "%s%s%s", action, version, kind_schema(kind)->kind), arena);
    if (is_patch)
        put_patch_types(operation, kind_schema(kind)->group[0] == '\0', v3, arena);
    struct value *parameters = tree_put_list(operation, "parameters", arena);
    if (writes) {
        put_parameter(parameters, "dryRun", "query",
                      "All: answer as if it were done, and do nothing.", v3, arena);
        put_parameter(parameters, "fieldManager", "query", "The name of who writes.", v3, arena);
        put_parameter(parameters, "fieldValidation", "query",
                      "Unknown fields: Strict refuses, Warn warns, Ignore keeps them silently.", v3,
                      arena);
    }
    struct value *answer =
        tree_put_object(tree_put_object(operation, "responses", arena), "200", arena);
    tree_put_str(answer, "description", "OK", arena);
    tree_put_str(operation, "x-kubernetes-action", action, arena);
    tree_put(operation, "x-kubernetes-group-version-kind",
             tree_share(schema_kind_versions(kind, version, arena)->first, arena), arena);
}

void paths_add(struct value *paths, enum kind kind, const char *version, bool v3,
               struct arena *arena)
{
    const struct pb_kind *schema = kind_schema(kind);
    const char *root = schema->group[0] ? arena_format(arena, "/apis/%s/%s", schema->group, version)
                                        : arena_format(arena, "/api/%s", version);
    const char *place = schema->cluster_scoped ? "" : "/namespaces/{namespace}";
    const char *all = arena_format(arena, "%s%s/%s", root, place, schema->plural);
    struct value *collection = tree_put_object(paths, all, arena);
    put_operation(collection, kind, version, "get", "list", v3, arena);
    put_operation(collection, kind, version, "post", "post", v3, arena);
    put_operation(collection, kind, version, "delete", "deletecollection", v3, arena);
    struct value *object = tree_put_object(paths, arena_format(arena, "%s/{name}", all), arena);
    put_operation(object, kind, version, "get", "get", v3, arena);
    put_operation(object, kind, version, "put", "put", v3, arena);
    put_operation(object, kind, version, "patch", "patch", v3, arena);
    put_operation(object, kind, version, "delete", "delete", v3, arena);
    struct value *parameters = tree_put_list(object, "parameters", arena);
    put_parameter(parameters, "name", "path", "The object's name.", v3, arena);
    if (!schema->cluster_scoped)
        put_parameter(parameters, "namespace", "path", "The object's namespace.", v3, arena);
}
