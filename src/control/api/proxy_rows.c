#include "control/api/proxy_rows.h"

#include "control/api/table.h"
#include "control/api/tree.h"
#include "control/push/push.h"
#include "pb/codec.h"
#include "pb/message.h"

#include "envoy/config/core/v3/core.pb-c.h"

struct slice proxy_name(const char *node_id)
{
    struct slice rest = slice_str(node_id), kind, address, name, domain;
    if (slice_cut(rest, '~', &kind, &rest) && slice_cut(rest, '~', &address, &rest) &&
        slice_cut(rest, '~', &name, &domain) && name.size > 0)
        return name;
    return slice_str(node_id);
}

/* Istio's words. */
static const char *state_of(const struct push_type_status *type)
{
    if (!type->watched)
        return "IGNORED";
    if (type->sent == 0 && !type->current)
        return "NOT SENT";
    return type->sent == type->acked && !type->error ? "SYNCED" : "STALE";
}

const char *proxy_cluster(const struct ads_peer *peer, struct arena *arena)
{
    owned_error error = {0};
    const Envoy__Config__Core__V3__Node *node =
        pb_decode(&envoy__config__core__v3__node__descriptor, peer->node, arena, NULL, &error);
    const char *cluster = node ? pb_struct_get_str(node->metadata, "CLUSTER_ID") : NULL;
    return cluster ? cluster : peer->cluster ? peer->cluster : "";
}

static void put_rejections(struct value *row, const struct push_status *status, int64_t now_us,
                           struct arena *arena)
{
    struct value *list = tree_put_list(row, "rejections", arena);
    for (enum resource_type type = 0; type < RESOURCE_TYPES; type++) {
        const struct push_type_status *one = &status->types[type];
        if (!one->error)
            continue;
        const char *age = age_text((now_us - one->sent_wall_us) / 1000000, arena);
        const char *text = arena_format(arena, "%s, sent %s ago, was rejected: %s",
                                        resource_type_short(type), age, one->error);
        value_append(list, value_new_string(arena, slice_str(text)));
    }
}

struct value *proxy_row(const struct push_status *status, int64_t now_us, struct arena *arena)
{
    static const struct {
        const char *name;
        enum resource_type type;
    } columns[] = {{"cds", RESOURCE_CLUSTER},
                   {"lds", RESOURCE_LISTENER},
                   {"eds", RESOURCE_ENDPOINTS},
                   {"rds", RESOURCE_ROUTE},
                   {"ecds", RESOURCE_EXTENSION}};
    const struct ads_peer *peer = status->peer;
    struct value *row = value_new(arena, VALUE_OBJECT);
    tree_put_slice(row, "name", proxy_name(peer->node_id), arena);
    tree_put_str(row, "cluster", proxy_cluster(peer, arena), arena);
    for (size_t i = 0; i < COUNT(columns); i++)
        tree_put_str(row, columns[i].name, state_of(&status->types[columns[i].type]), arena);
    tree_put_str(row, "tulled", "tulled", arena);
    tree_put_str(row, "version", peer->user_agent_version, arena);
    tree_put_str(row, "age", age_text((now_us - status->connected_wall_us) / 1000000, arena),
                 arena);
    tree_put_str(row, "program", peer->user_agent ? peer->user_agent : "", arena);
    tree_put_str(row, "node", peer->node_id, arena);
    tree_put_str(row, "address", peer->address, arena);
    if (peer->identity)
        tree_put_str(row, "identity", peer->identity, arena);
    tree_put_bool(row, "unresponsive", status->stale, arena);
    put_rejections(row, status, now_us, arena);
    return row;
}

struct visit {
    struct value *items;
    struct arena *arena;
    int64_t now_us;
};

static void append_row(void *to, const struct push_status *status)
{
    struct visit *visit = to;
    value_append(visit->items, proxy_row(status, visit->now_us, visit->arena));
}

void proxy_rows(struct push *push, int64_t now_us, struct value *items, struct arena *arena)
{
    struct visit visit = {items, arena, now_us};
    push_each(push, append_row, &visit);
}
