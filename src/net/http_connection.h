/*
 * http_connection: an HTTP connection = transport + codec + timers + limits, as server or client.
 *
 * Its streams are those of http/stream.h; their calls write into the transport, all of a turn in one send, and their
 * events come from the loop. The connection owns its transport. It goes idle, drains, lingers and closes by itself;
 * the owner hears on_closed once, after which it may not use it any more (streams that are not released yet stay
 * valid until they are; they have got their on_reset before). An idle connection holds no buffer.
 */
#pragma once

#include "http/codec.h"
#include "net/transport.h"

struct http_connection;
struct loop;

/* Which protocol is spoken: by ALPN on TLS; without it a server looks for HTTP/2's preface and a client speaks HTTP/1. */
enum http_choice { HTTP_CHOOSE, HTTP_ONLY_1, HTTP_ONLY_2 };

/* Shared by many connections; outlives them. 0 = no timeout. */
struct http_connection_options {
    const struct http_limits *limits; /* NULL: http_limits_default */
    uint32_t idle_timeout_ms;         /* without a stream */
    uint32_t head_timeout_ms; /* from a head's first byte (a new connection's start) to its last */
    uint32_t stream_idle_timeout_ms; /* nothing moved on a stream */
    uint32_t
        write_stall_timeout_ms; /* bytes wait and the peer takes none; tunnels over HTTP/1 know no such */
    uint32_t
        linger_ms; /* closing over bytes that were not read: for the peer to read our last words, and close */
    uint32_t drain_timeout_ms; /* from drain to close with streams still open */
    /*
     * Server, draining: so long it takes what the peer sends before it has heard of it. 0: as long as needed, that is
     * 500 ms of silence over HTTP/1 (5 s before the first request), which cannot say it, and a round trip over HTTP/2.
     */
    uint32_t drain_grace_ms;
    uint32_t ping_interval_ms; /* HTTP/2: PING after so much silence. 0 = never */
    uint32_t
        ping_timeout_ms;   /* without an answer it closes after so much more; 0: the same again */
    uint32_t max_age_ms;   /* of the connection; then drain */
    uint32_t max_requests; /* then drain; 0 = any number */
    uint8_t choice;        /* enum http_choice */
};
/* 1 h idle, 10 s head, 300 s stream idle and write stall, 2 s linger, 600 s drain. */
extern const struct http_connection_options http_connection_defaults;

enum http_closed {
    HTTP_CLOSED_DONE,         /* drained, or either side ended it between exchanges */
    HTTP_CLOSED_IDLE,         /* idle timeout */
    HTTP_CLOSED_HEAD_TIMEOUT, /* the head did not come in time */
    HTTP_CLOSED_REFUSED,      /* the peer broke a rule: http_connection_refusal */
    HTTP_CLOSED_TRANSPORT,    /* reset, timed out, TLS failure */
    HTTP_CLOSED_WRITE_STALL,  /* the peer takes nothing of what waits for it */
    HTTP_CLOSED_PING,         /* no answer to a PING */
    HTTP_CLOSED_MAX_REQUESTS,
};
const char *http_closed_text(enum http_closed reason);

struct http_connection_events {
    /* The transport is open and the protocol known; a client may open streams before, they wait. May be NULL. */
    void (*on_open)(void *owner, struct http_connection *connection);
    /* Server: set stream->events and stream->owner before returning. stream->request is the head. */
    void (*on_request)(void *owner, struct http_connection *connection, struct http_stream *stream);
    /* Server: a request was answered with http_refusal_status and is no stream. May be NULL. */
    void (*on_refused)(void *owner, struct http_connection *connection, enum http_refusal refusal);
    /* Client: a stream is over, or the peer allows more: there may be room again. From the loop. May be NULL. */
    void (*on_room)(void *owner, struct http_connection *connection);
    /* Takes no new streams any more (GOAWAY, Connection: close, drain): off the pool's list. May be NULL. */
    void (*on_draining)(void *owner, struct http_connection *connection);
    /* Last event. `failure` only with HTTP_CLOSED_TRANSPORT. */
    void (*on_closed)(void *owner, struct http_connection *connection, enum http_closed reason,
                      const struct transport_failure *failure);
};

/* Takes over the transport, which may still be opening. NULL when memory is refused (the transport is then closed). */
MUST_USE struct http_connection *
http_connection_create(struct transport *transport, enum http_role role,
                       const struct http_connection_options *options,
                       const struct http_connection_events *events, void *owner);
/* Ends it now: streams are reset (no event to their consumers, who still release them), no event follows. */
void http_connection_close(struct http_connection *connection);
/* No new streams; closes when the last is over or the drain timeout passed. on_closed follows. */
void http_connection_drain(struct http_connection *connection);
bool http_connection_is_draining(const struct http_connection *connection);

/*
 * Client: a new stream, on which http_stream_send_request comes next; NULL without room or memory. The arena takes
 * the heads that come in and must live until the stream is released.
 */
MUST_USE struct http_stream *http_connection_open_stream(struct http_connection *connection,
                                                         struct arena *arena,
                                                         const struct http_stream_events *events,
                                                         void *owner);
/* For this stream instead of the connection's stream_idle_timeout_ms; 0 = none. */
void http_connection_set_stream_idle(struct http_stream *stream, uint64_t idle_ms);
/* How many streams can be opened now; 0 or 1 for HTTP/1. */
uint32_t http_connection_room(const struct http_connection *connection);
bool http_connection_is_idle(const struct http_connection *connection);
/*
 * HTTP/1, between two exchanges: the server has ended it, or has said what nobody asked for, and only the loop has not told
 * yet. Asks the system, and only of a connection that was idle for HTTP_STALE_MS: of others it is not worth a call.
 */
bool http_connection_is_stale(const struct http_connection *connection);
/* Requests begun so far: 0 on a fresh connection, so a failure on it is not a stale pool's. */
uint32_t http_connection_requests(const struct http_connection *connection);

void *http_connection_owner(const struct http_connection *connection);
/* Of a stream that this room made. */
struct http_connection *http_connection_of(const struct http_stream *stream);
/* For addresses, TLS facts, identities. It stays the connection's. */
const struct transport *http_connection_transport(const struct http_connection *connection);
struct loop *http_connection_loop(const struct http_connection *connection);
enum http_protocol http_connection_protocol(const struct http_connection *connection);
enum http_refusal http_connection_refusal(const struct http_connection *connection);
