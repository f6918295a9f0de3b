/*
 * runner: `tulle run`: a control plane, and every program of tulle.yaml in a pod beside its sidecar.
 *
 * Starts in order, waits until each is ready, passes their output on with names before it, starts again what ends, and
 * stops everything in reverse. Objects that it registers live under a lease: when it dies, they go.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "cli/options.h"
#include "cli/run/spec.h"

#include <sys/types.h>

struct api;
struct loop;
struct place;
struct runner;

struct runner_options {
    const struct options *options;
    const struct spec *spec;
    const char *data; /* folder of this mesh: control plane, sidecars; made when it is not there */
    const char *programs; /* folder of tulle-proxy and tulled */
    const char *samples;  /* folder of the samples that are built; may be NULL */
    bool is_quiet;        /* the programs' output goes to files alone */
    bool is_passing;      /* the folder is emptied first and removed at the end */
    /* A step was done; text is borrowed. May be NULL. */
    void (*on_step)(void *owner, const char *step, const char *text, uint64_t took_us);
    void *owner;
    const bool *is_interrupted; /* becomes true when starting shall end; may be NULL */
};

/* Everything runs and is ready, or false with the step that failed. */
MUST_USE bool runner_start(struct loop *loop, const struct runner_options *options,
                           struct runner **out, struct error *error);
/* Ends programs, sidecars and the control plane, in that order. Accepts NULL. */
void runner_stop(struct runner *runner);
/* One turn of the loop, then what is due: leases, starts and restarts. What fails is said on stderr. */
void runner_turn(struct runner *runner, unsigned wait_ms);
struct api *runner_api(struct runner *runner);
/* Kills the control plane by SIGKILL; it stays away until runner_restart_control. */
void runner_kill_control(struct runner *runner);
/* Starts it again on the same data and waits for its API. */
MUST_USE bool runner_restart_control(struct runner *runner, struct error *error);
unsigned runner_sidecars(const struct runner *runner);
/* Static until runner_stop. */
const struct place *runner_place(const struct runner *runner, unsigned index);
/* The sidecar's admin address ("127.80.0.1:15000") of an instance. */
const char *runner_admin(const struct runner *runner, unsigned index);
