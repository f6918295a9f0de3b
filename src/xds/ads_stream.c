#include "base/chain.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/address.h"
#include "rpc/exchange.h"
#include "tls/identity.h"
#include "xds/ads_server_internal.h"
#include "xds/delta_server.h"
#include "xds/sotw_server.h"
#include "xds/view.h"

enum { LOG_REASON_MAX = 300, LOG_NACKS_PER_S = 1, STANDING_MS = 2000 };

static const struct slice debug_prefix = {"istio.io/debug/", 15};

bool ads_bucket_take(struct ads_bucket *bucket, uint32_t rate, uint64_t now_ms)
{
    double passed_s = (double)(now_ms - bucket->since_ms) / 1000;
    bucket->tokens = MIN(bucket->tokens + passed_s * rate, (double)rate);
    bucket->since_ms = now_ms;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

/* The end of a stream. */

static void forget(struct ads_stream *stream)
{
    struct ads_server *server = stream->server;
    rpc_exchange_set_state(stream->exchange, NULL);
    handle_drop(loop_handles(server->loop), stream->name);
    list_remove(&stream->node);
    list_remove(&stream->ready);
    list_remove(&stream->owed);
    server->untaken -= stream->untaken;
    server->count--;
    ads_session_destroy(stream->session);
    arena_fini(&stream->strings);
    mem_free(stream);
}

void ads_stream_end(struct ads_stream *stream, enum grpc_code code, struct slice message)
{
    rpc_exchange_end(stream->exchange, code, message);
}

void ads_stream_discard(struct ads_stream *stream)
{
    rpc_exchange_end(stream->exchange, GRPC_UNAVAILABLE, SLICE("the control plane is going away"));
    forget(stream);
}

static void on_close(void *owner, struct rpc_exchange *exchange)
{
    struct ads_server *server = owner;
    struct ads_stream *stream = rpc_exchange_state(exchange);
    if (!stream)
        return;
    if (stream->announced)
        server->source->on_gone(server->owner, stream->name, &stream->peer);
    forget(stream);
}

static void on_end(void *owner, struct rpc_exchange *exchange)
{
    (void)owner;
    rpc_exchange_end(exchange, GRPC_OK, SLICE_NONE);
}

/* The beginning. */

static void open_stream(struct ads_server *server, struct rpc_exchange *exchange,
                        enum ads_variant variant)
{
    uint64_t now_ms = loop_now_ms(server->loop);
    if (server->count >= server->limits.max_streams ||
        !ads_bucket_take(&server->starts, server->limits.max_stream_starts, now_ms)) {
        server->totals.refused_streams++;
        rpc_exchange_end(exchange, GRPC_UNAVAILABLE, SLICE("too many streams; try again later"));
        return;
    }
    struct ads_stream *stream = mem_new(struct ads_stream);
    stream->server = server;
    stream->exchange = exchange;
    stream->variant = variant;
    stream->name = handle_new(loop_handles(server->loop), stream);
    stream->requests = (struct ads_bucket){server->limits.max_requests, now_ms};
    stream->connected_ms = now_ms;
    stream->connected_wall_us = loop_wall_us(server->loop);
    arena_init(&stream->strings, NULL);
    list_init(&stream->ready);
    list_init(&stream->owed);
    list_push_back(&server->streams, &stream->node);
    server->count++;
    server->totals.streams++;
    rpc_exchange_set_state(exchange, stream);
}

static void on_open_delta(void *owner, struct rpc_exchange *exchange)
{
    open_stream(owner, exchange, ADS_DELTA);
}

static void on_open_sotw(void *owner, struct rpc_exchange *exchange)
{
    open_stream(owner, exchange, ADS_SOTW);
}

static void describe_peer(struct ads_stream *stream, const struct discovery_node *node)
{
    const struct peer_identity *identity = rpc_exchange_identity(stream->exchange);
    struct slice token = rpc_exchange_header(stream->exchange, "authorization");
    struct address address = rpc_exchange_peer(stream->exchange);
    struct arena *arena = &stream->strings;
    char text[ADDRESS_TEXT];
    address_format(&address, text);
    stream->peer = (struct ads_peer){
        .node_id = arena_copy_str(arena, node->id),
        .cluster = arena_copy_str(arena, node->cluster),
        .user_agent = arena_copy_str(arena, node->user_agent),
        .user_agent_version = arena_copy_str(arena, node->user_agent_version),
        .node = slice_of(arena_copy(arena, node->packed), node->packed.size),
        .identity =
            identity && identity->id.text.size > 0 ? arena_copy(arena, identity->id.text) : NULL,
        .token = token.data ? arena_copy(arena, token) : NULL,
        .address = arena_copy_str(arena, text),
        .encrypted = rpc_exchange_is_encrypted(stream->exchange),
        .variant = stream->variant,
    };
}

/* Refusals hold across reconnects of one client, so it is named by what does not change then. */
static void open_session(struct ads_stream *stream, const struct discovery_node *node)
{
    describe_peer(stream, node);
    const struct ads_peer *peer = &stream->peer;
    owned_str client = str_format("%s %s", peer->identity ? peer->identity : "-", peer->node_id);
    stream->session = ads_session_create(stream->variant, &stream->server->limits.session,
                                         slice_str(client), NULL);
    ads_session_set_fresh_endpoints(stream->session, strcmp(peer->user_agent, "envoy") == 0);
}

static void announce(struct ads_stream *stream)
{
    struct ads_server *server = stream->server;
    if (stream->announced)
        return;
    stream->announced = true;
    server->source->on_stream(server->owner, stream->name, &stream->peer);
}

/* Requests. */

/* What the two variants of request have in common here. */
struct any_request {
    bool is_delta;
    struct delta_request delta;
    struct sotw_request sotw;
    struct slice type_url;
    struct discovery_node node;
};

static bool decode(struct ads_stream *stream, struct slice message, struct any_request *request,
                   struct error *error)
{
    struct arena *arena = &stream->server->scratch;
    request->is_delta = stream->variant == ADS_DELTA;
    bool read =
        request->is_delta
            ? discovery_read_delta_request(message, arena, &request->delta, &request->node, error)
            : discovery_read_sotw_request(message, arena, &request->sotw, &request->node, error);
    if (read)
        request->type_url = request->is_delta ? request->delta.type_url : request->sotw.type_url;
    return read;
}

static void end_with_error(struct ads_stream *stream, struct error *error)
{
    owned_str text = error_text(error, true);
    ads_stream_end(stream, GRPC_INVALID_ARGUMENT, slice_str(text));
}

static void log_nack(struct ads_stream *stream, enum resource_type type, const char *reason)
{
    struct ads_server *server = stream->server;
    if (ads_bucket_take(&server->nack_logs, LOG_NACKS_PER_S, loop_now_ms(server->loop)))
        log_warning("xds", "%s refused %s: %.*s", stream->peer.node_id, resource_type_short(type),
                    LOG_REASON_MAX, reason);
}

static void note_answer(struct ads_stream *stream, enum resource_type type, uint64_t acked,
                        uint64_t rejections)
{
    struct ads_server *server = stream->server;
    const struct ads_status *status = ads_session_status(stream->session, type);
    if (status->nonce_acked == acked)
        return;
    bool refused = status->rejections != rejections;
    server->totals.rejects[type] += refused;
    if (refused)
        log_nack(stream, type, status->error);
    if (stream->announced && server->source->on_answer)
        server->source->on_answer(server->owner, stream->name, type,
                                  refused ? status->error : NULL);
}

static void read_known(struct ads_stream *stream, const struct any_request *request,
                       enum resource_type type)
{
    uint64_t now_ms = loop_now_ms(stream->server->loop);
    const struct ads_status *status = ads_session_status(stream->session, type);
    uint64_t acked = status->nonce_acked, rejections = status->rejections;
    enum ads_verdict verdict = request->is_delta
                                   ? delta_server_read(stream->session, &request->delta, now_ms)
                                   : sotw_server_read(stream->session, &request->sotw, now_ms);
    switch (verdict) {
    case ADS_TAKEN: break;
    case ADS_STRANGE_TYPE: return;
    case ADS_TOO_MANY:
        ads_stream_end(stream, GRPC_RESOURCE_EXHAUSTED, SLICE("more names than max_names allows"));
        return;
    case ADS_BAD_NAME:
        ads_stream_end(stream, GRPC_INVALID_ARGUMENT,
                       SLICE("a resource name is empty or too long"));
        return;
    }
    note_answer(stream, type, acked, rejections);
    announce(stream);
    ads_server_ready(stream->server, stream);
}

static void read_debug(struct ads_stream *stream, struct slice type_url)
{
    struct ads_server *server = stream->server;
    struct slice page = slice_from(type_url, debug_prefix.size);
    if (server->source->on_debug)
        server->source->on_debug(server->owner, stream->name, &stream->peer, page);
    else
        ads_stream_end(stream, GRPC_UNIMPLEMENTED, SLICE("there are no debug pages here"));
}

static bool is_answer(const struct any_request *request)
{
    return (request->is_delta ? request->delta.nonce : request->sotw.nonce).size > 0;
}

static void on_message(void *owner, struct rpc_exchange *exchange, struct slice message)
{
    struct ads_server *server = owner;
    struct ads_stream *stream = rpc_exchange_state(exchange);
    struct any_request request;
    enum resource_type type;
    owned_error error = {0};
    if (!stream)
        return;
    server->totals.requests++;
    arena_reset(&server->scratch);
    if (!ads_bucket_take(&stream->requests, server->limits.max_requests,
                         loop_now_ms(server->loop))) {
        server->totals.refused_requests++;
        ads_stream_end(stream, GRPC_RESOURCE_EXHAUSTED,
                       SLICE("more requests than max_requests allows"));
    } else if (!decode(stream, message, &request, &error)) {
        end_with_error(stream, &error);
    } else if (!stream->session && !request.node.present) {
        ads_stream_end(stream, GRPC_INVALID_ARGUMENT,
                       SLICE("the first request of a stream must name its node"));
    } else {
        if (!stream->session)
            open_session(stream, &request.node);
        if (resource_type_of_url(request.type_url, &type))
            read_known(stream, &request, type);
        else if (slice_starts_with(request.type_url, debug_prefix) && !is_answer(&request))
            read_debug(stream, request.type_url);
        /* Other types (health reports, what newer clients ask for) get no answer, as none of their resources exist. */
    }
}

static void on_writable(void *owner, struct rpc_exchange *exchange)
{
    struct ads_stream *stream = rpc_exchange_state(exchange);
    if (!stream)
        return;
    ads_stream_count_untaken(stream);
    ads_server_ready(owner, stream);
}

const struct rpc_service ads_delta_service = {
    .on_open = on_open_delta,
    .on_message = on_message,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_close = on_close,
};
const struct rpc_service ads_sotw_service = {
    .on_open = on_open_sotw,
    .on_message = on_message,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_close = on_close,
};

/* Responses. */

/* One that stands still keeps what it has, but no other waits for it. */
void ads_stream_count_untaken(struct ads_stream *stream)
{
    struct ads_server *server = stream->server;
    uint64_t since_ms = rpc_exchange_stalled_since_ms(stream->exchange);
    uint64_t now_ms = loop_now_ms(server->loop);
    bool stands = since_ms < now_ms && now_ms - since_ms >= STANDING_MS;
    size_t untaken = stands ? 0 : rpc_exchange_backlog(stream->exchange);
    server->untaken = server->untaken - stream->untaken + untaken;
    stream->untaken = untaken;
    if (untaken == 0)
        list_remove(&stream->owed);
    else if (list_is_empty(&stream->owed))
        list_push_back(&server->owed, &stream->owed);
}

static void note_settled(struct ads_stream *stream)
{
    struct ads_server *server = stream->server;
    if (stream->settled_generation == stream->generation ||
        !ads_session_is_settled(stream->session))
        return;
    stream->settled_generation = stream->generation;
    if (server->source->on_settled)
        server->source->on_settled(server->owner, stream->name, stream->generation);
}

static bool write_response(struct ads_stream *stream, const struct ads_response *response)
{
    struct ads_server *server = stream->server;
    struct chain chain = {0};
    bool sent = discovery_write_response(response, slice_str(server->identifier), &chain,
                                         loop_blocks(server->loop)) &&
                rpc_exchange_send_chain(stream->exchange, &chain);
    chain_fini(&chain);
    return sent;
}

static void note_sent(struct ads_stream *stream, const struct ads_response *response,
                      uint64_t began_us, uint64_t composed_us)
{
    struct ads_server *server = stream->server;
    server->totals.responses[response->type]++;
    server->totals.resources[response->type] += response->blobs.count;
    server->totals.bytes += response->bytes;
    if (!server->source->on_sent)
        return;
    struct ads_sent sent = {.type = response->type,
                            .resources = response->blobs.count,
                            .bytes = response->bytes,
                            .queued_us = began_us - stream->queued_us,
                            .composed_us = composed_us - began_us,
                            .written_us = clock_now_us() - composed_us};
    server->source->on_sent(server->owner, stream->name, &sent);
}

bool ads_stream_send(struct ads_stream *stream)
{
    struct ads_server *server = stream->server;
    struct ads_response *response = &server->response;
    uint64_t began_us = clock_now_us();
    if (!stream->session || !rpc_exchange_is_writable(stream->exchange))
        return false;
    if (!ads_session_next(stream->session, loop_now_ms(server->loop), loop_wall_us(server->loop),
                          response)) {
        note_settled(stream);
        return false;
    }
    uint64_t composed_us = clock_now_us();
    if (!write_response(stream, response)) {
        ads_stream_end(stream, GRPC_RESOURCE_EXHAUSTED, SLICE("no memory is left for a response"));
        return false;
    }
    note_sent(stream, response, began_us, composed_us);
    ads_stream_count_untaken(stream);
    return true;
}

/* Since when the peer owes us something: room, or an answer. */
static uint64_t standing_since_ms(const struct ads_stream *stream)
{
    return MIN(rpc_exchange_stalled_since_ms(stream->exchange),
               ads_session_oldest_unanswered_ms(stream->session));
}

void ads_stream_tick(struct ads_stream *stream)
{
    struct ads_server *server = stream->server;
    if (!stream->session || rpc_exchange_is_finished(stream->exchange))
        return;
    uint64_t now_ms = loop_now_ms(server->loop), since_ms = standing_since_ms(stream);
    uint64_t stood_ms = since_ms < now_ms ? now_ms - since_ms : 0;
    bool stale = stood_ms >= server->limits.stale_ms;
    if (stale && !stream->stale) {
        server->totals.stale_streams++;
        log_warning("xds", "%s has taken nothing for %u s", stream->peer.node_id,
                    server->limits.stale_ms / 1000);
    }
    bool is_news = stale != stream->stale;
    stream->stale = stale;
    if (is_news && stream->announced && server->source->on_stale)
        server->source->on_stale(server->owner, stream->name, stale);
    if (stood_ms >= server->limits.dead_ms) {
        server->totals.dead_streams++;
        if (rpc_exchange_backlog(stream->exchange) > 0)
            rpc_exchange_reset(stream->exchange);
        else
            ads_stream_end(stream, GRPC_UNAVAILABLE,
                           SLICE("responses were not answered; connect again"));
    } else if (ads_session_next_ms(stream->session) <= now_ms) {
        ads_server_ready(server, stream);
    }
}
