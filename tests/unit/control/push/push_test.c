#include "control/push/push.h"

#include "base/log.h"
#include "io/thread.h"
#include "pb/codec.h"
#include "stats/registry.h"
#include "xds/mesh.h"

#include "envoy/service/status/v3/csds.pb-c.h"

/* A source whose classes are the cluster of the node; every class has the clusters "shared" and its own. */
struct town {
    struct push *push;
    struct stats_registry *stats;
    unsigned builds, forgets, refreshes[PUSH_LANES], gone;
    uint64_t generation;
    char shared[8];
    char refuse[16];
    bool unknown;        /* views are not known yet */
    struct map *classes; /* that were built: key -> 1 */
};

static const struct view *make_view(struct town *t, struct slice key)
{
    struct blob_table *tables[RESOURCE_TYPES] = {0};
    owned_str words = str_format("shared=%s own-%.*s=1", t->shared, SLICE_ARG(key));
    tables[RESOURCE_CLUSTER] = table_edit(RESOURCE_CLUSTER, NULL, words);
    tables[RESOURCE_ENDPOINTS] = table_edit(RESOURCE_ENDPOINTS, NULL, words);
    struct view *view = view_create(tables, ++t->generation);
    blob_table_unref(tables[RESOURCE_CLUSTER]);
    blob_table_unref(tables[RESOURCE_ENDPOINTS]);
    return view;
}

static bool classify(void *owner, struct push_proxy *proxy, struct buffer *key,
                     enum grpc_code *code, char **reason)
{
    struct town *t = owner;
    if (strcmp(proxy->peer->cluster, t->refuse) == 0) {
        *code = GRPC_PERMISSION_DENIED;
        *reason = str_copy("not in this town");
        return false;
    }
    buffer_append_str(key, proxy->peer->cluster);
    return true;
}
static void on_proxy_gone(void *owner, struct push_proxy *proxy)
{
    (void)proxy;
    ((struct town *)owner)->gone++;
}
static const struct view *build(void *owner, struct slice key)
{
    struct town *t = owner;
    t->builds++;
    map_put(t->classes, key, t);
    return t->unknown ? NULL : make_view(t, key);
}
static void forget(void *owner, struct slice key)
{
    struct town *t = owner;
    t->forgets++;
    map_remove(t->classes, key);
}
static void refresh(void *owner, enum push_lane lane)
{
    struct town *t = owner;
    struct map_iterator it = {0};
    t->refreshes[lane]++;
    while (map_next(t->classes, &it)) {
        const struct view *view = make_view(t, it.key);
        push_publish(t->push, it.key, view);
        view_unref(view);
    }
}
static const struct push_source source = {.classify = classify,
                                          .on_proxy_gone = on_proxy_gone,
                                          .build = build,
                                          .forget = forget,
                                          .refresh = refresh};

static struct town *town_open(struct loop *loop)
{
    struct town *t = mem_new(struct town);
    struct push_config config = {.identifier = "tulled test"};
    log_set_level(NULL, LOG_OFF);
    t->stats = stats_registry_create(0);
    t->classes = map_create();
    snprintf(t->shared, sizeof(t->shared), "1");
    t->push = push_create(loop, t->stats, &config, &source, t);
    return t;
}

static void town_close(struct town *t)
{
    push_destroy(t->push);
    map_destroy(t->classes);
    stats_registry_destroy(t->stats);
    mem_free(t);
}

/* One loop for everything, simulated. */
struct village {
    struct mesh m; /* only its pair is used */
    struct town *town;
    struct push_thread *thread;
};

static struct village *village_open(void)
{
    struct village *v = mem_new(struct village);
    v->m.pair = pair_open(NULL, NULL, 1);
    v->town = town_open(v->m.pair->loop);
    v->thread = push_add_thread(v->town->push, v->m.pair->loop, v->m.pair->server);
    return v;
}

static void village_close(struct village *v)
{
    push_remove_thread(v->thread);
    pair_close(v->m.pair);
    /* Letters that were under way are delivered, or dropped, by now. */
    mem_free(v);
}

static void live(struct village *v, uint64_t ms)
{
    pair_run(v->m.pair, NULL, ms);
}

static void settle_down(struct village *v, struct proxy *p, const char *class)
{
    char id[32];
    snprintf(id, sizeof(id), "proxy-%s", class);
    proxy_open_as(p, &v->m, id, class, 0);
    p->follow = true;
    ads_client_watch_all(p->client, RESOURCE_CLUSTER);
    ads_client_start(p->client);
}

TEST(push_answers_nobody_before_the_source_is_ready)
{
    struct village *v = village_open();
    struct proxy p;
    settle_down(v, &p, "a");
    live(v, 30000);
    CHECK(p.updates == 0 && v->town->builds == 0 && push_proxy_count(v->town->push) == 1);
    push_set_ready(v->town->push, true);
    live(v, 500);
    CHECK(proxy_has(&p, RESOURCE_CLUSTER, "shared", "1") &&
          proxy_has(&p, RESOURCE_CLUSTER, "own-a", "1"));
    CHECK(proxy_has(&p, RESOURCE_ENDPOINTS, "own-a", "1") && v->town->builds == 1);
    proxy_close(&p);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
}

TEST(push_serves_each_class_its_view_and_builds_it_once)
{
    struct village *v = village_open();
    struct proxy p[6];
    static const char *const classes[] = {"a", "b", "c", "a", "b", "a"};
    push_set_ready(v->town->push, true);
    for (unsigned i = 0; i < 6; i++)
        settle_down(v, &p[i], classes[i]);
    live(v, 500);
    CHECK(v->town->builds == 3, "%u", v->town->builds);
    for (unsigned i = 0; i < 6; i++) {
        char own[16];
        snprintf(own, sizeof(own), "own-%s", classes[i]);
        CHECK(proxy_has(&p[i], RESOURCE_CLUSTER, own, "1") && p[i].taken == 4, "%zu", p[i].taken);
    }
    snprintf(v->town->shared, sizeof(v->town->shared), "2");
    push_note(v->town->push, PUSH_CONFIG, "service");
    live(v, 500);
    for (unsigned i = 0; i < 6; i++)
        CHECK(proxy_has(&p[i], RESOURCE_CLUSTER, "shared", "2") && p[i].taken == 6,
              "only what changed: %zu", p[i].taken);
    for (unsigned i = 0; i < 6; i++)
        proxy_close(&p[i]);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
}

TEST(push_gathers_configuration_and_lets_endpoints_out_at_once)
{
    struct village *v = village_open();
    struct proxy p;
    push_set_ready(v->town->push, true);
    settle_down(v, &p, "a");
    live(v, 1000);
    uint64_t from = loop_now_ms(v->m.pair->loop);
    for (unsigned i = 0; i < 20; i++) {
        push_note(v->town->push, PUSH_CONFIG, "virtualservice");
        live(v, 30);
    }
    CHECK(v->town->refreshes[PUSH_CONFIG] == 0, "%u", v->town->refreshes[PUSH_CONFIG]);
    live(v, 150);
    CHECK(v->town->refreshes[PUSH_CONFIG] == 1);
    (void)from;
    snprintf(v->town->shared, sizeof(v->town->shared), "9");
    push_note(v->town->push, PUSH_ENDPOINTS, "endpoint");
    live(v, 5);
    CHECK(v->town->refreshes[PUSH_ENDPOINTS] == 1 &&
          proxy_has(&p, RESOURCE_ENDPOINTS, "shared", "9"));
    for (unsigned i = 0; i < 10; i++)
        push_note(v->town->push, PUSH_ENDPOINTS, "endpoint");
    live(v, 500);
    CHECK(v->town->refreshes[PUSH_ENDPOINTS] == 2);
    CHECK(stats_metric_total(v->town->stats, "pilot_push_triggers") == 31);
    CHECK(stats_metric_total(v->town->stats, "pilot_debounce_time") == 3);
    CHECK(stats_metric_total(v->town->stats, "pilot_proxy_convergence_time") >= 2);
    CHECK(stats_metric_total(v->town->stats, "pilot_xds_pushes") >= 4);
    proxy_close(&p);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
}

TEST(push_refuses_whom_the_source_refuses_and_moves_who_changes_class)
{
    struct village *v = village_open();
    struct proxy a, b;
    snprintf(v->town->refuse, sizeof(v->town->refuse), "b");
    push_set_ready(v->town->push, true);
    settle_down(v, &a, "a");
    settle_down(v, &b, "b");
    live(v, 300);
    CHECK(a.taken == 4 && b.taken == 0);
    CHECK(strcmp(b.reason, "PERMISSION_DENIED: not in this town") == 0, "%s", b.reason);
    v->town->refuse[0] = '\0';
    live(v, 60000);
    CHECK(b.taken == 4);
    snprintf(v->town->refuse, sizeof(v->town->refuse), "a");
    push_reclassify(v->town->push);
    live(v, 50);
    CHECK(strcmp(a.reason, "PERMISSION_DENIED: not in this town") == 0 && b.connects == 1);
    proxy_close(&a);
    proxy_close(&b);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
}

TEST(push_forgets_a_class_that_nobody_has_had_for_a_minute)
{
    struct village *v = village_open();
    struct proxy p;
    push_set_ready(v->town->push, true);
    settle_down(v, &p, "a");
    live(v, 300);
    proxy_close(&p);
    live(v, 50000);
    CHECK(v->town->gone == 1 && v->town->forgets == 0);
    settle_down(v, &p, "a");
    live(v, 50000);
    CHECK(v->town->builds == 1 && v->town->forgets == 0 && p.taken == 4);
    proxy_close(&p);
    live(v, 61000);
    CHECK(v->town->forgets == 1 && push_proxy_count(v->town->push) == 0);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
}

TEST(push_waits_for_a_view_that_is_not_known_yet)
{
    struct village *v = village_open();
    struct proxy p;
    v->town->unknown = true;
    push_set_ready(v->town->push, true);
    settle_down(v, &p, "a");
    live(v, 5000);
    CHECK(p.updates == 0);
    push_note(v->town->push, PUSH_CONFIG, "service");
    live(v, 500);
    CHECK(p.taken == 4);
    proxy_close(&p);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
}

static struct buffer asked;
static void note_row(void *to, const struct push_status *status)
{
    (void)to;
    buffer_format(&asked, "%s %.*s CDS %s EDS %s LDS %s; ", status->peer->node_id,
                  SLICE_ARG(status->class_key), push_status_word(&status->types[RESOURCE_CLUSTER]),
                  push_status_word(&status->types[RESOURCE_ENDPOINTS]),
                  push_status_word(&status->types[RESOURCE_LISTENER]));
}
static void ask(struct village *v)
{
    buffer_reset(&asked);
    live(v, 100);
    push_each(v->town->push, note_row, NULL);
}

TEST(push_tells_what_each_proxy_has_acknowledged)
{
    struct village *v = village_open();
    struct proxy a, b;
    push_set_ready(v->town->push, true);
    settle_down(v, &b, "b");
    settle_down(v, &a, "a");
    b.refuse = "2";
    live(v, 300);
    ask(v);
    CHECK(buffer_equals(&asked, "proxy-b b CDS SYNCED EDS SYNCED LDS IGNORED; "
                                "proxy-a a CDS SYNCED EDS SYNCED LDS IGNORED; "),
          "%s", asked.data);
    snprintf(v->town->shared, sizeof(v->town->shared), "2");
    push_note(v->town->push, PUSH_CONFIG, "service");
    live(v, 500);
    ask(v);
    CHECK(buffer_equals(&asked, "proxy-b b CDS ERROR EDS ERROR LDS IGNORED; "
                                "proxy-a a CDS SYNCED EDS SYNCED LDS IGNORED; "),
          "%s", asked.data);
    CHECK(stats_metric_total(v->town->stats, "pilot_total_xds_rejects") == 2);
    CHECK(stats_metric_total(v->town->stats, "pilot_xds_cds_reject") == 1);
    proxy_close(&a);
    proxy_close(&b);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
    buffer_fini(&asked);
}

static char syncz[2048];
static void note_syncz(void *owner, struct slice message)
{
    (void)owner;
    struct arena arena;
    arena_init(&arena, NULL);
    const Envoy__Service__Discovery__V3__DiscoveryResponse *m =
        pb_decode(&envoy__service__discovery__v3__discovery_response__descriptor, message, &arena,
                  NULL, NULL);
    CHECK(m && strcmp(m->type_url, "istio.io/debug/syncz") == 0);
    CHECK(strcmp(m->control_plane->identifier, "tulled test") == 0);
    for (size_t i = 0; i < m->n_resources; i++) {
        CHECK(strcmp(m->resources[i]->type_url,
                     "type.googleapis.com/envoy.service.status.v3.ClientConfig") == 0);
        const Envoy__Service__Status__V3__ClientConfig *c =
            pb_decode(&envoy__service__status__v3__client_config__descriptor,
                      pb_bytes(m->resources[i]->value), &arena, NULL, NULL);
        size_t at = strlen(syncz);
        at += (size_t)snprintf(syncz + at, sizeof(syncz) - at, "%s:", c->node->id);
        for (size_t t = 0; t < c->n_generic_xds_configs; t++)
            at += (size_t)snprintf(syncz + at, sizeof(syncz) - at, " %s=%d",
                                   strrchr(c->generic_xds_configs[t]->type_url, '.') + 1,
                                   (int)c->generic_xds_configs[t]->config_status);
        snprintf(syncz + at, sizeof(syncz) - at, "; ");
    }
    arena_fini(&arena);
}
static const struct rpc_call_handler syncz_handler = {.on_message = note_syncz,
                                                      .on_end = heard_end};

TEST(push_answers_syncz_as_istioctl_reads_it)
{
    struct village *v = village_open();
    struct proxy a;
    struct heard h = {0};
    push_set_ready(v->town->push, true);
    settle_down(v, &a, "a");
    live(v, 300);
    struct arena arena;
    arena_init(&arena, NULL);
    Envoy__Service__Discovery__V3__DiscoveryRequest *request =
        pb_new(&arena, &envoy__service__discovery__v3__discovery_request__descriptor);
    request->node = pb_new(&arena, &envoy__config__core__v3__node__descriptor);
    request->node->id = arena_copy_str(&arena, "sidecar~0.0.0.0~debug~cluster.local");
    request->type_url = arena_copy_str(&arena, "istio.io/debug/syncz");
    h.call = rpc_client_grpc(
        v->m.pair->client,
        &(struct rpc_call_config){
            .path =
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"},
        &syncz_handler, &h);
    CHECK(rpc_call_send(h.call, pb_pack_to(&request->base, &arena)));
    live(v, 100);
    CHECK(strcmp(syncz, "proxy-a: Cluster=1 ClusterLoadAssignment=1; ") == 0, "%s", syncz);
    CHECK(push_proxy_count(v->town->push) == 1, "who only asks is no proxy");
    arena_fini(&arena);
    proxy_close(&a);
    struct town *town = v->town;
    village_close(v);
    town_close(town);
}
