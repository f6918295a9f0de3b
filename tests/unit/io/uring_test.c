/* What is particular to io_uring; what all back ends share is tested in conn_test.c and loop_test.c. */
#include "io/party.h"

#include "base/random.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* In a child: what a container's profile does. */
static int refused_by_seccomp(void)
{
    struct sock_filter no_ring[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_io_uring_setup},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog program = {.len = COUNT(no_ring), .filter = no_ring};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 0;
    return -loop_may_use_io_uring();
}

TEST(uring_says_that_seccomp_forbids_it)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(refused_by_seccomp());
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status), "-");
    CHECK(WEXITSTATUS(status) == EPERM, "%d", WEXITSTATUS(status));
}

static bool world_over_uring(struct world *w)
{
    if (loop_may_use_io_uring() != 0)
        return false;
    world_open(w, LOOP_IO_URING, 0, NULL);
    return true;
}

struct look {
    struct task reap;
    int fd;
    ssize_t words, end;
};

static void look(struct task *task)
{
    struct look *look = CONTAINER_OF(task, struct look, reap);
    char bytes[64];
    look->words = read(look->fd, bytes, sizeof(bytes));
    look->end = read(look->fd, bytes, sizeof(bytes));
}

/* Whoever counts connections, as a limit that workers share does, lets another begin when the turn is over. */
TEST(uring_conn_that_was_closed_has_left_when_its_turn_is_over)
{
    struct world w;
    struct look after = {.words = -1, .end = -1};
    int fds[2];
    if (!world_over_uring(&w))
        return;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "-");
    w.a.conn = conn_adopt(w.loop, fds[1], 0, &party_events, &w.a);
    conn_read_start(w.a.conn);
    CHECK(write(fds[0], "x", 1) == 1, "-");
    UNTIL(&w, w.a.got.size == 1); /* so a receive is armed, which holds the socket */
    party_say(&w.a, "bye");
    party_close(&w.a, CONN_CLOSE);
    task_init(&after.reap, look);
    after.fd = fds[0];
    loop_reap_later(w.loop, &after.reap);
    loop_turn(w.loop, 0);
    CHECK(after.words == 3 && after.end == 0, "%zd bytes, then %zd", after.words, after.end);
    close(fds[0]);
    world_close(&w);
}

static void *run(void *loop)
{
    loop_run(loop);
    return NULL;
}

struct reader {
    struct mail mail;
    struct world *world;
};

static void start_reading(struct mail *mail)
{
    struct world *w = CONTAINER_OF(mail, struct reader, mail)->world;
    conn_read_start(w->b.conn);
    party_say(&w->b, "last words");
    party_close(&w->b, CONN_CLOSE);
    loop_stop(w->loop);
}

/* Made here, run there, and ended here again: what was written in the last turn still leaves. */
TEST(uring_loop_runs_on_another_thread_than_made_it)
{
    struct world w;
    if (!world_over_uring(&w))
        return;
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "-");
    w.b.conn = conn_adopt(w.loop, fds[1], 0, &party_events, &w.b);
    struct reader reader = {.mail.deliver = start_reading, .world = &w};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, w.loop) == 0, "-");
    loop_post(w.loop, &reader.mail);
    pthread_join(thread, NULL);
    loop_destroy(w.loop);
    char said[32] = {0};
    CHECK(read(fds[0], said, sizeof(said)) == 10, "%s", said);
    /* The kernel takes a ring apart at its leisure. */
    struct pollfd end = {.fd = fds[0], .events = POLLIN};
    CHECK(poll(&end, 1, 10000) == 1, "-");
    CHECK(read(fds[0], said, sizeof(said)) == 0, "the other end is closed");
    close(fds[0]);
}

enum { MANY = 300 };

struct crowd {
    struct party parties[MANY];
    int ours[MANY];
};

static void crowd_open(struct crowd *crowd, struct world *w)
{
    for (int i = 0; i < MANY; i++) {
        int fds[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "-");
        crowd->ours[i] = fds[0];
        crowd->parties[i] = (struct party){0};
        crowd->parties[i].conn = conn_adopt(w->loop, fds[1], 0, &party_events, &crowd->parties[i]);
        conn_read_start(crowd->parties[i].conn);
    }
    loop_settle(w->loop);
}

static void crowd_speak(struct crowd *crowd, struct world *w, int rounds)
{
    for (int round = 1; round <= rounds; round++) {
        size_t heard = 0;
        for (int i = 0; i < MANY; i++)
            CHECK(write(crowd->ours[i], "x", 1) == 1, "-");
        while (heard < (size_t)MANY) {
            loop_turn(w->loop, 10);
            heard = 0;
            for (int i = 0; i < MANY; i++)
                heard += crowd->parties[i].got.size >= (size_t)round;
        }
    }
}

static void crowd_close(struct crowd *crowd)
{
    for (int i = 0; i < MANY; i++) {
        party_fini(&crowd->parties[i]);
        close(crowd->ours[i]);
    }
}

/* More conns speak in one turn than there are buffers in the ring. */
TEST(uring_hears_more_conns_at_once_than_it_has_buffers)
{
    static struct crowd crowd;
    struct world w;
    if (!world_over_uring(&w))
        return;
    crowd_open(&crowd, &w);
    crowd_speak(&crowd, &w, 3);
    crowd_close(&crowd);
    world_close(&w);
}

/* What the header promises: 16 small blocks, however much waits in the socket and however many blocks the kernel was lent. */
static void check_one_stopped(struct world *w, size_t waits)
{
    enum { KEPT = 16 * BLOCK_SMALL_BYTES, ITS_CHAIN = BLOCK_SMALL_BYTES };
    struct party stalled = {.stop_every = 1};
    char *bytes = mem_calloc(1, waits);
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "-");
    CHECK(write(fds[0], bytes, waits) == (ssize_t)waits, "the socket holds %zu", waits);
    stalled.conn = conn_adopt(w->loop, fds[1], 0, &party_events, &stalled);
    conn_read_start(stalled.conn);
    for (unsigned stops = 1; stalled.got.size < waits; stops++) {
        UNTIL(w, stalled.events >= stops);
        for (int turns = 0; turns < 8; turns++)
            loop_turn(w->loop, 0);
        CHECK(stalled.events == stops, "%zu after %u stops", stalled.events, stops);
        CHECK(loop_blocks_in_use(w->loop) <= KEPT + ITS_CHAIN, "%zu of %zu kept after %u stops",
              loop_blocks_in_use(w->loop), waits, stops);
        conn_read_start(stalled.conn);
    }
    party_fini(&stalled);
    close(fds[0]);
    mem_free(bytes);
}

TEST(uring_conn_that_is_stopped_keeps_no_more_than_its_group_had)
{
    static const size_t sizes[] = {1, BLOCK_SMALL_CAPACITY, 40000, 100000, 200000};
    static struct crowd crowd;
    struct world w;
    if (!world_over_uring(&w))
        return;
    EACH (waits, sizes)
        check_one_stopped(&w, *waits);
    crowd_open(&crowd, &w);
    crowd_speak(&crowd, &w, 3); /* now the kernel is lent as much as it ever is */
    EACH (waits, sizes)
        check_one_stopped(&w, *waits);
    crowd_close(&crowd);
    world_close(&w);
}

/* Each side says a numbered stream; whatever the kernel and the owners do, the other hears a prefix of it. */
TEST(uring_keeps_bytes_in_order_through_stops_and_closes)
{
    enum { PIECE = 40000 };
    char *bytes = mem_alloc(PIECE);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world w;
        struct random random;
        size_t said[2] = {0};
        random_seed(&random, seed);
        if (!world_over_uring(&w))
            break;
        world_pair(&w);
        struct party *sides[2] = {&w.a, &w.b};
        for (int step = 0; step < 200; step++) {
            unsigned side = (unsigned)random_below(&random, 2);
            struct party *party = sides[side];
            uint64_t what = random_below(&random, 60);
            loop_turn(w.loop, what % 3);
            if (party->is_closed)
                continue;
            if (what == 0) {
                party_close(party, (enum conn_close)random_below(&random, 3));
            } else if (what < 10) {
                conn_read_stop(party->conn);
            } else if (!party->errors) {
                conn_read_start(party->conn);
                size_t size = 1 + random_below(&random, what < 30 ? PIECE : 200);
                if (conn_backlog(party->conn) > 100000)
                    continue;
                for (size_t i = 0; i < size; i++)
                    bytes[i] = (char)((said[side] + i) * 7 % 251);
                party_write(party, bytes, size);
                said[side] += size;
            }
        }
        for (unsigned side = 0; side < 2; side++) {
            CHECK(sides[side]->got.size <= said[1 - side], "seed %llu", (unsigned long long)seed);
            for (size_t i = 0; i < sides[side]->got.size; i++)
                CHECK((uint8_t)sides[side]->got.data[i] == (uint8_t)(i * 7 % 251),
                      "seed %llu, byte %zu", (unsigned long long)seed, i);
        }
        world_close(&w);
    }
    mem_free(bytes);
}
