#include "cli/run/sidecar.h"

#include <string.h>

/* YAML strings in double quotes are JSON strings. */
static void text(struct buffer *yaml, const char *value)
{
    buffer_append_byte(yaml, '"');
    buffer_append_json(yaml, slice_str(value));
    buffer_append_byte(yaml, '"');
}

static void field(struct buffer *yaml, const char *name, const char *value)
{
    buffer_append_str(yaml, name);
    text(yaml, value);
    buffer_append_byte(yaml, '\n');
}

static void write_node(const struct sidecar *sidecar, struct buffer *yaml)
{
    const struct spec_instance *instance = sidecar->instance;
    const char *space = sidecar->spec->name_space;
    buffer_format(
        yaml, "node:\n  id: sidecar~%s~%s.%s~%s.svc.cluster.local\n  cluster: %s.%s\n  metadata:\n",
        sidecar->address, instance->name, space, space, instance->service, space);
    field(yaml, "    NAME: ", instance->name);
    field(yaml, "    NAMESPACE: ", space);
    field(yaml, "    WORKLOAD_NAME: ", instance->version ? instance->name : instance->service);
    field(yaml, "    SERVICE_ACCOUNT: ", instance->account);
    field(yaml, "    INSTANCE_IPS: ", sidecar->address);
    field(yaml, "    CLUSTER_ID: ", "Kubernetes");
    field(yaml, "    MESH_ID: ", sidecar->spec->mesh);
    buffer_format(yaml, "    TULLE_NETWORK_NAMESPACE: /proc/self/fd/%d\n    LABELS:\n",
                  sidecar->network_fd);
    field(yaml, "      app: ", instance->service);
    if (instance->version)
        field(yaml, "      version: ", instance->version);
}

static void write_control_plane(const struct sidecar *sidecar, struct buffer *yaml)
{
    buffer_append_str(yaml,
                      "dynamic_resources:\n"
                      "  ads_config:\n    api_type: DELTA_GRPC\n    transport_api_version: V3\n"
                      "    grpc_services: [{ envoy_grpc: { cluster_name: xds-grpc } }]\n"
                      "  lds_config: { ads: {}, resource_api_version: V3 }\n"
                      "  cds_config: { ads: {}, resource_api_version: V3 }\n");
    buffer_format(
        yaml,
        "static_resources:\n  clusters:\n  - name: xds-grpc\n    type: STATIC\n    "
        "connect_timeout: 2s\n"
        "    typed_extension_protocol_options:\n"
        "      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
        "        \"@type\": "
        "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
        "        explicit_http_config: { http2_protocol_options: {} }\n"
        "    load_assignment:\n      cluster_name: xds-grpc\n      endpoints:\n      - "
        "lb_endpoints:\n"
        "        - endpoint: { address: { socket_address: { address: %s, port_value: %u } } }\n",
        sidecar->control_address, sidecar->control_port);
}

/* 127.0.0.1:PUBLISH on the host leads to the program, through its sidecar. */
static void write_published(const struct sidecar *sidecar, struct buffer *yaml)
{
    const struct spec_instance *instance = sidecar->instance;
    if (!instance->publish)
        return;
    buffer_format(
        yaml,
        "  - name: published\n    type: STATIC\n    connect_timeout: 2s\n    load_assignment:\n"
        "      cluster_name: published\n      endpoints:\n      - lb_endpoints:\n"
        "        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: %u,"
        " network_namespace_filepath: /proc/self/fd/%d } } }\n"
        "  listeners:\n  - name: published\n    address: { socket_address: { address: 127.0.0.1, "
        "port_value: %u } }\n"
        "    filter_chains:\n    - filters:\n      - name: envoy.filters.network.tcp_proxy\n       "
        " typed_config:\n"
        "          \"@type\": "
        "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n"
        "          stat_prefix: published\n          cluster: published\n",
        instance->port, sidecar->network_fd, instance->publish);
}

void sidecar_bootstrap(const struct sidecar *sidecar, struct buffer *yaml)
{
    write_node(sidecar, yaml);
    buffer_format(yaml, "admin: { address: { socket_address: { address: %s, port_value: %d } } }\n",
                  sidecar->address, SIDECAR_ADMIN_PORT);
    write_control_plane(sidecar, yaml);
    write_published(sidecar, yaml);
}

const char **sidecar_command(const struct sidecar *sidecar, struct arena *arena,
                             const char *program)
{
    const char *const words[] = {
        program,
        "-c",
        arena_format(arena, "%s/bootstrap.yaml", sidecar->folder),
        "--concurrency",
        "1",
        "--state-directory",
        sidecar->folder,
        "--ca-address",
        arena_format(arena, "%s:%u", sidecar->control_address, sidecar->control_port),
        "--ca-root",
        sidecar->root_path,
        "--token-fd",
        arena_format(arena, "%d", sidecar->token_fd),
        "--dns-address",
        "127.0.0.1:15053",
        "--network-namespace",
        arena_format(arena, "/proc/self/fd/%d", sidecar->network_fd)};
    const char **argv = arena_calloc(arena, COUNT(words) + 3, sizeof(*argv));
    memcpy(argv, words, sizeof(words));
    if (sidecar->sockmap_fd) {
        int first = sidecar->sockmap_fd;
        argv[COUNT(words)] = "--sockmap-fds";
        argv[COUNT(words) + 1] = arena_format(arena, "%d,%d,%d", first, first + 1, first + 2);
    }
    return argv;
}
