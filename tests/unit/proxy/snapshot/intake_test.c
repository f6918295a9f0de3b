#include "test.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/random.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/istio.h"
#include "build/listener.h"
#include "build/route_table.h"
#include "build/secret.h"
#include "build/yaml.h"
#include "pb/codec.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"
#include "proxy/snapshot/snapshot_file.h"
#include "tls/pki.h"

#include <unistd.h>

struct setup {
    struct publisher *publisher;
    struct intake *intake;
    struct arena arena;
    struct map *asked; /* "kind name" of what intake_interest says is wanted */
};

static void setup_init(struct setup *s)
{
    struct build_options options = here;
    options.now_s = pki_now();
    *s = (struct setup){.publisher = publisher_create(NULL), .asked = map_create()};
    s->intake = intake_create(s->publisher, &options, NULL);
    arena_init(&s->arena, NULL);
}

static void setup_fini(struct setup *s)
{
    intake_destroy(s->intake);
    publisher_destroy(s->publisher);
    map_destroy(s->asked);
    arena_fini(&s->arena);
}

static const ProtobufCMessageDescriptor *const types[] = {
    [KIND_CLUSTER] = &envoy__config__cluster__v3__cluster__descriptor,
    [KIND_ENDPOINTS] = &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
    [KIND_LISTENER] = &envoy__config__listener__v3__listener__descriptor,
    [KIND_ROUTE] = &envoy__config__route__v3__route_configuration__descriptor,
    [KIND_SECRET] = &envoy__extensions__transport_sockets__tls__v3__secret__descriptor,
};

static bool put_as(struct setup *s, enum resource_kind kind, const char *name, const char *version,
                   const char *yaml, struct error *error)
{
    struct intake_update update = {
        .kind = kind, .name = slice_str(name), .version = slice_str(version)};
    update.body = pb_pack_to(from_yaml(&s->arena, types[kind], yaml), &s->arena);
    return intake_put(s->intake, &update, error);
}

static void put(struct setup *s, enum resource_kind kind, const char *name, const char *yaml)
{
    struct error error = {0};
    CHECK_TAKEN(put_as(s, kind, name, "1", yaml, &error), &error, name);
}

static void told(void *to, enum resource_kind kind, const struct name *name, bool wanted)
{
    struct setup *s = to;
    owned_str key = str_format("%s %s", resource_kind_name(kind), name->text.data);
    if (wanted)
        map_put(s->asked, slice_str(key), s);
    else
        CHECK(map_remove(s->asked, slice_str(key)), "%s", key);
}

static bool is_asked(struct setup *s, const char *key)
{
    intake_interest(s->intake, told, s);
    return map_get(s->asked, slice_str(key)) != NULL;
}

static const struct resource *active(const struct setup *s, enum resource_kind kind,
                                     const char *name)
{
    struct name key = name_of(slice_str(name));
    return snapshot_find(publisher_newest(s->publisher), kind, &key);
}

#define REVIEWS "outbound|9080|v1|reviews.default.svc.cluster.local"
#define PLAIN_EDS(name, timeout)                                                                   \
    "{name: " name ", type: EDS, connect_timeout: " timeout ", eds_cluster_config: {eds_config: "  \
    "{ads: {}, initial_fetch_timeout: 0s}}}"
#define EMPTY(name) "{cluster_name: " name "}"

TEST(intake_starts_empty)
{
    struct setup s;
    setup_init(&s);
    CHECK(publisher_newest(s.publisher)->epoch == 1);
    CHECK(!intake_commit(s.intake), "nothing changed");
    setup_fini(&s);
}

TEST(intake_lets_a_cluster_wait_for_its_endpoints)
{
    struct setup s;
    setup_init(&s);
    put(&s, KIND_CLUSTER, "c", PLAIN_EDS("c", "1s"));
    CHECK(!intake_commit(s.intake) && intake_warming(s.intake, KIND_CLUSTER) == 1);
    CHECK(is_asked(&s, "endpoints c") && !active(&s, KIND_CLUSTER, "c"));
    put(&s, KIND_ENDPOINTS, "c", EMPTY("c"));
    CHECK(intake_commit(s.intake) && intake_warming(s.intake, KIND_CLUSTER) == 0);
    CHECK(active(&s, KIND_CLUSTER, "c") && active(&s, KIND_ENDPOINTS, "c"));
    /* Another version keeps the endpoints: no new ones are asked for or waited for. */
    put(&s, KIND_CLUSTER, "c", PLAIN_EDS("c", "2s"));
    CHECK(intake_commit(s.intake) &&
          active(&s, KIND_CLUSTER, "c")->cluster->connect_timeout_ms == 2000);
    CHECK(!intake_commit(s.intake));
    intake_remove(s.intake, KIND_CLUSTER, SLICE("c"));
    CHECK(active(&s, KIND_CLUSTER, "c"), "until the commit");
    CHECK(intake_commit(s.intake) && !active(&s, KIND_CLUSTER, "c") &&
          !active(&s, KIND_ENDPOINTS, "c"));
    CHECK(!is_asked(&s, "endpoints c") && map_count(s.asked) == 0);
    setup_fini(&s);
}

TEST(intake_gives_up_waiting_where_the_configuration_says_so)
{
    struct setup s;
    setup_init(&s);
    CHECK(intake_tick(s.intake, 1000, pki_now()) == UINT64_MAX);
    put(&s, KIND_CLUSTER, "c",
        "{name: c, type: EDS, eds_cluster_config: {eds_config: {ads: {}, initial_fetch_timeout: "
        "5s}}}");
    CHECK(!intake_commit(s.intake) && intake_tick(s.intake, 2000, pki_now()) == 4000);
    CHECK(intake_tick(s.intake, 5999, pki_now()) == 1 && !intake_commit(s.intake));
    CHECK(intake_tick(s.intake, 6000, pki_now()) == 0 && intake_commit(s.intake));
    CHECK(active(&s, KIND_CLUSTER, "c") && !active(&s, KIND_ENDPOINTS, "c"));
    put(&s, KIND_ENDPOINTS, "c", EMPTY("c"));
    CHECK(intake_commit(s.intake) && active(&s, KIND_ENDPOINTS, "c"));
    setup_fini(&s);
}

#define TCP_LISTENER(name, port, cluster)                                                          \
    "{name: " name ", address: {socket_address: {address: 10.0.0.1, port_value: " port "}}, "      \
    "bind_to_port: false, default_filter_chain: {filters: [{name: t, typed_config: {'@type': "     \
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, "                 \
    "cluster: " cluster "}}]}}"

TEST(intake_lets_a_listener_wait_for_its_routes_and_finds_it_by_address)
{
    struct setup s;
    struct ip vip, other;
    setup_init(&s);
    CHECK(ip_parse(SLICE("10.0.0.1"), &vip) && ip_parse(SLICE("10.0.0.9"), &other));
    put(&s, KIND_LISTENER, "0.0.0.0_9080", ISTIO_OUTBOUND);
    put(&s, KIND_LISTENER, "svc", TCP_LISTENER("svc", "9080", "a"));
    CHECK(intake_commit(s.intake), "the TCP listener waits for nothing");
    CHECK(is_asked(&s, "route 9080"));
    const struct snapshot *now = publisher_newest(s.publisher);
    CHECK(!active(&s, KIND_LISTENER, "0.0.0.0_9080"));
    CHECK(snapshot_listener_for(now, &vip, 9080) == active(&s, KIND_LISTENER, "svc")->listener);
    CHECK(!snapshot_listener_for(now, &other, 9080) && !snapshot_listener_for(now, &vip, 9081));
    put(&s, KIND_ROUTE, "9080", ISTIO_ROUTE);
    CHECK(intake_commit(s.intake) && active(&s, KIND_ROUTE, "9080"));
    now = publisher_newest(s.publisher);
    CHECK(snapshot_listener_for(now, &other, 9080) ==
          active(&s, KIND_LISTENER, "0.0.0.0_9080")->listener);
    CHECK(snapshot_listener_for(now, &vip, 9080) == active(&s, KIND_LISTENER, "svc")->listener,
          "the exact one first");
    put(&s, KIND_LISTENER, "svc", TCP_LISTENER("svc", "9090", "a"));
    CHECK(intake_commit(s.intake));
    now = publisher_newest(s.publisher);
    CHECK(snapshot_listener_for(now, &vip, 9090) == active(&s, KIND_LISTENER, "svc")->listener);
    CHECK(snapshot_listener_for(now, &vip, 9080) ==
          active(&s, KIND_LISTENER, "0.0.0.0_9080")->listener);
    intake_remove(s.intake, KIND_LISTENER, SLICE("svc"));
    CHECK(intake_commit(s.intake) &&
          !snapshot_listener_for(publisher_newest(s.publisher), &vip, 9090));
    setup_fini(&s);
}

TEST(intake_refuses_an_address_twice)
{
    struct setup s;
    struct error error = {0};
    setup_init(&s);
    put(&s, KIND_LISTENER, "a", TCP_LISTENER("a", "80", "x"));
    bool ok = put_as(&s, KIND_LISTENER, "b", "1", TCP_LISTENER("b", "80", "x"), &error);
    CHECK_REFUSED(ok, &error, "listener a has the address 10.0.0.1:80 already", "b");
    intake_commit(s.intake);
    ok = put_as(&s, KIND_LISTENER, "b", "1", TCP_LISTENER("b", "80", "x"), &error);
    CHECK_REFUSED(ok, &error, "already", "b");
    put(&s, KIND_LISTENER, "a", TCP_LISTENER("a", "81", "x"));
    intake_commit(s.intake);
    put(&s, KIND_LISTENER, "b", TCP_LISTENER("b", "80", "x"));
    intake_remove(s.intake, KIND_LISTENER, SLICE("a"));
    CHECK(intake_commit(s.intake));
    put(&s, KIND_LISTENER, "c", TCP_LISTENER("c", "81", "x"));
    CHECK(intake_commit(s.intake) && active(&s, KIND_LISTENER, "b") &&
          active(&s, KIND_LISTENER, "c"));
    setup_fini(&s);
}

/* The new listener was refused and the old one went: nobody listened any more. */
TEST(intake_hands_an_address_over_in_one_commit)
{
    struct setup s;
    struct ip vip = {{0}};
    setup_init(&s);
    CHECK(ip_parse(SLICE("10.0.0.1"), &vip));
    put(&s, KIND_LISTENER, "a", TCP_LISTENER("a", "80", "x"));
    CHECK(intake_commit(s.intake));
    for (int i = 0; i < 3; i++) {
        const char *from = i % 2 ? "b" : "a", *to = i % 2 ? "a" : "b";
        intake_remove(s.intake, KIND_LISTENER, slice_str(from));
        put(&s, KIND_LISTENER, to,
            i % 2 ? TCP_LISTENER("a", "80", "x") : TCP_LISTENER("b", "80", "x"));
        CHECK(intake_commit(s.intake) && !active(&s, KIND_LISTENER, from));
        CHECK(snapshot_listener_for(publisher_newest(s.publisher), &vip, 80) ==
              active(&s, KIND_LISTENER, to)->listener);
    }
    struct error error = {0};
    bool ok = put_as(&s, KIND_LISTENER, "c", "1", TCP_LISTENER("c", "80", "x"), &error);
    CHECK_REFUSED(ok, &error, "listener b has the address 10.0.0.1:80 already", "c");
    setup_fini(&s);
}

struct seen {
    size_t counts[3];
    char reason[256], version[32];
};

#define RDS_LISTENER(name)                                                                         \
    "{name: " name ", bind_to_port: false, address: {socket_address: {address: 10.0.0.1, "         \
    "port_value: 80}}, filter_chains: [{filters: [{name: h, typed_config: {'@type': "              \
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."             \
    "HttpConnectionManager, stat_prefix: s, rds: {route_config_name: r, config_source: {ads: "     \
    "{}, initial_fetch_timeout: 0s}}, http_filters: [{name: r, typed_config: {'@type': "           \
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}"

/* Make before break: nobody listened while the heir waited for its routes. */
TEST(intake_keeps_a_listener_until_its_heir_is_complete)
{
    struct setup s;
    struct ip vip = {{0}};
    setup_init(&s);
    CHECK(ip_parse(SLICE("10.0.0.1"), &vip));
    put(&s, KIND_LISTENER, "a", TCP_LISTENER("a", "80", "x"));
    CHECK(intake_commit(s.intake));
    for (int comes = 0; comes < 2; comes++) { /* the routes come, or the heir goes, too */
        intake_remove(s.intake, KIND_LISTENER, SLICE("a"));
        put(&s, KIND_LISTENER, "b", RDS_LISTENER("b"));
        CHECK(!intake_commit(s.intake) && active(&s, KIND_LISTENER, "a"));
        CHECK(snapshot_listener_for(publisher_newest(s.publisher), &vip, 80) ==
              active(&s, KIND_LISTENER, "a")->listener);
        if (comes == 0) {
            intake_remove(s.intake, KIND_LISTENER, SLICE("b"));
            CHECK(intake_commit(s.intake) && !active(&s, KIND_LISTENER, "a"));
            CHECK(!snapshot_listener_for(publisher_newest(s.publisher), &vip, 80));
            put(&s, KIND_LISTENER, "a", TCP_LISTENER("a", "80", "x"));
            CHECK(intake_commit(s.intake));
            continue;
        }
        put(&s, KIND_ROUTE, "r", "{name: r}");
        CHECK(intake_commit(s.intake) && !active(&s, KIND_LISTENER, "a"));
        CHECK(snapshot_listener_for(publisher_newest(s.publisher), &vip, 80) ==
              active(&s, KIND_LISTENER, "b")->listener);
    }
    setup_fini(&s);
}

/* It came back as it was, before the commit that would have taken it away: it was gone nevertheless. */
TEST(intake_keeps_what_is_removed_and_put_again_in_one_commit)
{
    static const char *const names[] = {"c", "d"};
    struct setup s;
    setup_init(&s);
    for (unsigned i = 0; i < COUNT(names); i++) { /* waiting, then active */
        const char *yaml = i == 0 ? PLAIN_EDS("c", "1s") : PLAIN_EDS("d", "1s");
        put(&s, KIND_CLUSTER, names[i], yaml);
        if (i == 1) {
            put(&s, KIND_ENDPOINTS, "d", EMPTY("d"));
            CHECK(intake_commit(s.intake));
        }
        intake_remove(s.intake, KIND_CLUSTER, slice_str(names[i]));
        put(&s, KIND_CLUSTER, names[i], yaml);
        put(&s, KIND_ENDPOINTS, names[i], i == 0 ? EMPTY("c") : EMPTY("d"));
        CHECK(intake_commit(s.intake) && active(&s, KIND_CLUSTER, names[i]), "%s", names[i]);
    }
    setup_fini(&s);
}

static void see(void *to, const struct intake_entry *entry)
{
    struct seen *seen = to;
    seen->counts[entry->state]++;
    if (entry->state == INTAKE_REFUSED) {
        snprintf(seen->reason, sizeof(seen->reason), "%s", entry->reason);
        snprintf(seen->version, sizeof(seen->version), "%.*s", SLICE_ARG(entry->version));
    }
}

TEST(intake_refuses_one_resource_and_keeps_the_old_one)
{
    struct setup s;
    struct error error = {0};
    setup_init(&s);
    put(&s, KIND_CLUSTER, "c", "{name: c, connect_timeout: 1s}");
    CHECK(intake_commit(s.intake));
    bool ok = put_as(&s, KIND_CLUSTER, "c", "2",
                     "{name: c, connect_timeout: 1s, lb_policy: MAGLEV}", &error);
    CHECK(error.where && strcmp(error.where, "cluster c") == 0, "%s", error.where);
    CHECK_REFUSED(ok, &error, "lb_policy: ", "c");
    ok = put_as(&s, KIND_CLUSTER, "other", "2", "{name: c}", &error);
    CHECK_REFUSED(ok, &error, "is called 'c' inside", "other");
    CHECK(!intake_commit(s.intake) &&
          active(&s, KIND_CLUSTER, "c")->cluster->connect_timeout_ms == 1000);
    struct seen seen = {0};
    intake_each(s.intake, KIND_CLUSTER, see, &seen);
    CHECK(seen.counts[INTAKE_ACTIVE] == 1 && seen.counts[INTAKE_REFUSED] == 2);
    put(&s, KIND_CLUSTER, "c", "{name: c, connect_timeout: 3s}");
    CHECK(intake_commit(s.intake));
    seen = (struct seen){0};
    intake_each(s.intake, KIND_CLUSTER, see, &seen);
    CHECK(seen.counts[INTAKE_REFUSED] == 1, "c was mended");
    intake_remove(s.intake, KIND_CLUSTER, SLICE("other"));
    intake_interest(s.intake, told, &s);
    seen = (struct seen){0};
    intake_each(s.intake, KIND_CLUSTER, see, &seen);
    CHECK(seen.counts[INTAKE_REFUSED] == 0);
    setup_fini(&s);
}

/* CFG-01, CFG-02 */
TEST(intake_refuses_bytes_that_are_no_message)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {{"\x0a", 1},
                 {"\x0a\x7f"
                  "a",
                  3},
                 {"\x0b", 1},
                 {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
                 {"\x00", 1},
                 {"\x08\x01", 2}};
    struct setup s;
    setup_init(&s);
    EACH (row, cases) {
        struct error error = {0};
        struct intake_update update = {.kind = KIND_CLUSTER,
                                       .name = SLICE("c"),
                                       .version = SLICE("1"),
                                       .body = slice_of(row->bytes, row->size)};
        CHECK(!intake_put(s.intake, &update, &error) && error.what, "row %zu",
              (size_t)(row - cases));
        error_fini(&error);
    }
    CHECK(!intake_commit(s.intake));
    setup_fini(&s);
}

TEST(intake_has_limits)
{
    struct setup s;
    struct error error = {0};
    struct build_options options = here;
    struct intake_limits limits = {.max_resources = 4, .max_body = 100};
    setup_init(&s);
    intake_destroy(s.intake);
    publisher_destroy(s.publisher);
    s.publisher = publisher_create(NULL);
    s.intake = intake_create(s.publisher, &options, &limits);
    put(&s, KIND_CLUSTER, "a", "{name: a}"); /* and its endpoints, none */
    put(&s, KIND_CLUSTER, "b", "{name: b}");
    bool ok = put_as(&s, KIND_CLUSTER, "c", "1", "{name: c}", &error);
    CHECK_REFUSED(ok, &error, "the limit is 4", "c");
    CHECK(intake_commit(s.intake));
    put(&s, KIND_CLUSTER, "a", "{name: a, connect_timeout: 1s}");
    owned_str long_name = str_format("{name: n%0*d}", 100, 0);
    ok = put_as(&s, KIND_CLUSTER, "x", "1", long_name, &error);
    CHECK_REFUSED(ok, &error, "the limit is 100", "x");
    setup_fini(&s);
}

TEST(intake_keeps_what_is_static)
{
    struct setup s;
    struct error error = {0};
    setup_init(&s);
    struct intake_update update = {
        .kind = KIND_CLUSTER, .name = SLICE("c"), .version = SLICE(""), .is_static = true};
    update.body = pb_pack_to(from_yaml(&s.arena, types[KIND_CLUSTER], "{name: c}"), &s.arena);
    CHECK(intake_put(s.intake, &update, &error));
    bool ok = put_as(&s, KIND_CLUSTER, "c", "1", "{name: c, connect_timeout: 1s}", &error);
    CHECK_REFUSED(ok, &error, "the bootstrap file has a cluster of this name", "c");
    ok = intake_put(s.intake, &update, &error);
    CHECK_REFUSED(ok, &error, "there are two of this name", "c");
    intake_remove(s.intake, KIND_CLUSTER, SLICE("c"));
    CHECK(intake_commit(s.intake) && active(&s, KIND_CLUSTER, "c")->is_static);
    setup_fini(&s);
}

TEST(intake_takes_only_what_is_wanted)
{
    struct setup s;
    setup_init(&s);
    put(&s, KIND_ENDPOINTS, "nobody", EMPTY("nobody"));
    put(&s, KIND_ROUTE, "nobody", "{name: nobody}");
    CHECK(!intake_commit(s.intake) && !active(&s, KIND_ENDPOINTS, "nobody"));
    setup_fini(&s);
}

/* Who sends it must hear of it, whether or not it is wanted yet. */
TEST(intake_refuses_what_nobody_wants_and_cannot_be_built)
{
    static const struct {
        enum resource_kind kind;
        const char *text, *what;
    } rows[] = {
        {KIND_ROUTE, "{name: x, virtual_hosts: [{name: v, domains: ['*', '*']}]}", "occurs twice"},
        {KIND_ENDPOINTS,
         "{cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
         "{address: 300.300.1.1, port_value: 1}}}}]}]}",
         "no IP address"},
    };
    struct setup s;
    setup_init(&s);
    EACH (row, rows) {
        struct error error = {0};
        bool ok = put_as(&s, row->kind, "x", "1", row->text, &error);
        CHECK_REFUSED(ok, &error, row->what, "x");
    }
    CHECK(!intake_commit(s.intake));
    setup_fini(&s);
}

#define ROUTES_TO(cluster, more)                                                                   \
    "{name: '9080', virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, "      \
    "route: "                                                                                      \
    "{cluster: " cluster "}}]}]" more "}"

TEST(intake_validates_clusters_of_a_table_that_says_so)
{
    struct setup s;
    struct error error = {0};
    setup_init(&s);
    bool ok = put_as(&s, KIND_ROUTE, "9080", "1", ROUTES_TO("gone", ""), &error);
    CHECK(ok, "a table that is sent by name may be ahead of its clusters");
    put(&s, KIND_LISTENER, "0.0.0.0_9080", ISTIO_OUTBOUND);
    ok =
        put_as(&s, KIND_ROUTE, "9080", "1", ROUTES_TO("gone", ", validate_clusters: true"), &error);
    CHECK_REFUSED(ok, &error, "the cluster 'gone', which is not known", "9080");
    put(&s, KIND_CLUSTER, "gone", "{name: gone}");
    put(&s, KIND_ROUTE, "9080", ROUTES_TO("gone", ", validate_clusters: true"));
    CHECK(intake_commit(s.intake) && active(&s, KIND_ROUTE, "9080"));
    setup_fini(&s);
}

/* --- secrets -------------------------------------------------------------------------------------------------------- */

static struct pki root, leaf, second;

static void make_pki(void)
{
    root = pki_root("spiffe://cluster.local");
    leaf = pki_leaf(&root, "spiffe://cluster.local/ns/default/sa/a");
    second = pki_leaf(&root, "spiffe://cluster.local/ns/default/sa/a");
}

static void drop_pki(void)
{
    pki_fini(&root);
    pki_fini(&leaf);
    pki_fini(&second);
}

static struct secret *certificate_of(const struct pki *pki)
{
    struct build_options options = here;
    struct tls_certificate certificate = {buffer_slice(&pki->chain), buffer_slice(&pki->key_pem)};
    struct secret *secret;
    options.now_s = pki_now();
    CHECK(secret_of_certificate(SLICE("default"), &certificate, &options, &secret, NULL));
    return secret;
}

static struct secret *trust_of(const struct pki *pki)
{
    struct trust_source source = {.trust_domain = SLICE("cluster.local"),
                                  .roots = buffer_slice(&pki->der)};
    struct secret *secret;
    CHECK(secret_of_trust(SLICE("ROOTCA"), &source, 1, &secret, NULL));
    return secret;
}

TEST(intake_waits_for_secrets_and_renews_contexts)
{
    struct setup s;
    struct error error = {0};
    setup_init(&s);
    make_pki();
    put(&s, KIND_CLUSTER, REVIEWS, ISTIO_CLUSTER);
    put(&s, KIND_ENDPOINTS, REVIEWS, ISTIO_ENDPOINTS);
    put(&s, KIND_LISTENER, "virtualInbound", ISTIO_VIRTUAL_INBOUND);
    CHECK(intake_commit(s.intake), "the endpoints");
    CHECK(intake_warming(s.intake, KIND_CLUSTER) == 1 &&
          intake_warming(s.intake, KIND_LISTENER) == 1);
    CHECK(is_asked(&s, "secret default") && is_asked(&s, "secret ROOTCA"));
    CHECK(intake_put_secret(s.intake, certificate_of(&leaf), &error));
    CHECK(intake_commit(s.intake) && intake_warming(s.intake, KIND_CLUSTER) == 1,
          "roots are missing");
    CHECK(intake_put_secret(s.intake, trust_of(&root), &error));
    CHECK(intake_commit(s.intake) && intake_warming(s.intake, KIND_CLUSTER) == 0);
    CHECK(intake_warming(s.intake, KIND_LISTENER) == 0);

    const struct snapshot *now = publisher_newest(s.publisher);
    const struct tls_spec *client =
        active(&s, KIND_CLUSTER, REVIEWS)->cluster->matches[0].socket.tls;
    const struct tls_spec *server =
        active(&s, KIND_LISTENER, "virtualInbound")->listener->chains[1].tls;
    struct tls_context *old_client = snapshot_tls(now, client),
                       *old_server = snapshot_tls(now, server);
    CHECK(old_client && old_server && old_client != old_server && now->trees[KIND_TLS].count == 2);

    CHECK(intake_put_secret(s.intake, certificate_of(&second), &error));
    CHECK(intake_commit(s.intake));
    now = publisher_newest(s.publisher);
    CHECK(snapshot_tls(now, client) && snapshot_tls(now, client) != old_client);
    CHECK(snapshot_tls(now, server) != old_server);

    intake_remove(s.intake, KIND_LISTENER, SLICE("virtualInbound"));
    CHECK(intake_commit(s.intake) && publisher_newest(s.publisher)->trees[KIND_TLS].count == 1);
    drop_pki();
    setup_fini(&s);
}

TEST(intake_refuses_a_secret_that_breaks_what_is_active)
{
    struct setup s;
    struct error error = {0};
    setup_init(&s);
    make_pki();
    put(&s, KIND_CLUSTER, REVIEWS, ISTIO_CLUSTER);
    put(&s, KIND_ENDPOINTS, REVIEWS, ISTIO_ENDPOINTS);
    CHECK(intake_put_secret(s.intake, certificate_of(&leaf), &error) &&
          intake_put_secret(s.intake, trust_of(&root), &error));
    CHECK(intake_commit(s.intake));
    struct secret *wrong;
    struct trust_source source = {.roots = buffer_slice(&root.der)};
    CHECK(secret_of_trust(SLICE("default"), &source, 1, &wrong, NULL),
          "roots under the certificate's name");
    bool ok = intake_put_secret(s.intake, wrong, &error);
    CHECK_REFUSED(ok, &error, "is no certificate", "default");
    CHECK(!intake_commit(s.intake));
    drop_pki();
    setup_fini(&s);
}

/* --- names to resolve ------------------------------------------------------------------------------------------------- */

#define DNS_CLUSTER(host)                                                                          \
    "{name: d, type: STRICT_DNS, load_assignment: {cluster_name: d, endpoints: [{lb_endpoints: "   \
    "[{endpoint: {address: {socket_address: {address: " host ", port_value: 80}}}}]}]}}"

static size_t one_address(void *owner, struct slice host, struct ip *out)
{
    (void)host;
    CHECK(ip_parse(slice_str(owner), out));
    return 1;
}

static bool resolve(struct setup *s, char *address)
{
    struct name name = name_of(SLICE("d"));
    const struct cluster *cluster = intake_cluster(s->intake, &name);
    return intake_put_addresses(s->intake, &name,
                                endpoints_resolve(cluster->endpoints, one_address, address));
}

TEST(intake_resolves_names)
{
    struct setup s;
    setup_init(&s);
    put(&s, KIND_CLUSTER, "d", DNS_CLUSTER("one.example"));
    CHECK(!intake_commit(s.intake) && is_asked(&s, "cluster d"));
    CHECK(resolve(&s, "10.0.0.1") && intake_commit(s.intake));
    const struct cluster *first = active(&s, KIND_CLUSTER, "d")->cluster;
    CHECK(snapshot_endpoints(publisher_newest(s.publisher), first)->count == 1);
    CHECK(resolve(&s, "10.0.0.1") && !intake_commit(s.intake), "the same answer is no change");
    CHECK(resolve(&s, "10.0.0.2") && intake_commit(s.intake));
    CHECK(active(&s, KIND_CLUSTER, "d")->cluster == first, "in place under their cluster");
    map_clear(s.asked);
    put(&s, KIND_CLUSTER, "d", DNS_CLUSTER("two.example"));
    CHECK(!intake_commit(s.intake) && is_asked(&s, "cluster d"), "told again");
    CHECK(resolve(&s, "10.0.0.3") && intake_commit(s.intake) &&
          active(&s, KIND_CLUSTER, "d")->cluster != first);
    intake_remove(s.intake, KIND_CLUSTER, SLICE("d"));
    CHECK(intake_commit(s.intake) && !is_asked(&s, "cluster d"));
    struct name name = name_of(SLICE("d"));
    CHECK(!intake_put_addresses(s.intake, &name, endpoints_create_empty(SLICE("d"))));
    CHECK(publisher_newest(s.publisher)->trees[KIND_ENDPOINTS].count == 0);
    setup_fini(&s);
}

/* --- on disk ------------------------------------------------------------------------------------------------------------ */

struct other_tree {
    struct name_tree tree;
    size_t differences;
};

static void compare(void *to, const struct resource *resource)
{
    struct other_tree *other = to;
    const struct resource *same = name_tree_find(other->tree, &resource->name);
    other->differences += !same || !hash128_equals(same->content, resource->content);
}

static void check_equal(const struct snapshot *a, const struct snapshot *b)
{
    static const enum resource_kind kinds[] = {KIND_CLUSTER, KIND_ENDPOINTS, KIND_LISTENER,
                                               KIND_ROUTE, KIND_SECRET};
    EACH (kind, kinds) {
        struct other_tree other = {.tree = b->trees[*kind]};
        CHECK(a->trees[*kind].count == b->trees[*kind].count, "%s: %u and %u",
              resource_kind_name(*kind), a->trees[*kind].count, b->trees[*kind].count);
        name_tree_each(a->trees[*kind], compare, &other);
        CHECK(other.differences == 0, "%s: %zu differ", resource_kind_name(*kind),
              other.differences);
    }
    CHECK(a->trees[KIND_ADDRESS].count == b->trees[KIND_ADDRESS].count);
}

TEST(intake_starts_from_disk)
{
    struct setup s, t;
    struct error error = {0};
    char path[] = "/tmp/tulle-snapshot-XXXXXX";
    close(mkstemp(path));
    setup_init(&s);
    put(&s, KIND_CLUSTER, "c", PLAIN_EDS("c", "1s"));
    put(&s, KIND_ENDPOINTS, "c", EMPTY("c"));
    put(&s, KIND_LISTENER, "0.0.0.0_9080", ISTIO_OUTBOUND);
    put(&s, KIND_ROUTE, "9080", ISTIO_ROUTE);
    put(&s, KIND_LISTENER, "svc", TCP_LISTENER("svc", "9080", "a"));
    CHECK(intake_commit(s.intake));
    const struct snapshot *held = publisher_hold(s.publisher);
    CHECK(snapshot_file_save(held, path, &error) > 0, "%s", error.what);
    publisher_release(s.publisher, held);

    struct snapshot_file file;
    bool missing = true;
    CHECK(snapshot_file_load(path, &file, &missing, &error) && !missing && file.count == 5, "%s",
          error.what);
    setup_init(&t);
    for (size_t i = 0; i < file.count; i++)
        CHECK(intake_put(t.intake, &file.updates[i], &error), "%s", error.what);
    CHECK(intake_commit(t.intake));
    check_equal(publisher_newest(s.publisher), publisher_newest(t.publisher));
    CHECK(slice_equals_str(active(&t, KIND_CLUSTER, "c")->version, "1"));
    snapshot_file_fini(&file);
    unlink(path);
    setup_fini(&s);
    setup_fini(&t);
}

/* --- the whole against a rebuild ------------------------------------------------------------------------------------------ */

enum { THINGS = 12, SHAPES = 4 };

/* A server's state: which shape each resource has, 0 = absent. Endpoints and routes always exist. */
struct server {
    int clusters[THINGS], listeners[THINGS], endpoints[THINGS], routes[THINGS];
};

static char *text_of(enum resource_kind kind, int i, int shape)
{
    switch (kind) {
    case KIND_CLUSTER:
        if (shape == 3)
            return str_format("{name: c%d, connect_timeout: 3s}", i);
        return str_format(PLAIN_EDS("c%d", "%ds"), i, shape);
    case KIND_ENDPOINTS:
        return str_format("{cluster_name: c%d, policy: {overprovisioning_factor: %d}}", i,
                          140 + shape);
    case KIND_ROUTE:
        return str_format(
            "{name: r%d, ignore_port_in_host_matching: %s, response_headers_to_remove: [x-%d]}", i,
            shape % 2 ? "true" : "false", shape);
    case KIND_LISTENER:
        if (shape == 3)
            return str_format(TCP_LISTENER("l%d", "%d", "x"), i, 1000 + i);
        return str_format(
            "{name: l%d, address: {socket_address: {address: 10.0.0.1, port_value: %d}}, "
            "bind_to_port: "
            "false, filter_chains: [{filters: [{name: h, typed_config: {'@type': "
            "type.googleapis.com/"
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "
            "rds: "
            "{config_source: {ads: {}, initial_fetch_timeout: 0s}, route_config_name: r%d}, "
            "http_filters: "
            "[{name: r, typed_config: {'@type': "
            "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}",
            i, 1000 + i, (i + shape) % THINGS);
    default: return NULL;
    }
}

static void send(struct setup *s, enum resource_kind kind, int i, int shape)
{
    static const char letters[] = {
        [KIND_CLUSTER] = 'c', [KIND_ENDPOINTS] = 'c', [KIND_LISTENER] = 'l', [KIND_ROUTE] = 'r'};
    char name[16];
    snprintf(name, sizeof(name), "%c%d", letters[kind], i);
    if (shape == 0) {
        intake_remove(s->intake, kind, slice_str(name));
        return;
    }
    owned_str text = text_of(kind, i, shape);
    put(s, kind, name, text);
    arena_reset(&s->arena);
}

/* Everything that is asked for. */
static void send_asked(struct setup *s, const struct server *server)
{
    intake_interest(s->intake, told, s);
    struct map_iterator it = {0};
    while (map_next(s->asked, &it)) {
        int i = atoi(it.key.data + (slice_starts_with(it.key, SLICE("route ")) ? 7 : 11));
        if (slice_starts_with(it.key, SLICE("route ")))
            send(s, KIND_ROUTE, i, server->routes[i]);
        else
            send(s, KIND_ENDPOINTS, i, server->endpoints[i]);
    }
}

static void settle(struct setup *s, const struct server *server)
{
    for (int round = 0; round < 4; round++) {
        intake_commit(s->intake);
        send_asked(s, server);
    }
    intake_commit(s->intake);
    CHECK(intake_warming(s->intake, KIND_CLUSTER) == 0 &&
          intake_warming(s->intake, KIND_LISTENER) == 0);
}

TEST(intake_after_random_changes_equals_a_rebuild)
{
    struct random random;
    random_seed(&random, 8);
    for (int round = 0; round < 12; round++) {
        struct server server = {0};
        struct setup s, fresh;
        setup_init(&s);
        for (int i = 0; i < THINGS; i++)
            server.endpoints[i] = server.routes[i] = 1;
        for (int step = 0; step < 120; step++) {
            int i = (int)random_below(&random, THINGS), shape = (int)random_below(&random, SHAPES);
            switch (random_below(&random, 6)) {
            case 0: send(&s, KIND_CLUSTER, i, server.clusters[i] = shape); break;
            case 1: send(&s, KIND_LISTENER, i, server.listeners[i] = shape); break;
            case 2: send(&s, KIND_ENDPOINTS, i, server.endpoints[i] = shape + 1); break;
            case 3: send(&s, KIND_ROUTE, i, server.routes[i] = shape + 1); break;
            case 4: send_asked(&s, &server); break;
            case 5: intake_commit(s.intake); break;
            }
        }
        settle(&s, &server);
        setup_init(&fresh);
        for (int i = 0; i < THINGS; i++) {
            send(&fresh, KIND_CLUSTER, i, server.clusters[i]);
            send(&fresh, KIND_LISTENER, i, server.listeners[i]);
        }
        settle(&fresh, &server);
        check_equal(publisher_newest(s.publisher), publisher_newest(fresh.publisher));
        check_equal(publisher_newest(fresh.publisher), publisher_newest(s.publisher));
        struct publisher_counts counts;
        publisher_count(s.publisher, &counts);
        CHECK(counts.snapshots == 1 && counts.retired == 0);
        setup_fini(&s);
        setup_fini(&fresh);
    }
}
