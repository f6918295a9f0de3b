/*
 * exchanges: a client and an origin that test what lies between them.
 *
 * Each request says in its path what is to happen ("/ID/REQUEST-BYTES/RESPONSE-BYTES/FLAGS"), so both ends know every byte
 * that must arrive: bodies are a pattern of the id and the offset.
 */
#pragma once

#include "test.h"

#include "base/memory.h"
#include "io/loop.h"
#include "io/sim.h"
#include "net/http_connection.h"

enum exchange_flags {
    CHUNKED_REQUEST = 1,
    CHUNKED_RESPONSE = 2,
    REQUEST_TRAILERS = 4,
    RESPONSE_TRAILERS = 8,
    INFORMATIONAL = 16,
    HEAD_REQUEST = 32,
    SLOW_CLIENT = 64,
    SLOW_ORIGIN = 128,
    EARLY_RESPONSE = 256,
    GAVE_UP = 512, /* the origin resets in the middle of its answer */
    ALL_FLAGS = 511,
    /* Where an exchange stops until end_let_go. */
    CLIENT_KEEPS_BODY = 1 << 10, /* the second half of it, and the trailers */
    CLIENT_READS_NOT = 1 << 11,
    ORIGIN_ANSWERS_NOT = 1 << 12,
    ORIGIN_KEEPS_BODY = 1 << 13,
    ORIGIN_READS_NOT = 1 << 14,
};

enum { SEND_AHEAD = 20000, SLOW_MS = 5 };

struct plan {
    unsigned id;
    size_t request_bytes, response_bytes;
    unsigned flags;
};

static inline char pattern(unsigned id, size_t at)
{
    return (char)(id * 31 + at * 7 + (at >> 8) * 13);
}

static inline bool is_pattern(unsigned id, size_t from, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] != pattern(id, from + i))
            return false;
    return true;
}

/* One end of one exchange: sends a patterned body and checks the other. */
struct end {
    struct list node; /* the origin's: among those that stop */
    struct plan plan;
    struct http_stream *stream;
    struct loop *loop;
    struct arena arena; /* client's */
    struct timer timer; /* slow: gives credit back */
    size_t owed;
    size_t to_send, sent, unsent;
    size_t got, to_get;
    unsigned status, informational;
    bool is_origin, is_slow, is_early, is_let_go, has_answered;
    bool got_head, got_end, got_trailers, sends_trailers, sent_end, was_reset, reset_unseen;
    bool *bad;
    unsigned *open; /* counts ends that are not done */
    char said[160]; /* by a proxy whose own answer it is, in place of the body */
};

/* The origin knows no errors but a 413 that comes early. */
static inline bool end_is_refused(const struct end *end)
{
    return end->status >= 400 && !end->is_early;
}

/* Answered with 200 and every byte of the body, of a client's end. */
static inline bool end_is_whole(const struct end *end)
{
    return end->got_end && !end->was_reset && end->status == 200 && end->got == end->to_get;
}

/* Whether it stops here; a flag for each role. */
static inline bool end_stops(const struct end *end, unsigned client, unsigned origin)
{
    return !end->is_let_go && end->plan.flags & (end->is_origin ? origin : client);
}

static inline void end_release(struct end *end)
{
    if (!end->stream)
        return;
    if (end->is_origin)
        list_remove(&end->node);
    loop_timer_stop(end->loop, &end->timer);
    http_stream_release(end->stream);
    end->stream = NULL;
    (*end->open)--;
    if (end->is_origin)
        mem_free(end);
    else
        arena_fini(&end->arena);
}

/* True when it has left. */
static inline bool end_release_if_done(struct end *end)
{
    bool is_done = end->sent_end && (end->got_end || (end->is_origin && end->is_early));
    if (end->got_end && !end->is_origin && end->is_early)
        is_done = true; /* the answer came before all was sent */
    if (end->was_reset) {
        end_release(end);
        return true;
    }
    if (is_done && end->owed == 0)
        end_release(end);
    return is_done;
}

static inline void end_send_trailers(struct end *end)
{
    struct header field = {
        .name = "x-sum", .value = "ok", .value_size = 2, .name_size = 5, .id = HEADER_OTHER};
    struct headers trailers = {.items = &field, .count = 1, .capacity = 1};
    http_stream_send_trailers(end->stream, &trailers);
}

/* As much as the window of our own allows. */
static inline void end_send(struct end *end)
{
    bool stops = end_stops(end, CLIENT_KEEPS_BODY, ORIGIN_KEEPS_BODY);
    size_t most = stops ? end->to_send / 2 : end->to_send;
    while (!end->sent_end && end->unsent < SEND_AHEAD) {
        struct chain data = {0};
        size_t size = MIN(most - end->sent, (size_t)3000);
        if (stops && size == 0)
            return;
        bool is_last = end->sent + size == end->to_send;
        if (size > 0) {
            char *at = chain_reserve(&data, loop_blocks(end->loop), size);
            if (!at) { /* the budget is spent */
                end->was_reset = true;
                http_stream_reset(end->stream, HTTP_RESET_INTERNAL);
                return;
            }
            for (size_t i = 0; i < size; i++)
                at[i] = pattern(end->plan.id, end->sent + i);
            chain_commit(&data, size);
        }
        end->sent += size;
        end->unsent += size;
        end->sent_end = is_last;
        http_stream_send_data(end->stream, &data, is_last && !end->sends_trailers);
        if (is_last && end->sends_trailers)
            end_send_trailers(end);
    }
}

static inline void end_on_slow(struct timer *timer)
{
    struct end *end = CONTAINER_OF(timer, struct end, timer);
    size_t size = MIN(end->owed, (size_t)7000);
    end->owed -= size;
    http_stream_consumed(end->stream, size);
    if (end->owed > 0)
        loop_timer_start(end->loop, &end->timer, SLOW_MS, end_on_slow);
    else
        end_release_if_done(end);
}

static inline void end_consumed(struct end *end, size_t size)
{
    bool stops = end_stops(end, CLIENT_READS_NOT, ORIGIN_READS_NOT);
    if (!end->is_slow && !stops) {
        http_stream_consumed(end->stream, size);
        return;
    }
    end->owed += size;
    if (!stops && !timer_is_running(&end->timer))
        loop_timer_start(end->loop, &end->timer, SLOW_MS, end_on_slow);
}

static inline void end_begin_response(struct end *end)
{
    struct http_response head;
    end->has_answered = true;
    if (end->plan.flags & INFORMATIONAL) {
        http_response_init(&head, 103);
        http_stream_send_response(end->stream, &head, false);
    }
    http_response_init(&head, end->plan.flags & EARLY_RESPONSE ? 413 : 200);
    bool is_head = end->plan.flags & HEAD_REQUEST;
    if (is_head || !(end->plan.flags & (CHUNKED_RESPONSE | RESPONSE_TRAILERS)))
        head.content_length = (int64_t)end->plan.response_bytes;
    bool is_whole = is_head || (end->to_send == 0 && !end->sends_trailers);
    http_stream_send_response(end->stream, &head, is_whole);
    end->sent_end = is_whole;
    end_send(end);
}

static inline void end_is_complete(struct end *end)
{
    end->got_end = true;
    if (end->got != end->to_get && !end_is_refused(end))
        *end->bad = true;
    if (end->is_origin && !end->is_early && !end_stops(end, 0, ORIGIN_ANSWERS_NOT))
        end_begin_response(end);
    end_release_if_done(end);
}

/* Goes on where it had stopped; it may leave. */
static inline void end_let_go(struct end *end)
{
    size_t owed = end->owed;
    end->is_let_go = true;
    end->owed = 0;
    if (owed > 0)
        http_stream_consumed(end->stream, owed);
    if (end->is_origin && !end->has_answered && end->got_end)
        end_begin_response(end);
    else if (end->stream->out == HTTP_OPEN && (!end->is_origin || end->has_answered))
        end_send(end);
    end_release_if_done(end);
}

static inline void end_cancel(struct end *end, enum http_reset_reason reason)
{
    end->was_reset = true;
    end->owed = 0;
    http_stream_reset(end->stream, reason);
    end_release(end);
}

static inline void end_on_response(struct http_stream *stream, struct http_response *head,
                                   bool is_end)
{
    struct end *end = stream->owner;
    if (head->status < 200) {
        end->informational++;
        return;
    }
    end->got_head = true;
    end->status = head->status;
    if (is_end)
        end_is_complete(end);
}

static inline void end_on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct end *end = stream->owner;
    size_t size = data->size;
    while (data->size > 0) {
        struct slice front = chain_front(data);
        if (end_is_refused(end) && end->got == 0)
            memcpy(end->said, front.data, MIN(front.size, sizeof(end->said) - 1));
        else if (!end_is_refused(end) && !is_pattern(end->plan.id, end->got, front))
            *end->bad = true;
        end->got += front.size;
        chain_consume(data, front.size);
    }
    if (end->got > end->to_get && !end_is_refused(end))
        *end->bad = true;
    if (size > 0)
        end_consumed(end, size);
    if (is_end)
        end_is_complete(end);
}

static inline void end_on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct end *end = stream->owner;
    end->got_trailers = headers_find_name(trailers, SLICE("X-Sum")) != NULL;
    end_is_complete(end);
}

static inline void end_on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct end *end = stream->owner;
    end->was_reset = true;
    end->reset_unseen = reset->unseen;
    end->owed = 0;
    end_release(end);
}

static inline void end_on_sent(struct http_stream *stream, size_t size)
{
    struct end *end = stream->owner;
    end->unsent -= MIN(size, end->unsent);
    if (end->stream->out != HTTP_OPEN)
        return;
    end_send(end);
    end_release_if_done(end);
}

static const struct http_stream_events end_events = {
    .on_response = end_on_response,
    .on_data = end_on_data,
    .on_trailers = end_on_trailers,
    .on_reset = end_on_reset,
    .on_sent = end_on_sent,
};

/* --- the client ----------------------------------------------------------------------------------------------- */

static inline bool client_ask(struct http_connection *connection, struct end *end,
                              const struct plan *plan, bool *bad, unsigned *open)
{
    struct loop *loop = http_connection_loop(connection);
    bool is_head = plan->flags & HEAD_REQUEST;
    *end = (struct end){.plan = *plan,
                        .loop = loop,
                        .to_send = plan->request_bytes,
                        .to_get = is_head ? 0 : plan->response_bytes,
                        .is_slow = plan->flags & SLOW_CLIENT,
                        .is_early = plan->flags & EARLY_RESPONSE,
                        .sends_trailers = plan->flags & REQUEST_TRAILERS,
                        .bad = bad,
                        .open = open};
    arena_init(&end->arena, loop_blocks(loop));
    end->stream = http_connection_open_stream(connection, &end->arena, &end_events, end);
    if (!end->stream) {
        arena_fini(&end->arena);
        return false;
    }
    (*open)++;
    struct http_request head;
    char path[80];
    http_request_init(&head);
    bool has_body = end->to_send > 0 || end->sends_trailers;
    http_request_set_method(&head, is_head ? HTTP_HEAD : has_body ? HTTP_POST : HTTP_GET);
    head.scheme = SLICE("http");
    head.authority = SLICE("origin:80");
    head.path =
        slice_of(path, (size_t)snprintf(path, sizeof(path), "/%u/%zu/%zu/%u", plan->id,
                                        plan->request_bytes, plan->response_bytes, plan->flags));
    if (has_body && !(plan->flags & (CHUNKED_REQUEST | REQUEST_TRAILERS)))
        head.content_length = (int64_t)plan->request_bytes;
    http_stream_send_request(end->stream, &head, !has_body);
    end->sent_end = !has_body;
    end_send(end);
    return true;
}

/* --- the origin ----------------------------------------------------------------------------------------------- */

struct origin {
    struct loop *loop;
    bool bad;
    unsigned open;
    unsigned requests;
    struct list stopped; /* its ends that stop somewhere */
    bool lets_go;        /* from now on none does */
};

static inline void origin_init(struct origin *origin, struct loop *loop)
{
    origin->loop = loop;
    list_init(&origin->stopped);
}

/* Those that stop go on, and those that come do not stop. */
static inline void origin_let_go(struct origin *origin)
{
    origin->lets_go = true;
    LIST_EACH_SAFE(node, after, &origin->stopped)
    end_let_go(LIST_ENTRY(node, struct end, node));
}

static inline void origin_on_request(void *owner, struct http_connection *connection,
                                     struct http_stream *stream)
{
    struct origin *origin = owner;
    struct end *end = mem_new(struct end);
    char path[80] = "";
    const struct http_request *request = stream->request;
    (void)connection;
    CHECK(request->path.size < sizeof(path), "%zu", request->path.size);
    memcpy(path, request->path.data, request->path.size);
    struct plan plan = {0};
    CHECK(sscanf(path, "/%u/%zu/%zu/%u", &plan.id, &plan.request_bytes, &plan.response_bytes,
                 &plan.flags) == 4,
          "%s", path);
    CHECK(slice_equals_str(request->authority, "origin:80"));
    *end = (struct end){.plan = plan,
                        .stream = stream,
                        .loop = origin->loop,
                        .to_send = plan.flags & HEAD_REQUEST ? 0 : plan.response_bytes,
                        .to_get = plan.request_bytes,
                        .is_origin = true,
                        .is_slow = plan.flags & SLOW_ORIGIN,
                        .is_early = plan.flags & EARLY_RESPONSE,
                        .sends_trailers =
                            (plan.flags & RESPONSE_TRAILERS) && !(plan.flags & HEAD_REQUEST),
                        .bad = &origin->bad,
                        .open = &origin->open};
    origin->open++;
    origin->requests++;
    end->is_let_go = origin->lets_go;
    list_init(&end->node);
    if (plan.flags > ALL_FLAGS)
        list_push_back(&origin->stopped, &end->node);
    stream->events = &end_events;
    stream->owner = end;
    bool is_end = stream->in == HTTP_ENDED;
    if (end->is_early)
        end_begin_response(end);
    if (is_end)
        end_is_complete(end);
    else if (end->is_early)
        end_release_if_done(end);
}

/* --- a relay between them ------------------------------------------------------------------------------------- */

struct relay {
    struct loop *loop;
    struct http_connection *up;
    struct list waiting; /* for room upstream */
    size_t most_held;    /* bytes given to one side and not yet sent, at most, in any exchange */
    unsigned open;
};

/* One exchange through the relay, in the downstream stream's arena. */
struct hop {
    struct list node;
    struct relay *relay;
    struct http_stream *down, *up;
    bool is_error;
};

static inline void hop_release(struct hop *hop)
{
    struct http_stream *down = hop->down, *up = hop->up;
    list_remove(&hop->node);
    hop->relay->open--;
    hop->down = hop->up = NULL;
    if (up)
        http_stream_release(up);
    if (down)
        http_stream_release(down); /* the hop's memory goes with it */
}

static inline void hop_release_if_done(struct hop *hop)
{
    bool is_whole = http_stream_is_whole(hop->down) && http_stream_is_whole(hop->up);
    /* An error before the request's end: what still comes is not worth relaying. */
    bool is_refused = hop->down->out == HTTP_ENDED && hop->is_error;
    if (is_whole || is_refused)
        hop_release(hop);
}

static inline void hop_note(struct hop *hop, const struct http_stream *to)
{
    hop->relay->most_held = MAX(hop->relay->most_held, to->unsent);
}

static inline void up_on_response(struct http_stream *stream, struct http_response *head,
                                  bool is_end)
{
    struct hop *hop = stream->owner;
    hop->is_error = head->status >= 400;
    http_stream_send_response(hop->down, head, is_end);
    if (is_end)
        hop_release_if_done(hop);
}
static inline void up_on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct hop *hop = stream->owner;
    http_stream_send_data(hop->down, data, is_end);
    hop_note(hop, hop->down);
    if (is_end)
        hop_release_if_done(hop);
}
static inline void up_on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct hop *hop = stream->owner;
    http_stream_send_trailers(hop->down, trailers);
    hop_release_if_done(hop);
}
static inline void up_on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct hop *hop = stream->owner;
    /* The answer is whole, and only the request's rest was refused. */
    if (reset->reason != HTTP_RESET_NO_ERROR || hop->down->out != HTTP_ENDED)
        http_stream_reset(hop->down, HTTP_RESET_INTERNAL);
    hop_release(hop);
}
static inline void up_on_sent(struct http_stream *stream, size_t size)
{
    struct hop *hop = stream->owner;
    http_stream_consumed(hop->down, size);
}
static const struct http_stream_events up_events = {
    .on_response = up_on_response,
    .on_data = up_on_data,
    .on_trailers = up_on_trailers,
    .on_reset = up_on_reset,
    .on_sent = up_on_sent,
};

static inline void down_on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct hop *hop = stream->owner;
    http_stream_send_data(hop->up, data, is_end);
    hop_note(hop, hop->up);
    if (is_end)
        hop_release_if_done(hop);
}
static inline void down_on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct hop *hop = stream->owner;
    http_stream_send_trailers(hop->up, trailers);
    hop_release_if_done(hop);
}
static inline void down_on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    (void)reset;
    hop_release(stream->owner);
}
static inline void down_on_sent(struct http_stream *stream, size_t size)
{
    struct hop *hop = stream->owner;
    if (hop->up)
        http_stream_consumed(hop->up, size);
}
static const struct http_stream_events down_events = {
    .on_data = down_on_data,
    .on_trailers = down_on_trailers,
    .on_reset = down_on_reset,
    .on_sent = down_on_sent,
};

static inline bool hop_start(struct hop *hop)
{
    struct relay *relay = hop->relay;
    if (!relay->up ||
        !(hop->up = http_connection_open_stream(relay->up, hop->down->arena, &up_events, hop)))
        return false;
    http_stream_send_request(hop->up, hop->down->request, hop->down->in == HTTP_ENDED);
    return true;
}

/* Only a request without body can wait: this relay buffers nothing. */
static const struct http_stream_events waiting_events = {.on_reset = down_on_reset};

static inline void relay_on_request(void *owner, struct http_connection *connection,
                                    struct http_stream *stream)
{
    struct relay *relay = owner;
    struct hop *hop = arena_try_alloc(stream->arena, sizeof(*hop));
    (void)connection;
    CHECK(hop);
    *hop = (struct hop){.relay = relay, .down = stream};
    list_init(&hop->node);
    relay->open++;
    stream->owner = hop;
    stream->events = &down_events;
    if (hop_start(hop))
        return;
    if (stream->in == HTTP_OPEN) {
        http_stream_reset(stream, HTTP_RESET_REFUSED);
        hop_release(hop);
        return;
    }
    stream->events = &waiting_events;
    list_push_back(&relay->waiting, &hop->node);
}

static inline void relay_on_room(void *owner, struct http_connection *connection)
{
    struct relay *relay = owner;
    (void)connection;
    while (!list_is_empty(&relay->waiting)) {
        struct hop *hop = LIST_ENTRY(relay->waiting.next, struct hop, node);
        if (!hop_start(hop))
            return;
        list_remove(&hop->node);
        hop->down->events = &down_events;
    }
}
