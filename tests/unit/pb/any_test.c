#include "test.h"

#include "pb/any.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "pb/type.h"

#include "envoy/config/core/v3/core.pb-c.h"
#include "envoy/extensions/filters/http/router/v3/router.pb-c.h"

#define ROUTER &envoy__extensions__filters__http__router__v3__router__descriptor
typedef Envoy__Extensions__Filters__Http__Router__V3__Router Router;

TEST(any_holds_a_message_by_its_type_url)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Router *router = pb_new(&arena, ROUTER);
    PB_SET(router, suppress_envoy_headers, true);
    Google__Protobuf__Any *any = pb_any_pack(&router->base, &arena);
    CHECK(strcmp(any->type_url,
                 "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router") == 0,
          "%s", any->type_url);
    CHECK(strcmp(any->type_url, pb_type_url(ROUTER, &arena)) == 0, "the same");
    CHECK(pb_any_is(any, ROUTER), "is one");
    CHECK(!pb_any_is(any, &envoy__config__core__v3__address__descriptor) &&
              !pb_any_is(NULL, ROUTER),
          "is no other");
    owned_error error = {0};
    Router *out = pb_any_unpack(any, ROUTER, &arena, NULL, &error);
    CHECK(out && PB_GET(out, suppress_envoy_headers, false), "%s", error.what ? error.what : "");
    ProtobufCMessage *some = pb_any_unpack(any, NULL, &arena, NULL, &error);
    CHECK(some && some->descriptor == ROUTER, "without an expectation");
    arena_fini(&arena);
}

TEST(any_says_what_is_wrong_with_it)
{
    static const struct {
        const char *url, *wrong;
    } cases[] = {
        {"", "missing its type"},
        {"type.googleapis.com/no.such.Type", "\"type.googleapis.com/no.such.Type\" is not known"},
        {"envoy.extensions.filters.http.router.v3.Router", "is not known"},
        {"type.googleapis.com/", "is not known"},
        {"type.googleapis.com/envoy.config.core.v3.Address",
         "is not the expected envoy.extensions"},
        {"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "malformed tag"},
    };
    struct arena arena;
    arena_init(&arena, NULL);
    EACH (c, cases) {
        Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
        any.type_url = (char *)(uintptr_t)c->url;
        any.value = (ProtobufCBinaryData){1, (uint8_t[]){0}};
        owned_error error = {0};
        CHECK(!pb_any_unpack(&any, ROUTER, &arena, NULL, &error), "%s", c->url);
        CHECK(strstr(error.what, c->wrong), "%s: %s", c->url, error.what);
    }
    owned_error error = {0};
    CHECK(!pb_any_unpack(NULL, ROUTER, &arena, NULL, &error), "absent");
    arena_fini(&arena);
}
