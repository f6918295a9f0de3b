/*
 * sidecar: the bootstrap file and command line of one instance's tulle-proxy.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "cli/run/spec.h"

/* Where everything of one instance is. Strings are borrowed. */
struct sidecar {
    const struct spec *spec;
    const struct spec_instance *instance;
    const char *address;         /* its own loopback address, 127.x.y.z */
    const char *control_address; /* of tulled: 127.0.0.1 */
    uint16_t control_port;       /* xDS and the CA over TLS */
    const char *root_path;       /* PEM of the mesh's root */
    int network_fd;              /* the pod's network namespace, as the sidecar holds it */
    int token_fd;                /* as the sidecar holds it */
    int sockmap_fd;              /* the first of SOCKMAP_FDS in a row; 0: none */
    const char *folder;          /* state and bootstrap live here */
};
enum { SIDECAR_ADMIN_PORT = 15000 };

/* An Envoy bootstrap in YAML. */
void sidecar_bootstrap(const struct sidecar *sidecar, struct buffer *yaml);
/* NULL-terminated, in the spec's arena. */
const char **sidecar_command(const struct sidecar *sidecar, struct arena *arena,
                             const char *program);
