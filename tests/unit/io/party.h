/*
 * party: one end of a connection that writes down what happened to it, for tests on every back end.
 *
 * EACH_WORLD runs its body on a loop over epoll, over io_uring, on an ideal simulation, and on simulations with faults,
 * one a seed.
 */
#pragma once

#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "io/conn.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct party {
    struct conn *conn;
    struct buffer got;
    size_t written;
    int connected, read_ends, write_ends, errors;
    int error, write_error;
    int late;          /* events after the end: must stay 0 */
    size_t stop_every; /* stops reading after so many events, and is started by the test */
    size_t events;
    enum conn_close close_with;
    bool closes_on_bytes, closes_on_end, is_closed, echoes;
};

static inline void party_close(struct party *party, enum conn_close how)
{
    party->is_closed = true;
    conn_close(party->conn, how);
}

static inline void party_on_connected(void *owner)
{
    struct party *party = owner;
    party->late += party->is_closed;
    party->connected++;
}

static inline void party_on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct party *party = owner;
    party->late += party->is_closed || party->read_ends || !conn_is_reading(party->conn);
    buffer_append(&party->got, data, size);
    party->events++;
    if (party->echoes)
        conn_write_block(party->conn, block, data, size);
    else
        block_unref(block);
    if (party->closes_on_bytes)
        party_close(party, party->close_with);
    else if (party->stop_every && party->events % party->stop_every == 0)
        conn_read_stop(party->conn);
}

static inline void party_on_written(void *owner, size_t size)
{
    struct party *party = owner;
    party->late += party->is_closed;
    party->written += size;
}

static inline void party_on_read_end(void *owner)
{
    struct party *party = owner;
    party->late += party->is_closed || party->read_ends || party->errors;
    party->read_ends++;
    if (party->closes_on_end)
        party_close(party, party->close_with);
}

static inline void party_on_write_end(void *owner, int error)
{
    struct party *party = owner;
    party->late += party->is_closed || party->write_ends;
    party->write_ends++;
    party->write_error = error;
}

static inline void party_on_error(void *owner, int error)
{
    struct party *party = owner;
    party->late += party->is_closed || party->errors;
    party->errors++;
    party->error = error;
}

static const struct conn_events party_events = {
    .on_connected = party_on_connected,
    .on_bytes = party_on_bytes,
    .on_written = party_on_written,
    .on_read_end = party_on_read_end,
    .on_write_end = party_on_write_end,
    .on_error = party_on_error,
};

static inline void party_fini(struct party *party)
{
    if (party->conn && !party->is_closed)
        party_close(party, CONN_ABORT);
    buffer_fini(&party->got);
}

static inline void party_write(struct party *party, const char *bytes, size_t size)
{
    struct chain chain = {0};
    bool fits =
        chain_append_copy(&chain, loop_blocks(conn_loop(party->conn)), slice_of(bytes, size));
    CHECK(fits, "the pool gives blocks");
    conn_write(party->conn, &chain);
}

static inline void party_say(struct party *party, const char *text)
{
    party_write(party, text, strlen(text));
}

/* --- worlds ------------------------------------------------------------------------------------------------ */

struct world {
    struct loop *loop;
    char name[32];
    struct party a, b; /* connected to each other by world_pair */
};

static inline void world_open(struct world *world, enum loop_backend backend, uint64_t seed,
                              struct memory_budget *budget)
{
    *world = (struct world){0};
    snprintf(world->name, sizeof(world->name), "%s, seed %llu", loop_backend_name(backend),
             (unsigned long long)seed);
    struct loop_options options = {
        .name = "test", .backend = backend, .seed = seed ? seed : 1, .budget = budget};
    CHECK(loop_create(&options, &world->loop) == 0, "%s", world->name);
    struct sim_faults faults = sim_usual_faults();
    if (backend == LOOP_SIM && seed > 0)
        sim_set_faults(world->loop, &faults);
}

/* The first worlds are over epoll, over io_uring where the kernel allows it, and an ideal simulation; then come faults. */
enum { WORLDS_WITHOUT_FAULTS = 3 };
static inline void world_open_nth(struct world *world, unsigned i, struct memory_budget *budget)
{
    enum loop_backend backend = i == 0 ? LOOP_EPOLL : i == 1 ? LOOP_IO_URING : LOOP_SIM;
    if (backend == LOOP_IO_URING && loop_may_use_io_uring() != 0)
        backend = LOOP_EPOLL;
    world_open(world, backend, i < WORLDS_WITHOUT_FAULTS ? 0 : sim_seed(i - WORLDS_WITHOUT_FAULTS),
               budget);
}

static inline void world_pair(struct world *world)
{
    int fds[2];
    if (loop_backend(world->loop) == LOOP_SIM)
        sim_pair(world->loop, fds);
    else
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "-");
    world->a.conn = conn_adopt(world->loop, fds[0], 0, &party_events, &world->a);
    world->b.conn = conn_adopt(world->loop, fds[1], 0, &party_events, &world->b);
    CHECK(world->a.conn && world->b.conn, "%s", world->name);
}

/* Turns until the claim is true; a test that waits in vain fails after 10 s or when a simulation stands still. */
#define UNTIL(world, claim)                                                                        \
    do {                                                                                           \
        uint64_t until_ms = loop_now_ms((world)->loop) + 60000;                                    \
        while (!(claim)) {                                                                         \
            loop_turn((world)->loop, 100);                                                         \
            CHECK(loop_now_ms((world)->loop) < until_ms, "%s: waited in vain for " #claim,         \
                  (world)->name);                                                                  \
        }                                                                                          \
    } while (0)

static inline bool world_is_empty(const struct world *world)
{
    return loop_blocks_in_use(world->loop) == 0 &&
           (loop_backend(world->loop) != LOOP_SIM || sim_open_count(world->loop) == 0);
}

/* Every block is back and every descriptor of the simulation closed, or the test waits in vain. */
static inline void world_close(struct world *world)
{
    party_fini(&world->a);
    party_fini(&world->b);
    loop_settle(world->loop);
    UNTIL(world, world_is_empty(world));
    CHECK(world->a.late == 0 && world->b.late == 0, "%s: no event after the end", world->name);
    loop_destroy(world->loop);
}

#define EACH_WORLD_WITH(world, budget)                                                             \
    for (unsigned world##_i = 0, world##_n = sim_seed_count(20) + WORLDS_WITHOUT_FAULTS;           \
         world##_i < world##_n; world##_i++)                                                       \
        for (bool world##_once = (world_open_nth(&(world), world##_i, budget), true);              \
             world##_once; world_close(&(world)), world##_once = false)
#define EACH_WORLD(world) EACH_WORLD_WITH(world, NULL)
