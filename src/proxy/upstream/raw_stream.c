#include "proxy/upstream/raw_stream.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "net/transport.h"
#include "proxy/listen/proxy_header.h"
#include "proxy/observe/observer.h"
#include "proxy/upstream/dialing.h"
#include "proxy/upstream/limits.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

struct raw_stream {
    struct http_stream stream;
    struct raw_waiter *waiter; /* NULL: it waits no more */
    struct host *host;         /* a reference */
    struct limits *limits;
    uint32_t limit; /* of connections, as it was taken */
    struct cluster_series *series;
    struct dialing dialing;
    struct transport *transport; /* NULL: not yet, or no more */
    size_t header_left;          /* of the PROXY header: no credit comes of it */
    bool is_dialing;
    bool has_failed; /* it never opened */
    struct task reap;
};

/* --- the end -------------------------------------------------------------------------------------------------- */

static void on_reap(struct task *task)
{
    struct raw_stream *raw = CONTAINER_OF(task, struct raw_stream, reap);
    limits_give_connection(raw->limits, raw->limit);
    mem_free(raw);
}

/* What is on its way to the upstream still leaves when both directions have ended; else it sees a reset. */
static void raw_stream_close(struct raw_stream *raw)
{
    bool is_whole = http_stream_is_whole(&raw->stream);
    struct worker *worker = raw->host->worker;
    if (raw->is_dialing)
        dialing_cancel(&raw->dialing);
    transport_close(raw->transport, is_whole ? CONN_CLOSE : CONN_ABORT);
    raw->transport = NULL;
    host_count(raw->host->counters, HOST_CX_ACTIVE, -1);
    if (raw->has_failed)
        host_count(raw->host->counters, HOST_CX_CONNECT_FAIL, 1);
    observe_upstream_closed(worker->observer, raw->series, raw->has_failed);
    host_unref(raw->host);
    loop_reap_later(worker->loop, &raw->reap);
}

static void fail(struct raw_stream *raw, enum pool_failure failure, const char *text)
{
    struct raw_waiter *waiter = raw->waiter;
    raw->has_failed = failure != POOL_GONE;
    waiter->stream = NULL;
    raw_stream_close(raw);
    waiter->on_failed(waiter, failure, text);
}

/* --- what the consumer of the stream calls -------------------------------------------------------------------- */

static struct raw_stream *raw_of(struct http_stream *stream)
{
    return CONTAINER_OF(stream, struct raw_stream, stream);
}

static void end_out(struct raw_stream *raw)
{
    raw->stream.out = HTTP_ENDED;
    transport_write_end(raw->transport);
}

static void send_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct raw_stream *raw = raw_of(stream);
    if (!raw->transport || stream->out != HTTP_OPEN) {
        chain_fini(data);
        return;
    }
    stream->unsent += data->size;
    if (data->size > 0)
        transport_write(raw->transport, data);
    if (end)
        end_out(raw);
}

static void send_request(struct http_stream *stream, const struct http_request *head, bool end)
{
    stream->method = head->method;
    if (end)
        end_out(raw_of(stream));
}

/* Bytes have none: they are the end. */
static void send_trailers(struct http_stream *stream, const struct headers *trailers)
{
    struct chain none = {0};
    (void)trailers;
    send_data(stream, &none, true);
}

static void pace(struct raw_stream *raw)
{
    bool has_room = raw->stream.unconsumed < RAW_STREAM_BACKLOG_MAX;
    if (!raw->transport || raw->stream.in != HTTP_OPEN)
        return;
    if (has_room && !transport_is_reading(raw->transport))
        transport_read_start(raw->transport);
    else if (!has_room && transport_is_reading(raw->transport))
        transport_read_stop(raw->transport);
}

static void consumed(struct http_stream *stream, size_t bytes)
{
    stream->unconsumed -= bytes;
    pace(raw_of(stream));
}

static void reset(struct http_stream *stream, enum http_reset_reason reason)
{
    struct raw_stream *raw = raw_of(stream);
    (void)reason;
    stream->in = stream->out = HTTP_RESET;
    transport_close(raw->transport, CONN_ABORT);
    raw->transport = NULL;
}

static void release(struct http_stream *stream)
{
    stream->released = true;
    raw_stream_close(raw_of(stream));
}

static const struct http_stream_ops ops = {.send_request = send_request,
                                           .send_data = send_data,
                                           .send_trailers = send_trailers,
                                           .consumed = consumed,
                                           .reset = reset,
                                           .release = release};

/* --- what the connection tells -------------------------------------------------------------------------------- */

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct raw_stream *raw = owner;
    struct chain bytes = {0};
    chain_append_block(&bytes, block, data, size);
    raw->stream.unconsumed += size;
    pace(raw);
    raw->stream.events->on_data(&raw->stream, &bytes, false);
    chain_fini(&bytes);
}

static void on_written(void *owner, size_t size)
{
    struct raw_stream *raw = owner;
    size_t of_header = MIN(size, raw->header_left);
    size -= of_header;
    raw->header_left -= of_header;
    raw->stream.unsent -= size;
    if (size > 0)
        raw->stream.events->on_sent(&raw->stream, size);
}

static void on_read_end(void *owner, bool truncated)
{
    struct raw_stream *raw = owner;
    struct chain none = {0};
    (void)truncated;
    raw->stream.in = HTTP_ENDED;
    raw->stream.events->on_data(&raw->stream, &none, true);
}

static void lose(struct raw_stream *raw, enum http_reset_reason reason)
{
    const struct http_reset lost = {.reason = (uint8_t)reason};
    raw->stream.in = raw->stream.out = HTTP_RESET;
    raw->stream.events->on_reset(&raw->stream, &lost);
}

static void on_error(void *owner, const struct transport_failure *failure)
{
    struct raw_stream *raw = owner;
    if (raw->waiter)
        fail(raw, POOL_CONNECT_FAILED,
             failure->text ? failure->text : "the connection ended before it was open");
    else
        lose(raw, HTTP_RESET_DISCONNECTED);
}

static void answer(struct raw_stream *raw)
{
    struct http_stream *stream = &raw->stream;
    struct http_response *response = arena_try_alloc(stream->arena, sizeof(*response));
    if (!response) {
        lose(raw, HTTP_RESET_INTERNAL);
        return;
    }
    http_response_init(response, 200);
    stream->in_headed = stream->tunnel = true;
    pace(raw);
    stream->events->on_response(stream, response, false);
}

/* False when memory is refused. */
static bool send_header(struct raw_stream *raw)
{
    const struct raw_waiter *waiter = raw->waiter;
    struct address source, destination;
    char text[PROXY_V1_BYTES_MAX + 1];
    struct chain bytes = {0};
    if (!waiter->proxy_protocol)
        return true;
    waiter->ends(waiter, &source, &destination);
    raw->header_left = proxy_header_write(waiter->proxy_protocol, &source, &destination, text);
    if (!chain_append_copy(&bytes, loop_blocks(raw->host->worker->loop),
                           slice_of(text, raw->header_left)))
        return false;
    transport_write(raw->transport, &bytes);
    return true;
}

static void on_open(void *owner)
{
    struct raw_stream *raw = owner;
    if (!send_header(raw)) {
        fail(raw, POOL_NO_MEMORY, "there is no memory left for another connection");
        return;
    }
    struct raw_waiter *waiter = give(raw->waiter);
    waiter->stream = NULL;
    waiter->on_ready(waiter, raw);
    if (!raw->stream.released)
        answer(raw);
}

static const struct transport_events transport_events = {.on_open = on_open,
                                                         .on_bytes = on_bytes,
                                                         .on_written = on_written,
                                                         .on_read_end = on_read_end,
                                                         .on_error = on_error};

/* --- the beginning -------------------------------------------------------------------------------------------- */

static void on_dialed(struct dialing *dialing, struct transport *transport)
{
    struct raw_stream *raw = CONTAINER_OF(dialing, struct raw_stream, dialing);
    raw->is_dialing = false;
    raw->transport = transport;
    transport_set_owner(transport, &transport_events, raw);
    if (transport_is_open(transport))
        on_open(raw);
}

static void on_dial_failed(struct dialing *dialing, enum pool_failure failure, const char *text)
{
    struct raw_stream *raw = CONTAINER_OF(dialing, struct raw_stream, dialing);
    raw->is_dialing = false;
    fail(raw, failure, text);
}

static void find_ends(const struct dialing *dialing, struct address *source,
                      struct address *destination)
{
    const struct raw_stream *raw = CONTAINER_OF(dialing, const struct raw_stream, dialing);
    if (raw->waiter)
        raw->waiter->ends(raw->waiter, source, destination);
}

const char *raw_stream_dial(struct host *host, struct raw_waiter *waiter)
{
    struct upstream *upstream = host->upstream;
    uint32_t most = upstream->cluster->limits[0].connections;
    if (most == 0 || !limits_take_connection(upstream->limits, most))
        return "its limit of connections is reached";
    struct raw_stream *raw = mem_new(struct raw_stream);
    raw->waiter = waiter;
    raw->host = host_ref(host);
    raw->limits = upstream->limits;
    raw->limit = most;
    raw->series = observe_upstream_opened(upstream->worker->observer, upstream->cluster);
    task_init(&raw->reap, on_reap);
    host_count(host->counters, HOST_CX_TOTAL, 1);
    host_count(host->counters, HOST_CX_ACTIVE, 1);
    waiter->stream = raw;
    raw->is_dialing = true;
    dialing_start(&raw->dialing, host, HTTP_POOLS, on_dialed, on_dial_failed);
    raw->dialing.ends = find_ends;
    return NULL;
}

void raw_stream_cancel(struct raw_waiter *waiter)
{
    raw_stream_close(give(waiter->stream));
}

struct http_stream *raw_stream_begin(struct raw_stream *raw, struct arena *arena,
                                     const struct http_stream_events *events, void *owner)
{
    raw->stream =
        (struct http_stream){.ops = &ops, .events = events, .owner = owner, .arena = arena};
    return &raw->stream;
}

const struct transport *raw_stream_transport(const struct raw_stream *raw)
{
    return raw->transport;
}
