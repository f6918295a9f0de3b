#include "test.h"

#include "build/bootstrap.h"
#include "build/yaml.h"

#define CLUSTERS                                                                                   \
    "static_resources:\n"                                                                          \
    "  clusters:\n"                                                                                \
    "  - name: xds-grpc\n"                                                                         \
    "    load_assignment: {cluster_name: xds-grpc, endpoints: [{lb_endpoints: [{endpoint: "        \
    "{address: {socket_address: {address: 127.0.0.1, port_value: 15010}}}}]}]}\n"

#define ADS                                                                                        \
    "dynamic_resources:\n"                                                                         \
    "  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: "              \
    "[{envoy_grpc: {cluster_name: xds-grpc, authority: tulled}}]}\n"                               \
    "  lds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}\n"               \
    "  cds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}\n"

static bool parse(const char *text, struct bootstrap **out, struct error *error)
{
    return bootstrap_parse(slice_str(text), "envoy.yaml", &here, out, error);
}

TEST(bootstrap_of_a_sidecar)
{
    struct error error = {0};
    owned(bootstrap) b = NULL;
    CHECK_TAKEN(
        parse("node: {id: sidecar~10.0.0.1~a.b~b.svc, cluster: a.b, metadata: {NAMESPACE: b}}\n"
              "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}\n"
              "layered_runtime: {layers: [{name: static, static_layer: {a: 1}}, {name: admin, "
              "admin_layer: {}}]}\n"
              "stats_flush_interval: 5s\n" ADS CLUSTERS,
              &b, &error),
        &error, "sidecar");
    CHECK(slice_equals_str(b->node_id, "sidecar~10.0.0.1~a.b~b.svc") &&
          slice_equals_str(b->node_cluster, "a.b"));
    CHECK(b->has_admin && b->admin.port == 15000 && b->has_ads && b->ads_is_delta);
    CHECK(slice_equals_str(b->ads_cluster, "xds-grpc") &&
          slice_equals_str(b->ads_authority, "tulled"));
    CHECK(b->listeners_by_ads && b->clusters_by_ads && b->first_fetch_ms == 0);
    CHECK(b->message->static_resources->n_clusters == 1);
}

TEST(bootstrap_of_nothing)
{
    struct error error = {0};
    owned(bootstrap) b = NULL;
    CHECK_TAKEN(parse("{}", &b, &error), &error, "empty");
    CHECK(!b->has_admin && !b->has_ads && b->node && b->node_id.size == 0);
}

TEST(bootstrap_refuses_mistakes)
{
    static const struct {
        const char *text, *says, *where;
    } cases[] = {
        {"admni: {}", "admni", "envoy.yaml:1:1"},
        {"static_resources: {clusters: [{name: c, lb_policy: MAGLEV}]}",
         "static_resources.clusters[0]: lb_policy", NULL},
        {"static_resources: {listeners: [{name: l}]}", "static_resources.listeners[0]: address",
         NULL},
        {"static_resources: {secrets: [{name: l}]}", "static_resources.secrets[0]: a secret is",
         NULL},
        {"node: {id: a}\n" ADS, "'xds-grpc' is no static cluster", NULL},
        {ADS CLUSTERS, "node.id: ADS needs this", NULL},
        {"dynamic_resources: {lds_config: {ads: {}}}", "ads_config: ", NULL},
        {"dynamic_resources: {ads_config: {api_type: REST}}", "ads_config.api_type: ", NULL},
        {"layered_runtime: {layers: [{disk_layer: {}}]}", "layered_runtime.layers: ", NULL},
        {"admin: {address: {socket_address: {address: localhost, port_value: 1}}}",
         "admin.address.socket_address.address", NULL},
    };
    EACH (row, cases) {
        struct error error = {0};
        struct bootstrap *b = NULL;
        bool ok = parse(row->text, &b, &error);
        CHECK(!row->where || (error.where && strcmp(error.where, row->where) == 0), "%s",
              error.where);
        CHECK_REFUSED(ok, &error, row->says, row->text);
    }
    struct error error = {0};
    struct bootstrap *b = NULL;
    bool ok = bootstrap_read("/no/such/file.yaml", &here, &b, &error);
    CHECK_REFUSED(ok, &error, "cannot be read", "missing");
    ok = bootstrap_read("/", &here, &b, &error);
    CHECK_REFUSED(ok, &error, "cannot be read", "a folder");
}
