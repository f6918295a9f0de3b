#include "build/tls_spec.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "build/secret.h"
#include "build/tls_specs_internal.h"
#include "build/values_internal.h"
#include "pb/codec.h"

#include "envoy/extensions/transport_sockets/proxy_protocol/v3/proxy_protocol.pb-c.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h"

void tls_spec_fini(struct tls_spec *spec)
{
    for (size_t i = 0; i < spec->own_certificate_count; i++)
        secret_unref(spec->own_certificates[i]);
    secret_unref(spec->own_trust);
    spec->own_certificate_count = 0;
    spec->own_trust = NULL;
}

void tls_spec_list_fini(struct tls_spec_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        tls_spec_fini(list->items[i]);
    list->count = 0;
}

struct tls_spec *build_new_spec(struct builder *b, enum tls_role role)
{
    struct tls_spec *spec = arena_new(&b->memory->arena, struct tls_spec);
    *spec = (struct tls_spec){.role = role,
                              .min_version = TLS_1_2,
                              .max_version = TLS_1_3,
                              .resume = true,
                              .server_name = SLICE("")};
    vector_push(&b->specs, spec);
    return spec;
}

static bool build_version(struct builder *b, const char *field, uint32_t protocol,
                          enum tls_version *version)
{
    switch (protocol) {
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLS_AUTO:
        return true;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2:
        *version = TLS_1_2;
        return true;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3:
        *version = TLS_1_3;
        return true;
    default: return build_fail_at(b, field, "TLS 1.2 and 1.3 can be had");
    }
}

/* BoringSSL's groups of equal preference, "[A|B]", are lists to others. */
static bool build_ciphers(struct builder *b, const TlsParametersMessage *message,
                          struct tls_spec *spec)
{
    owned_buffer list = {0};
    for (size_t i = 0; i < message->n_cipher_suites; i++) {
        if (list.size > 0)
            buffer_append_byte(&list, ':');
        for (const char *c = message->cipher_suites[i]; *c; c++) {
            if (*c == '|')
                buffer_append_byte(&list, ':');
            else if ((*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_')
                buffer_append_byte(&list, *c);
            else if (*c != '[' && *c != ']')
                return build_fail_at(b, "cipher_suites", "'%.64s' is no cipher suite",
                                     message->cipher_suites[i]);
        }
        if (list.size > 4096)
            return build_fail_at(b, "cipher_suites", "the list is too long");
    }
    if (list.size > 0)
        spec->ciphers = arena_copy(&b->memory->arena, buffer_slice(&list));
    return true;
}

static bool build_parameters(struct builder *b, const TlsParametersMessage *message,
                             struct tls_spec *spec)
{
    if (!message)
        return true;
    if (!build_enter(b, "tls_params") ||
        !build_honours(b, message, "tls_minimum_protocol_version", "tls_maximum_protocol_version",
                       "cipher_suites") ||
        !build_version(b, "tls_minimum_protocol_version",
                       (uint32_t)PB_GET(message, tls_minimum_protocol_version, 0),
                       &spec->min_version) ||
        !build_version(b, "tls_maximum_protocol_version",
                       (uint32_t)PB_GET(message, tls_maximum_protocol_version, 0),
                       &spec->max_version) ||
        !build_ciphers(b, message, spec))
        return false;
    if (spec->min_version > spec->max_version)
        return build_fail_at(b, "tls_minimum_protocol_version", "the minimum is above the maximum");
    build_leave(b);
    return true;
}

/* istio-peer-exchange promises a frame of peer metadata before the first byte, which we do not speak: so we do not offer it. */
static bool build_alpn(struct builder *b, const CommonTlsMessage *message, struct tls_spec *spec)
{
    struct slice *list = build_array(b, struct slice, message->n_alpn_protocols);
    size_t count = 0;
    for (size_t i = 0; i < message->n_alpn_protocols; i++) {
        struct slice name = slice_str(message->alpn_protocols[i]);
        if (name.size == 0 || name.size > TLS_ALPN_BYTES_MAX)
            return build_fail_at(b, "alpn_protocols", "a protocol has 1 to %d bytes",
                                 TLS_ALPN_BYTES_MAX);
        if (!slice_equals(name, SLICE("istio-peer-exchange")))
            list[count++] = table_memory_copy(b->memory, name);
    }
    if (count > TLS_ALPN_MAX)
        return build_fail_at(b, "alpn_protocols", "there are %zu, and the limit is %d", count,
                             TLS_ALPN_MAX);
    spec->alpn = list;
    spec->alpn_count = count;
    return true;
}

static bool build_sds(struct builder *b, const SdsMessage *message, struct name *name)
{
    uint32_t ignored;
    if (!build_honours(b, message, "name", "sds_config") ||
        !build_reference(b, "name", message->name, name))
        return false;
    /* Without a source it is a static secret. Waiting is the rule for secrets: a listener without its certificate
     * would serve nothing. */
    if (message->sds_config && !build_source(b, "sds_config", message->sds_config, true, &ignored))
        return false;
    build_collect(&b->secrets, name);
    return true;
}

static bool build_certificates(struct builder *b, const CommonTlsMessage *message,
                               struct tls_spec *spec)
{
    size_t inlined = message->n_tls_certificates,
           named = message->n_tls_certificate_sds_secret_configs;
    if (inlined > TLS_CERTIFICATES_MAX)
        return build_fail_at(b, "tls_certificates", "there are %zu, and the limit is %d", inlined,
                             TLS_CERTIFICATES_MAX);
    if (named > 1 || (named > 0 && inlined > 0))
        return build_fail_at(b, "tls_certificate_sds_secret_configs",
                             "certificates are inline, or one secret");
    if (named == 1) {
        if (!build_enter_at(b, "tls_certificate_sds_secret_configs", 0) ||
            !build_sds(b, message->tls_certificate_sds_secret_configs[0], &spec->certificate))
            return false;
        build_leave(b);
    }
    spec->own_certificates = build_array(b, struct secret *, inlined);
    for (size_t i = 0; i < inlined; i++) {
        if (!build_enter_at(b, "tls_certificates", i) ||
            !build_certificate_secret(b, message->tls_certificates[i], &spec->own_certificates[i]))
            return false;
        spec->own_certificate_count++;
        build_leave(b);
    }
    return true;
}

/* Inline validation: what it says goes into the spec, and roots stay in a secret of its own. */
static bool take_validation(struct builder *b, const char *field, const ValidationMessage *message,
                            struct tls_spec *spec)
{
    if (!build_enter(b, field) || !build_trust_secret(b, message, &spec->own_trust))
        return false;
    spec->accept_untrusted = spec->own_trust->accept_untrusted;
    spec->accept_expired = spec->own_trust->accept_expired;
    spec->expected = spec->own_trust->expected;
    spec->expected_count = spec->own_trust->expected_count;
    build_leave(b);
    return true;
}

typedef Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext__CombinedCertificateValidationContext
    CombinedMessage;

static bool build_combined(struct builder *b, const CombinedMessage *message, struct tls_spec *spec)
{
    const ValidationMessage *defaults = message->default_validation_context;
    if (!build_enter(b, "combined_validation_context") ||
        !build_honours(b, message, "default_validation_context",
                       "validation_context_sds_secret_config"))
        return false;
    if (!message->validation_context_sds_secret_config)
        return build_fail_at(b, "validation_context_sds_secret_config", "this is required");
    if (defaults && (defaults->trusted_ca || defaults->system_root_certs))
        return build_fail_at(b, "default_validation_context.trusted_ca",
                             "the roots come from the secret");
    if (defaults && !take_validation(b, "default_validation_context", defaults, spec))
        return false;
    if (!build_enter(b, "validation_context_sds_secret_config") ||
        !build_sds(b, message->validation_context_sds_secret_config, &spec->trust))
        return false;
    build_leave(b);
    build_leave(b);
    return true;
}

#define VALIDATION(name)                                                                           \
    ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_##name

static bool build_validation(struct builder *b, const CommonTlsMessage *message,
                             struct tls_spec *spec)
{
    switch ((int)message->validation_context_type_case) {
    case VALIDATION(_NOT_SET): spec->accept_untrusted = true; return true;
    case VALIDATION(VALIDATION_CONTEXT):
        if (!take_validation(b, "validation_context", message->validation_context, spec))
            return false;
        if (!message->validation_context->trusted_ca &&
            !message->validation_context->system_root_certs) {
            if (spec->expected_count > 0)
                return build_fail_at(b, "validation_context.trusted_ca",
                                     "names are matched only of verified peers");
            spec->accept_untrusted = true;
        }
        return true;
    case VALIDATION(VALIDATION_CONTEXT_SDS_SECRET_CONFIG):
        if (!build_enter(b, "validation_context_sds_secret_config") ||
            !build_sds(b, message->validation_context_sds_secret_config, &spec->trust))
            return false;
        build_leave(b);
        return true;
    case VALIDATION(COMBINED_VALIDATION_CONTEXT):
        return build_combined(b, message->combined_validation_context, spec);
    default: return build_fail(b, "this kind of validation does not act here yet");
    }
}

static bool build_common(struct builder *b, const CommonTlsMessage *message, struct tls_spec *spec)
{
    if (!message)
        return build_fail_at(b, "common_tls_context", "this is required");
    if (!build_enter(b, "common_tls_context") ||
        !build_honours(b, message, "tls_params", "tls_certificates", "validation_context",
                       "validation_context_sds_secret_config", "combined_validation_context",
                       "alpn_protocols", "tls_certificate_sds_secret_configs") ||
        !build_parameters(b, message->tls_params, spec) || !build_certificates(b, message, spec) ||
        !build_validation(b, message, spec) || !build_alpn(b, message, spec))
        return false;
    build_leave(b);
    return true;
}

/* All that the library's objects depend on; what belongs to sessions stays out, so that they can share. */
static void name_context(struct builder *b, struct tls_spec *spec)
{
    owned_buffer text = {0};
    char hex[33];
    buffer_format(&text, "%d %d %d %d %d %d %d|%s|%.*s|%.*s|", spec->role, spec->min_version,
                  spec->max_version, spec->peer_certificate, spec->accept_untrusted,
                  spec->accept_expired, spec->resume, spec->ciphers ? spec->ciphers : "",
                  SLICE_ARG(spec->certificate.text), SLICE_ARG(spec->trust.text));
    for (size_t i = 0; i < spec->own_certificate_count; i++)
        buffer_append(&text, &spec->own_certificates[i]->content, sizeof(struct hash128));
    if (spec->own_trust)
        buffer_append(&text, &spec->own_trust->content, sizeof(struct hash128));
    hash128_hex(hash128(buffer_slice(&text)), hex);
    spec->context = build_name(b, slice_str(hex));
}

static bool build_server(struct builder *b, const DownstreamTlsMessage *message,
                         struct tls_spec *spec)
{
    if (!build_honours(b, message, "common_tls_context", "require_client_certificate",
                       "disable_stateless_session_resumption",
                       "disable_stateful_session_resumption") ||
        !build_common(b, message->common_tls_context, spec))
        return false;
    if (spec->own_certificate_count == 0 && !name_is_set(&spec->certificate))
        return build_fail_at(b, "common_tls_context", "a server needs a certificate");
    bool verifies =
        message->common_tls_context->validation_context_type_case != VALIDATION(_NOT_SET);
    bool required = pb_bool(message->require_client_certificate, false);
    if (required && spec->accept_untrusted)
        return build_fail_at(b, "require_client_certificate",
                             "a certificate that nobody verifies proves nothing");
    spec->peer_certificate = required   ? TLS_PEER_REQUIRED
                             : verifies ? TLS_PEER_OPTIONAL
                                        : TLS_PEER_NOT_ASKED;
    if (message->session_ticket_keys_type_case != 0)
        spec->resume = !message->disable_stateless_session_resumption;
    name_context(b, spec);
    return true;
}

static bool build_client(struct builder *b, const UpstreamTlsMessage *message,
                         struct tls_spec *spec)
{
    if (!build_honours(b, message, "common_tls_context", "sni", "max_session_keys") ||
        !build_common(b, message->common_tls_context, spec))
        return false;
    spec->server_name = build_text(b, pb_str(message->sni));
    if (spec->server_name.size > 255)
        return build_fail_at(b, "sni", "a server name has at most 255 bytes");
    spec->resume = pb_u32(message->max_session_keys, 1) > 0;
    name_context(b, spec);
    return true;
}

/* Enters the socket and gives what is in it; NULL when it is refused. */
static ProtobufCMessage *open_socket(struct builder *b, const char *field,
                                     const TransportSocketMessage *message)
{
    if (!build_enter(b, field) || !build_honours(b, message, "name", "typed_config"))
        return NULL;
    return build_any(b, "typed_config", message->config_type_case ? message->typed_config : NULL);
}

bool build_downstream_socket(struct builder *b, const char *field,
                             const TransportSocketMessage *message, const struct tls_spec **out,
                             struct hash128 *demands)
{
    *out = NULL;
    *demands = (struct hash128){0};
    if (!message)
        return true;
    ProtobufCMessage *inner = open_socket(b, field, message);
    if (!inner)
        return false;
    if (inner->descriptor ==
        &envoy__extensions__transport_sockets__tls__v3__downstream_tls_context__descriptor) {
        struct tls_spec *spec = build_new_spec(b, TLS_SERVER);
        if (!build_server(b, (const DownstreamTlsMessage *)inner, spec))
            return false;
        *out = spec;
        *demands = pb_hash(inner);
    } else if (inner->descriptor !=
               &envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer__descriptor) {
        return build_fail(b, "a listener's transport is DownstreamTlsContext or RawBuffer");
    }
    build_leave_any(b);
    build_leave(b);
    return true;
}

typedef Envoy__Extensions__TransportSockets__ProxyProtocol__V3__ProxyProtocolUpstreamTransport
    ProxyProtocolMessage;

bool build_proxy_version(struct builder *b, const char *field, const ProxyHeaderMessage *message,
                         uint8_t *version)
{
    *version = 1;
    if (!message)
        return true;
    uint32_t number = (uint32_t)PB_GET(message, version, 0);
    if (!build_enter(b, field) || !build_honours(b, message, "version"))
        return false;
    if (number > 1)
        return build_fail_at(b, "version", "%u is no version", number);
    *version = (uint8_t)(number + 1);
    build_leave(b);
    return true;
}

static bool build_proxy_protocol(struct builder *b, const ProxyProtocolMessage *message,
                                 struct upstream_socket *out)
{
    if (out->proxy_protocol)
        return build_fail(b, "a PROXY header can stand only once");
    if (!build_honours(b, message, "config", "transport_socket") ||
        !build_proxy_version(b, "config", message->config, &out->proxy_protocol))
        return false;
    if (!message->transport_socket)
        return build_fail_at(b, "transport_socket", "this is required");
    return build_upstream_socket(b, "transport_socket", message->transport_socket, out);
}

bool build_upstream_socket(struct builder *b, const char *field,
                           const TransportSocketMessage *message, struct upstream_socket *out)
{
    if (!message)
        return true;
    ProtobufCMessage *inner = open_socket(b, field, message);
    if (!inner)
        return false;
    bool ok = true;
    if (inner->descriptor ==
        &envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor) {
        struct tls_spec *spec = build_new_spec(b, TLS_CLIENT);
        ok = build_client(b, (const UpstreamTlsMessage *)inner, spec);
        out->tls = spec;
    } else if (
        inner->descriptor ==
        &envoy__extensions__transport_sockets__proxy_protocol__v3__proxy_protocol_upstream_transport__descriptor) {
        ok = build_proxy_protocol(b, (const ProxyProtocolMessage *)inner, out);
    } else if (inner->descriptor !=
               &envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer__descriptor) {
        return build_fail(b, "a cluster's transport is UpstreamTlsContext, RawBuffer or "
                             "ProxyProtocolUpstreamTransport");
    }
    if (!ok)
        return false;
    out->demands = pb_hash(&message->base).low;
    build_leave_any(b);
    build_leave(b);
    return true;
}

bool tls_spec_context(const struct tls_spec *spec, const struct secret *certificate,
                      const struct secret *trust, struct tls_ticket_keys *ticket_keys,
                      int64_t now_s, struct tls_context **out, struct error *error)
{
    struct tls_certificate certificates[TLS_CERTIFICATES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < spec->own_certificate_count; i++)
        certificates[count++] = spec->own_certificates[i]->certificate;
    if (certificate) {
        if (certificate->kind != SECRET_CERTIFICATE)
            return error_set(error, "TUL0031", "secret %.*s is no certificate",
                             SLICE_ARG(certificate->name.text));
        certificates[count++] = certificate->certificate;
    }
    if (!trust)
        trust = spec->own_trust;
    if (trust && trust->kind != SECRET_TRUST)
        return error_set(error, "TUL0031", "secret %.*s is no validation context",
                         SLICE_ARG(trust->name.text));
    bool unverified = spec->accept_untrusted || (trust && trust->accept_untrusted);
    if (!unverified && !(trust && trust->trust))
        return error_set(error, "TUL0031", "there are no roots to verify peers against");

    struct tls_context_spec context = {
        .role = spec->role,
        .name = name_is_set(&spec->certificate) ? spec->certificate.text.data : "inline",
        .certificates = certificates,
        .certificate_count = count,
        .trust = unverified ? NULL : trust->trust,
        .peer_certificate = spec->peer_certificate,
        .min_version = spec->min_version,
        .max_version = spec->max_version,
        .ciphers = spec->ciphers,
        .ticket_keys = spec->role == TLS_SERVER && spec->resume ? ticket_keys : NULL,
        .resume = spec->resume,
        .accept_expired = spec->accept_expired || (trust && trust->accept_expired),
    };
    return tls_context_create(&context, now_s, out, error);
}
