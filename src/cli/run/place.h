/*
 * place: one instance at work: its pod, its sidecar and its program, and what to do when one of them ends.
 *
 * Nothing here waits. place_tend does what is due (start, ask whether it is ready, start again after a pause that doubles
 * from 0.2 to 10 seconds) and is called outside of the loop's callbacks, because it asks the control plane.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "cli/run/spec.h"

#include <sys/types.h>

struct loop;
struct place;
struct registry;
struct sockmap;

struct place_options {
    const struct spec *spec;
    const struct spec_instance *instance;
    struct registry *registry;
    const char *address;  /* its loopback address */
    const char *folder;   /* of this instance; made */
    const char *programs; /* folder of tulle-proxy */
    const char *samples;  /* TULLE_SAMPLES for its command line */
    const char *root_path;
    uint16_t control_port;
    const struct sockmap *sockmap; /* the sidecar adopts its descriptors; NULL: none */
    bool is_quiet, wants_color;
    unsigned width;
};

/* Makes the pod; starts nothing. Strings must outlive it. */
MUST_USE bool place_create(struct loop *loop, const struct place_options *options,
                           struct place **out, struct error *error);
/* Program first, then sidecar: SIGTERM. */
void place_stop_program(struct place *place);
void place_stop_sidecar(struct place *place);
bool place_has_program(const struct place *place);
bool place_has_sidecar(const struct place *place);
/* Kills what still runs. Accepts NULL. */
void place_destroy(struct place *place);

/* The program may run from now on: until then only the sidecar does. */
void place_release(struct place *place);
/* False with the step that failed; it is tried again later. */
MUST_USE bool place_tend(struct place *place, struct error *error);
bool place_is_sidecar_ready(const struct place *place);
bool place_is_ready(const struct place *place);
const char *place_admin(const struct place *place);
const struct spec_instance *place_instance(const struct place *place);
pid_t place_pid(const struct place *place);         /* of the program; 0: none */
pid_t place_sidecar_pid(const struct place *place); /* 0: none */
unsigned place_restarts(const struct place *place); /* of either, after the first start */
/* The log of the part that is not ready yet: sidecar or program. */
const char *place_log(const struct place *place);
