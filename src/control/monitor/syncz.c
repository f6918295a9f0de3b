#include "control/monitor/syncz.h"

#include "base/buffer.h"
#include "control/api/proxy_rows.h"
#include "control/api/tree.h"
#include "control/push/push.h"

struct visit {
    struct value *list;
    struct arena *arena;
};

/* A type of which nothing had to be sent, because the proxy brought it along, is in step all the same. */
static const char *nonce_text(const struct push_type_status *type, uint64_t nonce,
                              struct arena *arena)
{
    if (nonce == 0)
        return type->current ? "resumed" : NULL;
    return arena_format(arena, "%llu", (unsigned long long)nonce);
}

static void put_type(struct value *row, const char *name, const struct push_type_status *type,
                     struct arena *arena)
{
    const char *sent = nonce_text(type, type->sent, arena),
               *acked = nonce_text(type, type->acked, arena);
    if (type->watched && sent)
        tree_put_str(row, arena_format(arena, "%s_sent", name), sent, arena);
    if (type->watched && acked)
        tree_put_str(row, arena_format(arena, "%s_acked", name), acked, arena);
}

static void append(void *to, const struct push_status *status)
{
    struct visit *visit = to;
    struct arena *arena = visit->arena;
    struct value *row = value_new(arena, VALUE_OBJECT);
    tree_put_str(row, "cluster_id", proxy_cluster(status->peer, arena), arena);
    tree_put_slice(row, "proxy", proxy_name(status->peer->node_id), arena);
    tree_put_str(row, "istio_version", status->peer->user_agent_version, arena);
    put_type(row, "cluster", &status->types[RESOURCE_CLUSTER], arena);
    put_type(row, "listener", &status->types[RESOURCE_LISTENER], arena);
    put_type(row, "route", &status->types[RESOURCE_ROUTE], arena);
    put_type(row, "endpoint", &status->types[RESOURCE_ENDPOINTS], arena);
    put_type(row, "extensionconfig", &status->types[RESOURCE_EXTENSION], arena);
    value_append(visit->list, row);
}

void syncz_write(struct push *push, struct buffer *out)
{
    struct arena arena = {0};
    struct visit visit = {value_new(&arena, VALUE_LIST), &arena};
    push_each(push, append, &visit);
    value_write_json(visit.list, false, out);
    buffer_append_byte(out, '\n');
    arena_fini(&arena);
}
