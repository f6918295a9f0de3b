/*
 * http_connection_internal: its insides, for the two halves: http_connection.c moves bytes and events,
 * http_timers.c knows what is due.
 */
#pragma once

#include "http/codec.h"
#include "io/loop.h"
#include "net/http_connection.h"

/*
 * A draining HTTP/1 server that is idle closes after so much silence: a request may be under way to it. Whoever has just
 * connected has something to say, and no other connection to say it on.
 */
enum { HTTP_DRAIN_SILENCE_MS = 500, HTTP_DRAIN_FIRST_SILENCE_MS = 5000 };

/* Shorter silences than this are not asked about before a request that could not be sent again. */
enum { HTTP_STALE_MS = 20 };

/* A server that speaks HTTP/1 and was idle for so long gives its codec up until bytes come. */
enum { HTTP_REST_MS = 2000 };

struct http_connection {
    struct transport *transport; /* NULL once it is closed */
    struct http_codec *codec;    /* NULL while the protocol is not known, and while it rests */
    const struct http_connection_options *options;
    const struct http_connection_events *events;
    void *owner;
    struct loop *loop;
    struct task run; /* the codec's wake; at the end the reaping */
    struct timer timer;
    /* Kept short, for http_moment: connections that wait are many. */
    uint32_t idle_since_ms;  /* since when there is no stream */
    uint32_t head_since_ms;  /* a head's first byte, or the beginning */
    uint32_t moved_ms;       /* when bytes last went out, or began to wait */
    uint32_t stage_since_ms; /* when it began; once it was asked to drain, when that was */
    uint32_t requests;       /* of the codec, when idleness was looked at last */
    uint8_t role;
    uint8_t sniffed; /* bytes of HTTP/2's preface that a server has seen */
    bool was_idle : 1;
    bool was_in_head : 1;
    bool had_room : 1;
    bool is_asked_to_drain : 1;
    bool is_draining_told : 1;
    bool is_write_ended : 1;
    bool is_resting : 1;
    bool is_max_requests : 1;
    bool is_muted : 1;  /* closed by its owner, who hears nothing more */
    bool is_reaped : 1; /* the memory goes at the end of the turn */
};

/* What was kept short: the last moment up to now that ends in it. Timeouts are shorter than what is cut off (49 days). */
static inline uint64_t http_moment(uint64_t now_ms, uint32_t kept_ms)
{
    return now_ms - (uint32_t)(now_ms - kept_ms);
}

/* Gives the codec the time of this turn. */
static inline void http_connection_enter(struct http_connection *connection)
{
    connection->codec->now_ms = loop_now_ms(connection->loop);
    connection->codec->turn = (uint32_t)loop_turn_number(connection->loop);
}
static inline uint32_t http_drain_grace_ms(const struct http_connection *connection)
{
    uint32_t grace_ms = connection->options->drain_grace_ms;
    if (grace_ms)
        return grace_ms;
    return http_connection_requests(connection) ? HTTP_DRAIN_SILENCE_MS
                                                : HTTP_DRAIN_FIRST_SILENCE_MS;
}
/* After each call of the codec: does what its flags ask for. */
void http_connection_settle(struct http_connection *connection);
/* The transport goes; streams have been told or are told now; the owner hears why. */
COLD void http_connection_finish(struct http_connection *connection, enum http_closed reason,
                                 enum conn_close how, const struct transport_failure *failure);

/* Gives the codec up when nothing would be lost by it; true when it did. */
bool http_connection_rest(struct http_connection *connection);
/* Whether that could be of use. */
static inline bool http_connection_may_rest(const struct http_connection *connection)
{
    return connection->role == HTTP_SERVER || connection->codec->protocol == HTTP_PROTOCOL_2;
}

/* http_timers.c */
void http_timers_start(struct http_connection *connection, uint32_t delay_ms);
/* Makes sure that the timer fires within delay_ms; 0 = no need. */
static inline void http_timers_need(struct http_connection *connection, uint32_t delay_ms)
{
    uint64_t due_ms = loop_now_ms(connection->loop) + delay_ms;
    bool is_soon = timer_is_running(&connection->timer) && connection->timer.due_ms <= due_ms;
    if (UNLIKELY(delay_ms > 0 && !is_soon))
        http_timers_start(connection, delay_ms);
}
void http_timers_stop(struct http_connection *connection);
