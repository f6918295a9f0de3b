#include "build/listener.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "build/access_logs_internal.h"
#include "build/hcms_internal.h"
#include "build/listener_filters_internal.h"
#include "build/rbac_internal.h"
#include "build/route_table.h"
#include "build/tls_specs_internal.h"
#include "build/udp_internal.h"
#include "build/values_internal.h"
#include "pb/codec.h"

#include "envoy/extensions/filters/network/rbac/v3/rbac.pb-c.h"
#include "istio/filter/metadata_exchange.pb-c.h"
#include "istio/filter/stats.pb-c.h"

enum {
    LISTENER_DETECTION_MS = 10000,
    LISTENER_HANDSHAKE_MS = 10000,
    LISTENER_BUFFER = 1 << 20,
    LISTENER_BACKLOG_MAX = 65535
};

struct listener *listener_ref(struct listener *listener)
{
    counted_take(&listener->counted);
    return listener;
}

void listener_unref(struct listener *listener)
{
    if (!listener || !counted_drop(&listener->counted))
        return;
    for (size_t i = 0; i < listener->table_count; i++)
        route_table_unref(listener->tables[i]);
    tls_spec_list_fini(&listener->specs);
    table_memory_fini(&listener->memory);
    mem_free(listener);
}

typedef Envoy__Extensions__Filters__Network__Rbac__V3__RBAC RbacFilterMessage;

static bool build_rbac_filter(struct builder *b, const RbacFilterMessage *message,
                              struct network_filter *filter)
{
    uint32_t enforcement = (uint32_t)PB_GET(message, enforcement_type, 0);
    filter->kind = NETWORK_RBAC;
    filter->rules_prefix = build_text(b, pb_str(message->stat_prefix));
    filter->shadow_prefix = build_text(b, pb_str(message->shadow_rules_stat_prefix));
    if (enforcement > 0)
        return build_fail_at(b, "enforcement_type", "only ONE_TIME_ON_FIRST_BYTE acts here yet");
    return build_honours(b, message, "rules", "shadow_rules", "stat_prefix", "enforcement_type",
                         "shadow_rules_stat_prefix") &&
           build_rbac_at(b, "rules", message->rules, &filter->rules) &&
           build_rbac_at(b, "shadow_rules", message->shadow_rules, &filter->shadow);
}

/* Fills the chain's end (http, tcp), or *filter when it is none; kind tells. */
static bool build_inner(struct builder *b, const ProtobufCMessage *inner,
                        struct filter_chain *chain, struct network_filter *filter, bool *is_end)
{
    const ProtobufCMessageDescriptor *type = inner->descriptor;
    *is_end = true;
    if (type ==
        &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor)
        return build_hcm(b, (const HcmMessage *)inner, &chain->http);
    if (type == &envoy__extensions__filters__network__tcp_proxy__v3__tcp_proxy__descriptor)
        return build_tcp_proxy(b, (const TcpProxyMessage *)inner, &chain->tcp);
    *is_end = false;
    if (type == &envoy__extensions__filters__network__rbac__v3__rbac__descriptor)
        return build_rbac_filter(b, (const RbacFilterMessage *)inner, filter);
    if (type == &stats__plugin_config__descriptor) {
        filter->kind = NETWORK_STATS;
        return build_honours(b, (const Stats__PluginConfig *)inner, "debug", "max_peer_cache_size",
                             "stat_prefix", "field_separator", "value_separator",
                             "disable_host_header_fallback", "tcp_reporting_duration",
                             "rotation_interval", "graceful_deletion_interval");
    }
    if (type == &envoy__tcp__metadataexchange__config__metadata_exchange__descriptor) {
        filter->kind = NETWORK_PEER_METADATA;
        return true;
    }
    return build_fail(b, "this is no network filter that acts here yet");
}

#define CONFIG_BY(name) ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_##name

static bool build_filters(struct builder *b, const FilterChainMessage *message,
                          struct filter_chain *chain)
{
    size_t count = message->n_filters;
    if (count == 0 || count > LISTENER_FILTERS_MAX)
        return build_fail_at(b, "filters", "a chain has 1 to %d filters", LISTENER_FILTERS_MAX);
    struct network_filter *filters = build_array(b, struct network_filter, count);
    for (size_t i = 0; i < count; i++) {
        const FilterMessage *filter = message->filters[i];
        bool is_end;
        if (!build_enter_at(b, "filters", i) || !build_honours(b, filter, "name", "typed_config"))
            return false;
        const ProtobufCMessage *inner = build_any(
            b, "typed_config",
            filter->config_type_case == CONFIG_BY(TYPED_CONFIG) ? filter->typed_config : NULL);
        filters[chain->filter_count].name = build_text(b, pb_str(filter->name));
        if (!inner || !build_inner(b, inner, chain, &filters[chain->filter_count], &is_end))
            return false;
        build_leave_any(b);
        if (is_end != (i + 1 == count))
            return build_fail(
                b, "the last filter, and only the last, is http_connection_manager or tcp_proxy");
        chain->filter_count += !is_end;
        build_leave(b);
    }
    chain->filters = filters;
    return true;
}

/* Name and criteria are what a chain is known by; what it does may change. */
static struct hash128 key_of(const FilterChainMessage *message, bool is_default)
{
    owned_buffer bytes = {0};
    buffer_append_byte(&bytes, is_default ? 'd' : 'c');
    buffer_append_str(&bytes, pb_str(message->name));
    buffer_append_byte(&bytes, '\0');
    if (message->filter_chain_match && !is_default)
        pb_pack(&message->filter_chain_match->base, &bytes);
    return hash128(buffer_slice(&bytes));
}

static bool build_chain(struct builder *b, const FilterChainMessage *message, bool is_default,
                        struct filter_chain *chain)
{
    if (message->filter_chain_match && !build_enter(b, "filter_chain_match"))
        return false;
    if (message->filter_chain_match) {
        if (!build_honours(b, message->filter_chain_match, "prefix_ranges", "source_prefix_ranges",
                           "source_ports", "destination_port", "transport_protocol",
                           "application_protocols", "server_names", "source_type",
                           "direct_source_prefix_ranges"))
            return false;
        build_leave(b);
    }
    chain->name = build_text(b, pb_str(message->name));
    chain->key = key_of(message, is_default);
    chain->istio_config = build_metadata_text(b, message->metadata, "istio", "config");
    return build_honours(b, message, "filter_chain_match", "filters", "metadata",
                         "transport_socket", "name", "transport_socket_connect_timeout") &&
           build_ms32(b, "transport_socket_connect_timeout",
                      message->transport_socket_connect_timeout, LISTENER_HANDSHAKE_MS,
                      &chain->handshake_ms) &&
           build_downstream_socket(b, "transport_socket", message->transport_socket, &chain->tls,
                                   &chain->tls_demands) &&
           build_filters(b, message, chain);
}

static bool build_chains(struct builder *b, const ListenerMessage *message,
                         struct listener *listener)
{
    size_t count = message->n_filter_chains;
    if (count == 0 && !message->default_filter_chain)
        return build_fail_at(b, "filter_chains", "a listener needs a chain");
    if (!build_ok(b, chain_table_build(&listener->table,
                                       (const FilterChainMessage *const *)message->filter_chains,
                                       count, b->memory, b->error)))
        return false;
    struct filter_chain *chains = build_array(b, struct filter_chain, count);
    listener->chains = chains;
    listener->chain_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "filter_chains", i) ||
            !build_chain(b, message->filter_chains[i], false, &chains[i]))
            return false;
        build_leave(b);
    }
    if (!message->default_filter_chain)
        return true;
    struct filter_chain *chain = arena_new(&b->memory->arena, struct filter_chain);
    listener->default_chain = chain;
    if (!build_enter(b, "default_filter_chain") ||
        !build_chain(b, message->default_filter_chain, true, chain))
        return false;
    build_leave(b);
    return true;
}

static bool build_addresses(struct builder *b, const ListenerMessage *message,
                            struct listener *listener)
{
    size_t count = message->n_additional_addresses + 1;
    if (count > LISTENER_ADDRESSES_MAX)
        return build_fail_at(b, "additional_addresses", "there are more than %d addresses",
                             LISTENER_ADDRESSES_MAX);
    struct endpoint_address *addresses = build_array(b, struct endpoint_address, count);
    if (!build_address(b, "address", message->address, false, &addresses[0], &listener->pipe_mode))
        return false;
    for (size_t i = 1; i < count; i++) {
        if (!build_enter_at(b, "additional_addresses", i - 1) ||
            !build_honours(b, message->additional_addresses[i - 1], "address") ||
            !build_address(b, "address", message->additional_addresses[i - 1]->address, false,
                           &addresses[i], &listener->pipe_mode))
            return false;
        build_leave(b);
    }
    listener->addresses = addresses;
    listener->address_count = (uint32_t)count;
    for (size_t i = 1; i < count; i++)
        if (addresses[i].is_udp != addresses[0].is_udp)
            return build_fail_at(b, "additional_addresses", "all are of one protocol");
    return true;
}

static bool build_flags(struct builder *b, const ListenerMessage *message,
                        struct listener *listener)
{
    static const enum listener_direction directions[] = {LISTENER_UNSPECIFIED, LISTENER_INBOUND,
                                                         LISTENER_OUTBOUND};
    uint32_t direction = (uint32_t)PB_GET(message, traffic_direction, 0);
    if (direction >= COUNT(directions))
        return build_fail_at(b, "traffic_direction", "%u is no direction", direction);
    listener->direction = directions[direction];
    bool old_binds =
        message->deprecated_v1 ? pb_bool(message->deprecated_v1->bind_to_port, true) : true;
    listener->binds = pb_bool(message->bind_to_port, old_binds);
    listener->use_original_dst = pb_bool(message->use_original_dst, false);
    listener->transparent = pb_bool(message->transparent, false);
    listener->freebind = pb_bool(message->freebind, false);
    listener->continue_on_timeout = PB_GET(message, continue_on_listener_filters_timeout, false);
    if (message->n_socket_options > 0)
        return build_fail_at(b, "socket_options", "this does not act here yet");
    for (uint32_t i = 0; i < listener->address_count; i++) {
        if (listener->binds && listener->addresses[i].kind == ENDPOINT_IP &&
            listener->addresses[i].port == 0 && !b->options->here)
            return build_fail_at(b, "address", "a listener that binds needs a port");
    }
    return true;
}

static void keep(struct builder *b, struct listener *listener)
{
    struct route_table **tables = build_array(b, struct route_table *, b->tables.count);
    for (size_t i = 0; i < b->tables.count; i++)
        tables[i] = b->tables.items[i];
    listener->tables = tables;
    listener->table_count = b->tables.count;
    listener->specs = build_keep_specs(b);
    listener->routes = build_keep_names(b, &b->routes);
    listener->secrets = build_keep_names(b, &b->secrets);
}

static bool is_udp(const ListenerMessage *message)
{
    return message->address &&
           message->address->address_case ==
               ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS &&
           PB_GET(message->address->socket_address, protocol, 0) ==
               ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PROTOCOL__UDP;
}

static bool build_udp_filter(struct builder *b, const ListenerMessage *message,
                             struct listener *listener)
{
    if (message->n_listener_filters != 1)
        return build_fail_at(b, "listener_filters",
                             "a UDP listener has one, envoy.filters.udp_listener.udp_proxy");
    const ListenerFilterMessage *filter = message->listener_filters[0];
    if (!build_enter_at(b, "listener_filters", 0) ||
        !build_honours(b, filter, "name", "typed_config"))
        return false;
    const ProtobufCMessage *inner =
        build_any(b, "typed_config", filter->config_type_case ? filter->typed_config : NULL);
    if (!inner)
        return false;
    if (inner->descriptor !=
        &envoy__extensions__filters__udp__udp_proxy__v3__udp_proxy_config__descriptor)
        return build_fail(b, "this is no filter of UDP listeners that acts here yet");
    if (!build_udp_proxy(b, (const UdpProxyMessage *)inner, &listener->udp))
        return false;
    build_leave_any(b);
    build_leave(b);
    return true;
}

static bool build_udp(struct builder *b, const ListenerMessage *message, struct listener *listener)
{
    /* Harmless: metadata, drain_type and enable_reuse_port, as for connections. */
    if (!build_honours(b, message, "name", "address", "use_original_dst", "metadata",
                       "deprecated_v1", "drain_type", "listener_filters", "transparent", "freebind",
                       "traffic_direction", "bind_to_port", "stat_prefix", "enable_reuse_port",
                       "additional_addresses", "udp_listener_config") ||
        !build_reference(b, "name", message->name, &listener->name) ||
        !build_addresses(b, message, listener) || !build_flags(b, message, listener) ||
        !build_udp_filter(b, message, listener))
        return false;
    if (listener->use_original_dst && !listener->transparent)
        return build_fail_at(b, "use_original_dst",
                             "datagrams tell where they were sent to with transparent: true only");
    if (!message->udp_listener_config)
        return build_udp_socket(b, "", NULL, false, &listener->udp_socket);
    if (!build_enter(b, "udp_listener_config") ||
        !build_honours(b, message->udp_listener_config, "downstream_socket_config") ||
        !build_udp_socket(b, "downstream_socket_config",
                          message->udp_listener_config->downstream_socket_config, false,
                          &listener->udp_socket))
        return false;
    build_leave(b);
    return true;
}

static bool build(struct builder *b, const ListenerMessage *message, struct listener *listener)
{
    /* Harmless: metadata; drain_type (a listener drains when it goes or its chains change, and at no other time);
     * connection_balance_config and enable_reuse_port (each worker has its own socket, and hands connections on). */
    return build_honours(b, message, "name", "address", "filter_chains", "use_original_dst",
                         "per_connection_buffer_limit_bytes", "metadata", "deprecated_v1",
                         "drain_type", "listener_filters", "transparent", "freebind",
                         "listener_filters_timeout", "traffic_direction",
                         "continue_on_listener_filters_timeout", "connection_balance_config",
                         "access_log", "tcp_backlog_size", "default_filter_chain", "bind_to_port",
                         "stat_prefix", "enable_reuse_port", "additional_addresses",
                         "max_connections_to_accept_per_socket_event", "tcp_keepalive") &&
           build_reference(b, "name", message->name, &listener->name) &&
           build_addresses(b, message, listener) && build_flags(b, message, listener) &&
           build_ms32(b, "listener_filters_timeout", message->listener_filters_timeout,
                      LISTENER_DETECTION_MS, &listener->detection_ms) &&
           build_u32(b, "per_connection_buffer_limit_bytes",
                     message->per_connection_buffer_limit_bytes, LISTENER_BUFFER, 0, UINT32_MAX,
                     &listener->buffer_limit) &&
           build_u32(b, "tcp_backlog_size", message->tcp_backlog_size, 0, 0, LISTENER_BACKLOG_MAX,
                     &listener->backlog) &&
           build_u32(b, "max_connections_to_accept_per_socket_event",
                     message->max_connections_to_accept_per_socket_event, 0, 0, UINT32_MAX,
                     &listener->accepts) &&
           build_keepalive(b, "tcp_keepalive", message->tcp_keepalive, &listener->keepalive) &&
           build_listener_filters(b, message->listener_filters, message->n_listener_filters,
                                  listener) &&
           build_chains(b, message, listener) &&
           build_access_logs(b, "access_log", message->access_log, message->n_access_log,
                             &listener->logs);
}

bool listener_build(const ListenerMessage *message, const struct build_options *options,
                    struct listener **out, struct error *error)
{
    owned(listener) listener = mem_new(struct listener);
    struct builder b;
    counted_init(&listener->counted);
    table_memory_init(&listener->memory);
    builder_init(&b, &listener->memory, options, error);
    bool ok = is_udp(message) ? build_udp(&b, message, listener) : build(&b, message, listener);
    const char *stat_prefix = pb_str(message->stat_prefix);
    listener->stat_prefix = build_text(&b, stat_prefix);
    keep(&b, listener);
    builder_fini(&b);
    if (!ok) {
        error_at(error, "listener %s", pb_str(message->name));
        return false;
    }
    *out = give(listener);
    return true;
}

const struct filter_chain *listener_chain(const struct listener *listener,
                                          const struct chain_facts *facts)
{
    int32_t index = chain_table_find(listener->table, facts);
    return index == CHAIN_NONE ? listener->default_chain : &listener->chains[index];
}

const struct filter_chain *listener_chain_by_key(const struct listener *listener,
                                                 struct hash128 key)
{
    for (uint32_t i = 0; i < listener->chain_count; i++) {
        if (hash128_equals(listener->chains[i].key, key))
            return &listener->chains[i];
    }
    if (listener->default_chain && hash128_equals(listener->default_chain->key, key))
        return listener->default_chain;
    return NULL;
}

int listener_serves(const struct listener *listener, const struct ip *ip, uint16_t port)
{
    int best = 0;
    for (uint32_t i = 0; i < listener->address_count; i++) {
        const struct endpoint_address *address = &listener->addresses[i];
        if (address->kind != ENDPOINT_IP || address->port != port)
            continue;
        if (ip_equals(&address->ip, ip))
            return 2;
        /* 0.0.0.0 is for IPv4 only; :: takes both, as sockets do. */
        if (ip_is_any(&address->ip) && (ip_is_v4(ip) || !ip_is_v4(&address->ip)))
            best = 1;
    }
    return best;
}

static bool port_in_range(const void *test, const void *input)
{
    const struct port_range *range = test;
    const uint16_t *port = input;
    return *port >= range->first && *port < range->end;
}

bool listener_detects(const struct listener_detection *detection, uint16_t destination_port)
{
    return detection->on &&
           !predicate_holds(&detection->disabled, port_in_range, &destination_port);
}
