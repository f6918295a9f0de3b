#include "proxy/admin/dump_filter.h"

#include "match/regex.h"
#include "pb/type.h"

#include "envoy/admin/v3/admin.pb-c.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"

#include <string.h>

#define DUMP_TYPE "type.googleapis.com/envoy.admin.v3."

/* The lists of the dumps, and what lies in an element of each. */
struct member {
    const char *dump, *name,
        *element;     /* "ClustersConfigDump", "static_clusters", "StaticCluster" */
    const char *body; /* "cluster" */
    const ProtobufCMessageDescriptor *message;
    bool is_static, is_named;
};
#define CLUSTER &envoy__config__cluster__v3__cluster__descriptor
#define LISTENER &envoy__config__listener__v3__listener__descriptor
#define ROUTES &envoy__config__route__v3__route_configuration__descriptor
#define SECRET &envoy__extensions__transport_sockets__tls__v3__secret__descriptor
#define ENDPOINTS &envoy__config__endpoint__v3__cluster_load_assignment__descriptor
static const struct member members[] = {
    {"ClustersConfigDump", "static_clusters", "StaticCluster", "cluster", CLUSTER, true, false},
    {"ClustersConfigDump", "dynamic_active_clusters", "DynamicCluster", "cluster", CLUSTER, false,
     false},
    {"ClustersConfigDump", "dynamic_warming_clusters", "DynamicCluster", "cluster", CLUSTER, false,
     false},
    {"ListenersConfigDump", "static_listeners", "StaticListener", "listener", LISTENER, true,
     false},
    {"ListenersConfigDump", "dynamic_listeners", "DynamicListener", "listener", LISTENER, false,
     true},
    {"RoutesConfigDump", "static_route_configs", "StaticRouteConfig", "route_config", ROUTES, true,
     false},
    {"RoutesConfigDump", "dynamic_route_configs", "DynamicRouteConfig", "route_config", ROUTES,
     false, false},
    {"SecretsConfigDump", "static_secrets", "StaticSecret", "secret", SECRET, true, true},
    {"SecretsConfigDump", "dynamic_active_secrets", "DynamicSecret", "secret", SECRET, false, true},
    {"SecretsConfigDump", "dynamic_warming_secrets", "DynamicSecret", "secret", SECRET, false,
     true},
    {"EndpointsConfigDump", "static_endpoint_configs", "StaticEndpointConfig", "endpoint_config",
     ENDPOINTS, true, false},
    {"EndpointsConfigDump", "dynamic_endpoint_configs", "DynamicEndpointConfig", "endpoint_config",
     ENDPOINTS, false, false},
};

static const struct member *find_member(struct slice name)
{
    for (size_t i = 0; i < COUNT(members); i++)
        if (slice_equals_str(name, members[i].name))
            return &members[i];
    return NULL;
}

static bool is_dump(const struct value *dump, const char *name)
{
    struct slice type = slice_str(value_str(value_get(dump, "@type"), ""));
    return slice_starts_with(type, slice_str(DUMP_TYPE)) &&
           slice_equals_str(slice_from(type, strlen(DUMP_TYPE)), name);
}

static struct value *share(const struct value *value, struct arena *arena)
{
    struct value *copy = arena_new(arena, struct value);
    *copy = *value;
    copy->next = NULL;
    return copy;
}

static bool refuse(struct dump_refusal *refusal, unsigned status, const char *text)
{
    *refusal = (struct dump_refusal){status, text};
    return false;
}

/* --- masks: which are possible ------------------------------------------------------------------------------------------ */

struct mask {
    struct slice paths[DUMP_MASK_MAX];
    size_t count;
};

static bool read_mask(struct slice text, struct mask *mask)
{
    struct slice path;
    for (mask->count = 0; text.size > 0; mask->count++) {
        if (mask->count == DUMP_MASK_MAX)
            return false;
        slice_cut(text, ',', &path, &text);
        mask->paths[mask->count] = path;
    }
    return true;
}

/* "connect_timeout", "load_assignment.cluster_name": every field but the last is one message. */
static bool is_path_of(const ProtobufCMessageDescriptor *message, struct slice path)
{
    struct slice name;
    for (bool more = true; more;) {
        more = slice_cut(path, '.', &name, &path);
        const struct pb_type *type = message ? pb_type_of(message) : NULL;
        int index = type ? pb_field_find(type, name) : -1;
        if (index < 0)
            return false;
        const ProtobufCFieldDescriptor *field = pb_field_wire(type, (size_t)index);
        bool is_one_message =
            field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED;
        message = is_one_message ? field->descriptor : NULL;
    }
    return true;
}

static bool is_one_of(struct slice name, const char *const *names)
{
    for (; *names; names++)
        if (slice_equals_str(name, *names))
            return true;
    return false;
}

static bool is_path_of_state(const struct member *member, struct slice path)
{
    static const char *const plain[] = {"version_info", "last_updated", NULL};
    struct slice head, rest;
    bool more = slice_cut(path, '.', &head, &rest);
    if (slice_equals_str(head, member->body))
        return !more || is_path_of(member->message, rest);
    return !more && is_one_of(head, plain);
}

static bool is_path_of_element(const struct member *member, struct slice path)
{
    static const char *const states[] = {"active_state", "warming_state", "draining_state", NULL};
    static const char *const dynamic[] = {"version_info", "last_updated", "client_status", NULL};
    bool has_states = !member->is_static && strcmp(member->body, "listener") == 0;
    struct slice head, rest;
    bool more = slice_cut(path, '.', &head, &rest);
    if (has_states && is_one_of(head, states))
        return !more || is_path_of_state(member, rest);
    if (!has_states && slice_equals_str(head, member->body))
        return !more || is_path_of(member->message, rest);
    if (!member->is_static && slice_equals_str(head, "error_state"))
        return !more || is_path_of(&envoy__admin__v3__update_failure_state__descriptor, rest);
    if (more)
        return false;
    return member->is_static
               ? slice_equals_str(head, "last_updated") ||
                     (member->is_named && slice_equals_str(head, "name"))
               : is_one_of(head, dynamic) || (member->is_named && slice_equals_str(head, "name"));
}

/* Lists end a path. */
static bool is_path_of_dump(const struct value *dump, struct slice path)
{
    struct slice head, rest;
    bool more = slice_cut(path, '.', &head, &rest);
    if (is_dump(dump, "BootstrapConfigDump"))
        return slice_equals_str(head, "bootstrap")
                   ? !more || is_path_of(&envoy__config__bootstrap__v3__bootstrap__descriptor, rest)
                   : !more && slice_equals_str(head, "last_updated");
    const struct member *member = find_member(head);
    return !more &&
           ((member && is_dump(dump, member->dump)) || slice_equals_str(head, "version_info"));
}

/* --- masks: what they leave ---------------------------------------------------------------------------------------------- */

/* `names` are the paths that go on below this object. A type always stays. */
static struct value *masked(const struct value *object, const struct mask *mask,
                            struct arena *arena)
{
    struct value *left = value_new(arena, VALUE_OBJECT);
    left->key = object->key;
    VALUE_EACH(member, object)
    {
        struct mask *below = arena_new(arena, struct mask);
        bool is_whole = slice_equals_str(member->key, "@type");
        for (size_t i = 0; i < mask->count; i++) {
            struct slice head, rest;
            bool more = slice_cut(mask->paths[i], '.', &head, &rest);
            if (!slice_equals(head, member->key))
                continue;
            is_whole = is_whole || !more;
            if (more)
                below->paths[below->count++] = rest;
        }
        if (is_whole)
            value_put(arena, left, member->key, share(member, arena));
        else if (below->count > 0 && member->kind == VALUE_OBJECT)
            value_put(arena, left, member->key, masked(member, below, arena));
    }
    return left;
}

/* --- names --------------------------------------------------------------------------------------------------------------- */

static struct slice name_of_element(const struct member *member, const struct value *element)
{
    static const char *const states[] = {"active_state", "warming_state"};
    const struct value *body = value_get(element, member->body);
    for (size_t i = 0; i < COUNT(states) && !body; i++)
        body = value_get(value_get(element, states[i]), member->body);
    const char *name = value_str(value_get(element, "name"), NULL);
    name = name ? name : value_str(value_get(body, "name"), NULL);
    return slice_str(name ? name : value_str(value_get(body, "cluster_name"), ""));
}

static struct value *with_names(const struct member *member, const struct value *list,
                                const struct regex *names, struct arena *arena)
{
    struct value *left = value_new(arena, VALUE_LIST);
    VALUE_EACH(element, list)
    {
        if (!names || regex_matches(names, name_of_element(member, element)))
            value_append(left, share(element, arena));
    }
    return left;
}

static struct value *named_dump(const struct value *dump, const struct regex *names,
                                struct arena *arena)
{
    struct value *left = value_new(arena, VALUE_OBJECT);
    VALUE_EACH(one, dump)
    {
        const struct member *member = find_member(one->key);
        struct value *kept = member ? with_names(member, one, names, arena) : share(one, arena);
        if (!member || kept->count > 0)
            value_put(arena, left, one->key, kept);
    }
    return left;
}

/* --- the two ways of asking ---------------------------------------------------------------------------------------------- */

static bool filter_resource(const struct value *configs, const struct dump_query *query,
                            const struct mask *mask, struct arena *arena, struct value *out,
                            struct dump_refusal *refusal)
{
    const struct member *member = find_member(query->resource);
    if (slice_equals_str(query->resource, "bootstrap"))
        return refuse(refusal, 400,
                      "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this "
                      "field\n");
    bool is_there = member && (query->include_eds || member->message != ENDPOINTS);
    if (!is_there)
        return refuse(
            refusal, 404,
            arena_format(arena, "%.*s not found in config dump\n", SLICE_ARG(query->resource)));
    for (size_t i = 0; i < mask->count; i++)
        if (!is_path_of_element(member, mask->paths[i]))
            return refuse(refusal, 400,
                          arena_format(arena, "FieldMask %.*s could not be successfully used.\n",
                                       SLICE_ARG(query->mask)));
    const char *type = arena_format(arena, DUMP_TYPE "%s.%s", member->dump, member->element);
    VALUE_EACH(dump, configs)
    {
        const struct value *list = value_get(dump, member->name);
        VALUE_EACH(element, with_names(member, list, query->names, arena))
        {
            struct value *row = value_new(arena, VALUE_OBJECT);
            const struct value *left = mask->count ? masked(element, mask, arena) : element;
            value_put(arena, row, SLICE("@type"), value_new_string(arena, slice_str(type)));
            VALUE_EACH(field, left)
            value_put(arena, row, field->key, share(field, arena));
            value_append(out, row);
        }
    }
    return true;
}

static bool applies(const struct mask *mask, const struct value *dump)
{
    for (size_t i = 0; i < mask->count; i++)
        if (!is_path_of_dump(dump, mask->paths[i]))
            return false;
    return true;
}

static bool filter_dumps(const struct value *configs, const struct dump_query *query,
                         const struct mask *mask, struct arena *arena, struct value *out,
                         struct dump_refusal *refusal)
{
    VALUE_EACH(dump, configs)
    {
        if (!applies(mask, dump))
            continue;
        struct value *left =
            query->names ? named_dump(dump, query->names, arena) : share(dump, arena);
        value_append(out, mask->count ? masked(left, mask, arena) : left);
    }
    if (out->count > 0 || mask->count == 0)
        return true;
    return refuse(refusal, 400,
                  arena_format(arena,
                               "FieldMask %.*s could not be successfully applied to any "
                               "configs.\n",
                               SLICE_ARG(query->mask)));
}

bool dump_filter(const struct value *configs, const struct dump_query *query, struct arena *arena,
                 struct value **out, struct dump_refusal *refusal)
{
    struct mask *mask = arena_new(arena, struct mask);
    *out = value_new(arena, VALUE_LIST);
    if (!read_mask(query->mask, mask))
        return refuse(refusal, 400,
                      arena_format(arena, "the mask has more than %d paths\n", DUMP_MASK_MAX));
    return query->resource.size > 0 ? filter_resource(configs, query, mask, arena, *out, refusal)
                                    : filter_dumps(configs, query, mask, arena, *out, refusal);
}
