#include "cli/run/runner.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/vector.h"
#include "cli/api.h"
#include "cli/run/control.h"
#include "cli/run/folder.h"
#include "cli/run/place.h"
#include "cli/run/ports.h"
#include "cli/run/registry.h"
#include "io/loop.h"
#include "io/sockmap.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    START_MS = 30000,
    READY_MS = 60000,
    END_MS = 3000,
    POLL_MS = 10,
    API_TIMEOUT_S = 5,
    LOG_LINES = 20
};
enum { KEEP_ALIVE_MS = REGISTRY_LEASE_S * 1000 / 3, RETRY_MS = 500 };

struct runner {
    struct runner_options options;
    struct loop *loop;
    int lock;
    char *root_path;
    unsigned width;
    struct control *control;
    struct options api_options;
    char *server;
    struct api *api;
    struct registry *registry;
    struct sockmap *sockmap; /* NULL: not wished for, or refused */
    char **addresses, **folders;
    struct place **places;
    unsigned place_count;
    bool is_control_killed, is_registered;
    uint64_t next_keep_alive_ms, next_control_ms;
};

static uint64_t now_ms(void)
{
    return clock_now_us() / 1000;
}

static void tell(struct runner *runner, const char *step, uint64_t began_us, const char *text)
{
    if (runner->options.on_step)
        runner->options.on_step(runner->options.owner, step, text, clock_now_us() - began_us);
}

static void complain(struct error *error)
{
    owned_str text = error_text(error, true);
    fprintf(stderr, "%s\n", text);
    error_fini(error);
}

static bool is_interrupted(const struct runner *runner, struct error *error)
{
    if (!runner->options.is_interrupted || !*runner->options.is_interrupted)
        return false;
    error_set(error, "TUL1214", "interrupted while starting");
    return true;
}

/* The step that failed, with the end of its log. */
static bool fail_with_log(struct error *error, const char *what, const char *log)
{
    owned_str tail = folder_tail(log, LOG_LINES);
    error_set(error, "TUL1215", "%s", what);
    error_at(error, "%s", log);
    if (*tail)
        error_why(error, "it said last:\n%s", tail);
    return false;
}

/* --- the control plane -------------------------------------------------------------------------------------------- */

static bool is_api_up(struct runner *runner)
{
    owned_error error = {0};
    unsigned status = 0;
    owned_str path = str_format("%s/api.sock", runner->options.data);
    return access(path, F_OK) == 0 &&
           api_json(runner->api, "GET", "/version", NULL, NULL, &status, &error) &&
           access(runner->root_path, R_OK) == 0;
}

static bool wait_for_api(struct runner *runner, struct error *error)
{
    uint64_t until = now_ms() + START_MS;
    while (!is_api_up(runner)) {
        if (!control_is_running(runner->control))
            return fail_with_log(error, "the control plane ended while it started",
                                 control_log(runner->control));
        if (now_ms() > until)
            return fail_with_log(error, "the control plane does not answer",
                                 control_log(runner->control));
        if (is_interrupted(runner, error))
            return false;
        loop_turn(runner->loop, POLL_MS);
    }
    return true;
}

static bool start_control(struct runner *runner, struct error *error)
{
    uint64_t began = clock_now_us();
    owned_str program = str_format("%s/tulled", runner->options.programs);
    struct control_options options = {
        .program = program, .data = runner->options.data, .is_quiet = true, .width = runner->width};
    if (access(program, X_OK) != 0) {
        error_set(error, "TUL1210", "there is no %s", program);
        error_fix(error, "make builds it beside tulle");
        return false;
    }
    if (!control_create(runner->loop, &options, &runner->control, error) ||
        !wait_for_api(runner, error))
        return false;
    owned_str text = str_format("tulled %s (pid %d)", TULLE_VERSION, control_pid(runner->control));
    tell(runner, "control plane", began, text);
    return true;
}

/* --- services ----------------------------------------------------------------------------------------------------- */

static bool register_all(struct runner *runner, struct error *error)
{
    if (!registry_register(runner->registry, (const char *const *)runner->addresses, error))
        return false;
    runner->is_registered = true;
    runner->next_keep_alive_ms = now_ms() + KEEP_ALIVE_MS;
    return true;
}

/* Wished for, not needed: one for all sidecars, which may not load it themselves. */
static void make_sockmap(struct runner *runner)
{
    struct error error = {0};
    if (!runner->options.spec->wants_sockmap)
        return;
    if (!sockmap_load(NULL, 0, &runner->sockmap, &error)) {
        error_why(&error, "without the short cut everything goes by TCP");
        complain(&error);
    }
}

static bool make_places(struct runner *runner, struct error *error)
{
    const struct spec *spec = runner->options.spec;
    owned_str all = str_format("%s/sidecars", runner->options.data);
    if (!folder_make(all, error))
        return false;
    for (size_t i = 0; i < spec->instance_count; i++) {
        struct place_options options = {
            .spec = spec,
            .instance = &spec->instances[i],
            .registry = runner->registry,
            .address = runner->addresses[i],
            .folder = runner->folders[i],
            .programs = runner->options.programs,
            .samples = runner->options.samples,
            .root_path = runner->root_path,
            .control_port = control_port(runner->control),
            .sockmap = runner->sockmap,
            .is_quiet = runner->options.is_quiet,
            .wants_color = options_want_color(runner->options.options, STDOUT_FILENO),
            .width = runner->width};
        if (!place_create(runner->loop, &options, &runner->places[i], error))
            return false;
        runner->place_count++;
    }
    return true;
}

static void tend(struct runner *runner)
{
    for (unsigned i = 0; i < runner->place_count; i++) {
        struct error error = {0};
        if (!place_tend(runner->places[i], &error))
            complain(&error);
    }
}

/* Until each of [from, to) is what `is_there` asks, or the log of the first that is not. */
static bool wait_for(struct runner *runner, unsigned from, unsigned to,
                     bool (*is_there)(const struct place *), const char *what, struct error *error)
{
    uint64_t until = now_ms() + READY_MS;
    for (unsigned at = from; at < to;) {
        struct place *place = runner->places[at];
        if (is_there(place)) {
            at++;
            continue;
        }
        if (is_interrupted(runner, error))
            return false;
        if (now_ms() > until || place_restarts(place) > 5) {
            owned_str text =
                str_format("%s of %s does not become ready", what, place_instance(place)->name);
            return fail_with_log(error, text, place_log(place));
        }
        runner_turn(runner, POLL_MS);
    }
    return true;
}

static bool start_sidecars(struct runner *runner, struct error *error)
{
    uint64_t began = clock_now_us();
    make_sockmap(runner);
    if (!make_places(runner, error))
        return false;
    tend(runner);
    if (!wait_for(runner, 0, runner->place_count, place_is_sidecar_ready, "the sidecar", error))
        return false;
    owned_str text = str_format("%u/%u ready, each with a certificate of its own",
                                runner->place_count, runner->place_count);
    tell(runner, "sidecars", began, text);
    return true;
}

static bool start_programs(struct runner *runner, struct error *error)
{
    uint64_t began = clock_now_us();
    owned_buffer text = {0};
    for (unsigned i = 0; i < runner->place_count; i++) {
        place_release(runner->places[i]);
        if (!wait_for(runner, i, i + 1, place_is_ready, "the program", error))
            return false;
    }
    buffer_format(&text, "%u/%u ready:", runner->place_count, runner->place_count);
    for (unsigned i = 0; i < runner->place_count; i++)
        buffer_format(&text, " %s", place_instance(runner->places[i])->name);
    tell(runner, "services", began, text.data);
    return true;
}

/* --- as a whole --------------------------------------------------------------------------------------------------- */

static struct runner *make(struct loop *loop, const struct runner_options *options)
{
    const struct spec *spec = options->spec;
    struct runner *runner = mem_new(struct runner);
    runner->options = *options;
    runner->loop = loop;
    runner->lock = -1;
    runner->width = (unsigned)strlen("tulled");
    runner->server = str_format("unix:%s/api.sock", options->data);
    runner->root_path = str_format("%s/ca/roots.pem", options->data);
    runner->api_options = *options->options;
    runner->api_options.server = runner->server;
    runner->api_options.timeout_s = API_TIMEOUT_S;
    runner->addresses = mem_calloc(spec->instance_count, sizeof(*runner->addresses));
    runner->folders = mem_calloc(spec->instance_count, sizeof(*runner->folders));
    runner->places = mem_calloc(spec->instance_count, sizeof(struct place *));
    for (size_t i = 0; i < spec->instance_count; i++) {
        runner->addresses[i] = port_address(options->data, spec->instances[i].index);
        runner->folders[i] = str_format("%s/sidecars/%s", options->data, spec->instances[i].name);
        runner->width = MAX(runner->width, (unsigned)strlen(spec->instances[i].name));
    }
    return runner;
}

static char *current_link(const struct runner *runner)
{
    owned_str copy = str_copy(runner->options.data);
    return str_format("%s/current", dirname(copy));
}

/* The folder, locked; and "current" beside it, by which the other commands find its API. */
static bool prepare(struct runner *runner, struct error *error)
{
    const char *data = runner->options.data;
    owned_str link = current_link(runner);
    if (!folder_make(data, error) || (runner->lock = folder_lock(data, error)) < 0)
        return false;
    if (runner->options.is_passing)
        folder_remove(data, false);
    return folder_link(link, data, error);
}

static bool start_all(struct runner *runner, struct error *error)
{
    if (!prepare(runner, error) ||
        !api_open(&runner->api_options, runner->loop, &runner->api, error))
        return false;
    if (!start_control(runner, error))
        return false;
    uint64_t began = clock_now_us();
    runner->registry = registry_create(runner->api, runner->options.spec);
    if (!register_all(runner, error) || !registry_configure(runner->registry, error))
        return false;
    tell(runner, "configuration", began,
         "services, workloads and the YAML of the mesh are in force");
    return start_sidecars(runner, error) && start_programs(runner, error);
}

bool runner_start(struct loop *loop, const struct runner_options *options, struct runner **out,
                  struct error *error)
{
    struct runner *runner = make(loop, options);
    if (start_all(runner, error)) {
        *out = runner;
        return true;
    }
    runner_stop(runner);
    return false;
}

static void end_each(struct runner *runner, void (*stop)(struct place *),
                     bool (*runs)(const struct place *))
{
    uint64_t until = now_ms() + END_MS;
    for (unsigned i = runner->place_count; i-- > 0;)
        stop(runner->places[i]);
    for (unsigned i = runner->place_count; i-- > 0;)
        while (runs(runner->places[i]) && now_ms() < until)
            loop_turn(runner->loop, POLL_MS);
}

void runner_stop(struct runner *runner)
{
    if (!runner)
        return;
    end_each(runner, place_stop_program, place_has_program);
    end_each(runner, place_stop_sidecar, place_has_sidecar);
    for (unsigned i = runner->place_count; i-- > 0;)
        place_destroy(runner->places[i]);
    sockmap_destroy(runner->sockmap);
    if (runner->control && control_is_running(runner->control) && runner->is_registered)
        registry_end(runner->registry);
    registry_destroy(runner->registry);
    api_close(runner->api);
    control_destroy(runner->control);
    if (runner->lock >= 0 && runner->options.is_passing) {
        owned_str link = current_link(runner);
        folder_unlink(link, runner->options.data);
        folder_remove(runner->options.data, true);
    }
    if (runner->lock >= 0)
        close(runner->lock);
    for (size_t i = 0; i < runner->options.spec->instance_count; i++) {
        mem_free(runner->addresses[i]);
        mem_free(runner->folders[i]);
    }
    mem_free(runner->addresses);
    mem_free(runner->folders);
    mem_free(runner->places);
    mem_free(runner->root_path);
    mem_free(runner->server);
    mem_free(runner);
}

static void keep_lease(struct runner *runner)
{
    struct error error = {0};
    if (!runner->is_registered || now_ms() < runner->next_keep_alive_ms)
        return;
    bool is_kept = registry_keep_alive(runner->registry, &error);
    runner->next_keep_alive_ms = now_ms() + (is_kept ? KEEP_ALIVE_MS : RETRY_MS);
    if (is_kept)
        return;
    /* The lease is gone, for instance because this machine slept: tell everything anew. */
    if (!error_is_set(&error))
        (void)!register_all(runner, &error);
    if (error_is_set(&error))
        complain(&error);
}

void runner_turn(struct runner *runner, unsigned wait_ms)
{
    loop_turn(runner->loop, wait_ms);
    if (runner->is_control_killed)
        return;
    struct error error = {0};
    if (!control_is_running(runner->control)) {
        if (now_ms() >= runner->next_control_ms && !runner_restart_control(runner, &error)) {
            complain(&error);
            runner->next_control_ms = now_ms() + RETRY_MS;
        }
        return;
    }
    keep_lease(runner);
    tend(runner);
}

void runner_kill_control(struct runner *runner)
{
    runner->is_control_killed = true;
    control_kill(runner->control);
}

bool runner_restart_control(struct runner *runner, struct error *error)
{
    runner->is_control_killed = false;
    if (!control_restart(runner->control, error) || !wait_for_api(runner, error))
        return false;
    runner->next_keep_alive_ms = 0;
    return true;
}

struct api *runner_api(struct runner *runner)
{
    return runner->api;
}

unsigned runner_sidecars(const struct runner *runner)
{
    return runner->place_count;
}

const struct place *runner_place(const struct runner *runner, unsigned index)
{
    return runner->places[index];
}

const char *runner_admin(const struct runner *runner, unsigned index)
{
    return place_admin(runner->places[index]);
}
