#include "proxy/tcp/carrier.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "net/http_connection.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

#include <stdio.h>

/* Outlives the event in which its carrier closes: heads that are under way lie in it. */
struct carried {
    struct task reap;
    struct loop *loop;
    struct arena arena;
    struct slice authority;
};

static void on_reap(struct task *task)
{
    struct carried *carried = CONTAINER_OF(task, struct carried, reap);
    arena_fini(&carried->arena);
    mem_free(carried);
}

static void fail(struct carrier *carrier, enum pool_failure failure, const char *text)
{
    carrier_close(carrier);
    carrier->events->on_failed(carrier, failure, text);
}

/* --- the stream's events -------------------------------------------------------------------------------------- */

static void on_response(struct http_stream *stream, struct http_response *head, bool end)
{
    struct carrier *carrier = stream->owner;
    if (head->status < 200)
        return; /* informational: the answer is still to come */
    if (head->status > 299 || !stream->tunnel) {
        char text[80];
        snprintf(text, sizeof(text), "CONNECT was answered by %u", head->status);
        fail(carrier, POOL_CONNECT_FAILED, text);
        return;
    }
    struct chain none = {0};
    carrier->is_open = true;
    carrier->events->on_open(carrier);
    if (end)
        carrier->events->on_bytes(carrier, &none, true);
}

static void on_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct carrier *carrier = stream->owner;
    carrier->events->on_bytes(carrier, data, end);
}

static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct carrier *carrier = stream->owner;
    struct chain none = {0};
    (void)trailers;
    carrier->events->on_bytes(carrier, &none, true);
}

static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct carrier *carrier = stream->owner;
    bool was_open = carrier->is_open;
    (void)reset;
    carrier->stream = NULL;
    http_stream_release(stream);
    if (was_open)
        carrier->events->on_reset(carrier);
    else
        fail(carrier, POOL_CONNECT_FAILED, "the connection ended before CONNECT was answered");
}

static void on_sent(struct http_stream *stream, size_t bytes)
{
    struct carrier *carrier = stream->owner;
    (void)bytes;
    carrier->events->on_sent(carrier);
}

static const struct http_stream_events events = {.on_response = on_response,
                                                 .on_data = on_data,
                                                 .on_trailers = on_trailers,
                                                 .on_reset = on_reset,
                                                 .on_sent = on_sent};

/* --- the beginning -------------------------------------------------------------------------------------------- */

/* False when memory is refused. */
static bool begin(struct carrier *carrier, struct http_connection *connection)
{
    struct http_request head;
    carrier->stream =
        http_connection_open_stream(connection, &carrier->carried->arena, &events, carrier);
    if (!carrier->stream)
        return false;
    http_request_init(&head);
    head.method_text = SLICE("CONNECT");
    head.method = HTTP_CONNECT;
    head.authority = carrier->carried->authority;
    http_connection_set_stream_idle(carrier->stream, 0); /* the tunnel's own idle timeout holds */
    http_stream_send_request(carrier->stream, &head, false);
    return true;
}

static void on_ready(struct pool_waiter *waiter, struct http_connection *connection)
{
    struct carrier *carrier = CONTAINER_OF(waiter, struct carrier, waiter);
    carrier->is_waiting = false;
    if (!begin(carrier, connection))
        fail(carrier, POOL_NO_MEMORY, "no memory is left for a stream");
}

static void on_failed(struct pool_waiter *waiter, enum pool_failure failure, const char *text)
{
    struct carrier *carrier = CONTAINER_OF(waiter, struct carrier, waiter);
    carrier->is_waiting = false;
    fail(carrier, failure, text);
}

static enum http_pool pool_of(const struct cluster *cluster)
{
    switch (cluster->http) {
    case CLUSTER_HTTP2: return HTTP_POOL_2;
    case CLUSTER_HTTP_AUTO: return HTTP_POOL_AUTO;
    case CLUSTER_HTTP1:
    case CLUSTER_HTTP_DOWNSTREAM: break;
    }
    return HTTP_POOL_1;
}

bool carrier_start(struct carrier *carrier, struct host *host, struct slice authority,
                   const struct carrier_events *carrier_events)
{
    enum http_pool which = pool_of(host->upstream->cluster);
    struct carried *carried = mem_new(struct carried);
    *carrier = (struct carrier){.events = carrier_events, .carried = carried};
    task_init(&carried->reap, on_reap);
    carried->loop = host->worker->loop;
    arena_init(&carried->arena, NULL);
    carried->authority = slice_of(arena_copy(&carried->arena, authority), authority.size);
    list_init(&carrier->waiter.node);
    carrier->waiter.on_ready = on_ready;
    carrier->waiter.on_failed = on_failed;
    struct http_connection *connection = pool_borrow(host, which, true);
    if (connection) {
        bool has_begun = begin(carrier, connection);
        pool_opened(connection);
        if (!has_begun)
            carrier_close(carrier);
        return has_begun;
    }
    carrier->is_waiting = pool_wait(host, which, &carrier->waiter) == NULL;
    if (!carrier->is_waiting)
        carrier_close(carrier);
    return carrier->is_waiting;
}

void carrier_close(struct carrier *carrier)
{
    struct http_stream *stream = carrier->stream;
    if (!carrier->carried)
        return;
    if (carrier->is_waiting)
        pool_cancel(&carrier->waiter);
    carrier->stream = NULL;
    if (stream) {
        if (!http_stream_is_whole(stream))
            http_stream_reset(stream, HTTP_RESET_CANCEL);
        http_stream_release(stream);
    }
    loop_reap_later(carrier->carried->loop, &carrier->carried->reap);
    carrier->carried = NULL;
    carrier->is_waiting = carrier->is_open = false;
}

/* --- bytes ---------------------------------------------------------------------------------------------------- */

void carrier_send(struct carrier *carrier, struct chain *bytes, bool end)
{
    if (carrier->stream)
        http_stream_send_data(carrier->stream, bytes, end);
    else
        chain_fini(bytes);
}

void carrier_consumed(struct carrier *carrier, size_t size)
{
    if (carrier->stream)
        http_stream_consumed(carrier->stream, size);
}

size_t carrier_backlog(const struct carrier *carrier)
{
    return carrier->stream ? carrier->stream->unsent : 0;
}

const struct transport *carrier_transport(const struct carrier *carrier)
{
    return carrier->stream ? http_connection_transport(http_connection_of(carrier->stream)) : NULL;
}
