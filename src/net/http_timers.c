/*
 * http_timers: what is due on an HTTP connection.
 *
 * One timer serves all timeouts. It is not moved when something happens: it fires at the earliest time at which
 * anything could be due, looks what really is, and starts again for the rest. A busy connection pays for it once
 * in a stream idle timeout.
 */
#include "http/h1.h"
#include "http/h2.h"
#include "net/http_connection_internal.h"

static void on_due(struct timer *timer);

void http_timers_start(struct http_connection *connection, uint32_t delay_ms)
{
    loop_timer_start(connection->loop, &connection->timer, delay_ms, on_due);
}

void http_timers_stop(struct http_connection *connection)
{
    loop_timer_stop(connection->loop, &connection->timer);
}

/* True when `since` plus the timeout has passed; else *next takes that time when it is sooner. */
static bool is_due(uint64_t now_ms, uint64_t since_ms, uint32_t timeout_ms, uint64_t *next)
{
    if (timeout_ms == 0)
        return false;
    uint64_t due_ms = since_ms + timeout_ms;
    if (due_ms <= now_ms)
        return true;
    *next = MIN(*next, due_ms);
    return false;
}

/* Of a time that the connection keeps. */
static bool is_kept_due(uint64_t now_ms, uint32_t kept_ms, uint32_t timeout_ms, uint64_t *next)
{
    return is_due(now_ms, http_moment(now_ms, kept_ms), timeout_ms, next);
}

/* True when a stream was expired: the list may have changed, so the search begins anew. */
static bool expire_one(struct http_connection *connection, uint64_t now_ms, uint64_t *next)
{
    LIST_EACH(node, &connection->codec->streams)
    {
        struct http_stream *stream = LIST_ENTRY(node, struct http_stream, node);
        if (stream->in == HTTP_RESET || http_stream_is_whole(stream))
            continue; /* only waits to be released */
        uint32_t idle_ms =
            stream->idle_ms ? stream->idle_ms : connection->options->stream_idle_timeout_ms;
        if (idle_ms != UINT32_MAX && is_due(now_ms, stream->moved_ms, idle_ms, next)) {
            http_codec_expire(connection->codec, stream);
            return true;
        }
    }
    return false;
}

static bool is_waiting_for_head(const struct http_connection *connection)
{
    if (connection->role == HTTP_CLIENT || connection->is_resting)
        return false;
    const struct http_codec *codec = connection->codec;
    if (!codec || codec->in_head)
        return true;
    return codec->protocol == HTTP_PROTOCOL_1 && codec->requests == 0 && http_codec_is_idle(codec);
}

/* Silence from the peer: a PING asks whether it is there. True when the last one was not answered. */
static bool check_ping(struct http_connection *connection, uint64_t now_ms, uint64_t *next)
{
    struct http_codec *codec = connection->codec;
    uint32_t interval_ms = connection->options->ping_interval_ms;
    if (codec->protocol != HTTP_PROTOCOL_2 || interval_ms == 0)
        return false;
    if (!is_due(now_ms, codec->heard_ms, interval_ms, next))
        return false;
    uint32_t timeout_ms = connection->options->ping_timeout_ms;
    uint32_t answer_ms = timeout_ms ? timeout_ms : interval_ms;
    if (h2_ping_is_open(codec))
        return is_due(now_ms, codec->heard_ms + interval_ms, answer_ms, next);
    h2_ping(codec);
    *next = MIN(*next, now_ms + answer_ms);
    return false;
}

/* A draining server that speaks HTTP/1, or nothing yet: no request came that would have been the last. */
static bool is_waiting_in_vain(const struct http_connection *connection, uint64_t now_ms,
                               uint64_t *next)
{
    const struct http_codec *codec = connection->codec;
    if (!connection->is_asked_to_drain || connection->role == HTTP_CLIENT ||
        !transport_is_open(connection->transport))
        return false;
    if (codec &&
        (codec->protocol != HTTP_PROTOCOL_1 || codec->in_head || !http_codec_is_idle(codec)))
        return false;
    /* Silence begins when the peer can have heard the last answer. */
    uint32_t grace_ms = http_drain_grace_ms(connection);
    if (transport_backlog(connection->transport) > 0) {
        *next = MIN(*next, now_ms + grace_ms);
        return false;
    }
    uint64_t since_ms = MAX(http_moment(now_ms, connection->stage_since_ms),
                            http_moment(now_ms, connection->idle_since_ms));
    return is_due(now_ms, MAX(since_ms, http_moment(now_ms, connection->moved_ms)), grace_ms, next);
}

/* A request that came while this was being decided: the loop tells of it next. */
static bool is_about_to_hear(const struct http_connection *connection, uint64_t now_ms,
                             uint64_t *next)
{
    enum { AGAIN_MS = 10 };
    if (connection->role == HTTP_CLIENT || !transport_has_news(connection->transport))
        return false;
    *next = MIN(*next, now_ms + AGAIN_MS);
    return true;
}

/* A peer that takes nothing holds what waits for it. Of a tunnel its own idle timeout says when it is over. */
static bool is_stalled(const struct http_connection *connection, uint64_t now_ms, uint64_t *next)
{
    const struct http_codec *codec = connection->codec;
    bool is_tunnel = codec->protocol == HTTP_PROTOCOL_1 && h1_is_tunnel(codec);
    return !is_tunnel && transport_backlog(connection->transport) > 0 &&
           is_kept_due(now_ms, connection->moved_ms, connection->options->write_stall_timeout_ms,
                       next);
}

/* The last GOAWAY of a drain that leaves its clients a configured time. */
static void end_grace_if_due(struct http_connection *connection, uint64_t now_ms, uint64_t *next)
{
    struct http_codec *codec = connection->codec;
    if (!connection->is_asked_to_drain || codec->protocol != HTTP_PROTOCOL_2 ||
        !h2_has_grace(codec))
        return;
    if (is_kept_due(now_ms, connection->stage_since_ms, connection->options->drain_grace_ms, next))
        h2_end_grace(codec);
}

static void end_head(struct http_connection *connection)
{
    /* Somebody who began a head is told; to silence nothing need be said. */
    bool began = connection->codec && connection->codec->in_head;
    if (began)
        http_codec_refuse(connection->codec, HTTP_REFUSAL_TIMEOUT);
    http_connection_finish(connection, HTTP_CLOSED_HEAD_TIMEOUT, CONN_LINGER, NULL);
}

/* The connection's own timeouts. True when it is over. */
static bool end_if_due(struct http_connection *connection, uint64_t now_ms, uint64_t *next)
{
    const struct http_connection_options *options = connection->options;
    struct http_codec *codec = connection->codec;
    if (is_waiting_for_head(connection) &&
        is_kept_due(now_ms, connection->head_since_ms, options->head_timeout_ms, next)) {
        end_head(connection);
        return true;
    }
    if (is_waiting_in_vain(connection, now_ms, next)) {
        if (is_about_to_hear(connection, now_ms, next))
            return false;
        http_connection_finish(connection, HTTP_CLOSED_DONE, CONN_CLOSE, NULL);
        return true;
    }
    if (!codec && !connection->is_resting)
        return false;
    if (codec && is_stalled(connection, now_ms, next)) {
        http_connection_finish(connection, HTTP_CLOSED_WRITE_STALL, CONN_ABORT, NULL);
        return true;
    }
    bool is_unused = !codec || (http_codec_is_idle(codec) && !codec->in_head);
    if (is_unused &&
        is_kept_due(now_ms, connection->idle_since_ms, options->idle_timeout_ms, next)) {
        if (is_about_to_hear(connection, now_ms, next))
            return false;
        if (codec)
            http_codec_drain(codec);
        http_connection_finish(connection, HTTP_CLOSED_IDLE, CONN_CLOSE, NULL);
        return true;
    }
    if (codec && check_ping(connection, now_ms, next)) {
        http_connection_finish(connection, HTTP_CLOSED_PING, CONN_ABORT, NULL);
        return true;
    }
    if (!connection->is_asked_to_drain && !http_connection_is_draining(connection) &&
        is_kept_due(now_ms, connection->stage_since_ms, options->max_age_ms, next))
        http_connection_drain(connection);
    if (codec)
        end_grace_if_due(connection, now_ms, next);
    if (connection->is_asked_to_drain &&
        is_kept_due(now_ms, connection->stage_since_ms, options->drain_timeout_ms + 1, next)) {
        http_connection_finish(connection, HTTP_CLOSED_DONE, CONN_ABORT, NULL);
        return true;
    }
    if (codec && is_unused && http_connection_may_rest(connection) &&
        is_kept_due(now_ms, connection->idle_since_ms, HTTP_REST_MS, next))
        (void)http_connection_rest(connection);
    return false;
}

static void on_due(struct timer *timer)
{
    struct http_connection *connection = CONTAINER_OF(timer, struct http_connection, timer);
    uint64_t now_ms = loop_now_ms(connection->loop), next = UINT64_MAX;
    if (connection->codec) {
        http_connection_enter(connection);
        bool expired = false;
        while (connection->transport && expire_one(connection, now_ms, &next)) {
            next = UINT64_MAX;
            expired = true;
        }
        if (expired)
            http_connection_settle(connection);
    }
    if (!connection->transport || end_if_due(connection, now_ms, &next))
        return;
    /* What became due may have begun something that is due sooner. */
    if (next != UINT64_MAX)
        http_timers_need(connection, (uint32_t)MIN(next - now_ms, (uint64_t)UINT32_MAX));
}
