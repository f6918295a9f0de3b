/*
 * control: the runner's own tulled, as a child process.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

#include <sys/types.h>

struct control;
struct loop;

struct control_options {
    const char *program; /* path of tulled */
    const char *data;    /* its folder; api.sock appears in it, and the roots' PEM */
    bool is_quiet, wants_color;
    unsigned width; /* as of output.h */
};

/* Starts it, and waits for nothing. data must outlive it. */
MUST_USE bool control_create(struct loop *loop, const struct control_options *options,
                             struct control **out, struct error *error);
/* SIGTERM, and SIGKILL after two seconds. Accepts NULL. */
void control_destroy(struct control *control);
MUST_USE bool control_is_running(const struct control *control);
/* Starts it again on the same ports and data, after it ended by itself or by control_kill. */
MUST_USE bool control_restart(struct control *control, struct error *error);
/* SIGKILL, and waits until it is gone. */
void control_kill(struct control *control);
pid_t control_pid(const struct control *control);
/* Of xDS and the CA over TLS. */
uint16_t control_port(const struct control *control);
const char *control_log(const struct control *control);
