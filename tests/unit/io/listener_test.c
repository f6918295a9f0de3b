#include "io/listener.h"

#include "io/private_network.h"
#include "io/socket.h"
#include "io/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct listen_group *listen_at(const char *text, unsigned count)
{
    struct listen_group *group;
    struct listen_options options = {.count = count};
    CHECK(address_parse(slice_str(text), &options.address), "%s", text);
    CHECK(listen_group_create(&options, &group) == 0, "%s", text);
    return group;
}

static int dial(const struct address *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, &address->any, address->size) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

struct gate {
    struct loop *loop;
    struct acceptor *acceptor;
    int accepted, last_fd;
    struct address last_peer;
    bool keeps, leaves;
};

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct gate *gate = owner;
    gate->accepted++;
    gate->last_peer = *peer;
    gate->last_fd = fd;
    if (!gate->keeps)
        accepted_close(gate->loop, fd);
    if (gate->leaves)
        acceptor_destroy(gate->acceptor);
}

static void open_gate(struct gate *gate, struct listen_group *group, unsigned index)
{
    gate->loop = gate->loop ? gate->loop : loop_for_test();
    CHECK(acceptor_create(gate->loop, listen_group_fd(group, index), on_accept, gate,
                          &gate->acceptor) == 0,
          "-");
}

static void close_gate(struct gate *gate, struct listen_group *group)
{
    if (!gate->leaves)
        acceptor_destroy(gate->acceptor);
    loop_destroy(gate->loop);
    listen_group_destroy(group);
}

TEST(listener_accepts_in_every_family)
{
    static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", "[::]:0",
                                            "unix:/tmp/tulle-listener-test.sock",
                                            "unix:@tulle-listener-test"};
    EACH (text, addresses) {
        struct gate gate = {.keeps = true};
        struct listen_group *group = listen_at(*text, 1);
        struct address address = listen_group_address(group);
        CHECK(!address_is_ip(&address) || address_port(&address) != 0, "the real port");
        open_gate(&gate, group, 0);
        if (address_is_wildcard(&address))
            address = address_v4(INADDR_LOOPBACK, address_port(&address));
        int client = dial(&address);
        CHECK(client >= 0, "%s: %d", *text, client);
        WAIT_FOR(gate.loop, gate.accepted == 1);
        struct address ours = socket_local_address(client);
        if (address_is_ip(&ours)) {
            int no_delay = 0;
            socklen_t size = sizeof(no_delay);
            CHECK(address_equals(&ours, &gate.last_peer), "%s", *text);
            CHECK(getsockopt(gate.last_fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size) == 0, "-");
            CHECK(no_delay, "%s: TCP_NODELAY is inherited", *text);
        }
        CHECK(fcntl(gate.last_fd, F_GETFL) & O_NONBLOCK, "-");
        CHECK(fcntl(gate.last_fd, F_GETFD) & FD_CLOEXEC, "-");
        close(gate.last_fd);
        close(client);
        close_gate(&gate, group);
    }
    CHECK(access("/tmp/tulle-listener-test.sock", F_OK) < 0, "the path goes with the listener");
}

TEST(listener_replaces_a_stale_path_and_no_other)
{
    struct listen_options options = {.unix_mode = 0600};
    struct address *address = &options.address;
    struct listen_group *group, *second;
    struct stat status;
    CHECK(address_parse(SLICE("unix:/tmp/tulle-stale-test.sock"), address), "-");
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(address->unix_.sun_path);
    CHECK(bind(stale, &address->any, address->size) == 0, "-");
    close(stale);
    CHECK(listen_group_create(&options, &group) == 0, "nobody listens there");
    CHECK(stat(address->unix_.sun_path, &status) == 0 && (status.st_mode & 0777) == 0600, "-");
    CHECK(listen_group_create(&options, &second) == -EADDRINUSE, "somebody listens there");
    listen_group_destroy(group);
    int file = open(address->unix_.sun_path, O_CREAT | O_WRONLY, 0600);
    CHECK(listen_group_create(&options, &group) == -EADDRINUSE, "a file is no socket");
    close(file);
    unlink(address->unix_.sun_path);
}

TEST(listener_group_shares_one_port)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 4);
    struct address address = listen_group_address(group);
    CHECK(listen_group_count(group) == 4, "-");
    struct gate gates[4] = {0};
    for (unsigned i = 0; i < 4; i++)
        open_gate(&gates[i], group, i);
    for (int i = 0; i < 100; i++)
        close(dial(&address));
    int sum = 0, busy = 0;
    for (int i = 0; i < 4; i++) {
        loop_settle(gates[i].loop);
        sum += gates[i].accepted;
        busy += gates[i].accepted > 0;
        acceptor_destroy(gates[i].acceptor);
        loop_destroy(gates[i].loop);
    }
    CHECK(sum == 100 && busy > 1, "%d by %d", sum, busy);
    listen_group_destroy(group);
}

TEST(listener_that_is_exclusive_finds_the_port_taken)
{
    struct listen_group *group, *other;
    struct listen_options options = {.address = address_v4(0x7f000001, 0)};
    CHECK(listen_group_create(&options, &group) == 0);
    options.address = listen_group_address(group);
    CHECK(address_port(&options.address) != 0);
    options.is_exclusive = true;
    CHECK(listen_group_create(&options, &other) == -EADDRINUSE);
    listen_group_destroy(group);
    CHECK(listen_group_create(&options, &group) == 0);
    CHECK(listen_group_create(&options, &other) == -EADDRINUSE);
    options.is_exclusive = false;
    CHECK(listen_group_create(&options, &other) == -EADDRINUSE);
    listen_group_destroy(group);
}

TEST(listener_accepts_its_budget_a_turn)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 1);
    struct address address = listen_group_address(group);
    struct gate gate = {0};
    open_gate(&gate, group, 0);
    for (int i = 0; i < 100; i++)
        close(dial(&address));
    loop_turn(gate.loop, 1000);
    CHECK(gate.accepted == LOOP_TURN_ACCEPTS, "%d", gate.accepted);
    loop_turn(gate.loop, UINT64_MAX);
    CHECK(gate.accepted == 100, "%d", gate.accepted);
    CHECK(loop_stats(gate.loop)->accepted == 100, "-");
    close_gate(&gate, group);
}

TEST(listener_pauses_and_resumes)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 1);
    struct address address = listen_group_address(group);
    struct gate gate = {0};
    open_gate(&gate, group, 0);
    acceptor_pause(gate.acceptor);
    acceptor_pause(gate.acceptor);
    int client = dial(&address);
    loop_settle(gate.loop);
    CHECK(gate.accepted == 0, "-");
    CHECK(acceptor_resume(gate.acceptor) == 0 && acceptor_resume(gate.acceptor) == 0, "-");
    WAIT_FOR(gate.loop, gate.accepted == 1);
    close(client);
    close_gate(&gate, group);
}

TEST(listener_stops_under_memory_pressure)
{
    struct memory_budget budget = {.limit = 1000000, .in_use = 960000};
    struct listen_group *group = listen_at("127.0.0.1:0", 1);
    struct address address = listen_group_address(group);
    struct gate gate = {0}, admin = {0};
    struct loop_options options = {.name = "test", .budget = &budget};
    CHECK(loop_create(&options, &gate.loop) == 0, "-");
    admin.loop = gate.loop;
    loop_turn(gate.loop, 0);
    open_gate(&gate, group, 0);
    int client = dial(&address);
    loop_settle(gate.loop);
    CHECK(gate.accepted == 0, "accepting stops at 95 %%");
    acceptor_set_exempt(gate.acceptor);
    WAIT_FOR(gate.loop, gate.accepted == 1);
    acceptor_destroy(gate.acceptor);
    open_gate(&admin, group, 0);
    close(dial(&address));
    loop_settle(gate.loop);
    CHECK(admin.accepted == 0, "-");
    budget.in_use = 0;
    WAIT_FOR(gate.loop, admin.accepted == 1);
    close(client);
    close_gate(&admin, group);
}

TEST(listener_sheds_when_descriptors_run_out)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 1);
    struct address address = listen_group_address(group);
    struct gate gate = {0};
    struct rlimit before, tight;
    open_gate(&gate, group, 0);
    int clients[3];
    for (size_t i = 0; i < COUNT(clients); i++)
        clients[i] = dial(&address);
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0, "-");
    tight = before;
    tight.rlim_cur = (rlim_t)clients[2] + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0, "-");
    for (int i = 0; i < 10; i++)
        loop_turn(gate.loop, 10);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0, "-");
    CHECK(gate.accepted == 0 && loop_stats(gate.loop)->accept_refused == 3, "%d",
          (int)loop_stats(gate.loop)->accept_refused);
    for (size_t i = 0; i < COUNT(clients); i++) {
        char byte;
        CHECK(read(clients[i], &byte, 1) <= 0, "its peer is told");
        close(clients[i]);
    }
    close(dial(&address));
    WAIT_FOR(gate.loop, gate.accepted == 1);
    close_gate(&gate, group);
}

TEST(listener_hands_over_to_another_worker)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 1);
    struct address address = listen_group_address(group);
    struct gate here = {.keeps = true}, there = {.keeps = true};
    open_gate(&here, group, 0);
    open_gate(&there, group, 0);
    acceptor_pause(there.acceptor);
    int client = dial(&address);
    WAIT_FOR(here.loop, here.accepted == 1);
    acceptor_hand_over(there.loop, acceptor_name(there.acceptor), here.last_fd, &here.last_peer);
    WAIT_FOR(there.loop, there.accepted == 1);
    CHECK(there.last_fd == here.last_fd, "-");
    CHECK(address_equals(&there.last_peer, &here.last_peer), "-");
    /* An acceptor that is gone closes it. */
    handle gone = acceptor_name(there.acceptor);
    acceptor_destroy(there.acceptor);
    acceptor_hand_over(there.loop, gone, there.last_fd, &there.last_peer);
    loop_turn(there.loop, 0);
    char byte;
    CHECK(read(client, &byte, 1) == 0, "closed");
    close(client);
    loop_destroy(there.loop);
    close_gate(&here, group);
}

TEST(listener_acceptor_may_go_in_its_callback)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 1);
    struct address address = listen_group_address(group);
    struct gate gate = {.leaves = true};
    open_gate(&gate, group, 0);
    int one = dial(&address), two = dial(&address);
    WAIT_FOR(gate.loop, gate.accepted == 1);
    loop_settle(gate.loop);
    CHECK(gate.accepted == 1, "-");
    close(one);
    close(two);
    close_gate(&gate, group);
}

/* After the drain every connection that was made is accepted, and no new one begins. */
TEST(listener_drains_without_losing_anybody)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 1);
    struct address address = listen_group_address(group);
    struct gate gate = {.keeps = true};
    int clients[5];
    for (size_t i = 0; i < COUNT(clients); i++)
        clients[i] = dial(&address);
    listen_group_drain(group);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(connect(late, &address.any, address.size) < 0 && errno == EINPROGRESS, "-");
    open_gate(&gate, group, 0);
    loop_settle(gate.loop);
    CHECK(gate.accepted == 5, "%d", gate.accepted);
    CHECK(write(clients[4], "x", 1) == 1, "and lives");
    char byte;
    usleep(1000);
    CHECK(read(gate.last_fd, &byte, 1) == 1, "-");
    close(late);
    for (size_t i = 0; i < COUNT(clients); i++)
        close(clients[i]);
    close_gate(&gate, group);
}

TEST(listener_adopts_what_listens)
{
    struct listen_group *group = listen_at("127.0.0.1:0", 1), *adopted;
    struct address address = listen_group_address(group);
    int fd = dup(listen_group_fd(group, 0)), none = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listen_group_adopt(&fd, 1, &adopted) == 0, "-");
    listen_group_destroy(group);
    struct address same = listen_group_address(adopted);
    CHECK(address_equals(&same, &address), "-");
    int client = dial(&address);
    CHECK(client >= 0, "it still listens: %d", client);
    close(client);
    listen_group_destroy(adopted);
    CHECK(listen_group_adopt(&none, 1, &adopted) == -EINVAL, "it does not listen");
}

/* A sidecar outside of a pod listens inside it: only who is there reaches it. */
TEST(listener_listens_in_another_namespace)
{
    struct listen_options options = {.address = address_v4(INADDR_LOOPBACK, 0)};
    struct listen_group *group;
    char path[32];
    private_network_or_skip();
    int pod = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", pod);
    private_network_or_skip();
    options.network_namespace = path;
    CHECK(listen_group_create(&options, &group) == 0, "-");
    struct address address = listen_group_address(group);
    CHECK(dial(&address) == -ECONNREFUSED, "not here");
    CHECK(setns(pod, CLONE_NEWNET) == 0, "-");
    int client = dial(&address);
    CHECK(client >= 0, "there: %d", client);
    close(client);
    close(pod);
    listen_group_destroy(group);
    options.network_namespace = "/no/such/file";
    CHECK(listen_group_create(&options, &group) == -ENOENT, "-");
}
