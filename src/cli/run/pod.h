/*
 * pod: the namespaces of one service instance on this machine, made without root.
 *
 * A pod is a user namespace (the caller's own uid and gid, nothing else) that owns a network namespace in which there is
 * only loopback, with one address and a default route on it. Whatever the program inside connects to is redirected to
 * 15001 and its DNS questions to 15053, where its sidecar listens through sockets made inside. The sidecar itself runs in
 * the host's network: it holds the network namespace as a descriptor and CAP_SYS_ADMIN over the pod's user namespace only.
 * So every replica may bind the same port, nothing needs a bridge or sudo, and the program cannot reach around its sidecar.
 *
 * The pod lives as long as its two descriptors, or a process in it, do.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

#include <sys/types.h>

struct pod;

/* Makes the namespaces and puts the capture rules in force: TUL1201 where the kernel or a policy forbids them. */
MUST_USE bool pod_create(struct pod **out, struct error *error);
/* Ends nothing that runs inside. Accepts NULL. */
void pod_destroy(struct pod *pod);
OWNED(pod, pod_destroy)

/* What to start. Strings are borrowed for the call. */
struct pod_process {
    const char *const *argv; /* argv[0] is looked up in PATH of environment */
    const char *const *environment;
    const char *directory;   /* NULL: this one */
    int output;              /* becomes stdout and stderr; -1: inherited */
    const int *keep;         /* descriptors that the process inherits under the same numbers */
    size_t keep_count;
};

/*
 * Starts the service inside: no capabilities, no_new_privs, killed when the runner dies.
 * Returns the pid, a child of the caller, or a negative errno (of namespaces or exec).
 */
MUST_USE pid_t pod_start_service(struct pod *pod, const struct pod_process *process);
/*
 * Starts the sidecar in the host's network; the pod's network namespace stays open at pod_network(pod) in it,
 * reachable as /proc/self/fd/N.
 */
MUST_USE pid_t pod_start_sidecar(struct pod *pod, const struct pod_process *process);
/* The descriptor of the network namespace, the same number in the sidecar. */
int pod_network(const struct pod *pod);
