#include "xds/ads_server.h"

#include "xds/discovery.h"
#include "xds/mesh.h"

static const char delta_path[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
static const char sotw_path[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/* A raw client: packs requests with the generated types and notes what comes. */
struct raw {
    struct rpc_client *client;
    struct rpc_call *call;
    struct buffer text;
    bool ended;
    bool sotw;
    char nonce[64];
};

static void raw_message(void *owner, struct slice message)
{
    struct raw *raw = owner;
    struct arena arena;
    arena_init(&arena, NULL);
    if (raw->sotw) {
        const Envoy__Service__Discovery__V3__DiscoveryResponse *m =
            pb_decode(&envoy__service__discovery__v3__discovery_response__descriptor, message,
                      &arena, NULL, NULL);
        CHECK(m);
        buffer_format(&raw->text, "[%s",
                      strrchr(m->type_url, '.') ? strrchr(m->type_url, '.') + 1 : m->type_url);
        for (size_t i = 0; i < m->n_resources; i++)
            buffer_format(&raw->text, " %.*s", SLICE_ARG(pb_bytes(m->resources[i]->value)));
        snprintf(raw->nonce, sizeof(raw->nonce), "%s", m->nonce);
    } else {
        struct delta_response r;
        CHECK(discovery_read_delta_response(message, &arena, &r, NULL, NULL));
        buffer_format(&raw->text, "[%.*s", SLICE_ARG(r.type_url));
        for (size_t i = 0; i < r.resource_count; i++)
            buffer_format(&raw->text, " %.*s", SLICE_ARG(r.resources[i].name));
        snprintf(raw->nonce, sizeof(raw->nonce), "%.*s", SLICE_ARG(r.nonce));
    }
    buffer_append_str(&raw->text, "]");
    arena_fini(&arena);
}
static void raw_end(void *owner, const struct rpc_end *end)
{
    struct raw *raw = owner;
    raw->ended = true;
    buffer_format(&raw->text, "end=%s:%.*s", grpc_code_name(end->code), SLICE_ARG(end->message));
}
static const struct rpc_call_handler raw_handler = {.on_message = raw_message, .on_end = raw_end};

static void raw_open(struct raw *raw, struct mesh *m, bool sotw)
{
    struct rpc_client_config config = {.target = {.host = "10.0.0.1", .port = 8080}};
    *raw = (struct raw){.sotw = sotw};
    raw->client = rpc_client_create(&m->pair->means, &config);
    raw->call = rpc_client_grpc(raw->client,
                                &(struct rpc_call_config){.path = sotw ? sotw_path : delta_path},
                                &raw_handler, raw);
}

static void raw_close(struct raw *raw)
{
    rpc_client_close(raw->client);
    buffer_fini(&raw->text);
}

static void sotw_ask(struct raw *raw, const char *id, const char *type_url, const char *name)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Envoy__Service__Discovery__V3__DiscoveryRequest *request =
        pb_new(&arena, &envoy__service__discovery__v3__discovery_request__descriptor);
    if (id) {
        request->node = pb_new(&arena, &envoy__config__core__v3__node__descriptor);
        request->node->id = arena_copy_str(&arena, id);
    }
    request->type_url = arena_copy_str(&arena, type_url);
    request->response_nonce = arena_copy_str(&arena, raw->nonce);
    if (name)
        PB_APPEND(&arena, request, resource_names, arena_copy_str(&arena, name));
    CHECK(rpc_call_send(raw->call, pb_pack_to(&request->base, &arena)));
    arena_fini(&arena);
}

TEST(ads_server_serves_the_state_of_the_world)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    mesh_edit(m, RESOURCE_LISTENER, "echo:80=L other=M");
    mesh_publish(m);
    raw_open(&raw, m, true);
    sotw_ask(&raw, "grpc", resource_type_url(RESOURCE_LISTENER), "echo:80");
    pair_run(m->pair, NULL, 100);
    CHECK(buffer_equals(&raw.text, "[Listener L]"), "%s", raw.text.data);
    sotw_ask(&raw, NULL, resource_type_url(RESOURCE_LISTENER), "echo:80");
    pair_run(m->pair, NULL, 100);
    CHECK(m->answers == 1 && m->settled == 1);
    mesh_edit(m, RESOURCE_LISTENER, "echo:80=N other=P");
    mesh_publish(m);
    pair_run(m->pair, NULL, 100);
    CHECK(buffer_equals(&raw.text, "[Listener L][Listener N]"), "%s", raw.text.data);
    raw_close(&raw);
    pair_run(m->pair, NULL, 1000);
    CHECK(m->gone == 1 && ads_server_count(m->server) == 0);
    mesh_close(m);
}

TEST(ads_server_is_silent_until_its_source_answers)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    raw_open(&raw, m, true);
    sotw_ask(&raw, "p", resource_type_url(RESOURCE_CLUSTER), NULL);
    pair_run(m->pair, NULL, 60000);
    CHECK(!raw.text.data && m->announced == 1, "%s", raw.text.data);
    mesh_edit(m, RESOURCE_CLUSTER, "a=A");
    mesh_publish(m);
    pair_run(m->pair, NULL, 100);
    CHECK(buffer_equals(&raw.text, "[Cluster A]"), "%s", raw.text.data);
    raw_close(&raw);
    mesh_close(m);
}

TEST(ads_server_refuses_whom_its_source_refuses)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    m->refuse = true;
    raw_open(&raw, m, true);
    sotw_ask(&raw, "p", resource_type_url(RESOURCE_CLUSTER), NULL);
    pair_run(m->pair, &raw.ended, 1000);
    CHECK(buffer_equals(&raw.text, "end=PERMISSION_DENIED:not you"), "%s", raw.text.data);
    raw_close(&raw);
    mesh_close(m);
}

TEST(ads_server_wants_a_node_and_readable_requests)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    raw_open(&raw, m, true);
    sotw_ask(&raw, NULL, resource_type_url(RESOURCE_CLUSTER), NULL);
    pair_run(m->pair, &raw.ended, 1000);
    CHECK(strstr(raw.text.data, "end=INVALID_ARGUMENT:the first request"), "%s", raw.text.data);
    raw_close(&raw);
    raw_open(&raw, m, false);
    CHECK(rpc_call_send(raw.call, SLICE("\x12\x80")));
    pair_run(m->pair, &raw.ended, 1000);
    CHECK(strstr(raw.text.data, "end=INVALID_ARGUMENT"), "%s", raw.text.data);
    CHECK(m->announced == 0);
    raw_close(&raw);
    mesh_close(m);
}

TEST(ads_server_answers_debug_pages_without_serving)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    raw_open(&raw, m, true);
    sotw_ask(&raw, "istioctl", "istio.io/debug/syncz", NULL);
    pair_run(m->pair, NULL, 1000);
    CHECK(buffer_equals(&raw.text, "[io/debug/syncz istioctl]"), "%s", raw.text.data);
    CHECK(m->announced == 0);
    raw_close(&raw);
    mesh_close(m);
}

TEST(ads_server_says_nothing_of_types_that_it_does_not_know)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    mesh_edit(m, RESOURCE_CLUSTER, "a=A");
    mesh_publish(m);
    raw_open(&raw, m, true);
    sotw_ask(&raw, "p", "type.googleapis.com/istio.v1.HealthInformation", NULL);
    sotw_ask(&raw, NULL, "type.googleapis.com/istio.workload.Address", NULL);
    pair_run(m->pair, NULL, 1000);
    CHECK(!raw.text.data && !raw.ended);
    raw_close(&raw);
    mesh_close(m);
}

TEST(ads_server_limits_streams_and_requests)
{
    struct ads_server_limits limits = {.max_streams = 2, .max_requests = 5};
    struct mesh *m = mesh_open(&limits, 1);
    struct raw raw[3];
    for (unsigned i = 0; i < 3; i++)
        raw_open(&raw[i], m, true);
    pair_run(m->pair, NULL, 100);
    CHECK(!raw[0].ended && !raw[1].ended && raw[2].ended);
    CHECK(strstr(raw[2].text.data, "end=UNAVAILABLE:too many streams"), "%s", raw[2].text.data);
    for (unsigned i = 0; i < 6; i++)
        sotw_ask(&raw[0], "p", "strange", NULL);
    pair_run(m->pair, &raw[0].ended, 100);
    CHECK(strstr(raw[0].text.data, "end=RESOURCE_EXHAUSTED"), "%s", raw[0].text.data);
    for (unsigned i = 0; i < 20; i++) { /* five a second are fine */
        sotw_ask(&raw[1], "p", "strange", NULL);
        pair_run(m->pair, NULL, 250);
    }
    CHECK(!raw[1].ended);
    for (unsigned i = 0; i < 3; i++)
        raw_close(&raw[i]);
    mesh_close(m);
}

TEST(ads_server_closes_a_stream_that_never_answers)
{
    struct ads_server_limits limits = {.stale_ms = 3000, .dead_ms = 10000};
    struct mesh *m = mesh_open(&limits, 1);
    struct raw raw;
    struct ads_stream_status status;
    mesh_edit(m, RESOURCE_CLUSTER, "a=A");
    mesh_publish(m);
    raw_open(&raw, m, true);
    sotw_ask(&raw, "p", resource_type_url(RESOURCE_CLUSTER), NULL);
    pair_run(m->pair, NULL, 2000);
    CHECK(ads_server_stream(m->server, m->streams[0], &status) && !status.stale);
    pair_run(m->pair, NULL, 3000);
    CHECK(ads_server_stream(m->server, m->streams[0], &status) && status.stale);
    CHECK(ads_server_totals(m->server)->stale_streams == 1);
    pair_run(m->pair, &raw.ended, 10000);
    CHECK(strstr(raw.text.data, "end=UNAVAILABLE:responses were not answered"), "%s",
          raw.text.data);
    CHECK(ads_server_totals(m->server)->dead_streams == 1 && m->gone == 1);
    raw_close(&raw);
    mesh_close(m);
}

static void mesh_add_big(struct mesh *m, size_t size)
{
    char *body = mem_alloc(size + 1);
    memset(body, 'x', size);
    body[size] = '\0';
    struct blob *blob = blob_create(RESOURCE_CLUSTER, SLICE("big"), slice_of(body, size));
    struct blob_edit edit = {SLICE("big"), blob};
    struct blob_table *empty = blob_table_create();
    m->tables[RESOURCE_CLUSTER] = blob_table_edit(empty, &edit, 1);
    blob_table_unref(empty);
    blob_unref(blob);
    mem_free(body);
}

TEST(ads_server_composes_nothing_while_much_is_untaken_but_waits_for_nobody_who_stands)
{
    struct ads_server_limits limits = {.max_untaken = 100000};
    struct mesh *m = mesh_open(&limits, 1);
    struct raw raw[3];
    const struct ads_server_totals *totals = ads_server_totals(m->server);
    mesh_add_big(m, 3000000);
    mesh_publish(m);
    for (unsigned i = 0; i < COUNT(raw); i++) {
        raw_open(&raw[i], m, true);
        if (i != 1)
            rpc_call_pause(raw[i].call);
        sotw_ask(&raw[i], "p", resource_type_url(RESOURCE_CLUSTER), NULL);
    }
    pair_run(m->pair, NULL, 1000);
    CHECK(totals->responses[RESOURCE_CLUSTER] == 1, "%llu",
          (unsigned long long)totals->responses[RESOURCE_CLUSTER]);
    pair_run(m->pair, NULL, 9000);
    CHECK(totals->responses[RESOURCE_CLUSTER] == 3, "%llu",
          (unsigned long long)totals->responses[RESOURCE_CLUSTER]);
    for (unsigned i = 0; i < COUNT(raw); i++)
        raw_close(&raw[i]);
    mesh_close(m);
}

TEST(ads_server_breaks_off_a_stream_that_takes_nothing)
{
    struct ads_server_limits limits = {.stale_ms = 3000, .dead_ms = 10000};
    struct mesh *m = mesh_open(&limits, 1);
    struct raw raw;
    char *body = mem_alloc(3000001);
    memset(body, 'x', 3000000);
    body[3000000] = '\0';
    struct blob *blob = blob_create(RESOURCE_CLUSTER, SLICE("big"), slice_str(body));
    struct blob_edit edit = {SLICE("big"), blob};
    struct blob_table *empty = blob_table_create();
    m->tables[RESOURCE_CLUSTER] = blob_table_edit(empty, &edit, 1);
    blob_table_unref(empty);
    blob_unref(blob);
    mesh_publish(m);
    raw_open(&raw, m, true);
    rpc_call_pause(raw.call);
    sotw_ask(&raw, "p", resource_type_url(RESOURCE_CLUSTER), NULL);
    pair_run(m->pair, &raw.ended, 30000);
    CHECK(ads_server_count(m->server) == 0 && ads_server_totals(m->server)->dead_streams == 1);
    mem_free(body);
    raw_close(&raw);
    mesh_close(m);
}

TEST(ads_server_that_drains_ends_its_streams_with_a_word)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    raw_open(&raw, m, true);
    sotw_ask(&raw, "p", resource_type_url(RESOURCE_CLUSTER), NULL);
    pair_run(m->pair, NULL, 100);
    ads_server_drain(m->server);
    pair_run(m->pair, &raw.ended, 1000);
    CHECK(strstr(raw.text.data, "end=UNAVAILABLE:the control plane ends; connect again"), "%s",
          raw.text.data);
    CHECK(m->gone == 1 && ads_server_count(m->server) == 0);
    raw_close(&raw);
    mesh_close(m);
}

TEST(ads_server_may_go_with_streams_open)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct raw raw;
    raw_open(&raw, m, true);
    sotw_ask(&raw, "p", resource_type_url(RESOURCE_CLUSTER), NULL);
    pair_run(m->pair, NULL, 100);
    ads_server_destroy(m->server);
    pair_run(m->pair, &raw.ended, 1000);
    CHECK(strstr(raw.text.data, "end=UNAVAILABLE:the control plane is going away"), "%s",
          raw.text.data);
    CHECK(m->gone == 0, "nothing is reported");
    raw_close(&raw);
    rpc_server_close(m->pair->server);
    m->pair->server = rpc_server_create(&m->pair->means, NULL);
    m->server =
        ads_server_create(m->pair->loop, m->pair->server, NULL, SLICE("x"), &mesh_source, m);
    mesh_close(m);
}
