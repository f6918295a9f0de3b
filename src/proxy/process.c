#include "proxy/process.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/program.h"
#include "build/bootstrap.h"
#include "io/helper.h"
#include "io/interfaces.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "io/signal.h"
#include "io/sockmap.h"
#include "io/thread.h"
#include "net/dialer.h"
#include "proxy/admin/admin.h"
#include "proxy/configure.h"
#include "proxy/dns/names.h"
#include "proxy/identity/identity.h"
#include "proxy/listen/sockets.h"
#include "proxy/observe/telemetry.h"
#include "proxy/process_state.h"
#include "proxy/snapshot/publisher.h"
#include "proxy/upstream/host_counters.h"
#include "proxy/upstream/limits.h"
#include "proxy/worker.h"
#include "tls/engine.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum {
    DRAIN_DEFAULT_S = 5,
    DRAIN_LOOK_MS = 50,
    CLOSE_GRACE_MS = 200,
    SETTLE_MS = 200,
    SETTLE_LOOK_MS = 1000
};

static void fail(struct error *error)
{
    owned_str text = error_text(error, false);
    fprintf(stderr, "%s\n", text);
    error_fini(error);
}

/* --- workers -------------------------------------------------------------------------------------------------- */

static void run_loop(void *argument)
{
    struct runner *runner = argument;
    loop_run(runner->loop);
}

static void on_stop(struct timer *timer)
{
    loop_stop(CONTAINER_OF(timer, struct runner, grace)->loop);
}

/* What is closed may have last words to send. */
static void on_close(struct mail *mail)
{
    struct runner *runner = CONTAINER_OF(mail, struct runner, close);
    worker_close(runner->worker);
    loop_timer_start(runner->loop, &runner->grace, CLOSE_GRACE_MS, on_stop);
}

static void on_drain(struct mail *mail)
{
    worker_drain(CONTAINER_OF(mail, struct runner, drain)->worker);
}

/* Each mail is sent once at most: the worker may still hold the other. */
static void drain_workers(struct process *process)
{
    for (unsigned i = 0; i < process->worker_count; i++) {
        struct runner *runner = &process->runners[i];
        runner->drain.deliver = on_drain;
        loop_post(runner->loop, &runner->drain);
    }
}

bool process_io_of(const char *text, enum process_io *io)
{
    static const char *const names[] = {"auto", "epoll", "io_uring"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *io = (enum process_io)i;
            return true;
        }
    }
    return false;
}

/*
 * io_uring costs less where many connections are busy at once, more at low rates, and does not splice (docs/performance.md), so
 * it is for those who ask.
 * Containers often forbid it; what was asked for in vain is said once.
 */
static enum loop_backend choose_backend(const struct process *process)
{
    if (process->options->io != PROCESS_IO_URING)
        return LOOP_EPOLL;
    if (process->shared.sockmap) {
        log_warning("process", "the sockmap short cut needs epoll: workers use epoll");
        return LOOP_EPOLL;
    }
    int refusal = loop_may_use_io_uring();
    if (!refusal)
        return LOOP_IO_URING;
    log_warning("process", "the kernel allows no io_uring (%s): workers use epoll",
                strerror(-refusal));
    return LOOP_EPOLL;
}

static bool make_worker(struct process *process, unsigned index, struct error *error)
{
    struct runner *runner = &process->runners[index];
    char name[24];
    snprintf(name, sizeof(name), "worker-%u", index);
    struct loop_options options = {
        .name = name, .backend = process->backend, .budget = &process->budget};
    int failure = loop_create(&options, &runner->loop);
    if (!failure)
        failure = worker_create(index, runner->loop, process->publisher, &process->shared,
                                telemetry_observer(process->telemetry, index), &runner->worker);
    if (failure)
        return error_set(error, "TUL1232", "cannot make worker %u: %s", index, strerror(-failure));
    process->workers[index] = runner->worker;
    return true;
}

static bool start_workers(struct process *process, struct error *error)
{
    for (unsigned i = 0; i < process->worker_count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "worker-%u", i);
        int failure =
            thread_create(name, run_loop, &process->runners[i], &process->runners[i].thread);
        if (failure)
            return error_set(error, "TUL1232", "cannot start worker %u: %s", i, strerror(-failure));
    }
    return true;
}

static void stop_workers(struct process *process)
{
    for (unsigned i = 0; i < process->worker_count; i++) {
        struct runner *runner = &process->runners[i];
        runner->close.deliver = on_close;
        loop_post(runner->loop, &runner->close);
    }
    for (unsigned i = 0; i < process->worker_count; i++)
        thread_destroy(process->runners[i].thread);
    /* A helper may still answer a worker whose thread has ended: no loop goes before the last answer is taken. */
    helper_pool_end(process->helpers);
    for (unsigned i = 0; i < process->worker_count; i++)
        loop_settle(process->runners[i].loop);
}

/* --- ending --------------------------------------------------------------------------------------------------- */

size_t process_connections(const struct process *process)
{
    size_t open = 0;
    for (unsigned i = 0; i < process->worker_count; i++)
        open += atomic_load_explicit(&process->workers[i]->open, memory_order_relaxed);
    return open;
}

/* Looks every now and then whether the last connection has gone. */
static void on_drain_look(struct timer *timer)
{
    struct process *process = CONTAINER_OF(timer, struct process, drain);
    if (process_connections(process) == 0 || loop_now_ms(process->loop) >= process->drain_until_ms)
        loop_stop(process->loop);
    else
        loop_timer_start(process->loop, &process->drain, DRAIN_LOOK_MS, on_drain_look);
}

void process_drain_listeners(struct process *process)
{
    if (process->shared.is_draining)
        return;
    process->shared.is_draining = true;
    sockets_drain(process->sockets);
    drain_workers(process);
}

void process_quit(struct process *process, bool gracefully)
{
    uint32_t drain_s = process->options->drain_s ? process->options->drain_s : DRAIN_DEFAULT_S;
    if (process->is_quitting || !gracefully) {
        loop_stop(process->loop);
        return;
    }
    log_info("process", "draining: connections have %u s to end", drain_s);
    process->is_quitting = true;
    process_drain_listeners(process);
    process->drain_until_ms = loop_now_ms(process->loop) + drain_s * UINT64_C(1000);
    loop_timer_start(process->loop, &process->drain, DRAIN_LOOK_MS, on_drain_look);
}

static void on_signal(void *owner, int signal, pid_t sender)
{
    struct process *process = owner;
    (void)sender;
    switch (signal) {
    case SIGTERM: process_quit(process, true); return;
    case SIGINT: process_quit(process, false); return;
    case SIGUSR1: telemetry_reopen(process->telemetry); return;
    default: return;
    }
}

/* --- settling ------------------------------------------------------------------------------------------------- */

/* Once the first configuration serves, what only the start needed goes. */
static void on_settled(struct timer *timer)
{
    struct process *process = CONTAINER_OF(timer, struct process, settling);
    if (!configure_is_ready(process->configure)) {
        loop_timer_start(process->loop, timer, SETTLE_LOOK_MS, on_settled);
        return;
    }
    mem_trim();
    program_forget_pages();
}

/* --- the short cut -------------------------------------------------------------------------------------------- */

static bool adopt_sockmap(const char *text, struct sockmap **out, struct error *error)
{
    int fds[SOCKMAP_FDS];
    struct slice rest = slice_str(text), word;
    for (size_t i = 0; i < SOCKMAP_FDS; i++) {
        uint64_t number = 0;
        bool is_last = !slice_cut(rest, ',', &word, &rest);
        if (is_last != (i == SOCKMAP_FDS - 1) || !slice_to_u64(word, INT_MAX, &number))
            return error_set(error, "TUL1239", "--sockmap-fds is %d descriptors, not \"%s\"",
                             SOCKMAP_FDS, text);
        fds[i] = (int)number;
    }
    return sockmap_adopt(fds, out, error);
}

/* Wished for, not needed: without it everything goes by TCP. */
static void make_sockmap(struct process *process)
{
    const struct process_options *options = process->options;
    owned_error error = {0};
    if (!options->wants_sockmap || options->validate_only)
        return;
    bool is_made = options->sockmap_fds
                       ? adopt_sockmap(options->sockmap_fds, &process->shared.sockmap, &error)
                       : sockmap_load(options->sockmap_cgroups, options->sockmap_cgroup_count,
                                      &process->shared.sockmap, &error);
    if (is_made) {
        log_info("process", "connections to applications on this host take the sockmap short cut");
        return;
    }
    owned_str text = error_text(&error, true);
    log_error("process", "no sockmap short cut, everything goes by TCP: %s", text);
}

/* --- making --------------------------------------------------------------------------------------------------- */

static void on_main_turn(void *owner)
{
    struct process *process = owner;
    tls_engine_turn(process->means.engine, loop_wall_us(process->loop) / 1000000, 0);
}

static bool make_ground(struct process *process, struct error *error)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, 0};
    struct loop_options options = {.name = "main", .backend = LOOP_EPOLL};
    int failure = loop_create(&options, &process->loop);
    if (!failure)
        failure =
            signal_watch_create(process->loop, signals, on_signal, process, &process->signals);
    if (!failure)
        failure = interfaces_create(process->loop, &process->interfaces);
    if (failure)
        return error_set(error, "TUL1233", "cannot start: %s", strerror(-failure));
    process->helpers = helper_pool_create(0);
    /* What we ask for ourselves must not be captured either. */
    process->means.mark = process->options->upstream_mark;
    failure =
        resolver_create(process->loop, &(struct resolver_options){.mark = process->means.mark},
                        &process->means.resolver);
    if (failure)
        return error_set(error, "TUL1233", "cannot resolve names: %s", strerror(-failure));
    process->means.loop = process->loop;
    process->means.engine = tls_engine_create(NULL);
    process->means.dialer = dialer_create(&(struct dialer_options){
        .loop = process->loop, .interfaces = process->interfaces, .helpers = process->helpers});
    loop_on_turn(process->loop, on_main_turn, process);
    process->publisher = publisher_create(process->loop);
    process->budget.limit = process->options->max_memory;
    uint32_t half = program_raise_open_files() / 2;
    process->shared = (struct worker_shared){
        .budget = &process->budget,
        .helpers = process->helpers,
        .limits = cluster_limits_table_create(),
        .host_counters = host_counters_table_create(),
        .upstream_mark = process->options->upstream_mark,
        .max_connections =
            process->options->max_connections ? process->options->max_connections : half};
    make_sockmap(process);
    process->telemetry = telemetry_create(process);
    return true;
}

static bool make_configuration(struct process *process, struct error *error)
{
    process->sockets = sockets_create(process->loop, process->workers, process->worker_count);
    struct configure_options options = {.means = &process->means,
                                        .loop = process->loop,
                                        .bootstrap = process->bootstrap,
                                        .publisher = process->publisher,
                                        .sockets = process->sockets,
                                        .telemetry = process->telemetry,
                                        .state_directory = process->options->state_directory,
                                        .has_identity = process->options->ca_address != NULL};
    return configure_create(&options, &process->configure, error);
}

static bool make_workers(struct process *process, struct error *error)
{
    process->worker_count =
        process->options->concurrency ? process->options->concurrency : thread_cpu_count();
    process->backend = choose_backend(process);
    process->runners = mem_calloc(process->worker_count, sizeof(*process->runners));
    process->workers = mem_calloc(process->worker_count, sizeof(*process->workers));
    for (unsigned i = 0; i < process->worker_count; i++)
        if (!make_worker(process, i, error))
            return false;
    return true;
}

static void unmake(struct process *process)
{
    identity_destroy(process->identity);
    names_destroy(process->names);
    admin_destroy(process->admin);
    configure_destroy(process->configure);
    sockets_destroy(process->sockets);
    for (unsigned i = 0; i < process->worker_count; i++) {
        worker_destroy(process->runners[i].worker, process->publisher);
        loop_destroy(process->runners[i].loop);
    }
    if (process->loop)
        loop_settle(process->loop);
    telemetry_destroy(process->telemetry);
    publisher_destroy(process->publisher);
    cluster_limits_table_destroy(process->shared.limits);
    host_counters_table_destroy(process->shared.host_counters);
    dialer_destroy(process->means.dialer);
    resolver_destroy(process->means.resolver);
    helper_pool_destroy(process->helpers);
    if (process->loop) {
        loop_on_turn(process->loop, NULL, NULL);
        loop_settle(process->loop);
    }
    sockmap_destroy(process->shared.sockmap);
    tls_engine_destroy(process->means.engine);
    interfaces_destroy(process->interfaces);
    signal_watch_destroy(process->signals);
    loop_destroy(process->loop);
    bootstrap_destroy(process->bootstrap);
    mem_free(process->runners);
    mem_free(process->workers);
}

static int serve(struct process *process)
{
    struct error error = {0};
    if (!names_create(process, &process->names, &error) ||
        !identity_create(process, &process->identity, &error) || !start_workers(process, &error)) {
        fail(&error);
        return EXIT_FAILURE;
    }
    configure_start(process->configure);
    identity_start(process->identity);
    /* What is static and cannot be listened on will not get better by itself. */
    if (sockets_problem(process->sockets)) {
        error_set(&error, "TUL1203", "%s", sockets_problem(process->sockets));
        fail(&error);
        stop_workers(process);
        return EXIT_FAILURE;
    }
    if (!admin_create(process, &process->admin, &error)) {
        fail(&error);
        stop_workers(process);
        return EXIT_FAILURE;
    }
    log_info("process", "tulle-proxy %s serves with %u workers over %s", TULLE_VERSION,
             process->worker_count, loop_backend_name(process->backend));
    loop_timer_start(process->loop, &process->settling, SETTLE_MS, on_settled);
    loop_run(process->loop);
    loop_timer_stop(process->loop, &process->settling);
    loop_timer_stop(process->loop, &process->drain);
    stop_workers(process);
    log_info("process", "ended");
    return EXIT_SUCCESS;
}

int process_run(const struct process_options *options)
{
    struct process process = {.options = options};
    struct error error = {0};
    /* Our keys and tokens are nobody else's, not even other processes' of the same user. */
    prctl(PR_SET_DUMPABLE, 0);
    struct build_options building = {.here = true, .now_s = clock_wall_us() / 1000000};
    if (!bootstrap_read(options->config_path, &building, &process.bootstrap, &error)) {
        fail(&error);
        return EXIT_FAILURE;
    }
    int code = EXIT_FAILURE;
    if (!make_ground(&process, &error) || !make_workers(&process, &error)) {
        fail(&error);
    } else if (!make_configuration(&process, &error)) {
        fail(&error);
    } else if (options->validate_only) {
        printf("configuration '%s' OK\n", options->config_path);
        code = EXIT_SUCCESS;
    } else {
        code = serve(&process);
    }
    unmake(&process);
    return code;
}
