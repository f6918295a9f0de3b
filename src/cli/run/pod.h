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

/*
 * What a child does between fork and exec (io/child.h: prepare, with the pod as its argument). The service enters the pod's
 * network and loses every capability; the sidecar stays in the host's network with the right to enter the pod's. Both get
 * no_new_privs and die with the runner. 0 or a negative errno; only calls that are safe after fork.
 */
int pod_enter_service(void *pod);
int pod_enter_sidecar(void *pod);
/* The descriptor of the network namespace, for the sidecar to inherit. */
int pod_network(const struct pod *pod);
