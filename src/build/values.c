#include "build/values_internal.h"

/* 100 years: more is a mistake, and less never overflows. */
static const int64_t BUILD_MAX_SECONDS = 100LL * 366 * 24 * 3600;

bool build_ms(struct builder *b, const char *field, const DurationMessage *duration,
              uint64_t otherwise, uint64_t *out)
{
    if (!duration) {
        *out = otherwise;
        return true;
    }
    if (!pb_duration_is_valid(duration))
        return build_fail_at(b, field, "seconds and nanos are no duration");
    if (duration->seconds < 0 || duration->nanos < 0)
        return build_fail_at(b, field, "a duration must not be negative");
    if (duration->seconds > BUILD_MAX_SECONDS)
        return build_fail_at(b, field, "a duration must be below 100 years");
    *out = (uint64_t)pb_duration_ms(duration, 0);
    return true;
}

bool build_ms32(struct builder *b, const char *field, const DurationMessage *duration,
                uint32_t otherwise, uint32_t *out)
{
    uint64_t ms = 0;
    if (!build_ms(b, field, duration, otherwise, &ms))
        return false;
    if (ms > UINT32_MAX)
        return build_fail_at(b, field, "this duration must be below 49 days");
    *out = (uint32_t)ms;
    return true;
}

bool build_u32(struct builder *b, const char *field, const Google__Protobuf__UInt32Value *wrapper,
               uint32_t otherwise, uint32_t least, uint32_t most, uint32_t *out)
{
    uint32_t value = pb_u32(wrapper, otherwise);
    if (value < least || value > most)
        return build_fail_at(b, field, "%u is not between %u and %u", value, least, most);
    *out = value;
    return true;
}

bool build_percent(struct builder *b, const char *field, const Envoy__Type__V3__Percent *percent,
                   double otherwise, double *out)
{
    if (!percent) {
        *out = otherwise;
        return true;
    }
    double value = PB_GET(percent, value, 0);
    if (!(value >= 0 && value <= 100))
        return build_fail_at(b, field, "a percentage is between 0 and 100");
    *out = value;
    return true;
}

bool build_fraction(struct builder *b, const char *field, const FractionMessage *message,
                    struct fraction *out)
{
    static const uint32_t denominators[] = {100, 10000, 1000000};
    *out = (struct fraction){0, 0};
    if (!message)
        return true;
    const Envoy__Type__V3__FractionalPercent *value = message->default_value;
    if (!value)
        return build_fail_at(b, field, "default_value is missing");
    uint32_t kind = (uint32_t)PB_GET(value, denominator, 0);
    if (kind >= COUNT(denominators))
        return build_fail_at(b, field,
                             "the denominator is none of HUNDRED, TEN_THOUSAND and MILLION");
    *out = (struct fraction){PB_GET(value, numerator, 0), denominators[kind]};
    return true;
}

bool build_required(struct builder *b, const char *field, const char *text, size_t most)
{
    size_t size = strlen(pb_str(text));
    if (size == 0)
        return build_fail_at(b, field, "this is required");
    if (size > most)
        return build_fail_at(b, field, "this has %zu bytes, and the limit is %zu", size, most);
    return true;
}

bool build_reference(struct builder *b, const char *field, const char *text, struct name *out)
{
    if (!build_required(b, field, text, NAME_MAX_BYTES))
        return false;
    *out = build_name(b, slice_str(text));
    return true;
}

static bool build_port(struct builder *b, const SocketAddressMessage *message, uint16_t *port)
{
    if (message->port_specifier_case ==
        ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_NAMED_PORT)
        return build_fail_at(b, "named_port", "a port is given by its number");
    uint32_t value = 0;
    if (message->port_specifier_case ==
        ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE)
        value = message->port_value;
    if (value > UINT16_MAX)
        return build_fail_at(b, "port_value", "%u is no port", value);
    *port = (uint16_t)value;
    return true;
}

static bool is_host(struct slice text)
{
    if (text.size == 0 || text.size > 253)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

enum { NAMESPACE_PATH_MAX = 4095 };

static bool build_network_namespace(struct builder *b, const char *path,
                                    struct endpoint_address *address)
{
    if (!path || !*path)
        return true;
    if (*path != '/' || strlen(path) > NAMESPACE_PATH_MAX)
        return build_fail_at(b, "network_namespace_filepath",
                             "the file of a network namespace is named by an absolute path of at "
                             "most %d bytes",
                             NAMESPACE_PATH_MAX);
    address->network_namespace = build_text(b, path);
    return true;
}

bool build_socket_address(struct builder *b, const char *field, const SocketAddressMessage *message,
                          bool may_be_host, struct endpoint_address *out)
{
    if (!build_enter(b, field))
        return false;
    if (!build_honours(b, message, "protocol", "address", "port_value", "named_port", "ipv4_compat",
                       "network_namespace_filepath"))
        return false;
    uint32_t protocol = (uint32_t)PB_GET(message, protocol, 0);
    if (protocol > ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PROTOCOL__UDP)
        return build_fail_at(b, "protocol", "%u is neither TCP nor UDP", protocol);
    struct endpoint_address address = {
        .kind = ENDPOINT_IP,
        .is_udp = protocol == ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PROTOCOL__UDP,
        .takes_v4 = PB_GET(message, ipv4_compat, false)};
    if (!build_port(b, message, &address.port))
        return false;
    struct slice text = slice_str(pb_str(message->address));
    if (!ip_parse(text, &address.ip)) {
        if (!may_be_host || !is_host(text))
            return build_fail_at(b, "address", "'%.64s' is no IP address%s",
                                 text.data ? text.data : "",
                                 may_be_host ? " and no host name" : "");
        address.kind = ENDPOINT_HOST;
        address.text = table_memory_copy_lower(b->memory, text);
    }
    if (!build_network_namespace(b, message->network_namespace_filepath, &address))
        return false;
    *out = address;
    build_leave(b);
    return true;
}

enum { PIPE_PATH_MAX = 107 };

static bool build_pipe(struct builder *b, const Envoy__Config__Core__V3__Pipe *pipe,
                       struct endpoint_address *out, uint32_t *mode)
{
    if (!build_enter(b, "pipe") || !build_honours(b, pipe, "path", mode ? "mode" : "path") ||
        !build_required(b, "path", pipe->path, PIPE_PATH_MAX))
        return false;
    if (pipe->path[0] != '/' && pipe->path[0] != '@')
        return build_fail_at(b, "path", "a path is absolute, or begins with '@'");
    if (PB_GET(pipe, mode, 0) > 0777)
        return build_fail_at(b, "mode", "a mode is at most 0777");
    if (mode)
        *mode = PB_GET(pipe, mode, 0);
    *out = (struct endpoint_address){.kind = ENDPOINT_PIPE, .text = build_text(b, pipe->path)};
    build_leave(b);
    return true;
}

bool build_address(struct builder *b, const char *field, const AddressMessage *message,
                   bool may_be_host, struct endpoint_address *out, uint32_t *mode)
{
    if (!message)
        return build_fail_at(b, field, "this is required");
    if (!build_enter(b, field))
        return false;
    bool ok;
    switch ((int)message->address_case) {
    case ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS:
        ok = build_socket_address(b, "socket_address", message->socket_address, may_be_host, out);
        break;
    case ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE:
        ok = build_pipe(b, message->pipe, out, mode);
        break;
    default: return build_fail(b, "only a socket_address or a pipe can be had");
    }
    if (ok)
        build_leave(b);
    return ok;
}

bool build_cidr(struct builder *b, const char *field, size_t index, const CidrRangeMessage *message,
                struct ip_prefix *out)
{
    struct ip ip;
    if (!build_enter_at(b, field, index) ||
        !build_honours(b, message, "address_prefix", "prefix_len"))
        return false;
    if (!ip_parse(slice_str(pb_str(message->address_prefix)), &ip))
        return build_fail_at(b, "address_prefix", "'%.64s' is no IP address",
                             pb_str(message->address_prefix));
    if (!ip_prefix_make(&ip, pb_u32(message->prefix_len, 0), out))
        return build_fail_at(b, "prefix_len", "%u is too many bits",
                             pb_u32(message->prefix_len, 0));
    build_leave(b);
    return true;
}

bool build_keepalive(struct builder *b, const char *field, const KeepaliveMessage *message,
                     struct keepalive *out)
{
    *out = (struct keepalive){0};
    if (!message)
        return true;
    out->on = true;
    /* The kernel's own limits: TCP_KEEPCNT up to 127, the times up to 32,767 s. */
    if (!build_enter(b, field) ||
        !build_u32(b, "keepalive_probes", message->keepalive_probes, 0, 0, 127, &out->probes) ||
        !build_u32(b, "keepalive_time", message->keepalive_time, 0, 0, 32767, &out->time_s) ||
        !build_u32(b, "keepalive_interval", message->keepalive_interval, 0, 0, 32767,
                   &out->interval_s))
        return false;
    build_leave(b);
    return true;
}

static bool check_api_source(struct builder *b,
                             const Envoy__Config__Core__V3__ApiConfigSource *source,
                             bool allow_grpc)
{
    switch (PB_GET(source, api_type, 0)) {
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__AGGREGATED_GRPC:
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__AGGREGATED_DELTA_GRPC: return true;
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__GRPC:
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__DELTA_GRPC:
        return allow_grpc || build_fail_at(b, "api_config_source", "only ADS can be had here");
    default: return build_fail_at(b, "api_config_source.api_type", "only gRPC can be had");
    }
}

bool build_source(struct builder *b, const char *field, const ConfigSourceMessage *message,
                  bool allow_grpc, uint32_t *wait_ms)
{
    if (!message)
        return build_fail_at(b, field, "this is required");
    if (!build_enter(b, field) || !build_honours(b, message, "api_config_source", "ads", "self",
                                                 "initial_fetch_timeout", "resource_api_version"))
        return false;
    switch ((int)message->config_source_specifier_case) {
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS:
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_SELF: break;
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_API_CONFIG_SOURCE:
        if (!check_api_source(b, message->api_config_source, allow_grpc))
            return false;
        break;
    default: return build_fail(b, "say where it comes from: ads, self or api_config_source");
    }
    if (PB_GET(message, resource_api_version, 0) == ENVOY__CONFIG__CORE__V3__API_VERSION__V2)
        return build_fail_at(b, "resource_api_version", "version 2 of the API is gone");
    if (!build_ms32(b, "initial_fetch_timeout", message->initial_fetch_timeout, 15000, wait_ms))
        return false;
    build_leave(b);
    return true;
}

struct slice build_metadata_text(struct builder *b, const MetadataMessage *metadata,
                                 const char *space, const char *key)
{
    for (size_t i = 0; metadata && i < metadata->n_filter_metadata; i++) {
        if (strcmp(pb_str(metadata->filter_metadata[i]->key), space) == 0)
            return build_text(b,
                              pb_str(pb_struct_get_str(metadata->filter_metadata[i]->value, key)));
    }
    return SLICE("");
}
