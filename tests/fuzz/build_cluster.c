/* Clusters, and the socket that an endpoint of them gets. */
#include "build/cluster.h"
#include "build_resource.h"

static void use(const struct cluster *cluster)
{
    static const struct endpoint_label label = {{"tlsMode", 7}, {"istio", 5}};
    struct endpoint meshed = {.labels = &label, .label_count = 1}, plain = {0};
    if (!cluster_socket(cluster, &meshed) || !cluster_socket(cluster, &plain))
        abort();
    if (cluster->connect_timeout_ms == 0 || !name_is_set(&cluster->endpoints_name))
        abort();
}

FUZZ_BUILD(envoy__config__cluster__v3__cluster__descriptor, cluster, use)
