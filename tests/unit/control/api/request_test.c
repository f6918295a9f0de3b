#include "control/api/request.h"

#include "base/buffer.h"

#include "test.h"

#define APIS "/apis/networking.istio.io/v1"

static const struct {
    const char *method, *path, *query;
    unsigned code; /* 0: understood */
    enum target target;
    enum verb verb;
    const char *resource, *name_space, *name;
} rows[] = {
    {"GET", "/api/v1/namespaces", "", 0, TARGET_OBJECTS, VERB_LIST, "namespaces", "", ""},
    {"GET", "/api/v1/namespaces/shop", "", 0, TARGET_OBJECTS, VERB_GET, "namespaces", "", "shop"},
    {"PUT", "/api/v1/namespaces/shop/status", "", 0, TARGET_OBJECTS, VERB_UPDATE, "namespaces", "",
     "shop"},
    {"GET", "/api/v1/namespaces/shop/services", "", 0, TARGET_OBJECTS, VERB_LIST, "services",
     "shop", ""},
    {"GET", "/api/v1/services", "watch=true", 0, TARGET_OBJECTS, VERB_WATCH, "services", "", ""},
    {"GET", "/api/v1/watch/services", "", 0, TARGET_OBJECTS, VERB_WATCH, "services", "", ""},
    {"DELETE", APIS "/namespaces/a/virtualservices/b", "", 0, TARGET_OBJECTS, VERB_DELETE,
     "virtualservices", "a", "b"},
    {"DELETE", APIS "/namespaces/a/virtualservices", "", 0, TARGET_OBJECTS, VERB_DELETE_COLLECTION,
     "virtualservices", "a", ""},
    {"PATCH", APIS "/namespaces/a/virtualservices/b/status", "", 0, TARGET_OBJECTS, VERB_PATCH,
     "virtualservices", "a", "b"},
    {"GET", APIS "/namespaces/a/virtualservices/%62", "", 0, TARGET_OBJECTS, VERB_GET,
     "virtualservices", "a", "b"},
    {"POST", "/apis/tulle.dev/v1/namespaces/a/tokens", "", 0, TARGET_TOKENS, VERB_CREATE, "tokens",
     "a", ""},
    {"PUT", "/apis/tulle.dev/v1/leases/7", "", 0, TARGET_LEASES, VERB_UPDATE, "leases", "", "7"},
    {"GET", "/apis/tulle.dev/v1/proxies", "", 0, TARGET_PROXIES, VERB_LIST, "proxies", "", ""},
    {"GET", "/version", "", 0, TARGET_DISCOVERY, VERB_LIST, "", "", ""},
    {"GET", APIS "/virtualservices/b", "", 404, 0, 0, "", "", ""},
    {"GET", APIS "/namespaces/a/virtualservices/b/spec", "", 404, 0, 0, "", "", ""},
    {"GET", APIS "/namespaces/a/virtualservices/b/status/x", "", 404, 0, 0, "", "", ""},
    {"GET", APIS "/namespaces/a/virtualservices/b%zz", "", 404, 0, 0, "", "", ""},
    {"GET", APIS "/namespaces/a/virtualservices/b%00", "", 404, 0, 0, "", "", ""},
    {"GET", APIS "/namespaces/a/gateways", "", 404, 0, 0, "", "", ""},
    {"GET", "/api/v1/namespaces/a/namespaces/b", "", 404, 0, 0, "", "", ""},
    {"POST", APIS "/namespaces/a/virtualservices/b", "", 405, 0, 0, "", "", ""},
    {"PUT", APIS "/namespaces/a/virtualservices", "", 405, 0, 0, "", "", ""},
    {"DELETE", APIS "/namespaces/a/virtualservices/b/status", "", 405, 0, 0, "", "", ""},
    {"BREW", APIS "/namespaces/a/virtualservices", "", 405, 0, 0, "", "", ""},
    {"GET", "/api/v1/services", "limit=x", 400, 0, 0, "", "", ""},
    {"GET", "/api/v1/services", "resourceVersion=-1", 400, 0, 0, "", "", ""},
    {"GET", "/api/v1/services", "fieldSelector=spec.x%3D1", 400, 0, 0, "", "", ""},
    {"GET", "/api/v1/services", "continue=7:core/services/a/b", 0, TARGET_OBJECTS, VERB_LIST,
     "services", "", ""},
    {"GET", "/api/v1/services", "continue=0:core/services/a/b", 400, 0, 0, "", "", ""},
    {"GET", "/api/v1/services", "continue=7:core/namespaces//b", 400, 0, 0, "", "", ""},
    /* CFG-24: what is authorised is what is read, however a path or a page is written. */
    {"GET", "/api/v1/namespaces/shop/services", "continue=7:core/services/bank/b", 400, 0, 0, "",
     "", ""},
    {"GET", "/api/v1/namespaces/shop/services", "continue=7:core/services/shopping/b", 400, 0, 0,
     "", "", ""},
    {"GET", "/api/v1/namespaces/shop/services/", "", 0, TARGET_OBJECTS, VERB_LIST, "services",
     "shop", ""},
    {"GET", "/api/v1/namespaces//services", "", 404, 0, 0, "", "", ""},
    {"DELETE", APIS "/virtualservices", "", 405, 0, 0, "", "", ""},
    {"DELETE", APIS "/namespaces//virtualservices", "", 404, 0, 0, "", "", ""},
    {"GET", "/api/v1/watch/namespaces/bank/services", "", 0, TARGET_OBJECTS, VERB_WATCH, "services",
     "bank", ""},
    {"GET", APIS "/namespaces/shop/../bank/virtualservices", "", 404, 0, 0, "", "", ""},
    {"GET", APIS "/namespaces/shop/%2e%2e/virtualservices", "", 404, 0, 0, "", "", ""},
    {"GET", APIS "/namespaces/shop%2F..%2Fbank/virtualservices", "", 0, TARGET_OBJECTS, VERB_LIST,
     "virtualservices", "shop/../bank", ""},
    {"GET", APIS "/namespaces/shop/virtualservices/..%2F..%2Fbank%2Fx", "", 0, TARGET_OBJECTS,
     VERB_GET, "virtualservices", "shop", "../../bank/x"},
};

TEST(paths_and_queries_say_what_is_asked_for)
{
    EACH (r, rows) {
        struct arena arena;
        struct request request;
        struct failure failure = {0};
        arena_init(&arena, NULL);
        bool good = request_parse(slice_str(r->method), slice_str(r->path), slice_str(r->query),
                                  &arena, &request, &failure);
        CHECK(good == (r->code == 0) && failure.code == r->code, "%s %s?%s: %u", r->method, r->path,
              r->query, failure.code);
        if (good)
            CHECK(request.target == r->target && request.verb == r->verb &&
                      strcmp(request.resource, r->resource) == 0 &&
                      slice_equals_str(request.name_space, r->name_space) &&
                      slice_equals_str(request.name, r->name),
                  "%s %s?%s", r->method, r->path, r->query);
        arena_fini(&arena);
    }
}

static unsigned code_of(struct slice query)
{
    struct arena arena;
    struct request request;
    struct failure failure = {0};
    arena_init(&arena, NULL);
    (void)!request_parse(SLICE("GET"), SLICE("/api/v1/services"), query, &arena, &request,
                         &failure);
    arena_fini(&arena);
    return failure.code;
}

TEST(queries_have_limits)
{
    owned_buffer text = {0};
    while (text.size < QUERY_BYTES_MAX)
        buffer_append_byte(&text, 'x');
    CHECK(code_of(buffer_slice(&text)) == 0);
    buffer_append_byte(&text, 'x');
    CHECK(code_of(buffer_slice(&text)) == 400, "one byte more");
    buffer_reset(&text);
    buffer_append_str(&text, "fieldManager=");
    for (int i = 0; i < FIELD_MANAGER_BYTES_MAX; i++)
        buffer_append_byte(&text, 'x');
    CHECK(code_of(buffer_slice(&text)) == 0);
    buffer_append_byte(&text, 'x');
    CHECK(code_of(buffer_slice(&text)) == 400, "one byte more");
}
