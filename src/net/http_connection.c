#include "net/http_connection.h"

#include "http/h1.h"
#include "http/h2.h"
#include "net/http_connection_internal.h"

#include <assert.h>

const struct http_connection_options http_connection_defaults = {
    .limits = &http_limits_default,
    .idle_timeout_ms = 3600 * 1000,
    .head_timeout_ms = 10 * 1000,
    .stream_idle_timeout_ms = 300 * 1000,
    .write_stall_timeout_ms = 300 * 1000,
    .linger_ms = CONN_LINGER_MS,
    .drain_timeout_ms = 600 * 1000,
};

const char *http_closed_text(enum http_closed reason)
{
    switch (reason) {
    case HTTP_CLOSED_DONE: return "done";
    case HTTP_CLOSED_IDLE: return "idle_timeout";
    case HTTP_CLOSED_HEAD_TIMEOUT: return "head_timeout";
    case HTTP_CLOSED_REFUSED: return "refused";
    case HTTP_CLOSED_TRANSPORT: return "transport";
    case HTTP_CLOSED_WRITE_STALL: return "write_stall_timeout";
    case HTTP_CLOSED_PING: return "ping_timeout";
    case HTTP_CLOSED_MAX_REQUESTS: return "max_requests";
    }
    return "";
}

/* --- its end ------------------------------------------------------------------------------------------------ */

static void drop_codec(struct http_connection *connection)
{
    struct http_codec *codec = connection->codec;
    bool is_h1 = codec->protocol == HTTP_PROTOCOL_1;
    http_codec_destroy(codec);
    if (is_h1)
        loop_object_free(connection->loop, CONTAINER_OF(codec, struct h1, codec),
                         sizeof(struct h1));
    connection->codec = NULL;
}

static void on_reap(struct task *task)
{
    struct http_connection *connection = CONTAINER_OF(task, struct http_connection, run);
    if (connection->codec)
        drop_codec(connection);
    loop_object_free(connection->loop, connection, sizeof(*connection));
}

/* Once the transport is gone and the last stream released, nothing can reach the connection any more. */
static void reap_if_over(struct http_connection *connection)
{
    if (connection->transport || connection->is_reaped ||
        (connection->codec && !http_codec_is_idle(connection->codec)))
        return;
    connection->is_reaped = true;
    loop_task_cancel(&connection->run);
    task_init(&connection->run, on_reap);
    loop_reap_later(connection->loop, &connection->run);
}

void http_connection_finish(struct http_connection *connection, enum http_closed reason,
                            enum conn_close how, const struct transport_failure *failure)
{
    if (!connection->transport)
        return;
    if (how != CONN_LINGER)
        transport_close(connection->transport, how);
    else if (connection->options->linger_ms > 0)
        transport_linger(connection->transport, connection->options->linger_ms);
    else
        transport_close(connection->transport, CONN_CLOSE);
    connection->transport = NULL;
    http_timers_stop(connection);
    if (connection->codec && !http_codec_is_idle(connection->codec)) {
        http_connection_enter(connection);
        http_codec_fail(connection->codec, HTTP_RESET_DISCONNECTED, failure ? failure->text : NULL);
    }
    if (!connection->is_muted)
        connection->events->on_closed(connection->owner, connection, reason, failure);
    connection->is_muted = true;
    reap_if_over(connection);
}

static enum http_closed reason_of(const struct http_connection *connection)
{
    if (connection->codec->refusal)
        return HTTP_CLOSED_REFUSED;
    return connection->is_max_requests ? HTTP_CLOSED_MAX_REQUESTS : HTTP_CLOSED_DONE;
}

/* Whoever reads an answer slowly has the time of a write stall for it, whether or not the connection closes behind it. */
static bool must_write_first(const struct http_connection *connection)
{
    return connection->role == HTTP_SERVER && !connection->codec->refusal &&
           transport_backlog(connection->transport) > 0;
}

/* The codec is done: what it wrote still leaves, unless only a reset tells the truth. */
static void follow_codec(struct http_connection *connection)
{
    struct http_codec *codec = connection->codec;
    if (!codec->broken && must_write_first(connection))
        return;
    if (codec->broken) {
        http_codec_run(codec); /* streams hear of it first */
        http_connection_finish(connection, reason_of(connection), CONN_ABORT, NULL);
    } else {
        http_connection_finish(connection, reason_of(connection),
                               codec->unread ? CONN_LINGER : CONN_CLOSE, NULL);
    }
}

/* --- after each call of the codec --------------------------------------------------------------------------- */

static void settle_reading(struct http_connection *connection)
{
    struct transport *transport = connection->transport;
    bool wants = connection->codec->wants_read;
    if (wants == transport_is_reading(transport))
        return;
    if (wants)
        transport_read_start(transport);
    else
        transport_read_stop(transport);
}

/* 0 is never. */
static uint32_t sooner(uint32_t a_ms, uint32_t b_ms)
{
    return MIN(a_ms - 1, b_ms - 1) + 1;
}

static void settle_timers(struct http_connection *connection)
{
    const struct http_codec *codec = connection->codec;
    const struct http_connection_options *options = connection->options;
    if (UNLIKELY(codec->in_head != connection->was_in_head)) {
        connection->was_in_head = codec->in_head;
        if (codec->in_head) {
            connection->head_since_ms = (uint32_t)codec->now_ms;
            http_timers_need(connection, options->head_timeout_ms);
        }
    }
    /* A request that was answered in the same call moves the time as well. */
    bool is_idle = http_codec_is_idle(codec);
    if (is_idle != connection->was_idle || codec->requests != connection->requests) {
        connection->was_idle = is_idle;
        connection->requests = codec->requests;
        connection->idle_since_ms = (uint32_t)codec->now_ms;
        uint32_t soonest = is_idle ? options->idle_timeout_ms : options->stream_idle_timeout_ms;
        soonest = sooner(soonest, options->write_stall_timeout_ms);
        if (is_idle && connection->role == HTTP_SERVER && connection->is_asked_to_drain)
            soonest = sooner(soonest, http_drain_grace_ms(connection));
        else if (is_idle && http_connection_may_rest(connection))
            soonest = sooner(soonest, HTTP_REST_MS);
        http_timers_need(connection, soonest);
    }
}

/* Where there was none before, there may be room for a stream again. */
static void settle_room(struct http_connection *connection)
{
    connection->had_room = http_codec_room(connection->codec) > 0;
    if (connection->had_room && connection->events->on_room)
        connection->events->on_room(connection->owner, connection);
}

static void tell_draining(struct http_connection *connection)
{
    connection->is_draining_told = true;
    if (!connection->is_muted && connection->events->on_draining)
        connection->events->on_draining(connection->owner, connection);
}

/* A codec that is broken or closing drains, too. False when the connection is gone. */
static bool follow_draining(struct http_connection *connection)
{
    const struct http_codec *codec = connection->codec;
    if (!connection->is_draining_told)
        tell_draining(connection);
    if (connection->transport && (codec->broken || codec->closing))
        follow_codec(connection);
    return connection->transport != NULL;
}

void http_connection_settle(struct http_connection *connection)
{
    const struct http_codec *codec = connection->codec;
    if (UNLIKELY(!connection->transport)) {
        reap_if_over(connection);
        return;
    }
    if (UNLIKELY(codec->draining) && !follow_draining(connection))
        return;
    if (UNLIKELY(codec->half_close && !connection->is_write_ended)) {
        connection->is_write_ended = true;
        transport_write_end(connection->transport);
    }
    settle_reading(connection);
    settle_timers(connection);
    if (!connection->had_room)
        settle_room(connection);
}

/* --- the codec's side --------------------------------------------------------------------------------------- */

static void codec_write(struct http_codec *codec, struct chain *bytes)
{
    struct http_connection *connection = codec->owner;
    codec->now_ms = loop_now_ms(connection->loop);
    if (!connection->transport || connection->is_write_ended) {
        chain_fini(bytes);
        return;
    }
    if (transport_backlog(connection->transport) == 0)
        connection->moved_ms = (uint32_t)codec->now_ms;
    transport_write(connection->transport, bytes);
}

static void codec_wake(struct http_codec *codec)
{
    struct http_connection *connection = codec->owner;
    if (!connection->is_reaped)
        loop_run_later(connection->loop, &connection->run);
}

static void codec_wake_next(struct http_codec *codec)
{
    struct http_connection *connection = codec->owner;
    if (!connection->is_reaped)
        loop_run_next_turn(connection->loop, &connection->run);
}

static void on_run(struct task *task)
{
    struct http_connection *connection = CONTAINER_OF(task, struct http_connection, run);
    http_connection_enter(connection);
    if (connection->transport)
        http_codec_run(connection->codec);
    else
        http_codec_fail(connection->codec, HTTP_RESET_DISCONNECTED, NULL);
    http_connection_settle(connection);
}

static void codec_on_request(struct http_codec *codec, struct http_stream *stream)
{
    struct http_connection *connection = codec->owner;
    uint32_t max_requests = connection->options->max_requests;
    if (max_requests > 0 && codec->requests >= max_requests && !codec->draining) {
        connection->is_max_requests = true;
        http_codec_drain(codec);
    }
    connection->events->on_request(connection->owner, connection, stream);
}

static void codec_on_refused(struct http_codec *codec, enum http_refusal refusal)
{
    struct http_connection *connection = codec->owner;
    if (!connection->is_muted && connection->events->on_refused)
        connection->events->on_refused(connection->owner, connection, refusal);
}

static const struct http_codec_events codec_events = {
    .write = codec_write, .wake = codec_wake, .wake_next = codec_wake_next};
static const struct http_codec_consumer codec_consumer = {.on_request = codec_on_request,
                                                          .on_refused = codec_on_refused};

static const struct http_limits *limits_of(const struct http_connection *connection)
{
    return connection->options->limits ? connection->options->limits : &http_limits_default;
}

/*
 * HTTP/1 cannot say that it will close but in an answer. A server that is idle therefore waits for one more request, which
 * may be on its way, and http_timers.c closes when none comes.
 */
static void drain_codec(struct http_connection *connection)
{
    struct http_codec *codec = connection->codec;
    if (codec->protocol == HTTP_PROTOCOL_1 && codec->role == HTTP_SERVER) {
        codec->draining = true;
        return;
    }
    if (codec->protocol == HTTP_PROTOCOL_2 && connection->options->drain_grace_ms)
        h2_begin_grace(codec);
    http_codec_drain(codec);
}

/* False when memory is refused. */
static bool begin_codec(struct http_connection *connection, enum http_protocol protocol)
{
    enum http_role role = (enum http_role)connection->role;
    struct block_pool *pool = loop_blocks(connection->loop);
    if (protocol == HTTP_PROTOCOL_2) {
        connection->codec = h2_create(role, &codec_events, &codec_consumer, limits_of(connection),
                                      pool, loop_heap(connection->loop), connection);
        if (!connection->codec)
            return false;
    } else {
        struct h1 *h1 = loop_object_new(connection->loop, sizeof(*h1));
        if (!h1)
            return false;
        h1_init(h1, role, &codec_events, &codec_consumer, limits_of(connection), pool, connection);
        connection->codec = &h1->codec;
        connection->codec->requests = connection->requests; /* of before it rested */
    }
    connection->is_resting = false;
    connection->codec->established = transport_is_open(connection->transport);
    http_connection_enter(connection);
    connection->codec->heard_ms = connection->codec->now_ms;
    if (connection->is_draining_told)
        drain_codec(connection);
    return true;
}

/*
 * Between two requests an HTTP/1 codec knows nothing that its connection does not, so a server's connection that waits
 * long does without; bytes make a new one. An HTTP/2 codec gives up what its next frame brings back.
 */
bool http_connection_rest(struct http_connection *connection)
{
    if (connection->codec->protocol == HTTP_PROTOCOL_2) {
        h2_rest(connection->codec);
        return false;
    }
    if (connection->role != HTTP_SERVER || connection->requests == 0 ||
        task_is_queued(&connection->run) || transport_backlog(connection->transport) > 0 ||
        !h1_is_at_rest(connection->codec))
        return false;
    drop_codec(connection);
    connection->is_resting = true;
    return true;
}

/* --- the transport's side ----------------------------------------------------------------------------------- */

static void feed(struct http_connection *connection, struct block *block, const char *data,
                 size_t size)
{
    connection->codec->heard_ms = connection->codec->now_ms;
    http_codec_read(connection->codec, block, data, size);
}

/*
 * Servers speak both: a connection that begins with HTTP/2's preface is HTTP/2. The bytes compared so far
 * need not be kept, for they are known.
 */
static bool sniff(struct http_connection *connection, const char *data, size_t size)
{
    struct slice preface = h2_preface();
    size_t seen = connection->sniffed, more = MIN(size, preface.size - seen);
    bool is_preface = memcmp(preface.data + seen, data, more) == 0;
    if (is_preface && seen + more < preface.size) {
        connection->sniffed = (uint8_t)(seen + more);
        return true;
    }
    if (!begin_codec(connection, is_preface ? HTTP_PROTOCOL_2 : HTTP_PROTOCOL_1))
        return false;
    if (seen > 0)
        feed(connection, NULL, preface.data, seen);
    return true;
}

/* Bytes have come and there is no codec for them: after a rest, or at the beginning. False when they wait, or it is over. */
COLD static bool find_codec(struct http_connection *connection, const char *data, size_t size)
{
    bool is_made = connection->is_resting ? begin_codec(connection, HTTP_PROTOCOL_1)
                                          : sniff(connection, data, size);
    if (!is_made)
        http_connection_finish(connection, HTTP_CLOSED_TRANSPORT, CONN_ABORT, NULL);
    return is_made && connection->codec;
}

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct http_connection *connection = owner;
    if (UNLIKELY(!connection->codec) && !find_codec(connection, data, size)) {
        block_unref(block);
        return;
    }
    http_connection_enter(connection);
    feed(connection, block, data, size);
    http_connection_settle(connection);
}

static void on_written(void *owner, size_t size)
{
    struct http_connection *connection = owner;
    if (!connection->codec)
        return;
    http_connection_enter(connection);
    connection->moved_ms = (uint32_t)connection->codec->now_ms;
    http_codec_sent(connection->codec, size, transport_backlog(connection->transport));
    http_connection_settle(connection);
}

/*
 * A server may close a kept connection while a request is under way to it. HTTP/1 cannot say whether it has acted on it, but
 * TCP can: the server's end tells what it had received until then.
 */
static void note_unheard(struct http_connection *connection)
{
    struct http_codec *codec = connection->codec;
    if (connection->role == HTTP_CLIENT && codec->protocol == HTTP_PROTOCOL_1 &&
        !http_codec_is_idle(codec))
        codec->unheard = conn_is_unheard(transport_conn(connection->transport), codec->sent_before);
}

static void on_read_end(void *owner, bool truncated)
{
    struct http_connection *connection = owner;
    if (!connection->codec) {
        http_connection_finish(connection, HTTP_CLOSED_DONE, CONN_CLOSE, NULL);
        return;
    }
    if (!truncated)
        note_unheard(connection);
    http_connection_enter(connection);
    http_codec_eof(connection->codec, truncated);
    http_connection_settle(connection);
}

/* The peer takes no more bytes. An upstream may have answered before; a client that is gone cancels. */
static void on_write_end(void *owner, int error)
{
    struct http_connection *connection = owner;
    if (error == 0)
        return;
    connection->is_write_ended = true;
    if (connection->role == HTTP_CLIENT && connection->codec &&
        transport_is_reading(connection->transport)) {
        connection->codec->draining = true;
        return;
    }
    struct transport_failure failure = {
        .kind = TRANSPORT_SOCKET, .error = error, .text = "the peer takes no more bytes"};
    http_connection_finish(connection, HTTP_CLOSED_TRANSPORT, CONN_ABORT, &failure);
}

static void on_error(void *owner, const struct transport_failure *failure)
{
    struct http_connection *connection = owner;
    /* Within TLS only close_notify is the peer's own end. */
    if (connection->codec && connection->transport && !transport_session(connection->transport))
        note_unheard(connection);
    http_connection_finish(connection, HTTP_CLOSED_TRANSPORT, CONN_ABORT, failure);
}

static enum http_protocol protocol_of(const struct http_connection *connection)
{
    switch ((enum http_choice)connection->options->choice) {
    case HTTP_ONLY_1: return HTTP_PROTOCOL_1;
    case HTTP_ONLY_2: return HTTP_PROTOCOL_2;
    case HTTP_CHOOSE: break;
    }
    bool is_h2 = slice_equals(transport_alpn(connection->transport), SLICE("h2"));
    return is_h2 ? HTTP_PROTOCOL_2 : HTTP_PROTOCOL_1;
}

/*
 * Whether the protocol is known before the first byte, and before the transport is open. Inside TLS, who agreed on no protocol
 * (ALPN) is heard as in plaintext: what a tunnel carries may be HTTP/2, and the tunnel does not know.
 */
static bool must_sniff(const struct http_connection *connection)
{
    return connection->role == HTTP_SERVER && connection->options->choice == HTTP_CHOOSE &&
           transport_alpn(connection->transport).size == 0;
}
static bool must_wait_for_open(const struct http_connection *connection)
{
    return connection->options->choice == HTTP_CHOOSE && transport_session(connection->transport);
}

static void on_open(void *owner)
{
    struct http_connection *connection = owner;
    if (!connection->codec && !must_sniff(connection) &&
        !begin_codec(connection, protocol_of(connection))) {
        http_connection_finish(connection, HTTP_CLOSED_TRANSPORT, CONN_ABORT, NULL);
        return;
    }
    if (connection->codec)
        connection->codec->established = true;
    if (connection->is_asked_to_drain) { /* only now a request can come */
        connection->stage_since_ms = (uint32_t)loop_now_ms(connection->loop);
        http_timers_need(connection, http_drain_grace_ms(connection));
    }
    if (connection->events->on_open)
        connection->events->on_open(connection->owner, connection);
    if (!connection->transport)
        return;
    if (connection->codec) {
        http_connection_enter(connection);
        http_connection_settle(connection);
    } else {
        transport_read_start(connection->transport);
    }
}

static const struct transport_events transport_events = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_written = on_written,
    .on_read_end = on_read_end,
    .on_write_end = on_write_end,
    .on_error = on_error,
};

/* --- the owner's calls -------------------------------------------------------------------------------------- */

struct http_connection *http_connection_create(struct transport *transport, enum http_role role,
                                               const struct http_connection_options *options,
                                               const struct http_connection_events *events,
                                               void *owner)
{
    struct loop *loop = transport_loop(transport);
    struct http_connection *connection = loop_object_new(loop, sizeof(*connection));
    if (!connection) {
        transport_close(transport, CONN_ABORT);
        return NULL;
    }
    uint32_t now_ms = (uint32_t)loop_now_ms(loop);
    connection->transport = transport;
    connection->options = options;
    connection->events = events;
    connection->owner = owner;
    connection->loop = loop;
    connection->role = (uint8_t)role;
    connection->had_room = role == HTTP_SERVER; /* which is never asked for any */
    connection->was_idle = true;
    connection->idle_since_ms = connection->head_since_ms = now_ms;
    connection->moved_ms = connection->stage_since_ms = now_ms;
    task_init(&connection->run, on_run);
    if (!must_wait_for_open(connection) && !must_sniff(connection) &&
        !begin_codec(connection, protocol_of(connection))) {
        transport_close(transport, CONN_ABORT);
        loop_object_free(loop, connection, sizeof(*connection));
        return NULL;
    }
    transport_set_owner(transport, &transport_events, connection);
    http_timers_need(connection,
                     role == HTTP_SERVER ? options->head_timeout_ms : options->idle_timeout_ms);
    if (connection->codec && connection->codec->protocol == HTTP_PROTOCOL_2)
        http_timers_need(connection, options->ping_interval_ms);
    http_timers_need(connection, options->max_age_ms);
    if (transport_is_open(transport))
        transport_read_start(transport);
    return connection;
}

void http_connection_close(struct http_connection *connection)
{
    bool is_busy = connection->codec && !http_codec_is_idle(connection->codec);
    connection->is_muted = true;
    if (!connection->transport)
        return;
    transport_close(connection->transport, is_busy ? CONN_ABORT : CONN_CLOSE);
    connection->transport = NULL;
    http_timers_stop(connection);
    if (connection->codec) {
        /* Streams hear of it from the run queue. */
        connection->codec->draining = connection->codec->broken = true;
        codec_wake(connection->codec);
    } else {
        reap_if_over(connection);
    }
}

void http_connection_drain(struct http_connection *connection)
{
    if (!connection->transport || connection->is_asked_to_drain)
        return;
    uint32_t timeout_ms = connection->options->drain_timeout_ms;
    connection->is_asked_to_drain = true;
    connection->stage_since_ms = (uint32_t)loop_now_ms(connection->loop);
    http_timers_need(connection, timeout_ms);
    if (connection->role == HTTP_SERVER)
        http_timers_need(connection, http_drain_grace_ms(connection));
    if (connection->codec) {
        drain_codec(connection);
        codec_wake(connection->codec);
    } else {
        connection->is_draining_told = true; /* the codec begins draining */
    }
}

bool http_connection_is_draining(const struct http_connection *connection)
{
    return connection->is_draining_told || (connection->codec && connection->codec->draining);
}

struct http_stream *http_connection_open_stream(struct http_connection *connection,
                                                struct arena *arena,
                                                const struct http_stream_events *events,
                                                void *owner)
{
    struct http_codec *codec = connection->codec;
    if (!codec || !connection->transport)
        return NULL;
    http_connection_enter(connection);
    codec->sent_before = conn_sent(transport_conn(connection->transport));
    struct http_stream *stream = http_codec_open(codec, arena);
    if (!stream) {
        connection->had_room = false;
        return NULL;
    }
    stream->events = events;
    stream->owner = owner;
    connection->had_room = http_codec_room(codec) > 0;
    connection->was_idle = false;
    connection->requests = codec->requests;
    http_timers_need(connection, connection->options->stream_idle_timeout_ms);
    return stream;
}

void http_connection_set_stream_idle(struct http_stream *stream, uint64_t idle_ms)
{
    stream->idle_ms = idle_ms > 0 && idle_ms < UINT32_MAX ? (uint32_t)idle_ms : UINT32_MAX;
    if (stream->idle_ms != UINT32_MAX)
        http_timers_need(http_connection_of(stream), stream->idle_ms);
}

uint32_t http_connection_room(const struct http_connection *connection)
{
    return connection->codec && connection->transport ? http_codec_room(connection->codec) : 0;
}

bool http_connection_is_idle(const struct http_connection *connection)
{
    return !connection->codec || http_codec_is_idle(connection->codec);
}

bool http_connection_is_stale(const struct http_connection *connection)
{
    const struct http_codec *codec = connection->codec;
    uint64_t now_ms = loop_now_ms(connection->loop);
    if (!codec || codec->protocol != HTTP_PROTOCOL_1 || !connection->transport ||
        now_ms < http_moment(now_ms, connection->idle_since_ms) + HTTP_STALE_MS)
        return false;
    return transport_has_news(connection->transport);
}

uint32_t http_connection_requests(const struct http_connection *connection)
{
    return connection->codec ? connection->codec->requests : connection->requests;
}

void *http_connection_owner(const struct http_connection *connection)
{
    return connection->owner;
}

struct http_connection *http_connection_of(const struct http_stream *stream)
{
    return stream->codec->owner;
}

const struct transport *http_connection_transport(const struct http_connection *connection)
{
    return connection->transport;
}

struct loop *http_connection_loop(const struct http_connection *connection)
{
    return connection->loop;
}

enum http_protocol http_connection_protocol(const struct http_connection *connection)
{
    return connection->codec ? (enum http_protocol)connection->codec->protocol : HTTP_PROTOCOL_1;
}

enum http_refusal http_connection_refusal(const struct http_connection *connection)
{
    return connection->codec ? (enum http_refusal)connection->codec->refusal : HTTP_REFUSAL_NONE;
}
