#include "xds/ads_server.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "rpc/server.h"
#include "xds/ads_server_internal.h"
#include "xds/view.h"

enum { TICK_MS = 1000 };

static void set_defaults(struct ads_server_limits *limits)
{
#define DEFAULT(field, value) limits->field = limits->field ? limits->field : (value)
    DEFAULT(max_streams, 16384);
    DEFAULT(max_stream_starts, 1000);
    DEFAULT(max_requests, 1000);
    DEFAULT(turn_bytes, 8 * 1024 * 1024);
    DEFAULT(turn_us, 4000);
    DEFAULT(max_untaken, 64 * 1024 * 1024);
    DEFAULT(stale_ms, 30000);
    DEFAULT(dead_ms, 300000);
    DEFAULT(session.max_names, ads_session_default_limits.max_names);
    DEFAULT(session.max_response_bytes, ads_session_default_limits.max_response_bytes);
    DEFAULT(session.max_response_resources, ads_session_default_limits.max_response_resources);
    DEFAULT(session.order_wait_ms, ads_session_default_limits.order_wait_ms);
#undef DEFAULT
}

/* The pump: streams take turns with one response each, until a turn of the loop has had its share. */

/* Peers have taken much of what was sent meanwhile, and only some of it was noticed. */
static bool is_too_much_untaken(struct ads_server *server)
{
    if (server->untaken < server->limits.max_untaken)
        return false;
    LIST_EACH_SAFE(node, after, &server->owed)
    ads_stream_count_untaken(LIST_ENTRY(node, struct ads_stream, owed));
    return server->untaken >= server->limits.max_untaken;
}

static void pump(struct task *task)
{
    struct ads_server *server = CONTAINER_OF(task, struct ads_server, pump);
    if (is_too_much_untaken(server))
        return; /* whoever takes, answers or goes, and the tick, bring us back */
    uint64_t bytes_end = server->totals.bytes + server->limits.turn_bytes;
    uint64_t us_end = clock_now_us() + server->limits.turn_us;
    while (!list_is_empty(&server->ready)) {
        if (server->totals.bytes >= bytes_end || clock_now_us() >= us_end ||
            server->untaken >= server->limits.max_untaken) {
            loop_run_next_turn(server->loop, &server->pump);
            return;
        }
        struct ads_stream *stream = LIST_ENTRY(server->ready.next, struct ads_stream, ready);
        list_remove(&stream->ready);
        if (ads_stream_send(stream)) {
            list_push_back(&server->ready, &stream->ready);
            stream->queued_us = clock_now_us();
        }
    }
}

void ads_server_ready(struct ads_server *server, struct ads_stream *stream)
{
    if (list_is_empty(&stream->ready)) {
        list_push_back(&server->ready, &stream->ready);
        stream->queued_us = clock_now_us();
    }
    if (!task_is_queued(&server->pump))
        loop_run_later(server->loop, &server->pump);
}

static void on_tick(struct timer *timer)
{
    struct ads_server *server = CONTAINER_OF(timer, struct ads_server, tick);
    LIST_EACH_SAFE(node, after, &server->streams)
    ads_stream_tick(LIST_ENTRY(node, struct ads_stream, node));
    if (!list_is_empty(&server->ready) && !task_is_queued(&server->pump))
        loop_run_later(server->loop, &server->pump);
    loop_timer_start(server->loop, &server->tick, TICK_MS, on_tick);
}

/* Life. */

struct ads_server *ads_server_create(struct loop *loop, struct rpc_server *rpc,
                                     const struct ads_server_limits *limits,
                                     struct slice identifier, const struct ads_source *source,
                                     void *owner)
{
    struct ads_server *server = mem_new(struct ads_server);
    server->loop = loop;
    if (limits)
        server->limits = *limits;
    set_defaults(&server->limits);
    server->identifier = slice_to_str(identifier);
    server->source = source;
    server->owner = owner;
    server->starts = (struct ads_bucket){server->limits.max_stream_starts, loop_now_ms(loop)};
    server->nack_logs = (struct ads_bucket){1, loop_now_ms(loop)};
    arena_init(&server->scratch, NULL);
    list_init(&server->streams);
    list_init(&server->ready);
    list_init(&server->owed);
    task_init(&server->pump, pump);
    loop_timer_start(loop, &server->tick, TICK_MS, on_tick);
    rpc_server_add_grpc(
        rpc, "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        &ads_delta_service, server);
    rpc_server_add_grpc(
        rpc, "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
        &ads_sotw_service, server);
    return server;
}

void ads_server_drain(struct ads_server *server)
{
    LIST_EACH_SAFE(node, after, &server->streams)
    ads_stream_end(LIST_ENTRY(node, struct ads_stream, node), GRPC_UNAVAILABLE,
                   SLICE("the control plane ends; connect again"));
}

static void reap(struct task *task)
{
    struct ads_server *server = CONTAINER_OF(task, struct ads_server, reap);
    ads_response_fini(&server->response);
    arena_fini(&server->scratch);
    mem_free(server->identifier);
    mem_free(server);
}

void ads_server_destroy(struct ads_server *server)
{
    if (!server)
        return;
    LIST_EACH_SAFE(node, after, &server->streams)
    ads_stream_discard(LIST_ENTRY(node, struct ads_stream, node));
    loop_task_cancel(&server->pump);
    loop_timer_stop(server->loop, &server->tick);
    /* An exchange that was ended above still tells its on_close in this turn. */
    task_init(&server->reap, reap);
    loop_reap_later(server->loop, &server->reap);
}

/* What the source says. */

static struct ads_stream *find(const struct ads_server *server, uint64_t name)
{
    return handle_get(loop_handles(server->loop), name);
}

void ads_server_serve(struct ads_server *server, uint64_t name, const struct view *view,
                      struct refusals *refusals)
{
    struct ads_stream *stream = find(server, name);
    if (!stream)
        return;
    stream->generation = view_generation(view);
    ads_session_set_refusals(stream->session, refusals);
    ads_session_see(stream->session, view);
    ads_server_ready(server, stream);
}

void ads_server_refuse(struct ads_server *server, uint64_t name, enum grpc_code code,
                       struct slice reason)
{
    struct ads_stream *stream = find(server, name);
    if (!stream)
        return;
    server->totals.refused_streams++;
    ads_stream_end(stream, code, reason);
}

void ads_server_debug(struct ads_server *server, uint64_t name, struct slice page,
                      const struct discovery_any *resources, size_t count)
{
    struct ads_stream *stream = find(server, name);
    if (!stream)
        return;
    struct buffer message = {0};
    owned_str type_url = str_format("istio.io/debug/%.*s", SLICE_ARG(page));
    discovery_write_any(stream->variant, slice_str(type_url), resources, count,
                        slice_str(server->identifier), &message);
    if (!rpc_exchange_send(stream->exchange, buffer_slice(&message)))
        ads_stream_end(stream, GRPC_RESOURCE_EXHAUSTED, SLICE("no memory is left for a response"));
    buffer_fini(&message);
}

/* What people ask. */

bool ads_server_stream(const struct ads_server *server, uint64_t name,
                       struct ads_stream_status *status)
{
    const struct ads_stream *stream = find(server, name);
    if (!stream || !stream->session)
        return false;
    *status = (struct ads_stream_status){
        .stream = stream->name,
        .peer = &stream->peer,
        .session = stream->session,
        .connected_ms = stream->connected_ms,
        .connected_wall_us = stream->connected_wall_us,
        .stale = stream->stale,
        .generation = stream->generation,
    };
    return true;
}

size_t ads_server_count(const struct ads_server *server)
{
    return server->count;
}

const struct ads_server_totals *ads_server_totals(const struct ads_server *server)
{
    return &server->totals;
}
