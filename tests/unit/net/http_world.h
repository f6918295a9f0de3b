/*
 * http_world: client - relay - origin on one simulated loop, and raw connections against either.
 */
#pragma once

#include "net/exchanges.h"

#include "base/buffer.h"
#include "base/memory.h"

/* client - relay - origin, on one simulated loop. */
struct world {
    struct loop *loop;
    struct memory_budget budget;
    struct http_connection_options options[2]; /* downstream, upstream */
    struct http_connection *client, *down, *up, *serving;
    struct relay relay;
    struct origin origin;
    bool bad; /* seen by the client */
    unsigned open;
    enum http_closed reasons[4];
    int closed[4]; /* client, down, up, serving */
    enum http_refusal refused;
};

static struct world *world; /* of the running test */

static inline void note_closed(struct http_connection **slot, int index, enum http_closed reason)
{
    world->closed[index]++;
    world->reasons[index] = reason;
    *slot = NULL;
}
static inline void client_on_closed(void *owner, struct http_connection *connection,
                                    enum http_closed reason,
                                    const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    note_closed(&world->client, 0, reason);
}
static inline void down_on_closed(void *owner, struct http_connection *connection,
                                  enum http_closed reason, const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    note_closed(&world->down, 1, reason);
}
static inline void up_on_closed(void *owner, struct http_connection *connection,
                                enum http_closed reason, const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    world->relay.up = NULL;
    note_closed(&world->up, 2, reason);
}
static inline void serving_on_closed(void *owner, struct http_connection *connection,
                                     enum http_closed reason,
                                     const struct transport_failure *failure)
{
    (void)owner, (void)connection, (void)failure;
    note_closed(&world->serving, 3, reason);
}
static inline void on_refused(void *owner, struct http_connection *connection,
                              enum http_refusal refusal)
{
    (void)owner, (void)connection;
    world->refused = refusal;
}

static const struct http_connection_events client_events = {.on_closed = client_on_closed};
static const struct http_connection_events down_connection_events = {
    .on_request = relay_on_request, .on_refused = on_refused, .on_closed = down_on_closed};
static const struct http_connection_events up_connection_events = {.on_room = relay_on_room,
                                                                   .on_closed = up_on_closed};
static const struct http_connection_events origin_events = {
    .on_request = origin_on_request, .on_refused = on_refused, .on_closed = serving_on_closed};

static inline struct transport *make_transport(struct world *w, int fd)
{
    static const struct conn_events none = {0};
    static const struct transport_options plain = {0};
    struct conn *conn = conn_adopt(w->loop, fd, 0, &none, NULL);
    CHECK(conn);
    struct transport *transport = transport_create(conn, NULL, &plain, NULL, NULL);
    CHECK(transport);
    return transport;
}

static inline struct http_connection *join(struct world *w, int fd, enum http_role role,
                                           const struct http_connection_options *options,
                                           const struct http_connection_events *events, void *owner)
{
    struct http_connection *connection =
        http_connection_create(make_transport(w, fd), role, options, events, owner);
    CHECK(connection);
    return connection;
}

static inline void begin_world(struct world *w, uint64_t seed, enum http_choice down,
                               enum http_choice up)
{
    *w = (struct world){0};
    world = w;
    struct loop_options options = {
        .name = "test", .backend = LOOP_SIM, .budget = &w->budget, .seed = seed};
    CHECK(loop_create(&options, &w->loop) == 0);
    w->options[0] = w->options[1] = http_connection_defaults;
    w->options[0].choice = (uint8_t)down;
    w->options[1].choice = (uint8_t)up;
    w->relay.loop = w->loop;
    origin_init(&w->origin, w->loop);
    list_init(&w->relay.waiting);
}

static inline void connect_up(struct world *w)
{
    int fds[2];
    sim_pair(w->loop, fds);
    w->up = join(w, fds[0], HTTP_CLIENT, &w->options[1], &up_connection_events, &w->relay);
    w->serving = join(w, fds[1], HTTP_SERVER, &w->options[1], &origin_events, &w->origin);
    w->relay.up = w->up;
}

static inline void connect_down(struct world *w)
{
    int fds[2];
    sim_pair(w->loop, fds);
    w->client = join(w, fds[0], HTTP_CLIENT, &w->options[0], &client_events, w);
    w->down = join(w, fds[1], HTTP_SERVER, &w->options[0], &down_connection_events, &w->relay);
}

static inline void close_one(struct http_connection **connection)
{
    if (*connection)
        http_connection_close(*connection);
    *connection = NULL;
}

/* Until all is quiet: late completions and slow ends included. */
static inline void settle(struct world *w, unsigned turns)
{
    bool is_quiet = false;
    while (turns-- > 0 && !is_quiet)
        is_quiet = !loop_turn(w->loop, 100) && sim_open_count(w->loop) == 0 &&
                   w->open + w->relay.open + w->origin.open == 0;
}

static inline void end_world(struct world *w)
{
    w->relay.up = NULL;
    close_one(&w->client);
    close_one(&w->down);
    close_one(&w->up);
    close_one(&w->serving);
    settle(w, 2000);
    CHECK(w->open == 0 && w->relay.open == 0 && w->origin.open == 0, "open: %u %u %u", w->open,
          w->relay.open, w->origin.open);
    CHECK(sim_open_count(w->loop) == 0, "%u descriptors are open", sim_open_count(w->loop));
    CHECK(loop_blocks_in_use(w->loop) == 0, "%zu bytes of blocks are lent out",
          loop_blocks_in_use(w->loop));
    loop_destroy(w->loop);
    CHECK(w->budget.in_use == 0, "%zu bytes are charged", w->budget.in_use);
}

/* --- one client by hand ----------------------------------------------------------------------------------------- */

/* A raw conn against the relay's server side. */
struct raw {
    struct conn *conn;
    struct buffer got;
    int ends, errors;
    bool is_closed;
};

static inline void raw_on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct raw *raw = owner;
    buffer_append(&raw->got, data, size);
    block_unref(block);
}
static inline void raw_on_read_end(void *owner)
{
    struct raw *raw = owner;
    raw->ends++;
}
static inline void raw_on_error(void *owner, int error)
{
    struct raw *raw = owner;
    (void)error;
    raw->errors++;
}
static const struct conn_events raw_events = {
    .on_bytes = raw_on_bytes, .on_read_end = raw_on_read_end, .on_error = raw_on_error};

/* A raw client of the origin. */
static inline void connect_raw(struct world *w, struct raw *raw)
{
    int fds[2];
    *raw = (struct raw){0};
    sim_pair(w->loop, fds);
    raw->conn = conn_adopt(w->loop, fds[0], 0, &raw_events, raw);
    conn_read_start(raw->conn);
    w->serving = join(w, fds[1], HTTP_SERVER, &w->options[1], &origin_events, &w->origin);
    settle(w, 5);
}

static inline void raw_say_slice(struct world *w, struct raw *raw, struct slice text)
{
    struct chain bytes = {0};
    CHECK(chain_append_copy(&bytes, loop_blocks(w->loop), text));
    conn_write(raw->conn, &bytes);
}

static inline void raw_say(struct world *w, struct raw *raw, const char *text)
{
    raw_say_slice(w, raw, slice_str(text));
}

static inline const char *heard(const struct raw *raw)
{
    return raw->got.data ? raw->got.data : "";
}

static inline void raw_fini(struct raw *raw)
{
    conn_close(raw->conn, CONN_ABORT);
    buffer_fini(&raw->got);
}

/* Simulated time goes on by so much, with whatever is due in it. */
static inline void pass(struct world *w, uint64_t delay_ms)
{
    uint64_t until_ms = loop_now_ms(w->loop) + delay_ms;
    while (loop_now_ms(w->loop) < until_ms)
        loop_turn(w->loop, until_ms - loop_now_ms(w->loop));
    settle(w, 3);
}

#define ORIGIN_GET "GET /1/0/5/0 HTTP/1.1\r\nHost: origin:80\r\n\r\n"
