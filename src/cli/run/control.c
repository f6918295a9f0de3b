#include "cli/run/control.h"

#include "base/clock.h"
#include "base/memory.h"
#include "cli/run/output.h"
#include "cli/run/ports.h"
#include "io/child.h"
#include "io/loop.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    XDS_TLS_PORT = 15012,
    XDS_PORT = 15010,
    API_PORT = 6443,
    MONITORING_PORT = 15014,
    END_MS = 2000,
    TURN_MS = 20
};

struct control {
    struct control_options options;
    struct loop *loop;
    struct child *child;
    struct output *output;
    char *program, *log;
    uint16_t port, plain_port, api_port, monitoring_port;
};

static void on_exit_of(void *owner, struct child *child, int status)
{
    (void)owner;
    (void)child;
    (void)status; /* the runner asks control_is_running */
}

static bool start(struct control *control, struct error *error)
{
    owned_str port = str_format("%u", control->port);
    owned_str socket_path = str_format("%s/api.sock", control->options.data);
    owned_str plain_port = str_format("%u", control->plain_port);
    owned_str api_port = str_format("%u", control->api_port);
    owned_str monitoring_port = str_format("%u", control->monitoring_port);
    const char *const argv[] = {
        control->program, "--data",   control->options.data, "--xds-tls-port", port,
        "--xds-port",     plain_port, "--api-port",          api_port,         "--monitoring-port",
        monitoring_port,  NULL};
    struct child_fd fds[] = {{output_fd(control->output), 1}, {output_fd(control->output), 2}};
    struct child_options options = {.argv = argv,
                                    .fds = fds,
                                    .fd_count = COUNT(fds),
                                    .death_signal = SIGKILL,
                                    .is_group_leader = true};
    child_destroy(control->child);
    control->child = NULL;
    unlink(socket_path); /* of one that was killed: nobody shall wait on it */
    int failure = child_create(control->loop, &options, on_exit_of, control, &control->child);
    if (!failure)
        return true;
    error_set(error, "TUL1210", "cannot start the control plane: %s: %s", control->program,
              strerror(-failure));
    error_fix(error, "make builds it beside tulle");
    return false;
}

bool control_create(struct loop *loop, const struct control_options *options, struct control **out,
                    struct error *error)
{
    struct control *control = mem_new(struct control);
    *control = (struct control){.options = *options,
                                .loop = loop,
                                .program = str_copy(options->program),
                                .log = str_format("%s/tulled.log", options->data),
                                .port = port_free("127.0.0.1", XDS_TLS_PORT),
                                .plain_port = port_free("127.0.0.1", XDS_PORT),
                                .api_port = port_free("127.0.0.1", API_PORT),
                                .monitoring_port = port_free("127.0.0.1", MONITORING_PORT)};
    struct output_options lines = {.name = "tulled",
                                   .path = control->log,
                                   .width = options->width,
                                   .is_quiet = options->is_quiet,
                                   .wants_color = options->wants_color};
    int failure = output_create(loop, &lines, &control->output);
    if (failure)
        error_set(error, "TUL1210", "cannot write %s: %s", control->log, strerror(-failure));
    if (failure || !start(control, error)) {
        control_destroy(control);
        return false;
    }
    *out = control;
    return true;
}

static void wait_for_end(struct control *control, unsigned wait_ms)
{
    uint64_t until_us = clock_now_us() + wait_ms * UINT64_C(1000);
    while (child_is_running(control->child) && clock_now_us() < until_us)
        loop_turn(control->loop, TURN_MS);
}

void control_destroy(struct control *control)
{
    if (!control)
        return;
    if (control->child && child_kill(control->child, SIGTERM) == 0)
        wait_for_end(control, END_MS);
    child_destroy(control->child);
    output_destroy(control->output);
    mem_free(control->program);
    mem_free(control->log);
    mem_free(control);
}

bool control_is_running(const struct control *control)
{
    return child_is_running(control->child);
}

bool control_restart(struct control *control, struct error *error)
{
    return start(control, error);
}

void control_kill(struct control *control)
{
    if (child_kill(control->child, SIGKILL) == 0)
        wait_for_end(control, END_MS);
}

pid_t control_pid(const struct control *control)
{
    return child_pid(control->child);
}

uint16_t control_port(const struct control *control)
{
    return control->port;
}

const char *control_log(const struct control *control)
{
    return control->log;
}
