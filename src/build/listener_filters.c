#include "build/listener_filters_internal.h"

#include "build/values_internal.h"

#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb-c.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb-c.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb-c.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb-c.h"

enum { HELLO_BYTES = 16384, HELLO_BYTES_MAX = 65536 };

#define RULE(name) ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_##name

static bool build_predicate(struct builder *b, const PortPredicateMessage *message,
                            struct predicate_node *node);

static bool build_set(struct builder *b, const char *field, enum predicate_kind kind,
                      PortPredicateMessage *const *messages, size_t count,
                      struct predicate_node *node)
{
    if (count == 0)
        return build_fail_at(b, field, "the list is empty");
    struct predicate_node *children = arena_calloc(&b->scratch, count, sizeof(*children));
    *node = (struct predicate_node){.kind = kind, .children = children, .child_count = count};
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, field, i) || !build_predicate(b, messages[i], &children[i]))
            return false;
        build_leave(b);
    }
    return true;
}

static bool build_range(struct builder *b, const Envoy__Type__V3__Int32Range *message,
                        struct predicate_node *node)
{
    int32_t first = PB_GET(message, start, 0), end = PB_GET(message, end, 0);
    if (first < 0 || end > 65536 || first >= end)
        return build_fail_at(b, "destination_port_range", "%d to %d is no range of ports", first,
                             end);
    struct port_range *range = arena_new(&b->memory->arena, struct port_range);
    *range = (struct port_range){(uint32_t)first, (uint32_t)end};
    *node = (struct predicate_node){.kind = PREDICATE_TEST, .test = range};
    return true;
}

/* The depth of messages bounds the recursion: pb/guard.h and BUILD_MAX_DEPTH. */
static bool build_predicate(struct builder *b, const PortPredicateMessage *message,
                            struct predicate_node *node)
{
    if (!build_honours(b, message, "or_match", "and_match", "not_match", "any_match",
                       "destination_port_range"))
        return false;
    switch ((int)message->rule_case) {
    case RULE(OR_MATCH):
        return build_set(b, "or_match.rules", PREDICATE_OR, message->or_match->rules,
                         message->or_match->n_rules, node);
    case RULE(AND_MATCH):
        return build_set(b, "and_match.rules", PREDICATE_AND, message->and_match->rules,
                         message->and_match->n_rules, node);
    case RULE(NOT_MATCH):
        return build_set(b, "not_match", PREDICATE_NOT, &message->not_match, 1, node);
    case RULE(ANY_MATCH):
        *node = (struct predicate_node){.kind = message->any_match ? PREDICATE_ALWAYS
                                                                   : PREDICATE_NEVER};
        return true;
    case RULE(DESTINATION_PORT_RANGE): return build_range(b, message->destination_port_range, node);
    default: return build_fail(b, "say which connections");
    }
}

static bool build_detection(struct builder *b, const ListenerFilterMessage *message,
                            struct listener_detection *out)
{
    struct predicate_node root = {.kind = PREDICATE_NEVER};
    out->on = true;
    if (message->filter_disabled) {
        if (!build_enter(b, "filter_disabled") ||
            !build_predicate(b, message->filter_disabled, &root))
            return false;
        build_leave(b);
    }
    return build_ok_at(b, "filter_disabled",
                       predicate_build(&out->disabled, &root, b->memory, b->error));
}

typedef Envoy__Extensions__Filters__Listener__TlsInspector__V3__TlsInspector TlsInspectorMessage;
typedef Envoy__Extensions__Filters__Listener__ProxyProtocol__V3__ProxyProtocol ProxyProtocolMessage;

/* Harmless in a TLS inspector: initial_read_buffer_size, for blocks have a size of their own. */
static bool build_tls_inspector(struct builder *b, const TlsInspectorMessage *message,
                                struct listener *listener)
{
    return build_honours(b, message, "initial_read_buffer_size", "max_client_hello_size") &&
           build_u32(b, "max_client_hello_size", message->max_client_hello_size, HELLO_BYTES, 1,
                     HELLO_BYTES_MAX, &listener->tls_inspector.max_bytes);
}

static bool build_proxy_protocol(struct builder *b, const ProxyProtocolMessage *message,
                                 struct listener *listener)
{
    listener->proxy_protocol = listener->proxy_protocol_v1 = listener->proxy_protocol_v2 = true;
    listener->proxy_protocol_optional =
        PB_GET(message, allow_requests_without_proxy_protocol, false);
    for (size_t i = 0; i < message->n_disallowed_versions; i++) {
        if (message->disallowed_versions[i] ==
            ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V1)
            listener->proxy_protocol_v1 = false;
        else
            listener->proxy_protocol_v2 = false;
    }
    return build_honours(b, message, "allow_requests_without_proxy_protocol", "disallowed_versions",
                         "stat_prefix");
}

static bool build_filter(struct builder *b, const ListenerFilterMessage *message,
                         struct listener *listener)
{
    if (!build_honours(b, message, "name", "typed_config", "filter_disabled"))
        return false;
    ProtobufCMessage *inner =
        build_any(b, "typed_config", message->config_type_case ? message->typed_config : NULL);
    if (!inner)
        return false;
    const ProtobufCMessageDescriptor *type = inner->descriptor;
    struct listener_detection *detection = NULL;
    bool ok = true;
    if (type == &envoy__extensions__filters__listener__original_dst__v3__original_dst__descriptor) {
        listener->original_dst = true;
    } else if (
        type ==
        &envoy__extensions__filters__listener__tls_inspector__v3__tls_inspector__descriptor) {
        detection = &listener->tls_inspector;
        ok = build_tls_inspector(b, (const TlsInspectorMessage *)inner, listener);
    } else if (
        type ==
        &envoy__extensions__filters__listener__http_inspector__v3__http_inspector__descriptor) {
        detection = &listener->http_inspector;
    } else if (
        type ==
        &envoy__extensions__filters__listener__proxy_protocol__v3__proxy_protocol__descriptor) {
        ok = build_proxy_protocol(b, (const ProxyProtocolMessage *)inner, listener);
    } else {
        return build_fail(b, "this is no listener filter that acts here yet");
    }
    if (!ok)
        return false;
    build_leave_any(b);
    if (detection)
        return build_detection(b, message, detection);
    return !message->filter_disabled ||
           build_fail_at(b, "filter_disabled", "this does not act here yet");
}

bool build_listener_filters(struct builder *b, ListenerFilterMessage *const *messages, size_t count,
                            struct listener *listener)
{
    if (count > LISTENER_FILTERS_MAX)
        return build_fail_at(b, "listener_filters", "there are %zu, and the limit is %d", count,
                             LISTENER_FILTERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "listener_filters", i) || !build_filter(b, messages[i], listener))
            return false;
        build_leave(b);
    }
    return true;
}
