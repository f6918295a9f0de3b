#include "io/party.h"

#include "base/hash.h"
#include "base/random.h"

#include <arpa/inet.h>

TEST(conn_carries_bytes_both_ways)
{
    struct world w;
    EACH_WORLD(w)
    {
        world_pair(&w);
        conn_read_start(w.a.conn);
        conn_read_start(w.b.conn);
        party_say(&w.a, "hello ");
        party_say(&w.a, "world");
        party_say(&w.b, "and you");
        UNTIL(&w, w.b.got.size >= 11 && w.a.got.size >= 7);
        CHECK(buffer_equals(&w.b.got, "hello world"), "%s", w.name);
        CHECK(buffer_equals(&w.a.got, "and you"), "%s", w.name);
        UNTIL(&w, w.a.written == 11 && w.b.written == 7);
        CHECK(conn_sent(w.a.conn) == 11 && conn_received(w.a.conn) == 7, "%s", w.name);
    }
}

TEST(conn_ends_each_direction_apart)
{
    struct world w;
    EACH_WORLD(w)
    {
        world_pair(&w);
        conn_read_start(w.a.conn);
        conn_read_start(w.b.conn);
        party_say(&w.a, "last words");
        conn_write_end(w.a.conn);
        UNTIL(&w, w.b.read_ends && w.a.write_ends);
        CHECK(buffer_equals(&w.b.got, "last words"), "%s: bytes come before the end", w.name);
        CHECK(w.a.write_error == 0 && w.a.read_ends == 0, "%s", w.name);
        party_say(&w.b, "still here");
        UNTIL(&w, w.a.got.size == 10);
        conn_write_end(w.b.conn);
        UNTIL(&w, w.a.read_ends && w.b.write_ends);
        CHECK(w.a.errors == 0 && w.b.errors == 0, "%s", w.name);
    }
}

/* A TCP connection, for what only TCP tells: its other end is a plain socket, or in a simulation a conn (then -1). */
static int pair_by_tcp(struct world *w)
{
    if (loop_backend(w->loop) == LOOP_SIM) {
        world_pair(w);
        conn_read_start(w->b.conn);
        return -1;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0, "-");
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0, "-");
    CHECK(connect(ours, (struct sockaddr *)&address, size) == 0, "-");
    int theirs = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(theirs >= 0 && fcntl(ours, F_SETFL, O_NONBLOCK) == 0, "-");
    close(listener);
    w->a.conn = conn_adopt(w->loop, ours, 0, &party_events, &w->a);
    return theirs;
}

static bool is_ruined(const struct world *w)
{
    return w->a.errors || w->b.errors || (w->a.write_error && w->a.write_error != EPIPE);
}

static void say_and_hear(struct world *w, int theirs, const char *text)
{
    char heard[64];
    size_t size = strlen(text), before = w->b.got.size;
    party_say(&w->a, text);
    UNTIL(w, is_ruined(w) || (theirs < 0 ? w->b.got.size == before + size
                                         : recv(theirs, heard, size, 0) == (ssize_t)size));
}

/* What goes out to a peer that has ended is not heard, and its end says so; what it had before, it had. */
TEST(conn_knows_whether_an_end_came_before_what_it_sent)
{
    struct world w;
    EACH_WORLD(w)
    {
        const bool is_last_heard = w_i % 2, is_ideal = w_i < WORLDS_WITHOUT_FAULTS;
        int theirs = pair_by_tcp(&w);
        conn_read_start(w.a.conn);
        say_and_hear(&w, theirs, "heard");
        if (is_last_heard)
            say_and_hear(&w, theirs, "the last");
        if (theirs >= 0)
            close(theirs);
        else
            party_close(&w.b, CONN_CLOSE);
        UNTIL(&w, theirs >= 0 || w.a.read_ends || is_ruined(&w)); /* a conn closes when it can */
        if (!is_last_heard && !is_ruined(&w))
            party_say(&w.a, "the last");
        UNTIL(&w, w.a.write_ends || (w.a.read_ends && conn_sent(w.a.conn) == 13) || is_ruined(&w));
        bool is_unheard = !is_ruined(&w) && conn_is_unheard(w.a.conn, 5);
        bool was_refused = is_ruined(&w) || conn_sent(w.a.conn) < 13;
        CHECK(is_unheard ? !is_last_heard : is_last_heard || was_refused, "%s", w.name);
        CHECK(is_ruined(&w) || !conn_is_unheard(w.a.conn, 0), "%s", w.name);
        CHECK(!is_ideal || !is_ruined(&w), "%s", w.name);
    }
}

/* Between the last look at a silent peer and the end nothing may come in between, or it would be heard and not answered. */
TEST(conn_closes_behind_its_last_bytes_in_the_same_call)
{
    struct world w;
    EACH_WORLD(w)
    {
        char heard[8];
        int theirs = pair_by_tcp(&w);
        if (theirs < 0)
            continue;
        conn_read_start(w.a.conn);
        loop_turn(w.loop, 0);
        party_say(&w.a, "bye");
        party_close(&w.a, CONN_CLOSE);
        CHECK(recv(theirs, heard, sizeof(heard), 0) == 3, "%s", w.name);
        CHECK(recv(theirs, heard, sizeof(heard), 0) == 0, "%s: the end", w.name);
        close(theirs);
    }
}

TEST(conn_keeps_what_comes_while_reading_is_off)
{
    struct world w;
    EACH_WORLD(w)
    {
        world_pair(&w);
        conn_read_start(w.b.conn);
        w.b.stop_every = 1;
        party_say(&w.a, "one");
        UNTIL(&w, w.b.events == 1);
        party_say(&w.a, "two");
        conn_write_end(w.a.conn);
        UNTIL(&w, w.a.write_ends);
        size_t had = w.b.got.size;
        loop_settle(w.loop);
        CHECK(w.b.got.size == had && w.b.read_ends == 0, "%s: nothing while off", w.name);
        w.b.stop_every = 0;
        conn_read_start(w.b.conn);
        UNTIL(&w, w.b.read_ends);
        CHECK(buffer_equals(&w.b.got, "onetwo"), "%s", w.name);
    }
}

static void fill(char *bytes, size_t size, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)random_u64(&random);
}

TEST(conn_carries_much_in_any_cut_with_stops)
{
    enum { SIZE = 600000 };
    struct world w;
    char *bytes = mem_alloc(SIZE);
    fill(bytes, SIZE, 7);
    EACH_WORLD(w)
    {
        size_t at = 0, peak = 0;
        world_pair(&w);
        w.b.stop_every = 3;
        while (!w.b.read_ends) {
            if (!conn_is_reading(w.b.conn))
                conn_read_start(w.b.conn);
            while (at < SIZE && conn_backlog(w.a.conn) < 100000) {
                size_t size = 1 + random_below(loop_random(w.loop), 30000);
                size = MIN(size, (size_t)SIZE - at);
                party_write(&w.a, bytes + at, size);
                if ((at += size) == SIZE)
                    conn_write_end(w.a.conn);
            }
            peak = MAX(peak, loop_blocks_in_use(w.loop));
            loop_turn(w.loop, 100);
        }
        CHECK(w.b.got.size == SIZE && memcmp(w.b.got.data, bytes, SIZE) == 0, "%s", w.name);
        CHECK(w.a.written == SIZE, "%s: credit adds up", w.name);
        CHECK(peak < 512 * 1024, "%s: %zu bytes of blocks", w.name, peak);
    }
    mem_free(bytes);
}

/* Keeps what it is given, as a relay with a slow reader behind it does. */
static void hoard(void *owner, struct block *block, const char *data, size_t size)
{
    chain_append_block(owner, block, data, size);
}
static void hoard_end(void *owner)
{
    (void)owner;
}
static void hoard_error(void *owner, int error)
{
    (void)owner, (void)error;
}

TEST(conn_holds_no_large_block_for_a_few_bytes)
{
    static const struct conn_events hoards = {
        .on_bytes = hoard, .on_read_end = hoard_end, .on_error = hoard_error};
    static char bulk[256 * 1024];
    struct world w;
    EACH_WORLD(w)
    {
        struct chain held = {0}, bytes = {0};
        world_pair(&w);
        conn_set_owner(w.b.conn, &hoards, &held);
        conn_read_start(w.b.conn);
        chain_append_static(&bytes, slice_of(bulk, sizeof(bulk)));
        conn_write(w.a.conn, &bytes); /* from now on it reads in large blocks */
        UNTIL(&w, held.size == sizeof(bulk));
        chain_fini(&held);
        for (size_t sent = 0; sent < 20 * 2500;) {
            chain_append_static(&bytes, slice_of(bulk, 2500));
            conn_write(w.a.conn, &bytes);
            sent += 2500;
            UNTIL(&w, held.size == sent);
        }
        size_t in_use = loop_blocks_in_use(w.loop);
        /* The simulation has its own ideas of blocks. */
        CHECK(loop_backend(w.loop) == LOOP_SIM || in_use <= 3 * held.size,
              "%s: %zu bytes of blocks for %zu", w.name, in_use, held.size);
        conn_set_owner(w.b.conn, &party_events, &w.b);
        chain_fini(&held);
    }
}

/* Whoever says how much room there is gets less than a large block more. */
TEST(conn_reads_no_more_bulk_than_there_is_room)
{
    static char bulk[128 * 1024];
    struct world w;
    EACH_WORLD(w)
    {
        struct chain bytes = {0};
        if (loop_backend(w.loop) == LOOP_SIM)
            continue; /* reads as much as its seed says */
        world_pair(&w);
        conn_read_start(w.b.conn);
        chain_append_static(&bytes, slice_of(bulk, sizeof(bulk)));
        conn_write(w.a.conn, &bytes);
        UNTIL(&w, w.b.got.size == sizeof(bulk)); /* from now on it reads in large blocks */
        w.b.stop_every = 1;
        conn_read_room(w.b.conn, 1);
        chain_append_static(&bytes, slice_of(bulk, sizeof(bulk)));
        conn_write(w.a.conn, &bytes);
        while (w.b.got.size < 2 * sizeof(bulk)) {
            size_t events = w.b.events;
            UNTIL(&w, w.b.events > events);
            for (int turns = 0; turns < 3; turns++)
                loop_turn(w.loop, 0);
            CHECK(w.b.events == events + 1 && loop_blocks_in_use(w.loop) == 0, "%s: %zu bytes kept",
                  w.name, loop_blocks_in_use(w.loop));
            conn_read_start(w.b.conn);
        }
    }
}

TEST(conn_close_lets_queued_bytes_leave)
{
    enum { SIZE = 300000 };
    struct world w;
    char *bytes = mem_alloc(SIZE);
    fill(bytes, SIZE, 3);
    EACH_WORLD(w)
    {
        world_pair(&w);
        party_write(&w.a, bytes, SIZE);
        party_close(&w.a, CONN_CLOSE);
        conn_read_start(w.b.conn);
        UNTIL(&w, w.b.read_ends || w.b.errors);
        CHECK(w.b.got.size == SIZE && memcmp(w.b.got.data, bytes, SIZE) == 0, "%s", w.name);
        CHECK(w.b.read_ends, "%s", w.name);
    }
    mem_free(bytes);
}

TEST(conn_close_gives_up_on_a_peer_that_reads_nothing)
{
    struct world w;
    char *bytes = mem_calloc(1, 1000000);
    EACH_WORLD(w)
    {
        world_pair(&w);
        party_write(&w.a, bytes, 1000000);
        party_close(&w.a, CONN_CLOSE);
        UNTIL(&w, loop_blocks_in_use(w.loop) == 0);
        CHECK(w.b.got.size == 0, "%s", w.name);
    }
    mem_free(bytes);
}

/* A pair of TCP conns: on Unix sockets a close over unread input is no reset. */
static void tcp_pair(struct world *w)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    if (loop_backend(w->loop) == LOOP_SIM) {
        world_pair(w);
        return;
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&at, size) == 0 && listen(listener, 1) == 0, "-");
    CHECK(getsockname(listener, (struct sockaddr *)&at, &size) == 0, "-");
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(client, (struct sockaddr *)&at, size) == 0, "-");
    CHECK(fcntl(client, F_SETFL, O_NONBLOCK) == 0, "-");
    int server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    close(listener);
    w->a.conn = conn_adopt(w->loop, client, 0, &party_events, &w->a);
    w->b.conn = conn_adopt(w->loop, server, 0, &party_events, &w->b);
}

TEST(conn_abort_is_a_reset_at_the_peer)
{
    struct world w;
    EACH_WORLD(w)
    {
        tcp_pair(&w);
        conn_read_start(w.b.conn);
        party_close(&w.a, CONN_ABORT);
        UNTIL(&w, w.b.errors);
        CHECK(w.b.error == ECONNRESET && w.b.read_ends == 0, "%s: %d", w.name, w.b.error);
    }
}

TEST(conn_tells_a_reset_also_while_reading_is_off)
{
    struct world w;
    EACH_WORLD(w)
    {
        tcp_pair(&w);
        party_close(&w.a, CONN_ABORT);
        UNTIL(&w, w.b.write_ends);
        CHECK(w.b.write_error == ECONNRESET, "%s: %d", w.name, w.b.write_error);
        conn_read_start(w.b.conn);
        UNTIL(&w, w.b.errors);
        CHECK(w.b.error == ECONNRESET && w.b.read_ends == 0, "%s: %d", w.name, w.b.error);
    }
}

TEST(conn_delivers_what_came_before_a_refusal)
{
    struct world w;
    EACH_WORLD(w)
    {
        tcp_pair(&w);
        /* The peer answers early and leaves without having read all of our request. */
        party_say(&w.a, "a request");
        UNTIL(&w, w.a.written == 9);
        party_say(&w.b, "413");
        party_close(&w.b, CONN_LINGER);
        party_say(&w.a, " of which nobody reads more");
        conn_read_start(w.a.conn);
        UNTIL(&w, w.a.read_ends || w.a.errors);
        CHECK(buffer_equals(&w.a.got, "413"), "%s: got %zu bytes", w.name, w.a.got.size);
    }
}

/* The client pushes without end and reads only later; a plain close would have reset the answer away. */
TEST(conn_linger_bounds_what_it_discards)
{
    struct world w;
    char *bytes = mem_calloc(1, 200000);
    EACH_WORLD(w)
    {
        tcp_pair(&w);
        for (int i = 0; i < 20; i++)
            party_write(&w.a, bytes, 200000);
        party_say(&w.b, "too large");
        uint64_t since_ms = loop_now_ms(w.loop);
        party_close(&w.b, CONN_LINGER);
        UNTIL(&w, loop_now_ms(w.loop) > since_ms + 300);
        conn_read_start(w.a.conn);
        UNTIL(&w, w.a.read_ends);
        CHECK(buffer_equals(&w.a.got, "too large"), "%s", w.name);
        /* Whoever goes on writing all the same is cut off after the linger time. */
        UNTIL(&w, w.a.write_ends);
        CHECK(w.a.write_error == ECONNRESET || w.a.write_error == EPIPE, "%s", w.name);
        CHECK(loop_now_ms(w.loop) - since_ms < 4000, "%s", w.name);
    }
    mem_free(bytes);
}

TEST(conn_linger_ends_with_the_peer)
{
    struct world w;
    EACH_WORLD(w)
    {
        tcp_pair(&w);
        party_say(&w.a, "unread");
        UNTIL(&w, w.a.written == 6);
        uint64_t since_ms = loop_now_ms(w.loop);
        party_say(&w.b, "bye");
        party_close(&w.b, CONN_LINGER);
        w.a.closes_on_end = true;
        w.a.close_with = CONN_CLOSE;
        conn_read_start(w.a.conn);
        UNTIL(&w, w.a.is_closed && w.a.read_ends);
        CHECK(buffer_equals(&w.a.got, "bye"), "%s", w.name);
        /* Nothing is left that could wait for its 2 s. */
        loop_settle(w.loop);
        CHECK(loop_now_ms(w.loop) - since_ms < 1000, "%s", w.name);
    }
}

TEST(conn_may_be_closed_in_any_event)
{
    static const enum conn_close ways[] = {CONN_CLOSE, CONN_LINGER, CONN_ABORT};
    struct world w;
    EACH (how, ways) {
        EACH_WORLD(w)
        {
            world_pair(&w);
            w.b.closes_on_bytes = true;
            w.b.close_with = *how;
            conn_read_start(w.b.conn);
            char bytes[70000] = {0};
            party_write(&w.a, bytes, sizeof(bytes));
            UNTIL(&w, w.b.is_closed);
            CHECK(w.b.events == 1, "%s", w.name);
        }
        EACH_WORLD(w)
        {
            world_pair(&w);
            w.b.closes_on_end = true;
            w.b.close_with = *how;
            conn_read_start(w.b.conn);
            party_say(&w.b, "queued");
            conn_write_end(w.a.conn);
            UNTIL(&w, w.b.is_closed);
        }
    }
}

TEST(conn_echo_of_many_small_messages)
{
    struct world w;
    EACH_WORLD(w)
    {
        struct buffer said = {0};
        world_pair(&w);
        w.b.echoes = true;
        conn_read_start(w.a.conn);
        conn_read_start(w.b.conn);
        for (int i = 0; i < 300; i++) {
            buffer_format(&said, "message %d;", i);
            char text[32];
            snprintf(text, sizeof(text), "message %d;", i);
            party_say(&w.a, text);
            if (i % 7 == 0)
                loop_turn(w.loop, 0);
        }
        UNTIL(&w, w.a.got.size == said.size);
        CHECK(memcmp(w.a.got.data, said.data, said.size) == 0, "%s", w.name);
        buffer_fini(&said);
    }
}

/* --- connecting ------------------------------------------------------------------------------ */

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct world *w = owner;
    CHECK(address_is_loopback(peer), "-");
    w->b.conn = conn_adopt(w->loop, fd, 0, &party_events, &w->b);
    conn_read_start(w->b.conn);
}

struct server {
    struct listen_group *group;
    struct acceptor *acceptor;
    struct address address;
    int fd;
};

static struct server serve(struct world *w)
{
    struct server server = {.address = address_v4(INADDR_LOOPBACK, 0)};
    if (loop_backend(w->loop) == LOOP_SIM) {
        server.fd = sim_listen(w->loop, &server.address);
        server.address = sim_address(w->loop, server.fd);
    } else {
        struct listen_options options = {.address = server.address};
        CHECK(listen_group_create(&options, &server.group) == 0, "-");
        server.fd = listen_group_fd(server.group, 0);
        server.address = listen_group_address(server.group);
    }
    CHECK(acceptor_create(w->loop, server.fd, on_accept, w, &server.acceptor) == 0, "-");
    return server;
}

static void serve_no_more(struct world *w, struct server *server)
{
    acceptor_destroy(server->acceptor);
    if (loop_backend(w->loop) == LOOP_SIM)
        accepted_close(w->loop, server->fd);
    listen_group_destroy(server->group);
}

TEST(conn_connects_and_sends_what_was_written_early)
{
    struct world w;
    EACH_WORLD(w)
    {
        struct server server = serve(&w);
        struct conn_connect_options options = {.to = server.address};
        CHECK(conn_connect(w.loop, &options, &party_events, &w.a, &w.a.conn) == 0, "%s", w.name);
        party_say(&w.a, "early");
        CHECK(w.a.connected == 0, "%s: a call never calls back", w.name);
        UNTIL(&w, w.b.got.size == 5 && w.a.connected);
        struct address theirs = conn_peer_address(w.a.conn), ours = conn_local_address(w.b.conn);
        CHECK(address_equals(&theirs, &ours), "%s", w.name);
        CHECK(address_equals(&theirs, &server.address), "%s", w.name);
        CHECK(conn_id(w.a.conn) != 0 && conn_id(w.a.conn) != conn_id(w.b.conn), "%s", w.name);
        struct address original;
        CHECK(conn_original_destination(w.b.conn, &original) == -ENOENT, "%s", w.name);
        serve_no_more(&w, &server);
    }
}

TEST(conn_reports_a_refused_connect)
{
    struct world w;
    EACH_WORLD(w)
    {
        struct server server = serve(&w);
        struct conn_connect_options options = {.to = server.address};
        serve_no_more(&w, &server);
        int error = conn_connect(w.loop, &options, &party_events, &w.a, &w.a.conn);
        CHECK(error == 0, "%s", w.name);
        party_say(&w.a, "never sent");
        UNTIL(&w, w.a.errors);
        CHECK(w.a.error == ECONNREFUSED && w.a.connected == 0, "%s: %d", w.name, w.a.error);
        CHECK(conn_backlog(w.a.conn) == 0, "%s", w.name);
    }
}

TEST(conn_may_be_closed_while_connecting)
{
    struct world w;
    EACH_WORLD(w)
    {
        struct server server = serve(&w);
        struct conn_connect_options options = {.to = server.address};
        CHECK(conn_connect(w.loop, &options, &party_events, &w.a, &w.a.conn) == 0, "%s", w.name);
        party_say(&w.a, "never sent");
        party_close(&w.a, CONN_CLOSE);
        loop_settle(w.loop);
        CHECK(w.a.connected == 0, "%s", w.name);
        serve_no_more(&w, &server);
    }
}

/* --- memory ---------------------------------------------------------------------------------- */

TEST(conn_waits_for_memory_and_goes_on)
{
    enum { SIZE = 200000 };
    struct memory_budget budget = {.limit = 4 << 20};
    struct world w;
    char *bytes = mem_alloc(SIZE);
    fill(bytes, SIZE, 5);
    EACH_WORLD_WITH(w, &budget)
    {
        world_pair(&w);
        conn_read_start(w.b.conn);
        party_write(&w.a, bytes, SIZE);
        loop_turn(w.loop, 0);
        size_t taken = 0; /* something else takes all that is left, and what is given back */
        for (int i = 0; i < 50; i++) {
            while (memory_budget_charge(&budget, 4096))
                taken += 4096;
            loop_turn(w.loop, 5);
        }
        size_t had = w.b.got.size;
        CHECK(had < SIZE, "%s", w.name);
        CHECK(loop_pressure(w.loop) == MEMORY_STOP_ACCEPTING, "%s", w.name);
        memory_budget_release(&budget, taken);
        UNTIL(&w, w.b.got.size == SIZE);
        CHECK(memcmp(w.b.got.data, bytes, SIZE) == 0, "%s", w.name);
        CHECK(loop_stats(w.loop)->reads_starved > 0, "%s", w.name);
    }
    CHECK(budget.in_use == 0, "all is given back, %zu left", (size_t)budget.in_use);
    mem_free(bytes);
}

TEST(conn_is_refused_when_the_budget_is_spent)
{
    struct memory_budget budget = {.limit = 64 << 10};
    struct world w;
    EACH_WORLD_WITH(w, &budget)
    {
        size_t taken = 0;
        while (memory_budget_charge(&budget, 64))
            taken += 64;
        int fds[2];
        if (loop_backend(w.loop) == LOOP_SIM)
            sim_pair(w.loop, fds);
        else
            CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0, "-");
        CHECK(!conn_adopt(w.loop, fds[0], 0, &party_events, &w.a), "%s", w.name);
        CHECK(!conn_adopt(w.loop, fds[1], 0, &party_events, &w.b), "%s", w.name);
        CHECK(loop_stats(w.loop)->conns == 0, "%s", w.name);
        memory_budget_release(&budget, taken);
    }
}

TEST(conn_takes_its_share_of_a_turn_and_no_more)
{
    struct world w;
    char *bytes = mem_calloc(1, 1000000);
    world_open(&w, LOOP_EPOLL, 0, NULL);
    world_pair(&w);
    int size = 1 << 20;
    setsockopt(conn_fd(w.a.conn), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    party_write(&w.a, bytes, 1000000);
    loop_turn(w.loop, 0);
    CHECK(w.a.written > 100000, "the socket took %zu", w.a.written);
    conn_read_start(w.b.conn);
    while (!w.b.got.size)
        loop_turn(w.loop, 0);
    CHECK(w.b.got.size <= LOOP_CONN_BYTES + BLOCK_SMALL_BYTES, "%zu at once", w.b.got.size);
    size_t had = w.b.got.size;
    loop_turn(w.loop, UINT64_MAX); /* what is left needs no event and no waiting */
    CHECK(w.b.got.size > had, "the next turn goes on");
    world_close(&w);
    mem_free(bytes);
}

TEST(conn_detach_gives_descriptor_and_unread_bytes_away)
{
    struct world w;
    EACH_WORLD(w)
    {
        struct chain unread = {0};
        world_pair(&w);
        party_say(&w.b, "queued");
        CHECK(conn_detach(w.b.conn, &unread) == -EBUSY, "%s: bytes wait", w.name);
        UNTIL(&w, w.b.written == 6);
        loop_settle(w.loop);
        conn_read_start(w.a.conn);
        UNTIL(&w, w.a.got.size == 6);
        int fd = conn_detach(w.b.conn, &unread);
        CHECK(fd >= 0, "%s: %d", w.name, fd);
        w.b.is_closed = true;
        loop_settle(w.loop);
        accepted_close(w.loop, fd);
        UNTIL(&w, w.a.read_ends || w.a.errors);
        chain_fini(&unread);
    }
}

/* --- everything at random -------------------------------------------------------------------- */

/* Each side says a numbered stream of bytes; whatever is done to it, the other hears a prefix of it, and events
   keep their order (party counts what comes late). */
static void check_prefix(struct world *w, const struct party *party)
{
    for (size_t i = 0; i < party->got.size; i++)
        CHECK((uint8_t)party->got.data[i] == (uint8_t)(i * 7 % 251), "%s: byte %zu", w->name, i);
}

struct speaker {
    struct party *party;
    size_t said;
    bool has_ended;
};

static void say_some(struct speaker *speaker, struct random *random)
{
    char bytes[5000];
    size_t size = 1 + random_below(random, sizeof(bytes));
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)((speaker->said + i) * 7 % 251);
    party_write(speaker->party, bytes, size);
    speaker->said += size;
}

static void act(struct speaker *speaker, struct random *random)
{
    struct party *party = speaker->party;
    if (party->is_closed)
        return;
    switch (random_below(random, 40)) {
    case 0: party_close(party, (enum conn_close)random_below(random, 3)); break;
    case 1:
        if (!speaker->has_ended)
            conn_write_end(party->conn);
        speaker->has_ended = true;
        break;
    case 2:
        if (random_below(random, 4) == 0)
            sim_reset(party->conn);
        break;
    case 3:
    case 4:
    case 5: conn_read_stop(party->conn); break;
    default:
        if (party->errors == 0)
            conn_read_start(party->conn);
        if (!speaker->has_ended && conn_backlog(party->conn) < 50000)
            say_some(speaker, random);
    }
}

TEST(conn_survives_whatever_order_things_happen_in)
{
    for (unsigned i = 0, n = sim_seed_count(300); i < n; i++) {
        struct world w;
        struct sim_faults faults = sim_usual_faults();
        world_open(&w, LOOP_SIM, sim_seed(i), NULL);
        faults.reset = (unsigned)random_below(loop_random(w.loop), 3);
        sim_set_faults(w.loop, &faults);
        world_pair(&w);
        struct speaker a = {.party = &w.a}, b = {.party = &w.b};
        for (int step = 0; step < 150; step++) {
            act(&a, loop_random(w.loop));
            act(&b, loop_random(w.loop));
            loop_turn(w.loop, random_below(loop_random(w.loop), 3));
        }
        check_prefix(&w, &w.a);
        check_prefix(&w, &w.b);
        CHECK(w.a.got.size <= b.said && w.b.got.size <= a.said, "%s", w.name);
        world_close(&w);
    }
}

TEST(conn_runs_alike_with_equal_seeds)
{
    uint64_t first = 0;
    for (int round = 0; round < 2; round++) {
        struct world w;
        world_open(&w, LOOP_SIM, 42, NULL);
        world_pair(&w);
        struct speaker a = {.party = &w.a}, b = {.party = &w.b};
        uint64_t trace = 0;
        for (int step = 0; step < 200; step++) {
            act(&a, loop_random(w.loop));
            act(&b, loop_random(w.loop));
            loop_turn(w.loop, 1);
            uint64_t now[] = {trace, loop_now_us(w.loop), w.a.got.size, w.b.got.size, w.a.written};
            trace = hash64(slice_of(now, sizeof(now)), 0);
        }
        world_close(&w);
        if (round == 0)
            first = trace;
        CHECK(trace == first, "a seed is a run");
    }
}
