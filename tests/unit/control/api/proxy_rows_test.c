#include "control/api/proxy_rows.h"

#include "control/api/tree.h"
#include "control/push/push.h"
#include "pb/codec.h"
#include "pb/message.h"

#include "envoy/config/core/v3/core.pb-c.h"

#include "test.h"

/* What the linker wants of push; the rows are made from a status alone. */
void push_each(struct push *push, void (*visit)(void *to, const struct push_status *status),
               void *to)
{
    const struct ads_peer peer = {
        .node_id = "other", .cluster = "", .user_agent_version = "1", .address = "x"};
    (void)push;
    visit(to, &(struct push_status){.peer = &peer});
    visit(to, &(struct push_status){.peer = &peer});
}

TEST(a_row_says_what_each_proxy_runs)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Google__Protobuf__Struct *metadata = pb_struct_new(&arena);
    pb_struct_put(&arena, metadata, "CLUSTER_ID", pb_value_str(&arena, "Kubernetes"));
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    node.metadata = metadata;
    const struct ads_peer peer = {.node = pb_pack_to(&node.base, &arena),
                                  .user_agent = "tulle-proxy",
                                  .node_id = "sidecar~127.1.2.3~web-1.shop~shop.svc.cluster.local",
                                  .cluster = "web",
                                  .user_agent_version = "0.1.0",
                                  .address = "127.1.2.3:4"};
    struct push_status status = {.peer = &peer, .connected_wall_us = 1000000};
    status.types[RESOURCE_CLUSTER] =
        (struct push_type_status){.watched = true, .sent = 3, .acked = 3};
    status.types[RESOURCE_LISTENER] = (struct push_type_status){.watched = true};
    status.types[RESOURCE_ENDPOINTS] = (struct push_type_status){.watched = true, .current = true};
    status.types[RESOURCE_ROUTE] = (struct push_type_status){
        .watched = true, .sent = 2, .acked = 1, .error = "no such cluster"};
    const struct value *row = proxy_row(&status, 121000000, &arena);
    CHECK(slice_equals_str(tree_text(row, "name"), "web-1.shop"));
    CHECK(slice_equals_str(tree_text(row, "cluster"), "Kubernetes"));
    CHECK(slice_equals_str(tree_text(row, "program"), "tulle-proxy"));
    CHECK(slice_equals_str(tree_text(row, "version"), "0.1.0"));
    CHECK(slice_equals_str(tree_text(row, "cds"), "SYNCED"));
    CHECK(slice_equals_str(tree_text(row, "lds"), "NOT SENT"));
    CHECK(slice_equals_str(tree_text(row, "eds"), "SYNCED"), "it needed nothing");
    CHECK(slice_equals_str(tree_text(row, "rds"), "STALE"));
    CHECK(slice_equals_str(tree_text(row, "ecds"), "IGNORED"));
    CHECK(slice_equals_str(tree_text(row, "age"), "2m"));
    CHECK(value_get(row, "rejections")->count == 1);
    CHECK(strstr(value_get(row, "rejections")->first->text.data, "RDS") != NULL);
    struct value *items = value_new(&arena, VALUE_LIST);
    proxy_rows(NULL, 0, items, &arena);
    CHECK(items->count == 2 && slice_equals_str(tree_text(items->first, "name"), "other"));
    arena_fini(&arena);
}
