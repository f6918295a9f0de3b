#include "control/translate/translate.h"

#include "base/memory.h"
#include "base/random.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/listener.h"
#include "build/route_table.h"
#include "control/translate/fallbacks.h"
#include "pb/codec.h"
#include "pb/text_out.h"
#include "xds/blob.h"

#include "test.h"

struct mesh {
    struct model *model;
    struct registry *registry;
    struct translate *translate;
    uint64_t revision;
};

static const struct mesh_settings settings = {.trust_domain = "cluster.local",
                                              .access_log = "/dev/stdout"};

static void begin(struct mesh *m)
{
    *m = (struct mesh){.model = model_create()};
    m->registry = registry_create(m->model);
    m->translate = translate_create(m->model, m->registry, &settings);
}

static void end(struct mesh *m)
{
    translate_destroy(m->translate);
    registry_destroy(m->registry);
    model_destroy(m->model);
}

static void put(struct mesh *m, const char *kind, const char *name, const char *created,
                const char *spec)
{
    struct arena arena = {0};
    enum kind k;
    const char *version = strcmp(kind, "Service") == 0 ? "v1" : "networking.istio.io/v1";
    CHECK(kind_find(slice_str(version), slice_str(kind), &k));
    struct slice space, local;
    CHECK(slice_cut(slice_str(name), '/', &space, &local));
    struct slice key = object_key_make(k, space, local, &arena);
    char *text =
        arena_format(&arena,
                     "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%.*s\","
                     "\"namespace\":\"%.*s\",\"creationTimestamp\":\"2026-01-01T00:00:%sZ\"},"
                     "\"spec\":%s}",
                     version, kind, SLICE_ARG(local), SLICE_ARG(space), created, spec);
    struct object *object = NULL;
    struct error error = {0};
    CHECK(object_load(key, slice_str(text), ++m->revision, &object, &error), "%s: %s", text,
          error.what);
    CHECK(!object->disabled, "%s", text);
    model_put(m->model, object);
    object_unref(object);
    arena_fini(&arena);
}

static void drop(struct mesh *m, const char *kind, const char *name)
{
    struct arena arena = {0};
    enum kind k;
    const char *version = strcmp(kind, "Service") == 0 ? "v1" : "networking.istio.io/v1";
    struct slice space, local;
    CHECK(kind_find(slice_str(version), slice_str(kind), &k));
    CHECK(slice_cut(slice_str(name), '/', &space, &local));
    model_remove(m->model, object_key_make(k, space, local, &arena));
    arena_fini(&arena);
}

static const char web_key[] = "sidecar\nmtls\nshop\nweb\n127.1.0.1\n/proc/self/fd/9\napp=web\n";

/* The resource as JSON, in a buffer of the test's. */
static const char *show(const struct view *view, enum resource_type type, const char *name)
{
    static struct buffer text;
    buffer_reset(&text);
    const struct blob *blob = blob_table_find(view_table(view, type), slice_str(name));
    if (!blob)
        return NULL;
    struct arena arena = {0};
    struct slice url = slice_str(resource_type_url(type));
    const struct pb_type *message_type = pb_type_by_url(url);
    struct error error = {0};
    const ProtobufCMessage *message =
        pb_decode(message_type->descriptor, blob_body(blob), &arena, NULL, &error);
    CHECK(message, "%s: %s", name, error.what);
    text_write_json(message, &(struct text_style){.one_line = true}, &text);
    arena_fini(&arena);
    return text.data;
}

/* Every resource of the view is what our own data plane would accept. */
static void dry_build(const struct view *view)
{
    static const enum resource_type types[] = {RESOURCE_CLUSTER, RESOURCE_ENDPOINTS,
                                               RESOURCE_LISTENER, RESOURCE_ROUTE};
    for (size_t i = 0; i < COUNT(types); i++) {
        struct blob_cursor cursor = {0};
        const struct blob *blob;
        while ((blob = blob_table_next(view_table(view, types[i]), &cursor))) {
            struct arena arena = {0};
            struct error error = {0};
            struct build_options options = {0};
            bool ok = false;
            const ProtobufCMessage *message =
                pb_decode(pb_type_by_url(slice_str(resource_type_url(types[i])))->descriptor,
                          blob_body(blob), &arena, NULL, &error);
            CHECK(message);
            switch (types[i]) {
            case RESOURCE_CLUSTER: {
                owned(cluster) built = NULL;
                ok = cluster_build((const void *)message, &options, &built, &error);
                break;
            }
            case RESOURCE_ENDPOINTS: {
                owned(endpoints) built = NULL;
                ok = endpoints_build((const void *)message, &options, &built, &error);
                break;
            }
            case RESOURCE_LISTENER: {
                owned(listener) built = NULL;
                ok = listener_build((const void *)message, &options, &built, &error);
                break;
            }
            default: {
                owned(route_table) built = NULL;
                ok = route_table_build((const void *)message, &options, &built, &error);
                break;
            }
            }
            CHECK(ok, "%.*s: %s", SLICE_ARG(blob_name(blob)), error.what);
            arena_fini(&arena);
        }
    }
}

static void make_shop(struct mesh *m)
{
    put(m, "Service", "shop/product", "01",
        "{\"selector\":{\"app\":\"product\"},\"ports\":[{\"name\":\"http\",\"port\":9000}]}");
    put(m, "Service", "shop/web", "02",
        "{\"selector\":{\"app\":\"web\"},\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":"
        "8080},{\"name\":\"tcp-db\",\"port\":5432}]}");
    put(m, "WorkloadEntry", "shop/product-v1", "03",
        "{\"address\":\"127.1.0.2\",\"labels\":{\"app\":\"product\",\"version\":\"v1\","
        "\"security.istio.io/tlsMode\":\"istio\"},\"serviceAccount\":\"product\"}");
    put(m, "WorkloadEntry", "shop/product-v2", "04",
        "{\"address\":\"127.1.0.3\",\"labels\":{\"app\":\"product\",\"version\":\"v2\","
        "\"security.istio.io/tlsMode\":\"istio\"},\"serviceAccount\":\"product\"}");
    put(m, "DestinationRule", "shop/product", "05",
        "{\"host\":\"product\",\"subsets\":[{\"name\":\"v1\",\"labels\":{\"version\":\"v1\"}},{"
        "\"name\":\"v2\",\"labels\":{\"version\":\"v2\"}}]}");
    put(m, "VirtualService", "shop/product", "06",
        "{\"hosts\":[\"product\"],\"http\":[{\"route\":[{\"destination\":{\"host\":\"product\","
        "\"subset\":\"v1\"},\"weight\":90},{\"destination\":{\"host\":\"product\",\"subset\":\"v2\""
        "},\"weight\":10}]}]}");
    registry_set_address(m->registry, SLICE("product.shop.svc.cluster.local"),
                         SLICE("240.240.0.7"));
    registry_set_address(m->registry, SLICE("web.shop.svc.cluster.local"), SLICE("240.240.0.8"));
}

static const struct view *view_of(struct mesh *m, const char *key)
{
    const struct view *view = translate_view(m->translate, slice_str(key));
    CHECK(view);
    return view;
}

#define CONTAINS(text, part)                                                                       \
    CHECK((text) && strstr((text), (part)), "%s lacks %s", (text) ? (text) : "nothing", (part))

TEST(a_canary_becomes_clusters_endpoints_routes_and_listeners)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    const struct view *view = view_of(&m, web_key);
    dry_build(view);
    const char *text =
        show(view, RESOURCE_CLUSTER, "outbound|9000|v1|product.shop.svc.cluster.local");
    CONTAINS(text, "\"sni\":\"outbound_.9000_.v1_.product.shop.svc.cluster.local\"");
    CONTAINS(text, "spiffe://cluster.local/ns/shop/sa/product");
    CONTAINS(text, "tlsMode-istio");
    text = show(view, RESOURCE_ENDPOINTS, "outbound|9000|v2|product.shop.svc.cluster.local");
    CONTAINS(text, "127.1.0.3");
    CHECK(!strstr(text, "127.1.0.2"));
    text = show(view, RESOURCE_ROUTE, "9000");
    CONTAINS(text, "\"domains\":[\"product.shop.svc.cluster.local\",\"product.shop.svc.cluster."
                   "local.\",\"product\",\"product.shop\",\"product.shop.svc\",\"240.240.0.7\"]");
    CONTAINS(text, "\"weight\":90");
    CONTAINS(text, "/apis/networking.istio.io/v1alpha3/namespaces/shop/virtual-service/product");
    CONTAINS(show(view, RESOURCE_LISTENER, "0.0.0.0_9000"), "\"routeConfigName\":\"9000\"");
    CONTAINS(show(view, RESOURCE_LISTENER, "240.240.0.8_5432"),
             "outbound|5432||web.shop.svc.cluster.local");
    CONTAINS(show(view, RESOURCE_NAME_TABLE, "name-table"), "\"shortname\":\"product\"");
    end(&m);
}

TEST(a_replica_on_loopback_is_served_where_its_service_points)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    const struct view *view = view_of(&m, web_key);
    const char *text = show(view, RESOURCE_LISTENER, "127.1.0.1_8080");
    CONTAINS(text, "\"requireClientCertificate\":true");
    CONTAINS(text, "inbound|8080||");
    text = show(view, RESOURCE_CLUSTER, "inbound|8080||");
    CONTAINS(text, "\"networkNamespaceFilepath\":\"/proc/self/fd/9\"");
    text = show(view, RESOURCE_LISTENER, "virtualOutbound");
    CONTAINS(text, "\"networkNamespaceFilepath\":\"/proc/self/fd/9\"");
    CONTAINS(text, "\"useOriginalDst\":true");
    CHECK(!show(view, RESOURCE_LISTENER, "virtualInbound"));
    view = view_of(&m, "sidecar\nmtls\nshop\nweb\n10.0.0.7\n\napp=web\n");
    text = show(view, RESOURCE_LISTENER, "virtualInbound");
    CONTAINS(text, "\"destinationPort\":8080");
    CONTAINS(text, "\"transportProtocol\":\"tls\"");
    dry_build(view);
    end(&m);
}

TEST(an_endpoint_touches_endpoints_alone)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    view_of(&m, web_key);
    translate_settle(m.translate, NULL, NULL);
    struct translate_totals before = translate_totals(m.translate);
    put(&m, "WorkloadEntry", "shop/product-3", "07",
        "{\"address\":\"127.1.0.4\",\"labels\":{\"app\":\"product\",\"version\":\"v2\","
        "\"security.istio.io/tlsMode\":\"istio\"},\"serviceAccount\":\"product\"}");
    translate_settle(m.translate, NULL, NULL);
    struct translate_totals after = translate_totals(m.translate);
    CHECK(after.units_run == before.units_run + 1);
    CHECK(after.resources_changed == before.resources_changed + 2, "the whole and v2");
    end(&m);
}

TEST(a_deleted_subset_is_gone_and_heals)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    const struct view *view = view_of(&m, web_key);
    drop(&m, "DestinationRule", "shop/product");
    translate_settle(m.translate, NULL, NULL);
    view = view_of(&m, web_key);
    CHECK(!show(view, RESOURCE_CLUSTER, "outbound|9000|v1|product.shop.svc.cluster.local"));
    CONTAINS(show(view, RESOURCE_ROUTE, "9000"), "outbound|9000|v1|product");
    make_shop(&m);
    translate_settle(m.translate, NULL, NULL);
    CHECK(show(view_of(&m, web_key), RESOURCE_CLUSTER,
               "outbound|9000|v1|product.shop.svc.cluster.local"));
    end(&m);
}

TEST(of_two_virtual_services_the_oldest_acts)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    view_of(&m, web_key);
    static const char spec[] = "{\"hosts\":[\"product.shop.svc.cluster.local\"],\"http\":[{"
                               "\"directResponse\":{\"status\":418}}]}";
    put(&m, "VirtualService", "shop/younger", "30", spec);
    translate_settle(m.translate, NULL, NULL);
    CHECK(!strstr(show(view_of(&m, web_key), RESOURCE_ROUTE, "9000"), "418"));
    put(&m, "VirtualService", "shop/older", "00", spec);
    translate_settle(m.translate, NULL, NULL);
    CONTAINS(show(view_of(&m, web_key), RESOURCE_ROUTE, "9000"), "418");
    end(&m);
}

/* CFG-12: older or not, whoever is not in the service's namespace does not take its name. */
TEST(a_service_entry_of_another_namespace_does_not_take_a_services_host)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    put(&m, "ServiceEntry", "evil/product", "00",
        "{\"hosts\":[\"product.shop.svc.cluster.local\"],\"addresses\":[\"240.240.0.7\"],"
        "\"resolution\":\"STATIC\",\"ports\":[{\"number\":9000,\"name\":\"http\"}],"
        "\"endpoints\":[{\"address\":\"6.6.6.6\"}]}");
    translate_settle(m.translate, NULL, NULL);
    const struct view *view = view_of(&m, web_key);
    const char *text =
        show(view, RESOURCE_ENDPOINTS, "outbound|9000||product.shop.svc.cluster.local");
    CONTAINS(text, "127.1.0.");
    CHECK(!strstr(text, "6.6.6.6"), "%s", text);
    end(&m);
}

TEST(grpc_clients_find_listeners_by_target)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    const struct view *view = view_of(&m, "grpc\nplain\nshop\n\n\n\n");
    CONTAINS(show(view, RESOURCE_LISTENER, "product:9000"), "apiListener");
    CONTAINS(show(view, RESOURCE_LISTENER, "product.shop.svc.cluster.local:9000"),
             "outbound|9000||product.shop.svc.cluster.local");
    CHECK(show(view, RESOURCE_ROUTE, "outbound|9000||product.shop.svc.cluster.local"));
    end(&m);
}

static const char refused_spec[] =
    "{\"hosts\":[\"product\"],\"http\":[{\"headers\":{\"request\":{\"set\":{\"x y\":\"1\"}}},"
    "\"route\":[{\"destination\":{\"host\":\"product\",\"subset\":\"v1\"}}]}]}";
static const char product_object[] = "networking.istio.io/virtualservices/shop/product";

TEST(what_proxies_would_refuse_is_not_sent_and_the_last_good_stays)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    view_of(&m, web_key);
    translate_settle(m.translate, NULL, NULL);
    struct reader reader;
    struct list queue;
    list_init(&queue);
    reader_init_in(&reader, &queue);
    CHECK(!translate_refusal(m.translate, &reader, slice_str(product_object)));
    put(&m, "VirtualService", "shop/product", "06", refused_spec);
    put(&m, "VirtualService", "shop/web", "07",
        "{\"hosts\":[\"web\"],\"http\":[{\"directResponse\":{\"status\":418}}]}");
    translate_settle(m.translate, NULL, NULL);
    const struct view *view = view_of(&m, web_key);
    dry_build(view);
    CONTAINS(show(view, RESOURCE_ROUTE, "9000"), "\"weight\":90");
    CONTAINS(show(view, RESOURCE_ROUTE, "80"), "418");
    CHECK(facts_take(&queue) == &reader, "who asked is told");
    const char *reason = translate_refusal(m.translate, &reader, slice_str(product_object));
    CONTAINS(reason, "x y");
    make_shop(&m);
    translate_settle(m.translate, NULL, NULL);
    CHECK(facts_take(&queue) == &reader);
    CHECK(!translate_refusal(m.translate, NULL, slice_str(product_object)), "it is healed");
    reader_fini(model_facts(m.model), &reader);
    end(&m);
}

TEST(refused_rules_without_a_last_good_leave_the_host_its_default)
{
    struct mesh m;
    begin(&m);
    make_shop(&m);
    drop(&m, "VirtualService", "shop/product");
    put(&m, "VirtualService", "shop/product", "06", refused_spec);
    const struct view *view = view_of(&m, web_key);
    dry_build(view);
    CONTAINS(show(view, RESOURCE_ROUTE, "9000"), "\"cluster\":\"outbound|9000||product.shop");
    CHECK(translate_refusal(m.translate, NULL, slice_str(product_object)));
    drop(&m, "VirtualService", "shop/product");
    translate_settle(m.translate, NULL, NULL);
    CHECK(!translate_refusal(m.translate, NULL, slice_str(product_object)));
    end(&m);
}

static void check_same(const struct view *a, const struct view *b)
{
    for (enum resource_type type = 0; type < RESOURCE_TYPES; type++) {
        const struct blob_table *was = view_table(a, type), *is = view_table(b, type);
        CHECK(!was == !is &&
                  (!was || hash128_equals(blob_table_version(was), blob_table_version(is))),
              "%s", resource_type_short(type));
    }
}

TEST(the_last_good_version_acts_after_a_restart_too)
{
    struct mesh before, after;
    begin(&before);
    make_shop(&before);
    const struct object *good = model_get(before.model, slice_str(product_object));
    struct object *kept = object_ref((struct object *)(uintptr_t)good);
    put(&before, "VirtualService", "shop/product", "06", refused_spec);
    const struct view *view = view_of(&before, web_key);
    CONTAINS(show(view, RESOURCE_ROUTE, "9000"), "\"weight\":90");

    begin(&after); /* from the store: the object as it is, and what was kept of it */
    make_shop(&after);
    drop(&after, "VirtualService", "shop/product");
    put(&after, "VirtualService", "shop/product", "06", refused_spec);
    fallbacks_restore(translate_fallbacks(after.translate), kept);
    fallbacks_tidy(translate_fallbacks(after.translate));
    check_same(view, view_of(&after, web_key));
    CHECK(translate_refusal(after.translate, NULL, slice_str(product_object)));

    /* The version before was for product; a host that only the refused one names has its default. */
    put(&after, "VirtualService", "shop/product", "06",
        "{\"hosts\":[\"web\"],\"http\":[{\"headers\":{\"request\":{\"set\":{\"x y\":\"1\"}}},"
        "\"route\":[{\"destination\":{\"host\":\"product\"}}]}]}");
    translate_settle(after.translate, NULL, NULL);
    view = view_of(&after, web_key);
    dry_build(view);
    CONTAINS(show(view, RESOURCE_ROUTE, "80"), "\"cluster\":\"outbound|80||web.shop");
    object_unref(kept);
    end(&before);
    end(&after);
}

/* --- the oracle ------------------------------------------------------------------------------------------------------ */

struct change {
    const char *kind;
    char name[40], created[3], spec[700];
    bool present;
};
enum { CHANGES = 5 * 12 };

static void random_spec(struct change *c, unsigned i, struct random *random)
{
    unsigned a = (unsigned)random_below(random, 4), b = (unsigned)random_below(random, 4);
    unsigned w = (unsigned)random_below(random, 100), port = 80 + (unsigned)random_below(random, 3);
    static const char *const names[] = {"http", "tcp", "grpc", "odd"};
    static const char *const hosts[] = {"s0", "s1", "s2.b.svc.cluster.local",
                                        "*.b.svc.cluster.local", "e0.example.com"};
    const char *host = hosts[random_below(random, COUNT(hosts))];
    switch (i % 5) {
    case 0:
        snprintf(c->spec, sizeof(c->spec),
                 "{\"selector\":{\"app\":\"s%u\"}%s,\"ports\":[{\"name\":\"%s\",\"port\":%u%s},{"
                 "\"name\":"
                 "\"x\",\"port\":9%u}]}",
                 a, w % 7 == 0 ? ",\"clusterIP\":\"10.96.0.1\"" : "", names[b], port,
                 w % 5 == 0 ? ",\"targetPort\":\"web\"" : "", a);
        break;
    case 1:
        snprintf(c->spec, sizeof(c->spec),
                 "{\"address\":\"%s%u\",\"labels\":{\"app\":\"s%u\",\"version\":\"v%u\"%s},"
                 "\"ports\":{\"%s\":80%02u},\"serviceAccount\":\"a%u\"}",
                 w < 30 ? "127.0.0." : "10.0.0.", w < 30 ? w % 3 + 1 : w % 8, a, b,
                 w % 2 ? ",\"security.istio.io/tlsMode\":\"istio\"" : "", w % 3 ? names[b] : "web",
                 w % 4, b);
        break;
    case 2:
        snprintf(c->spec, sizeof(c->spec),
                 "{\"host\":\"%s\",\"trafficPolicy\":{\"loadBalancer\":{\"simple\":\"%s\"}},"
                 "\"subsets\":[{\"name\":\"v%u\",\"labels\":{\"version\":\"v%u\"}%s}]}",
                 host, w % 2 ? "RANDOM" : "ROUND_ROBIN", a, b,
                 w % 3 ? "" : ",\"trafficPolicy\":{\"tls\":{\"mode\":\"DISABLE\"}}");
        break;
    case 3:
        snprintf(c->spec, sizeof(c->spec),
                 "{\"hosts\":[\"%s\"],\"http\":[{\"match\":[{\"uri\":{\"prefix\":\"/%u\"}}],"
                 "\"redirect\":{\"uri\":\"/\"}},{\"route\":[{\"destination\":{\"host\":\"s%u\","
                 "\"subset\":\"v%u\"},\"weight\":%u},{\"destination\":{\"host\":\"s%u\"},"
                 "\"weight\":1}]}]}",
                 host, w, a, b, w, b);
        break;
    default:
        snprintf(c->spec, sizeof(c->spec),
                 "{\"hosts\":[\"e%u.example.com\"],\"location\":\"%s\",\"resolution\":\"%s\","
                 "\"ports\":[{\"number\":%u,\"name\":\"%s\"}]%s%s}",
                 a % 2, w % 2 ? "MESH_INTERNAL" : "MESH_EXTERNAL", w % 3 ? "STATIC" : "DNS", port,
                 names[b],
                 w % 3 == 1   ? ",\"endpoints\":[{\"address\":\"10.9.0.1\"}]"
                 : w % 3 == 2 ? ",\"workloadSelector\":{\"labels\":{\"app\":\"s1\"}}"
                              : "",
                 w % 4 ? "" : ",\"addresses\":[\"10.96.0.1\"]");
    }
}

static const char *const oracle_keys[] = {
    "sidecar\nmtls\na\nx\n127.0.0.2\n/n\napp=s0\n", "sidecar\nmtls\nb\nx\n10.0.0.1\n\napp=s1\n",
    "sidecar\nplain\na\n\n\n\napp=s2\n", "grpc\nplain\nb\n\n\n\n"};

static void compare(struct mesh *incremental, const struct change *changes,
                    const unsigned *addresses, uint64_t seed, unsigned step)
{
    struct mesh fresh;
    begin(&fresh);
    for (unsigned i = CHANGES; i-- > 0;) {
        if (changes[i].present)
            put(&fresh, changes[i].kind, changes[i].name, changes[i].created, changes[i].spec);
    }
    for (unsigned i = 0; i < 8; i++) {
        char host[64], address[32];
        snprintf(host, sizeof(host), "s%u.%s.svc.cluster.local", i / 2, i % 2 ? "a" : "b");
        snprintf(address, sizeof(address), "240.240.0.%u", addresses[i]);
        registry_set_address(fresh.registry, slice_str(host),
                             addresses[i] ? slice_str(address) : SLICE_NONE);
    }
    EACH (key, oracle_keys) {
        const struct view *was = view_of(incremental, *key), *is = view_of(&fresh, *key);
        for (enum resource_type type = 0; type < RESOURCE_TYPES; type++) {
            const struct blob_table *a = view_table(was, type), *b = view_table(is, type);
            CHECK(!a == !b);
            CHECK(!a || hash128_equals(blob_table_version(a), blob_table_version(b)),
                  "seed %llu, step %u: %s of %s", (unsigned long long)seed, step,
                  resource_type_short(type), *key);
        }
        if (step % 50 == 0 && strncmp(*key, "grpc", 4) != 0)
            dry_build(was);
    }
    end(&fresh);
}

/* TULLE_ORACLE_STEPS=100000 is the long form. */
TEST(the_incremental_result_equals_a_rebuild_after_every_change)
{
    static const char *const kinds[] = {"Service", "WorkloadEntry", "DestinationRule",
                                        "VirtualService", "ServiceEntry"};
    const char *steps_text = getenv("TULLE_ORACLE_STEPS");
    unsigned steps = steps_text ? (unsigned)atoi(steps_text) : 300;
    const char *seed_text = getenv("TULLE_ORACLE_SEED");
    const uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 20260101;
    struct random random;
    random_seed(&random, seed);
    struct change *changes = mem_calloc(CHANGES, sizeof(*changes));
    unsigned addresses[8] = {0};
    for (unsigned i = 0; i < CHANGES; i++) {
        changes[i].kind = kinds[i % 5];
        snprintf(changes[i].name, sizeof(changes[i].name), "%s/%s%u", i / 5 % 2 ? "a" : "b",
                 i % 5 ? "o" : "s", i / 10);
        snprintf(changes[i].created, sizeof(changes[i].created), "%02u",
                 (unsigned)random_below(&random, 4));
    }
    struct mesh m;
    begin(&m);
    for (unsigned step = 0; step < steps; step++) {
        struct change *c = &changes[random_below(&random, CHANGES)];
        if (random_below(&random, 10) == 0) {
            unsigned i = (unsigned)random_below(&random, 8);
            addresses[i] = (unsigned)random_below(&random, 250);
            char host[64], address[32];
            snprintf(host, sizeof(host), "s%u.%s.svc.cluster.local", i / 2, i % 2 ? "a" : "b");
            snprintf(address, sizeof(address), "240.240.0.%u", addresses[i]);
            registry_set_address(m.registry, slice_str(host),
                                 addresses[i] ? slice_str(address) : SLICE_NONE);
        } else if (c->present && random_below(&random, 3) == 0) {
            c->present = false;
            drop(&m, c->kind, c->name);
        } else {
            random_spec(c, (unsigned)(c - changes), &random);
            c->present = true;
            put(&m, c->kind, c->name, c->created, c->spec);
        }
        if (random_below(&random, 20) == 0)
            translate_forget(m.translate, slice_str(oracle_keys[random_below(&random, 4)]));
        translate_settle(m.translate, NULL, NULL);
        compare(&m, changes, addresses, seed, step);
    }
    end(&m);
    mem_free(changes);
}
