/* What is served: versions, groups and resources, plain and aggregated; and the schemas. */
#include "control/api/operation_internal.h"

#include "base/buffer.h"
#include "control/api/openapi.h"

/* kubectl compares this with its own version: the level of Kubernetes whose clients we are tested with. */
#define KUBERNETES_MAJOR "1"
#define KUBERNETES_MINOR "32"

static const char *const object_verbs[] = {
    "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch", NULL};
static const char *const status_verbs[] = {"get", "patch", "update", NULL};

static void put_words(struct value *object, const char *key, const char *const *words,
                      struct arena *arena)
{
    struct value *list = tree_put_list(object, key, arena);
    for (; *words; words++)
        value_append(list, value_new_string(arena, slice_str(*words)));
}

static struct value *begin(const char *kind, const char *api_version, struct arena *arena)
{
    struct value *object = value_new(arena, VALUE_OBJECT);
    tree_put_str(object, "kind", kind, arena);
    tree_put_str(object, "apiVersion", api_version, arena);
    return object;
}

static const char *group_version(const char *group, const char *version, struct arena *arena)
{
    return group[0] ? arena_format(arena, "%s/%s", group, version) : version;
}

static bool serves(const struct pb_kind *kind, const char *group, struct slice version)
{
    for (size_t i = 0; strcmp(kind->group, group) == 0 && kind->versions[i]; i++) {
        if (slice_equals_str(version, kind->versions[i]))
            return true;
    }
    return false;
}

/* The group as the kinds spell it, and its versions, preferred first; NULL when there is none. */
static const char *find_group(struct slice name, const char *const **versions)
{
    for (enum kind k = 0; k < KINDS; k++) {
        const struct pb_kind *kind = kind_schema(k);
        if (slice_equals_str(name, kind->group)) {
            *versions = kind->versions;
            return kind->group;
        }
    }
    return NULL;
}

/* Whether this kind is the first of its group. */
static bool begins_group(enum kind kind)
{
    for (enum kind k = 0; k < kind; k++) {
        if (strcmp(kind_schema(k)->group, kind_schema(kind)->group) == 0)
            return false;
    }
    return true;
}

/* --- plain ------------------------------------------------------------------------------------------------------- */

static struct value *version_of(const struct api *api, struct arena *arena)
{
    struct value *object = value_new(arena, VALUE_OBJECT);
    tree_put_str(object, "major", KUBERNETES_MAJOR, arena);
    tree_put_str(object, "minor", KUBERNETES_MINOR, arena);
    tree_put_str(
        object, "gitVersion",
        arena_format(arena, "v" KUBERNETES_MAJOR "." KUBERNETES_MINOR ".0+tulle-%s", api->version),
        arena);
    tree_put_str(object, "gitCommit", "", arena);
    tree_put_str(object, "gitTreeState", "clean", arena);
    tree_put_str(object, "buildDate", "1970-01-01T00:00:00Z", arena);
    tree_put_str(object, "goVersion", "none", arena);
    tree_put_str(object, "compiler", "gcc", arena);
    tree_put_str(object, "platform", "linux", arena);
    return object;
}

static struct value *core_versions(struct arena *arena)
{
    static const char *const versions[] = {"v1", NULL};
    struct value *object = begin("APIVersions", "v1", arena);
    put_words(object, "versions", versions, arena);
    tree_put_list(object, "serverAddressByClientCIDRs", arena);
    return object;
}

static struct value *group_of(const char *name, const char *const *versions, struct arena *arena)
{
    struct value *group = value_new(arena, VALUE_OBJECT);
    tree_put_str(group, "name", name, arena);
    struct value *list = tree_put_list(group, "versions", arena);
    for (size_t i = 0; versions[i]; i++) {
        struct value *version = value_new(arena, VALUE_OBJECT);
        tree_put_str(version, "groupVersion", group_version(name, versions[i], arena), arena);
        tree_put_str(version, "version", versions[i], arena);
        value_append(list, version);
    }
    tree_put(group, "preferredVersion", tree_share(list->first, arena), arena);
    return group;
}

static struct value *groups(struct arena *arena)
{
    struct value *object = begin("APIGroupList", "v1", arena);
    struct value *list = tree_put_list(object, "groups", arena);
    for (enum kind k = 0; k < KINDS; k++) {
        const struct pb_kind *kind = kind_schema(k);
        if (kind->group[0] && begins_group(k))
            value_append(list, group_of(kind->group, kind->versions, arena));
    }
    return object;
}

static void append_resource(struct value *list, const struct pb_kind *kind, bool status,
                            struct arena *arena)
{
    struct value *resource = value_new(arena, VALUE_OBJECT);
    tree_put_str(resource, "name",
                 status ? arena_format(arena, "%s/status", kind->plural) : kind->plural, arena);
    tree_put_str(resource, "singularName", status ? "" : kind->singular, arena);
    tree_put_bool(resource, "namespaced", !kind->cluster_scoped, arena);
    tree_put_str(resource, "kind", kind->kind, arena);
    put_words(resource, "verbs", status ? status_verbs : object_verbs, arena);
    if (!status && kind->short_names[0])
        put_words(resource, "shortNames", kind->short_names, arena);
    if (!status && kind->categories[0])
        put_words(resource, "categories", kind->categories, arena);
    value_append(list, resource);
}

static struct value *resources(const char *group, struct slice version, struct arena *arena)
{
    struct value *object = begin("APIResourceList", "v1", arena);
    const char *text = arena_copy(arena, version);
    tree_put_str(object, "groupVersion", group_version(group, text, arena), arena);
    struct value *list = tree_put_list(object, "resources", arena);
    for (enum kind k = 0; k < KINDS; k++) {
        if (serves(kind_schema(k), group, version)) {
            append_resource(list, kind_schema(k), false, arena);
            append_resource(list, kind_schema(k), true, arena);
        }
    }
    return list->count > 0 ? object : NULL;
}

/* --- aggregated -------------------------------------------------------------------------------------------------- */

static void put_response_kind(struct value *object, const struct pb_kind *kind, const char *version,
                              struct arena *arena)
{
    struct value *response = tree_put_object(object, "responseKind", arena);
    tree_put_str(response, "group", kind->group, arena);
    tree_put_str(response, "version", version, arena);
    tree_put_str(response, "kind", kind->kind, arena);
}

static struct value *discovered(const struct pb_kind *kind, const char *version,
                                struct arena *arena)
{
    struct value *resource = value_new(arena, VALUE_OBJECT);
    tree_put_str(resource, "resource", kind->plural, arena);
    put_response_kind(resource, kind, version, arena);
    tree_put_str(resource, "scope", kind->cluster_scoped ? "Cluster" : "Namespaced", arena);
    tree_put_str(resource, "singularResource", kind->singular, arena);
    put_words(resource, "verbs", object_verbs, arena);
    put_words(resource, "shortNames", kind->short_names, arena);
    put_words(resource, "categories", kind->categories, arena);
    struct value *subresource = value_new(arena, VALUE_OBJECT);
    tree_put_str(subresource, "subresource", "status", arena);
    put_response_kind(subresource, kind, version, arena);
    put_words(subresource, "verbs", status_verbs, arena);
    value_append(tree_put_list(resource, "subresources", arena), subresource);
    return resource;
}

static struct value *discovered_group(const char *group, const char *const *versions,
                                      struct arena *arena)
{
    struct value *object = value_new(arena, VALUE_OBJECT);
    struct value *metadata = tree_put_object(object, "metadata", arena);
    if (group[0])
        tree_put_str(metadata, "name", group, arena);
    struct value *list = tree_put_list(object, "versions", arena);
    for (size_t i = 0; versions[i]; i++) {
        struct value *version = value_new(arena, VALUE_OBJECT);
        tree_put_str(version, "version", versions[i], arena);
        struct value *found = tree_put_list(version, "resources", arena);
        for (enum kind k = 0; k < KINDS; k++) {
            if (serves(kind_schema(k), group, slice_str(versions[i])))
                value_append(found, discovered(kind_schema(k), versions[i], arena));
        }
        tree_put_str(version, "freshness", "Current", arena);
        value_append(list, version);
    }
    return object;
}

static void answer_aggregated(struct operation *operation, bool core, const char *version)
{
    struct arena *arena = &operation->arena;
    struct value *object = begin("APIGroupDiscoveryList",
                                 arena_format(arena, "apidiscovery.k8s.io/%s", version), arena);
    tree_put_object(object, "metadata", arena);
    struct value *items = tree_put_list(object, "items", arena);
    for (enum kind k = 0; k < KINDS; k++) {
        const struct pb_kind *kind = kind_schema(k);
        if (begins_group(k) && (kind->group[0] == '\0') == core)
            value_append(items, discovered_group(kind->group, kind->versions, arena));
    }
    owned_buffer text = {0};
    value_write_json(object, false, &text);
    rpc_exchange_reply(operation->exchange, 200,
                       arena_format(arena,
                                    "application/json;g=apidiscovery.k8s.io;v=%s;"
                                    "as=APIGroupDiscoveryList",
                                    version),
                       buffer_slice(&text));
}

/* The version of aggregated discovery that the client asks for first; NULL for plain. */
static const char *wants_aggregated(const struct operation *operation)
{
    struct slice accept = rpc_exchange_header(operation->exchange, "accept"), one;
    bool more = accept.size > 0;
    while (more) {
        more = slice_cut(accept, ',', &one, &accept);
        if (slice_find(one, SLICE("as=APIGroupDiscoveryList")) == SIZE_MAX)
            continue;
        if (slice_find(one, SLICE("v=v2beta1")) != SIZE_MAX)
            return "v2beta1";
        if (slice_find(one, SLICE("v=v2")) != SIZE_MAX)
            return "v2";
    }
    return NULL;
}

/* --- schemas ----------------------------------------------------------------------------------------------------- */

static const char v2_protobuf[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

static bool answer_schema(struct operation *operation, struct slice path)
{
    struct api *api = operation->api;
    struct slice accept = rpc_exchange_header(operation->exchange, "accept");
    struct slice prefix = SLICE("/openapi/v3/");
    if (!api->openapi)
        api->openapi = openapi_create(api->version);
    struct slice text = SLICE_NONE;
    const char *type = "application/json";
    if (slice_equals_str(path, "/openapi/v2")) {
        bool binary = slice_find(accept, SLICE("openapi.spec.v2")) != SIZE_MAX;
        text = binary ? openapi_v2_protobuf(api->openapi) : openapi_v2_json(api->openapi);
        type = binary ? v2_protobuf : type;
    } else if (slice_equals_str(path, "/openapi/v3")) {
        text = openapi_v3_index(api->openapi);
    } else if (slice_starts_with(path, prefix)) {
        text = openapi_v3_json(api->openapi, slice_from(path, prefix.size));
    }
    if (!text.data)
        return false;
    rpc_exchange_reply(operation->exchange, 200, type, text);
    return true;
}

/* --- by path ----------------------------------------------------------------------------------------------------- */

/* "/apis/GROUP" and "/apis/GROUP/VERSION". */
static struct value *under_apis(struct slice path, struct arena *arena)
{
    struct slice name, version;
    const char *const *versions;
    bool has_version = slice_cut(path, '/', &name, &version);
    const char *group = name.size > 0 ? find_group(name, &versions) : NULL;
    if (!group)
        return NULL;
    if (has_version)
        return resources(group, version, arena);
    struct value *object = group_of(group, versions, arena);
    tree_put_str(object, "kind", "APIGroup", arena);
    tree_put_str(object, "apiVersion", "v1", arena);
    return object;
}

static struct value *find(const struct operation *operation, struct slice path, struct arena *arena)
{
    if (slice_equals_str(path, "/version"))
        return version_of(operation->api, arena);
    if (slice_equals_str(path, "/api"))
        return core_versions(arena);
    if (slice_equals_str(path, "/apis"))
        return groups(arena);
    if (slice_starts_with(path, SLICE("/api/")))
        return resources("", slice_from(path, 5), arena);
    if (slice_starts_with(path, SLICE("/apis/")))
        return under_apis(slice_from(path, 6), arena);
    return NULL;
}

void discovery_answer(struct operation *operation)
{
    struct slice path = rpc_exchange_path(operation->exchange);
    if (path.size > 1 && path.data[path.size - 1] == '/')
        path.size--;
    if (operation->request.verb != VERB_LIST) {
        operation_fail(operation, 405, "this can only be read");
        return;
    }
    bool core = slice_equals_str(path, "/api");
    const char *aggregated = wants_aggregated(operation);
    if (aggregated && (core || slice_equals_str(path, "/apis"))) {
        answer_aggregated(operation, core, aggregated);
        return;
    }
    if (slice_equals_str(path, "/healthz") || slice_equals_str(path, "/livez") ||
        slice_equals_str(path, "/readyz")) {
        rpc_exchange_reply(operation->exchange, 200, "text/plain", SLICE("ok"));
        return;
    }
    if (answer_schema(operation, path))
        return;
    struct value *answer = find(operation, path, &operation->arena);
    if (answer)
        operation_reply(operation, 200, answer);
    else
        operation_fail(operation, 404, "the server could not find the requested resource");
}
