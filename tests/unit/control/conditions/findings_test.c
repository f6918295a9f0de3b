#include "control/conditions/findings.h"

#include "base/memory.h"
#include "control/translate/translate.h"

#include "test.h"

/* --- a mesh without a store ------------------------------------------------------------------------------------------------ */

struct mesh {
    struct model *model;
    struct registry *registry;
    struct translate *translate;
    struct list queue;
    struct reader reader;
    struct arena arena;
    struct findings findings;
};

static const struct mesh_settings settings = {.trust_domain = "cluster.local"};

static void begin(struct mesh *m)
{
    *m = (struct mesh){.model = model_create()};
    m->registry = registry_create(m->model);
    m->translate = translate_create(m->model, m->registry, &settings);
    list_init(&m->queue);
    reader_init_in(&m->reader, &m->queue);
}

static void end(struct mesh *m)
{
    reader_fini(model_facts(m->model), &m->reader);
    translate_destroy(m->translate);
    registry_destroy(m->registry);
    model_destroy(m->model);
    arena_fini(&m->arena);
}

static struct slice key_of(const char *kind, const char *name, struct arena *arena)
{
    enum kind k;
    struct slice space, local;
    CHECK(kind_find(strcmp(kind, "Service") == 0 ? SLICE("v1") : SLICE("networking.istio.io/v1"),
                    slice_str(kind), &k));
    CHECK(slice_cut(slice_str(name), '/', &space, &local));
    return object_key_make(k, space, local, arena);
}

static void put(struct mesh *m, const char *kind, const char *name, int created, const char *spec)
{
    struct slice space, local;
    CHECK(slice_cut(slice_str(name), '/', &space, &local));
    char *text = arena_format(&m->arena,
                              "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%.*"
                              "s\",\"namespace\":\"%.*s\","
                              "\"creationTimestamp\":\"2026-01-01T00:00:%02dZ\"},\"spec\":%s}",
                              strcmp(kind, "Service") == 0 ? "v1" : "networking.istio.io/v1", kind,
                              SLICE_ARG(local), SLICE_ARG(space), created, spec);
    owned(object) object = NULL;
    struct error error = {0};
    CHECK(object_load(key_of(kind, name, &m->arena), slice_str(text), 1, &object, &error), "%s: %s",
          text, error.what);
    model_put(m->model, object);
}

static void drop(struct mesh *m, const char *kind, const char *name)
{
    CHECK(model_remove(m->model, key_of(kind, name, &m->arena)));
}

static const struct findings *look(struct mesh *m, const char *kind, const char *name)
{
    const struct object *object = model_get(m->model, key_of(kind, name, &m->arena));
    CHECK(object);
    struct findings_sources sources = {m->model, m->registry, m->translate};
    facts_take(&m->queue);
    reader_begin(model_facts(m->model), &m->reader);
    findings_of(&sources, &m->reader, object, &m->arena, &m->findings);
    return &m->findings;
}

static bool has_changed(struct mesh *m)
{
    return facts_take(&m->queue) == &m->reader;
}

#define CLEAN(m, kind, name)                                                                       \
    do {                                                                                           \
        const struct findings *clean = look(m, kind, name);                                        \
        CHECK(clean->count == 0, "%s: %s", name, clean->items[0].text);                            \
    } while (0)

#define FOUND(m, kind, name, wanted_code, part)                                                    \
    do {                                                                                           \
        const struct findings *all = look(m, kind, name);                                          \
        CHECK(all->count == 1, "%s has %zu findings", name, all->count);                           \
        CHECK(strcmp(all->items[0].code, wanted_code) == 0, "%s", all->items[0].code);             \
        CHECK(strstr(all->items[0].text, part), "%s", all->items[0].text);                         \
    } while (0)

#define TO(host, more)                                                                             \
    "{\"hosts\":[\"cart\"],\"http\":[{\"route\":[{\"destination\":{\"host\":\"" host "\"" more     \
    "}}]}]}"
static const char cart_spec[] =
    "{\"selector\":{\"app\":\"cart\"},\"ports\":[{\"name\":\"http\",\"port\":80}]}";
static const char v1_spec[] =
    "{\"host\":\"cart\",\"subsets\":[{\"name\":\"v1\",\"labels\":{\"version\":\"v1\"}}]}";

TEST(a_route_to_what_is_not_there_is_found_and_heals)
{
    struct mesh m;
    begin(&m);
    put(&m, "VirtualService", "shop/cart", 1, TO("cart", ",\"subset\":\"v1\""));
    FOUND(&m, "VirtualService", "shop/cart", "IST0101", "Referenced host not found: \"cart\"");
    put(&m, "Service", "shop/cart", 2, cart_spec);
    CHECK(has_changed(&m), "the service came");
    FOUND(&m, "VirtualService", "shop/cart", "IST0101",
          "Referenced host+subset in destinationrule not found: \"cart+v1\"");
    put(&m, "DestinationRule", "shop/cart", 3, v1_spec);
    CHECK(has_changed(&m), "the subset came");
    CLEAN(&m, "VirtualService", "shop/cart");
    drop(&m, "DestinationRule", "shop/cart");
    CHECK(has_changed(&m), "the subset went");
    FOUND(&m, "VirtualService", "shop/cart", "IST0101", "cart+v1");
    put(&m, "VirtualService", "shop/cart", 1, TO("cart", ",\"port\":{\"number\":81}"));
    FOUND(&m, "VirtualService", "shop/cart", "IST0101",
          "Referenced host:port not found: \"cart:81\"");
    end(&m);
}

TEST(a_wildcard_service_entry_is_a_host_to_route_to)
{
    struct mesh m;
    begin(&m);
    put(&m, "VirtualService", "shop/cart", 1, TO("api.example.com", ""));
    FOUND(&m, "VirtualService", "shop/cart", "IST0101", "api.example.com");
    put(&m, "ServiceEntry", "shop/api", 2,
        "{\"hosts\":[\"*.example.com\"],\"ports\":[{\"number\":80,\"name\":\"http\"}]}");
    CHECK(has_changed(&m));
    CLEAN(&m, "VirtualService", "shop/cart");
    end(&m);
}

TEST(two_virtual_services_for_one_host_are_both_told)
{
    struct mesh m;
    begin(&m);
    put(&m, "Service", "shop/cart", 0, cart_spec);
    put(&m, "VirtualService", "shop/b", 1, TO("cart", ""));
    CLEAN(&m, "VirtualService", "shop/b");
    put(&m, "VirtualService", "shop/a", 2, TO("cart", ""));
    CHECK(has_changed(&m));
    static const char *const shop_names[] = {"shop/a", "shop/b"};
    EACH (name, shop_names) {
        FOUND(&m, "VirtualService", *name, "IST0109",
              "The VirtualServices shop/b,shop/a associated with mesh gateway define the same host "
              "cart.shop.svc.cluster.local which can lead to undefined behavior.");
        CHECK(strstr(m.findings.items[0].text, "shop/b acts, being the oldest"));
    }
    drop(&m, "VirtualService", "shop/a");
    CHECK(has_changed(&m));
    CLEAN(&m, "VirtualService", "shop/b");
    end(&m);
}

TEST(destination_rules_may_be_split_but_not_contradict)
{
    struct mesh m;
    begin(&m);
    put(&m, "DestinationRule", "shop/one", 1, v1_spec);
    put(&m, "DestinationRule", "shop/two", 2,
        "{\"host\":\"cart\",\"subsets\":[{\"name\":\"v2\",\"labels\":{\"version\":\"v2\"}}]}");
    put(&m, "DestinationRule", "other/cart", 2,
        "{\"host\":\"cart.shop.svc.cluster.local\",\"subsets\":[{\"name\":\"v1\"}]}");
    CLEAN(&m, "DestinationRule", "shop/one");
    CLEAN(&m, "DestinationRule", "other/cart");
    put(&m, "DestinationRule", "shop/two", 2, v1_spec);
    CLEAN(&m, "DestinationRule", "other/cart");
    static const char *const rule_names[] = {"shop/one", "shop/two"};
    EACH (name, rule_names) {
        FOUND(&m, "DestinationRule", *name, "TUL4201",
              "shop/one and shop/two both define the subset \"v1\"");
        CHECK(strstr(m.findings.items[0].text, "that of shop/one acts"));
    }
    end(&m);
}

#define ENTRY(host, address, port)                                                                 \
    "{\"hosts\":[\"" host "\"],\"addresses\":[\"" address "\"],\"resolution\":\"STATIC\","         \
    "\"ports\":[{\"number\":" port ",\"name\":\"http\"}]}"

TEST(service_entries_that_share_an_address_and_a_port_are_told)
{
    struct mesh m;
    begin(&m);
    put(&m, "ServiceEntry", "shop/a", 1, ENTRY("a.example.com", "10.1.1.1", "80"));
    put(&m, "ServiceEntry", "shop/b", 2, ENTRY("b.example.com", "10.1.1.1", "81"));
    CLEAN(&m, "ServiceEntry", "shop/a");
    put(&m, "ServiceEntry", "shop/b", 2, ENTRY("b.example.com", "10.1.1.1", "80"));
    CHECK(has_changed(&m));
    FOUND(&m, "ServiceEntry", "shop/a", "TUL4202",
          "The address 10.1.1.1 port 80 is also that of b.example.com (ServiceEntry shop/b)");
    FOUND(&m, "ServiceEntry", "shop/b", "TUL4202", "a.example.com (ServiceEntry shop/a)");
    put(&m, "ServiceEntry", "shop/b", 2, ENTRY("b.example.com", "10.1.1.2", "80"));
    CHECK(has_changed(&m));
    CLEAN(&m, "ServiceEntry", "shop/b");
    registry_set_address(m.registry, SLICE("cart.shop.svc.cluster.local"), SLICE("10.1.1.2"));
    put(&m, "Service", "shop/cart", 3, cart_spec);
    CHECK(has_changed(&m), "an allocated address counts too");
    FOUND(&m, "ServiceEntry", "shop/b", "TUL4202",
          "cart.shop.svc.cluster.local (Service shop/cart)");
    registry_set_address(m.registry, SLICE("cart.shop.svc.cluster.local"), SLICE("10.1.1.3"));
    CHECK(has_changed(&m));
    CLEAN(&m, "ServiceEntry", "shop/b");
    end(&m);
}

TEST(a_host_that_two_define_is_told)
{
    struct mesh m;
    begin(&m);
    put(&m, "ServiceEntry", "shop/a", 1, ENTRY("a.example.com", "10.1.1.1", "80"));
    put(&m, "ServiceEntry", "shop/b", 2, ENTRY("a.example.com", "10.1.1.2", "80"));
    FOUND(&m, "ServiceEntry", "shop/a", "TUL4203", "the ServiceEntry shop/b too");
    FOUND(&m, "ServiceEntry", "shop/b", "TUL4203",
          "Until one of them is gone the ServiceEntry shop/a");
    drop(&m, "ServiceEntry", "shop/a");
    CHECK(has_changed(&m));
    CLEAN(&m, "ServiceEntry", "shop/b");
    end(&m);
}

TEST(a_service_is_told_of_who_wants_its_host_or_address)
{
    struct mesh m;
    begin(&m);
    put(&m, "Service", "shop/cart", 2,
        "{\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"name\":\"http\",\"port\":80}]}");
    CLEAN(&m, "Service", "shop/cart");
    put(&m, "ServiceEntry", "shop/other", 1,
        ENTRY("cart.shop.svc.cluster.local", "10.1.1.1", "80"));
    CHECK(has_changed(&m));
    FOUND(&m, "Service", "shop/cart", "TUL4203", "the ServiceEntry shop/other too");
    FOUND(&m, "ServiceEntry", "shop/other", "TUL4203", "gone the Service shop/cart acts");
    drop(&m, "ServiceEntry", "shop/other");
    CLEAN(&m, "Service", "shop/cart");
    put(&m, "Service", "shop/pay", 3,
        "{\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"name\":\"http\",\"port\":80}]}");
    FOUND(&m, "Service", "shop/cart", "TUL4202", "also that of pay.shop.svc.cluster.local");
    FOUND(&m, "Service", "shop/pay", "TUL4202", "also that of cart.shop.svc.cluster.local");
    end(&m);
}

TEST(rules_that_no_proxy_would_take_are_told)
{
    struct mesh m;
    begin(&m);
    put(&m, "Service", "shop/cart", 0, cart_spec);
    put(&m, "VirtualService", "shop/cart", 1,
        "{\"hosts\":[\"cart\"],\"http\":[{\"headers\":{\"request\":{\"set\":{\"x y\":\"1\"}}},"
        "\"route\":[{\"destination\":{\"host\":\"cart\"}}]}]}");
    CLEAN(&m, "VirtualService", "shop/cart");
    CHECK(translate_view(m.translate, SLICE("sidecar\nmtls\nshop\nweb\n127.1.0.1\n\napp=web\n")));
    CHECK(has_changed(&m), "translation came to it");
    FOUND(&m, "VirtualService", "shop/cart", "TUL4204", "'x y' is no header name");
    end(&m);
}

TEST(what_a_newer_version_wrote_is_told)
{
    struct mesh m;
    begin(&m);
    put(&m, "Service", "shop/cart", 0, cart_spec);
    put(&m, "VirtualService", "shop/cart", 1,
        "{\"hosts\":[\"cart\"],\"http\":[{\"retries\":{\"attempts\":3},\"route\":[{\"destination\":"
        "{"
        "\"host\":\"cart\"}}]}]}");
    FOUND(&m, "VirtualService", "shop/cart", "TUL0011", "spec.http[0].retries");
    CHECK(m.findings.items[0].level == FINDING_WARNING);
    end(&m);
}
