/*
 * session: a runner with what surrounds it in a command: the file, the signals, free ports, steps as they are done.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "cli/options.h"
#include "cli/run/spec.h"

struct loop;
struct runner;
struct signal_watch;

struct session {
    struct spec spec;
    struct loop *loop;
    struct signal_watch *signals;
    struct runner *runner;
    char *data, *programs, *samples;
    bool is_interrupted; /* by SIGINT or SIGTERM */
    bool is_silent;      /* no steps */
};
struct session_options {
    const struct options *options;
    const char *file;
    const char *name; /* of its folder under TULLE_HOME; NULL: the mesh's */
    bool is_quiet;    /* the programs print to files alone */
    bool is_passing;  /* nothing is kept */
    bool is_silent;   /* no steps either */
};

/* Everything runs, or false with what failed (and session_end is still to be called). */
MUST_USE bool session_start(struct session *session, const struct session_options *options,
                            struct error *error);
void session_end(struct session *session);
/* The path of a sample, such as "shop/tulle.yaml", on the heap; NULL when it is nowhere. */
char *session_sample(const char *path);
