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

struct api;
struct loop;
struct runner;

struct runner_options {
    const struct options *options;
    const struct spec *spec;
    const char *data;     /* folder of this mesh: control plane, sidecars; made when it is not there */
    const char *programs; /* folder of tulle-proxy and tulled */
    bool is_quiet;        /* the programs' output goes to files alone */
};

/* Everything runs and is ready, or false with the step that failed. */
MUST_USE bool runner_start(struct loop *loop, const struct runner_options *options, struct runner **out,
                           struct error *error);
/* Ends programs, sidecars and the control plane, in that order. Accepts NULL. */
void runner_stop(struct runner *runner);
struct api *runner_api(struct runner *runner);
/* Kills the control plane and starts it again on the same data. */
MUST_USE bool runner_restart_control(struct runner *runner, struct error *error);
unsigned runner_sidecars(const struct runner *runner);
/* The sidecar's admin address ("127.80.0.1:15000") of an instance; static until runner_stop. */
const char *runner_admin(const struct runner *runner, unsigned index);
