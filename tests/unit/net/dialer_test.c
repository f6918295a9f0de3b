#include "net/dialer.h"

#include "io/helper.h"
#include "io/interfaces.h"
#include "io/party.h"

#include <sched.h>
#include <sys/wait.h>

struct call {
    int answers;
    struct dial_result result;
    uint64_t at_ms;
    struct loop *loop;
};

struct scene {
    struct world w;
    struct interfaces *interfaces;
    struct dialer *dialer;
    struct helper_pool *helpers;
    struct listen_group *group;
    struct acceptor *acceptor;
    int fd;
    unsigned accepted;
    struct address server;
    struct address last_peer;
    int held[8];
};

static void on_dialed(void *owner, const struct dial_result *result)
{
    struct call *call = owner;
    call->answers++;
    call->result = *result;
    call->at_ms = loop_now_ms(call->loop);
    if (result->conn)
        conn_close(result->conn, CONN_ABORT);
}

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct scene *scene = owner;
    scene->accepted++;
    scene->last_peer = *peer;
    /* Closing at once could reset a connection whose connect has not been heard of yet. */
    scene->held[scene->accepted % COUNT(scene->held)] = fd;
}

static void scene_open(struct scene *scene, unsigned i)
{
    *scene = (struct scene){0};
    world_open_nth(&scene->w, i, NULL);
    CHECK(interfaces_create(scene->w.loop, &scene->interfaces) == 0, "-");
    scene->helpers = helper_pool_create(1);
    scene->dialer = dialer_create(&(struct dialer_options){
        .loop = scene->w.loop, .interfaces = scene->interfaces, .helpers = scene->helpers});
    struct listen_options options = {.address = address_v4(INADDR_LOOPBACK, 0)};
    if (loop_backend(scene->w.loop) == LOOP_SIM) {
        scene->fd = sim_listen(scene->w.loop, &options.address);
        scene->server = sim_address(scene->w.loop, scene->fd);
    } else {
        CHECK(listen_group_create(&options, &scene->group) == 0, "-");
        scene->fd = listen_group_fd(scene->group, 0);
        scene->server = listen_group_address(scene->group);
    }
    CHECK(acceptor_create(scene->w.loop, scene->fd, on_accept, scene, &scene->acceptor) == 0, "-");
}

static void scene_close(struct scene *scene)
{
    dialer_destroy(scene->dialer);
    interfaces_destroy(scene->interfaces);
    helper_pool_destroy(scene->helpers);
    acceptor_destroy(scene->acceptor);
    for (size_t i = 0; i < COUNT(scene->held); i++)
        if (scene->held[i])
            accepted_close(scene->w.loop, scene->held[i]);
    if (loop_backend(scene->w.loop) == LOOP_SIM)
        accepted_close(scene->w.loop, scene->fd);
    listen_group_destroy(scene->group);
    UNTIL(&scene->w, world_is_empty(&scene->w));
    loop_destroy(scene->w.loop);
}

#define EACH_SCENE(scene)                                                                          \
    for (unsigned scene_i = 0, scene_n = sim_seed_count(20) + WORLDS_WITHOUT_FAULTS;               \
         scene_i < scene_n; scene_i++)                                                             \
        for (bool scene_once = (scene_open(&(scene), scene_i), true); scene_once;                  \
             scene_close(&(scene)), scene_once = false)

static handle dial(struct scene *scene, struct call *call, const struct address *addresses,
                   size_t count, uint32_t timeout_ms)
{
    struct dial_options options = {
        .addresses = addresses, .address_count = count, .timeout_ms = timeout_ms};
    *call = (struct call){.loop = scene->w.loop};
    handle name = dialer_dial(scene->dialer, &options, on_dialed, call);
    CHECK(call->answers == 0, "a call never calls back");
    return name;
}

/* A port of the same host that nobody listens on. */
static struct address closed_port(const struct scene *scene)
{
    struct address address = scene->server;
    address_set_port(&address, 1);
    return address;
}

TEST(dialer_connects)
{
    struct scene s;
    struct call call;
    EACH_SCENE(s)
    {
        dial(&s, &call, &s.server, 1, 0);
        CHECK(dialer_active(s.dialer) == 1, "%s", s.w.name);
        UNTIL(&s.w, call.answers);
        CHECK(call.result.status == DIAL_OK && call.result.error == 0, "%s", s.w.name);
        CHECK(address_equals(&call.result.address, &s.server), "%s", s.w.name);
        UNTIL(&s.w, s.accepted == 1);
        CHECK(dialer_active(s.dialer) == 0, "%s", s.w.name);
    }
}

TEST(dialer_tries_the_next_address_at_once_when_one_fails)
{
    struct scene s;
    struct call call;
    EACH_SCENE(s)
    {
        struct address addresses[] = {closed_port(&s), closed_port(&s), s.server};
        uint64_t since_ms = loop_now_ms(s.w.loop);
        dial(&s, &call, addresses, 3, 0);
        UNTIL(&s.w, call.answers);
        CHECK(call.result.status == DIAL_OK, "%s", s.w.name);
        CHECK(call.at_ms - since_ms < DIAL_RACE_DELAY_MS, "%s: %d ms", s.w.name,
              (int)(call.at_ms - since_ms));
    }
}

TEST(dialer_says_why_none_answered)
{
    struct scene s;
    struct call call;
    EACH_SCENE(s)
    {
        struct address addresses[] = {closed_port(&s), closed_port(&s)};
        dial(&s, &call, addresses, 2, 0);
        UNTIL(&s.w, call.answers);
        CHECK(call.result.status == DIAL_FAILED && call.result.error == ECONNREFUSED, "%s: %d",
              s.w.name, call.result.error);
        CHECK(!call.result.conn, "%s", s.w.name);
        CHECK(address_equals(&call.result.address, &addresses[1]), "%s", s.w.name);
    }
}

/* A listener whose queue is full answers nothing, as a host that is gone does. */
static void fill_queue(struct scene *s, int fds[3], struct address *silent)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fds[0], (struct sockaddr *)&at, size) == 0 && listen(fds[0], 0) == 0, "-");
    CHECK(getsockname(fds[0], (struct sockaddr *)&at, &size) == 0, "-");
    *silent = address_from((struct sockaddr *)&at, size);
    for (int i = 1; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int error = connect(fds[i], (struct sockaddr *)&at, size);
        CHECK(error == 0 || errno == EINPROGRESS, "-");
    }
    loop_turn(s->w.loop, 50);
}

TEST(dialer_races_a_silent_address_and_times_out)
{
    struct scene s;
    struct call call;
    int fds[3];
    struct address silent;
    scene_open(&s, 0);
    fill_queue(&s, fds, &silent);
    struct address addresses[] = {silent, s.server};
    uint64_t since_ms = loop_now_ms(s.w.loop);
    dial(&s, &call, addresses, 2, 0);
    UNTIL(&s.w, call.answers);
    CHECK(call.result.status == DIAL_OK, "%s", dial_status_name(call.result.status));
    CHECK(address_equals(&call.result.address, &s.server), "-");
    CHECK(call.at_ms - since_ms >= DIAL_RACE_DELAY_MS, "-");
    since_ms = loop_now_ms(s.w.loop);
    dial(&s, &call, &silent, 1, 100);
    UNTIL(&s.w, call.answers);
    CHECK(call.result.status == DIAL_TIMED_OUT && call.result.error == ETIMEDOUT, "-");
    CHECK(call.at_ms - since_ms >= 100, "-");
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    scene_close(&s);
}

TEST(dialer_takes_the_families_by_turns)
{
    struct scene s;
    struct call call;
    EACH_SCENE(s)
    {
        struct address v6 = address_v6(&in6addr_loopback, 1);
        /* Both v4 addresses are refused; with the v6 one between them three attempts are made. */
        struct address addresses[] = {closed_port(&s), closed_port(&s), v6};
        dial(&s, &call, addresses, 3, 0);
        UNTIL(&s.w, call.answers);
        CHECK(call.result.status == DIAL_FAILED, "%s", s.w.name);
        CHECK(address_is_v4(&call.result.address), "%s: v6 came second, so v4 is last", s.w.name);
    }
}

/* --- never ourselves ------------------------------------------------------------------------- */

TEST(dialer_refuses_ourselves_in_every_spelling)
{
    static const char *const own[] = {
        "127.0.0.1:15001", "127.1.2.3:15001",          "[::1]:15001",    "0.0.0.0:15001",
        "[::]:15001",      "[::ffff:127.0.0.1]:15001", "10.0.0.1:15001", "[::ffff:10.0.0.1]:15001",
        "[fd00::1]:15001", "127.0.0.1:15006"};
    static const char *const others[] = {"127.0.0.1:15002", "10.0.0.2:15001", "[fd00::2]:15001"};
    struct scene s;
    struct call call;
    scene_open(&s, 2);
    struct address local = address_v4(0x0a000001, 0), address;
    interfaces_add(s.interfaces, &local);
    CHECK(address_parse_ip(SLICE("fd00::1"), 0, &local), "-");
    interfaces_add(s.interfaces, &local);
    const struct dialer_own wildcards[] = {{.at = address_v4(INADDR_ANY, 15001)},
                                           {.at = address_v6(&in6addr_any, 15006)}};
    dialer_set_own(s.dialer, wildcards, 2);
    EACH (text, own) {
        CHECK(address_parse(slice_str(*text), &address), "%s", *text);
        CHECK(dialer_is_own(s.dialer, &address), "%s", *text);
        dial(&s, &call, &address, 1, 0);
        UNTIL(&s.w, call.answers);
        CHECK(call.result.status == DIAL_SELF && call.result.error == 0, "%s", *text);
    }
    EACH (text, others) {
        CHECK(address_parse(slice_str(*text), &address), "%s", *text);
        CHECK(!dialer_is_own(s.dialer, &address), "%s", *text);
    }
    CHECK(sim_open_count(s.w.loop) == 1, "no socket was made");
    struct address both[] = {address_v4(INADDR_LOOPBACK, 15001), s.server};
    dial(&s, &call, both, 2, 0);
    UNTIL(&s.w, call.answers);
    CHECK(call.result.status == DIAL_OK, "the other address serves");
    dialer_set_own(s.dialer, NULL, 0);
    CHECK(!dialer_is_own(s.dialer, &both[0]), "the list is replaced");
    scene_close(&s);
}

/* Sidecars of one host share its loopback: another's address is not ours, though the port is. */
TEST(dialer_knows_its_addresses_from_its_neighbours)
{
    struct scene s;
    scene_open(&s, 2);
    const struct dialer_own own[] = {{.at = address_v4(0x7f010101, 9000)},
                                     {.at = address_v4(INADDR_ANY, 15001), .is_elsewhere = true}};
    struct address ours = own[0].at, neighbour = address_v4(0x7f010102, 9000),
                   any = address_v4(INADDR_ANY, 9000), pod = address_v4(INADDR_LOOPBACK, 15001);
    dialer_set_own(s.dialer, own, 2);
    CHECK(dialer_is_own(s.dialer, &ours) && dialer_is_own(s.dialer, &any));
    CHECK(!dialer_is_own(s.dialer, &neighbour));
    CHECK(dialer_is_own(s.dialer, &pod));
    scene_close(&s);
}

/* Inside of a pod only what we listen on there is ours: the program has the port that we have outside. */
TEST(dialer_meets_itself_in_a_pod_only_where_it_listens_there)
{
    struct scene s;
    struct call call;
    scene_open(&s, 2);
    const struct dialer_own own[] = {{.at = address_v4(INADDR_ANY, 9000)},
                                     {.at = address_v4(INADDR_ANY, 15001), .is_elsewhere = true}};
    dialer_set_own(s.dialer, own, 2);
    struct address program = address_v4(INADDR_LOOPBACK, 9000),
                   capture = address_v4(INADDR_LOOPBACK, 15001);
    struct dial_options options = {
        .addresses = &program, .address_count = 1, .network_namespace = 3, .timeout_ms = 1000};
    call = (struct call){.loop = s.w.loop};
    (void)dialer_dial(s.dialer, &options, on_dialed, &call);
    UNTIL(&s.w, call.answers);
    CHECK(call.result.status != DIAL_SELF, "nothing enters a namespace in this scene, but it may");
    options.addresses = &capture;
    call = (struct call){.loop = s.w.loop};
    (void)dialer_dial(s.dialer, &options, on_dialed, &call);
    UNTIL(&s.w, call.answers);
    CHECK(call.result.status == DIAL_SELF);
    scene_close(&s);
}

/* --- options --------------------------------------------------------------------------------- */

TEST(dialer_binds_and_skips_what_cannot_be_bound)
{
    struct scene s;
    struct call call = {0};
    EACH_SCENE(s)
    {
        struct address addresses[] = {address_v6(&in6addr_loopback, 1), s.server};
        struct dial_options options = {.addresses = addresses,
                                       .address_count = 2,
                                       .from = address_v4(0x7f000042, 0),
                                       .keepalive_s = 30};
        call = (struct call){.loop = s.w.loop};
        dialer_dial(s.dialer, &options, on_dialed, &call);
        UNTIL(&s.w, call.answers && s.accepted);
        CHECK(call.result.status == DIAL_OK, "%s", s.w.name);
        CHECK(address_equals_ip(&s.last_peer, &options.from), "%s", s.w.name);
        options.address_count = 1;
        call.answers = 0;
        dialer_dial(s.dialer, &options, on_dialed, &call);
        UNTIL(&s.w, call.answers);
        CHECK(call.result.status == DIAL_FAILED && call.result.error == EAFNOSUPPORT, "%s",
              s.w.name);
    }
}

TEST(dialer_cancels)
{
    struct scene s;
    struct call first, second;
    EACH_SCENE(s)
    {
        handle name = dial(&s, &first, &s.server, 1, 0);
        dialer_cancel(s.dialer, name);
        dialer_cancel(s.dialer, name);
        dial(&s, &second, &s.server, 1, 0);
        UNTIL(&s.w, second.answers);
        CHECK(first.answers == 0, "%s", s.w.name);
        dialer_cancel(s.dialer, name);
        dial(&s, &first, &s.server, 1, 0); /* still under way when the dialer goes */
    }
    CHECK(first.answers == 0, "-");
}

TEST(dialer_outlives_its_memory_budget)
{
    struct memory_budget budget = {.limit = 100000};
    struct scene s = {0};
    struct call call;
    world_open(&s.w, LOOP_SIM, 1, &budget);
    CHECK(interfaces_create(s.w.loop, &s.interfaces) == 0, "-");
    s.dialer =
        dialer_create(&(struct dialer_options){.loop = s.w.loop, .interfaces = s.interfaces});
    size_t taken = 0;
    while (memory_budget_charge(&budget, 64))
        taken += 64;
    struct address to = address_v4(INADDR_LOOPBACK, 1);
    dial(&s, &call, &to, 1, 0);
    UNTIL(&s.w, call.answers);
    CHECK(call.result.status == DIAL_NO_MEMORY, "%s", dial_status_name(call.result.status));
    memory_budget_release(&budget, taken);
    dialer_destroy(s.dialer);
    interfaces_destroy(s.interfaces);
    loop_destroy(s.w.loop);
}

/* --- another network namespace ---------------------------------------------------------------- */

/* Its loopback interface is down, so a dial there fails as it never does at home. */
static int open_other_namespace(void)
{
    int report[2];
    CHECK(pipe(report) == 0, "-");
    pid_t child = fork();
    if (child == 0) {
        bool is_made = unshare(CLONE_NEWNET) == 0;
        char told = is_made ? 'y' : 'n';
        if (write(report[1], &told, 1) == 1 && is_made)
            pause();
        _exit(0);
    }
    char told = 'n', path[64];
    int fd = -1;
    CHECK(read(report[0], &told, 1) == 1, "-");
    snprintf(path, sizeof(path), "/proc/%d/ns/net", child);
    if (told == 'y')
        fd = open(path, O_RDONLY | O_CLOEXEC);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(report[0]);
    close(report[1]);
    return fd;
}

TEST(dialer_dials_in_another_namespace)
{
    struct scene s;
    struct call call = {0};
    int other = open_other_namespace();
    if (other < 0) {
        print_message("no right to make a network namespace: not tested here\n");
        skip();
    }
    scene_open(&s, 0);
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    struct {
        int name_space;
        enum dial_status status;
        int error;
    } rows[] = {{other, DIAL_FAILED, ENETUNREACH}, {home, DIAL_OK, 0}, {999, DIAL_FAILED, EBADF}};
    EACH (row, rows) {
        struct dial_options options = {
            .addresses = &s.server, .address_count = 1, .network_namespace = row->name_space};
        call = (struct call){.loop = s.w.loop};
        dialer_dial(s.dialer, &options, on_dialed, &call);
        UNTIL(&s.w, call.answers);
        CHECK(call.result.status == row->status && call.result.error == row->error, "%s: %d",
              dial_status_name(call.result.status), call.result.error);
        call.answers = 0;
        dialer_cancel(s.dialer, dialer_dial(s.dialer, &options, on_dialed, &call));
    }
    loop_turn(s.w.loop, 20);
    CHECK(call.answers == 0, "cancelled");
    close(home);
    close(other);
    scene_close(&s);
}
