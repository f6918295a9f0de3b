#include "control/translate/proxy.h"

#include "base/memory.h"
#include "pb/codec.h"
#include "pb/text_in.h"

#include "envoy/config/core/v3/core.pb-c.h"

#include "test.h"

static bool key_of(const char *node, const char *identity, struct buffer *key, enum grpc_code *code,
                   char **reason)
{
    struct arena arena = {0};
    struct error error = {0};
    const ProtobufCMessage *message =
        text_read_json(slice_str(node), "node", &envoy__config__core__v3__node__descriptor,
                       TEXT_STRICT, &arena, &error);
    CHECK(message, "%s", error.what);
    struct buffer bytes = {0};
    pb_pack(message, &bytes);
    struct ads_peer peer = {.node = buffer_slice(&bytes), .identity = identity};
    bool ok = proxy_key_of_peer(&peer, "cluster.local", key, code, reason);
    buffer_fini(&bytes);
    arena_fini(&arena);
    return ok;
}

TEST(a_node_becomes_a_key_and_the_key_a_spec)
{
    struct buffer key = {0};
    enum grpc_code code;
    char *reason = NULL;
    CHECK(key_of("{\"id\":\"sidecar~127.1.0.1~web-1.shop~shop.svc.cluster.local\",\"metadata\":{"
                 "\"NAMESPACE\":\"shop\",\"INSTANCE_IPS\":\"127.1.0.9,10.0.0.1\","
                 "\"TULLE_NETWORK_NAMESPACE\":\"/proc/self/fd/9\","
                 "\"LABELS\":{\"version\":\"v1\",\"app\":\"web\"}}}",
                 "spiffe://cluster.local/ns/shop/sa/web", &key, &code, &reason),
          "%s", reason);
    struct proxy_spec spec;
    CHECK(proxy_spec_of_key(buffer_slice(&key), &spec));
    CHECK(spec.secure && !spec.grpc && spec.label_count == 2);
    CHECK(slice_equals_str(spec.name_space, "shop") && slice_equals_str(spec.account, "web"));
    CHECK(slice_equals_str(spec.address, "127.1.0.9"));
    CHECK(slice_equals_str(spec.keys[0], "app") && slice_equals_str(spec.values[1], "v1"));
    buffer_fini(&key);
}

TEST(a_node_that_disagrees_with_its_certificate_is_refused)
{
    static const struct {
        const char *node, *identity;
        enum grpc_code code;
    } rows[] = {
        {"{\"metadata\":{\"NAMESPACE\":\"other\"}}", "spiffe://cluster.local/ns/shop/sa/web",
         GRPC_PERMISSION_DENIED},
        {"{\"metadata\":{\"NAMESPACE\":\"shop\",\"SERVICE_ACCOUNT\":\"root\"}}",
         "spiffe://cluster.local/ns/shop/sa/web", GRPC_PERMISSION_DENIED},
        {"{\"metadata\":{\"NAMESPACE\":\"shop\"}}", "spiffe://elsewhere/ns/shop/sa/web",
         GRPC_PERMISSION_DENIED},
        {"{\"id\":\"nonsense\"}", NULL, GRPC_INVALID_ARGUMENT},
        {"{\"metadata\":{\"NAMESPACE\":\"a\\nb\"}}", NULL, GRPC_INVALID_ARGUMENT},
        {"{\"metadata\":{\"NAMESPACE\":\"a\",\"INSTANCE_IPS\":\"host\"}}", NULL,
         GRPC_INVALID_ARGUMENT},
        {"{\"metadata\":{\"NAMESPACE\":\"a\",\"LABELS\":{\"x\":1}}}", NULL, GRPC_INVALID_ARGUMENT},
    };
    EACH (row, rows) {
        struct buffer key = {0};
        enum grpc_code code = GRPC_OK;
        char *reason = NULL;
        CHECK(!key_of(row->node, row->identity, &key, &code, &reason), "%s", row->node);
        CHECK(code == row->code && reason && *reason, "%s", row->node);
        mem_free(reason);
        buffer_fini(&key);
    }
}
