#include "control/translate/proxy.h"

#include "base/memory.h"
#include "match/ip.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "tls/identity.h"

#include "envoy/config/core/v3/core.pb-c.h"

#include <stdlib.h>

static bool refuse(enum grpc_code *code, char **reason, enum grpc_code what, char *text)
{
    *code = what;
    *reason = text;
    return false;
}

/* Lines make up the key, so no text may hold one. */
static bool is_plain(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20)
            return false;
    }
    return size <= PROXY_TEXT_MAX;
}

static int compare_labels(const void *a, const void *b)
{
    const Google__Protobuf__Struct__FieldsEntry *const *left = a, *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

static bool add_labels(const Google__Protobuf__Struct *labels, struct buffer *key,
                       struct arena *arena)
{
    if (labels->n_fields > PROXY_LABELS_MAX)
        return false;
    Google__Protobuf__Struct__FieldsEntry **sorted =
        arena_calloc(arena, labels->n_fields + 1, sizeof(*sorted));
    if (labels->n_fields > 0)
        memcpy(sorted, labels->fields, labels->n_fields * sizeof(*sorted));
    qsort(sorted, labels->n_fields, sizeof(*sorted), compare_labels);
    for (size_t i = 0; i < labels->n_fields; i++) {
        const char *value = pb_struct_get_str(labels, sorted[i]->key);
        if (!value || !is_plain(value) || !is_plain(sorted[i]->key) || strchr(sorted[i]->key, '='))
            return false;
        buffer_format(key, "%s=%s\n", sorted[i]->key, value);
    }
    return true;
}

/* The third part of sidecar~IP~NAME.NAMESPACE~DOMAIN, behind its last dot; and the address. */
static void read_node_id(const char *id, struct arena *arena, const char **name_space,
                         const char **address)
{
    struct slice type, ip, name, domain, rest = slice_str(id);
    if (!slice_cut(rest, '~', &type, &rest) || !slice_cut(rest, '~', &ip, &rest) ||
        !slice_cut(rest, '~', &name, &domain))
        return;
    struct ip parsed;
    if (ip_parse(ip, &parsed))
        *address = arena_copy(arena, ip);
    size_t dot = name.size;
    while (dot > 0 && name.data[dot - 1] != '.')
        dot--;
    if (dot > 0)
        *name_space = arena_copy(arena, slice_from(name, dot));
}

struct claims {
    const char *name_space, *account, *address, *network_namespace;
    const Google__Protobuf__Struct *labels;
    bool grpc;
};

static void read_claims(const Envoy__Config__Core__V3__Node *node, struct claims *claims,
                        struct arena *arena)
{
    const Google__Protobuf__Struct *metadata = node->metadata;
    read_node_id(pb_str(node->id), arena, &claims->name_space, &claims->address);
    const char *text = pb_struct_get_str(metadata, "NAMESPACE");
    claims->name_space = text ? text : claims->name_space;
    claims->account = pb_struct_get_str(metadata, "SERVICE_ACCOUNT");
    text = pb_struct_get_str(metadata, "INSTANCE_IPS");
    struct slice head, tail;
    if (text && *text) {
        slice_cut(slice_str(text), ',', &head, &tail);
        claims->address = arena_copy(arena, slice_trim(head));
    }
    claims->network_namespace = pb_struct_get_str(metadata, "TULLE_NETWORK_NAMESPACE");
    text = pb_struct_get_str(metadata, "GENERATOR");
    claims->grpc = text && strcmp(text, "grpc") == 0;
    const Google__Protobuf__Value *labels = pb_struct_get(metadata, "LABELS");
    if (labels && labels->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        claims->labels = labels->struct_value;
}

/* The identity decides; what the node says must not disagree. */
static bool check_identity(const struct ads_peer *peer, const char *trust_domain,
                           struct claims *claims, struct arena *arena, enum grpc_code *code,
                           char **reason)
{
    if (!peer->identity)
        return true;
    struct spiffe_id id;
    const char *why = "it names no workload";
    if (!spiffe_id_parse(slice_str(peer->identity), &id, &why) || id.name_space.size == 0 ||
        !slice_equals_str(id.trust_domain, trust_domain))
        return refuse(code, reason, GRPC_PERMISSION_DENIED,
                      str_format("%s is no workload of this mesh: %s", peer->identity, why));
    if (claims->name_space && !slice_equals_str(id.name_space, claims->name_space))
        return refuse(code, reason, GRPC_PERMISSION_DENIED,
                      str_format("the node says namespace %s, but its certificate is %s",
                                 claims->name_space, peer->identity));
    if (claims->account && *claims->account && !slice_equals_str(id.account, claims->account))
        return refuse(code, reason, GRPC_PERMISSION_DENIED,
                      str_format("the node says account %s, but its certificate is %s",
                                 claims->account, peer->identity));
    claims->name_space = arena_copy(arena, id.name_space);
    claims->account = arena_copy(arena, id.account);
    return true;
}

static bool write_key(const struct claims *claims, bool secure, struct buffer *key,
                      struct arena *arena, enum grpc_code *code, char **reason)
{
    const char *texts[] = {claims->name_space, claims->account, claims->address,
                           claims->network_namespace};
    buffer_format(key, "%s\n%s\n", claims->grpc ? "grpc" : "sidecar", secure ? "mtls" : "plain");
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char *text = pb_str(texts[i]);
        if (!is_plain(text))
            return refuse(code, reason, GRPC_INVALID_ARGUMENT,
                          str_copy("the node's metadata holds a text that is too long or holds "
                                   "control characters"));
        /* A gRPC client has neither inbound traffic nor a network of its own. */
        buffer_format(key, "%s\n", claims->grpc && i > 0 ? "" : text);
    }
    if (claims->labels && !claims->grpc && !add_labels(claims->labels, key, arena))
        return refuse(
            code, reason, GRPC_INVALID_ARGUMENT,
            str_format("the node's LABELS are no map of at most %d texts", PROXY_LABELS_MAX));
    return true;
}

bool proxy_key_of_peer(const struct ads_peer *peer, const char *trust_domain, struct buffer *key,
                       enum grpc_code *code, char **reason)
{
    struct arena arena = {0};
    owned_error error = {0};
    bool ok = false;
    const Envoy__Config__Core__V3__Node *node =
        pb_decode(&envoy__config__core__v3__node__descriptor, peer->node, &arena, NULL, &error);
    struct claims claims = {0};
    if (!node)
        refuse(code, reason, GRPC_INVALID_ARGUMENT, str_format("the node: %s", error.what));
    else {
        read_claims(node, &claims, &arena);
        struct ip ip;
        if (!check_identity(peer, trust_domain, &claims, &arena, code, reason))
            ok = false;
        else if (!claims.name_space || !*claims.name_space)
            refuse(code, reason, GRPC_INVALID_ARGUMENT,
                   str_copy("the node says no namespace: set metadata NAMESPACE, or an id of the "
                            "form sidecar~IP~NAME.NAMESPACE~DOMAIN"));
        else if (claims.address && *claims.address && !ip_parse(slice_str(claims.address), &ip))
            refuse(code, reason, GRPC_INVALID_ARGUMENT,
                   str_format("INSTANCE_IPS begins with no IP address"));
        else
            ok = write_key(&claims, peer->identity != NULL, key, &arena, code, reason);
    }
    arena_fini(&arena);
    return ok;
}

bool proxy_spec_of_key(struct slice key, struct proxy_spec *spec)
{
    *spec = (struct proxy_spec){0};
    struct slice mode, security;
    if (!slice_cut(key, '\n', &mode, &key) || !slice_cut(key, '\n', &security, &key) ||
        !slice_cut(key, '\n', &spec->name_space, &key) ||
        !slice_cut(key, '\n', &spec->account, &key) ||
        !slice_cut(key, '\n', &spec->address, &key) ||
        !slice_cut(key, '\n', &spec->network_namespace, &key))
        return false;
    spec->grpc = slice_equals_str(mode, "grpc");
    spec->secure = slice_equals_str(security, "mtls");
    struct slice line;
    while (key.size > 0 && spec->label_count < PROXY_LABELS_MAX) {
        if (!slice_cut(key, '\n', &line, &key) ||
            !slice_cut(line, '=', &spec->keys[spec->label_count], &spec->values[spec->label_count]))
            return false;
        spec->label_count++;
    }
    return key.size == 0;
}
