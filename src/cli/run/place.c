#include "cli/run/place.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/vector.h"
#include "cli/fetch.h"
#include "cli/run/output.h"
#include "cli/run/pod.h"
#include "cli/run/probe.h"
#include "cli/run/registry.h"
#include "cli/run/sidecar.h"
#include "io/child.h"
#include "io/loop.h"
#include "io/sockmap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NETWORK_FD = 3,
    TOKEN_FD = 4,
    SOCKMAP_FD = 5, /* and the next ones */
    READY_S = 60,
    PAUSE_FIRST_MS = 200,
    PAUSE_MAX_MS = 10000,
    STEADY_MS = 30000
};
enum { ASK_MS = 500 };

/* A sidecar or a program: started, ended, started again. */
struct part {
    struct place *place;
    struct child *child;
    struct output *output;
    char *log;
    bool is_ready;
    unsigned starts, pause_ms;
    uint64_t started_ms, next_ms;
};

struct place {
    struct place_options options;
    struct loop *loop;
    struct arena arena;
    struct pod *pod;
    struct part sidecar, program;
    struct probe *probe;
    char *admin;
    bool is_released, is_ending;
};

static uint64_t now_ms(void)
{
    return clock_now_us() / 1000;
}

static bool is_running(const struct part *part)
{
    return part->child && child_is_running(part->child);
}

/* Called from the loop: only notes what happened. */
static void on_exit_of(void *owner, struct child *child, int status)
{
    struct part *part = owner;
    (void)child;
    (void)status;
    uint64_t now = now_ms();
    part->is_ready = false;
    if (now - part->started_ms >= STEADY_MS)
        part->pause_ms = 0;
    part->pause_ms =
        part->pause_ms ? MIN(part->pause_ms * 2, (unsigned)PAUSE_MAX_MS) : PAUSE_FIRST_MS;
    part->next_ms = now + part->pause_ms;
}

static bool open_part(struct place *place, struct part *part, const char *suffix, bool is_quiet,
                      struct error *error)
{
    part->place = place;
    part->log = str_format("%s/%s.log", place->options.folder, suffix);
    struct output_options lines = {.name = place->options.instance->name,
                                   .path = part->log,
                                   .width = place->options.width,
                                   .color = place->options.instance->index,
                                   .is_quiet = is_quiet,
                                   .wants_color = place->options.wants_color};
    int failure = output_create(place->loop, &lines, &part->output);
    return failure == 0 ||
           error_set(error, "TUL1211", "cannot write %s: %s", part->log, strerror(-failure));
}

bool place_create(struct loop *loop, const struct place_options *options, struct place **out,
                  struct error *error)
{
    struct place *place = mem_new(struct place);
    place->options = *options;
    place->loop = loop;
    place->admin = str_format("%s:%d", options->address, SIDECAR_ADMIN_PORT);
    arena_init(&place->arena, NULL);
    bool is_good =
        mkdir(options->folder, 0700) == 0 || errno == EEXIST ||
        error_set(error, "TUL1211", "cannot make %s: %s", options->folder, strerror(errno));
    if (is_good && open_part(place, &place->sidecar, "sidecar", true, error) &&
        open_part(place, &place->program, "program", options->is_quiet, error) &&
        pod_create(&place->pod, error)) {
        *out = place;
        return true;
    }
    place_destroy(place);
    return false;
}

static void close_part(struct part *part)
{
    child_destroy(part->child);
    output_destroy(part->output);
    mem_free(part->log);
}

void place_destroy(struct place *place)
{
    if (!place)
        return;
    probe_destroy(place->probe);
    close_part(&place->program);
    close_part(&place->sidecar);
    pod_destroy(place->pod);
    arena_fini(&place->arena);
    mem_free(place->admin);
    mem_free(place);
}

static void note_start(struct part *part)
{
    part->starts++;
    part->started_ms = now_ms();
    part->is_ready = false;
}

/* --- the sidecar -------------------------------------------------------------------------------------------------- */

static bool write_file(const char *path, const struct buffer *text, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_whole = fd >= 0 && write(fd, text->data, text->size) == (ssize_t)text->size;
    if (!is_whole)
        error_set(error, "TUL1211", "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return is_whole;
}

/* The read end of a pipe that holds a one-time token, or -1. */
static int token_pipe(struct place *place, struct error *error)
{
    int fds[2];
    char *token = registry_token(place->options.registry, place->options.instance->account, error);
    if (!token)
        return -1;
    size_t size = strlen(token);
    int result = -1;
    if (pipe2(fds, O_CLOEXEC) == 0) {
        /* Pipes hold 64 KB; a token is far shorter, so this does not wait. */
        if (write(fds[1], token, size) == (ssize_t)size)
            result = fds[0];
        else
            close(fds[0]);
        close(fds[1]);
    }
    mem_free_secret(token, size);
    if (result < 0)
        error_set(error, "TUL1211", "cannot hand over a token: %s", strerror(errno));
    return result;
}

/* Gives how many descriptors they are. */
static unsigned hand_over_sockmap(const struct sockmap *sockmap, struct child_fd to[SOCKMAP_FDS])
{
    int fds[SOCKMAP_FDS];
    if (!sockmap)
        return 0;
    sockmap_fds(sockmap, fds);
    for (int i = 0; i < SOCKMAP_FDS; i++)
        to[i] = (struct child_fd){fds[i], SOCKMAP_FD + i};
    return SOCKMAP_FDS;
}

static bool start_sidecar(struct place *place, struct error *error)
{
    const struct place_options *o = &place->options;
    struct sidecar sidecar = {.spec = o->spec,
                              .instance = o->instance,
                              .address = o->address,
                              .control_address = "127.0.0.1",
                              .control_port = o->control_port,
                              .root_path = o->root_path,
                              .network_fd = NETWORK_FD,
                              .token_fd = TOKEN_FD,
                              .sockmap_fd = o->sockmap ? SOCKMAP_FD : 0,
                              .folder = o->folder};
    owned_buffer yaml = {0};
    owned_str path = str_format("%s/bootstrap.yaml", o->folder);
    owned_str program = str_format("%s/tulle-proxy", o->programs);
    sidecar_bootstrap(&sidecar, &yaml);
    if (!write_file(path, &yaml, error))
        return false;
    int token = token_pipe(place, error);
    if (token < 0)
        return false;
    arena_reset(&place->arena);
    int lines = output_fd(place->sidecar.output);
    struct child_fd fds[4 + SOCKMAP_FDS] = {
        {lines, 1}, {lines, 2}, {pod_network(place->pod), NETWORK_FD}, {token, TOKEN_FD}};
    unsigned fd_count = 4 + hand_over_sockmap(o->sockmap, &fds[4]);
    struct child_options options = {.argv = sidecar_command(&sidecar, &place->arena, program),
                                    .fds = fds,
                                    .fd_count = fd_count,
                                    .death_signal = SIGKILL,
                                    .is_group_leader = true,
                                    .prepare = pod_enter_sidecar,
                                    .argument = place->pod};
    child_destroy(place->sidecar.child);
    place->sidecar.child = NULL;
    note_start(&place->sidecar);
    int failure =
        child_create(place->loop, &options, on_exit_of, &place->sidecar, &place->sidecar.child);
    close(token);
    if (!failure)
        return true;
    error_set(error, "TUL1203", "cannot start the sidecar of %s: %s: %s", o->instance->name,
              program, strerror(-failure));
    return false;
}

static void ask_sidecar(struct place *place)
{
    owned_buffer body = {0};
    place->sidecar.is_ready = fetch(place->loop, place->admin, "/ready", ASK_MS, &body) == 200;
}

/* --- the program -------------------------------------------------------------------------------------------------- */

static bool sets(const char *entry, const char *name)
{
    size_t size = strlen(name);
    return strncmp(entry, name, size) == 0 && entry[size] == '=';
}

static bool is_replaced(const struct spec_instance *instance, const char *entry)
{
    for (size_t i = 0; i < instance->env_count; i++)
        if (sets(entry, instance->env[i].name))
            return true;
    return sets(entry, "PORT") || sets(entry, "TULLE_SAMPLES");
}

/* Ours, then PORT and TULLE_SAMPLES, then what the file says; a later one of the same name wins. */
static const char **environment(struct place *place)
{
    const struct spec_instance *instance = place->options.instance;
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    const char **env = arena_calloc(&place->arena, count + instance->env_count + 3, sizeof(*env));
    for (size_t i = 0; i < count; i++)
        if (!is_replaced(instance, environ[i]))
            env[used++] = environ[i];
    env[used++] = arena_format(&place->arena, "PORT=%u", instance->port);
    if (place->options.samples)
        env[used++] = arena_format(&place->arena, "TULLE_SAMPLES=%s", place->options.samples);
    for (size_t i = 0; i < instance->env_count; i++) {
        const struct spec_env *own = &instance->env[i];
        const char *entry = arena_format(&place->arena, "%s=%s", own->name, own->value);
        size_t at = 0;
        while (at < used && !sets(env[at], own->name))
            at++;
        env[at] = entry;
        used += at == used;
    }
    return env;
}

static void on_probed(void *owner, bool is_ready)
{
    struct place *place = owner;
    place->program.is_ready = is_ready && is_running(&place->program);
}

static bool start_program(struct place *place, struct error *error)
{
    const struct spec_instance *instance = place->options.instance;
    const char *const argv[] = {"/bin/sh", "-c", instance->run, NULL};
    int lines = output_fd(place->program.output);
    struct child_fd fds[] = {{lines, 1}, {lines, 2}};
    arena_reset(&place->arena);
    struct child_options options = {.argv = argv,
                                    .env = environment(place),
                                    .folder = place->options.spec->directory,
                                    .fds = fds,
                                    .fd_count = COUNT(fds),
                                    .death_signal = SIGKILL,
                                    .is_group_leader = true,
                                    .prepare = pod_enter_service,
                                    .argument = place->pod};
    child_destroy(place->program.child);
    place->program.child = NULL;
    probe_destroy(place->probe);
    place->probe = NULL;
    note_start(&place->program);
    int failure =
        child_create(place->loop, &options, on_exit_of, &place->program, &place->program.child);
    if (!failure)
        failure = probe_create(place->loop, place->pod, instance->port, instance->ready, READY_S,
                               on_probed, place, &place->probe);
    if (!failure)
        return true;
    return error_set(error, "TUL1212", "cannot start %s: %s", instance->name, strerror(-failure));
}

/* --- both --------------------------------------------------------------------------------------------------------- */

/* A start that failed counts as one that ended at once. */
static bool start_part(struct part *part, bool (*start)(struct place *, struct error *),
                       struct error *error)
{
    if (now_ms() < part->next_ms)
        return true;
    if (start(part->place, error))
        return true;
    part->started_ms = now_ms();
    on_exit_of(part, part->child, 0);
    return false;
}

bool place_tend(struct place *place, struct error *error)
{
    if (place->is_ending)
        return true;
    if (!is_running(&place->sidecar))
        return start_part(&place->sidecar, start_sidecar, error);
    if (!place->sidecar.is_ready)
        ask_sidecar(place);
    if (place->is_released && place->sidecar.is_ready && !is_running(&place->program))
        return start_part(&place->program, start_program, error);
    return true;
}

void place_release(struct place *place)
{
    place->is_released = true;
}

static void stop_part(struct place *place, struct part *part)
{
    place->is_ending = true;
    if (is_running(part))
        (void)!child_kill(part->child, SIGTERM);
}

void place_stop_program(struct place *place)
{
    stop_part(place, &place->program);
}

void place_stop_sidecar(struct place *place)
{
    stop_part(place, &place->sidecar);
}

bool place_has_program(const struct place *place)
{
    return is_running(&place->program);
}

bool place_has_sidecar(const struct place *place)
{
    return is_running(&place->sidecar);
}

bool place_is_sidecar_ready(const struct place *place)
{
    return place->sidecar.is_ready;
}

bool place_is_ready(const struct place *place)
{
    return place->sidecar.is_ready && place->program.is_ready;
}

const char *place_admin(const struct place *place)
{
    return place->admin;
}

const struct spec_instance *place_instance(const struct place *place)
{
    return place->options.instance;
}

pid_t place_pid(const struct place *place)
{
    return is_running(&place->program) ? child_pid(place->program.child) : 0;
}

pid_t place_sidecar_pid(const struct place *place)
{
    return is_running(&place->sidecar) ? child_pid(place->sidecar.child) : 0;
}

unsigned place_restarts(const struct place *place)
{
    unsigned starts = place->sidecar.starts + place->program.starts;
    return starts - (place->sidecar.starts > 0 ? 1 : 0) - (place->program.starts > 0 ? 1 : 0);
}

const char *place_log(const struct place *place)
{
    return place->sidecar.is_ready ? place->program.log : place->sidecar.log;
}
