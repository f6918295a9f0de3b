#include "control/model/kind.h"

static const struct {
    const char *group, *kind, *group_key, *trigger;
} kinds[KINDS] = {
    [KIND_NAMESPACE] = {"", "Namespace", "core", "namespace"},
    [KIND_SERVICE] = {"", "Service", "core", "service"},
    [KIND_VIRTUAL_SERVICE] = {"networking.istio.io", "VirtualService", "networking.istio.io",
                              "virtualservice"},
    [KIND_DESTINATION_RULE] = {"networking.istio.io", "DestinationRule", "networking.istio.io",
                               "destinationrule"},
    [KIND_SERVICE_ENTRY] = {"networking.istio.io", "ServiceEntry", "networking.istio.io",
                            "serviceentry"},
    [KIND_WORKLOAD_ENTRY] = {"networking.istio.io", "WorkloadEntry", "networking.istio.io",
                             "workloadentry"},
};

static bool is_kind(const struct pb_kind *schema, enum kind kind)
{
    return strcmp(schema->kind, kinds[kind].kind) == 0 &&
           strcmp(schema->group, kinds[kind].group) == 0;
}

const struct pb_kind *kind_schema(enum kind kind)
{
    size_t count;
    const struct pb_kind *all = pb_kinds(&count);
    for (size_t i = 0; i < count; i++) {
        if (is_kind(&all[i], kind))
            return &all[i];
    }
    __builtin_unreachable(); /* proto/tulle/kinds.proto has them all; kind_test holds it */
}

const char *kind_trigger(enum kind kind)
{
    return kinds[kind].trigger;
}

bool kind_find(struct slice api_version, struct slice name, enum kind *kind)
{
    const struct pb_kind *schema = pb_kind_find(api_version, name);
    for (enum kind k = 0; schema && k < KINDS; k++) {
        if (is_kind(schema, k)) {
            *kind = k;
            return true;
        }
    }
    return false;
}

bool object_key_parse(struct slice key, struct object_key *parts)
{
    struct slice group, resource, rest;
    if (!slice_cut(key, '/', &group, &rest) || !slice_cut(rest, '/', &resource, &rest) ||
        !slice_cut(rest, '/', &parts->name_space, &parts->name))
        return false;
    if (parts->name.size == 0 || slice_find_byte(parts->name, '/') != parts->name.size)
        return false;
    for (enum kind k = 0; k < KINDS; k++) {
        const struct pb_kind *schema = kind_schema(k);
        if (slice_equals_str(group, kinds[k].group_key) &&
            slice_equals_str(resource, schema->plural)) {
            parts->kind = k;
            return schema->cluster_scoped == (parts->name_space.size == 0);
        }
    }
    return false;
}

struct slice object_key_make(enum kind kind, struct slice name_space, struct slice name,
                             struct arena *arena)
{
    return slice_str(arena_format(arena, "%s/%s/%.*s/%.*s", kinds[kind].group_key,
                                  kind_schema(kind)->plural, SLICE_ARG(name_space),
                                  SLICE_ARG(name)));
}

struct slice object_key_prefix(enum kind kind, struct slice name_space, struct arena *arena)
{
    const char *plural = kind_schema(kind)->plural;
    if (name_space.size == 0)
        return slice_str(arena_format(arena, "%s/%s/", kinds[kind].group_key, plural));
    return slice_str(
        arena_format(arena, "%s/%s/%.*s/", kinds[kind].group_key, plural, SLICE_ARG(name_space)));
}
