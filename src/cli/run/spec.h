/*
 * spec: tulle.yaml, what `tulle run` shall run.
 *
 *   mesh: { name: shop, mtls: STRICT, capture: auto, sockmap: true }
 *   services:
 *     web:     { run: ./web, port: 8080, publish: 8080, protocol: http, env: { CART: "http://cart:9000" } }
 *     product: { run: ./product, port: 9000, ready: /healthz, replicas: 2, versions: { v1: {}, v2: { env: { NEW: 1 } } } }
 *   config: [ mesh/ ]
 *
 * A service of two versions with two replicas each is four instances. Read strictly: an unknown key is an error with its
 * place. Everything lives in the spec's arena.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"

enum {
    SPEC_SERVICES_MAX = 256,
    SPEC_INSTANCES_MAX = 1024,
    SPEC_CONFIG_MAX = 64,
    SPEC_ENV_MAX = 256
};

struct spec_env {
    const char *name, *value;
};

/* One program to start. */
struct spec_instance {
    const char *service;
    const char *version;  /* NULL: none was written */
    const char *name;     /* unique: "web", "cart-2", "product-v1" */
    const char *run;      /* a command line for the shell */
    const char *ready;    /* path of an HTTP readiness check, or NULL: the port listens */
    const char *account;  /* service account; "default" unless written, else the service's name */
    const char *protocol; /* "http", "tcp"; the name of the Service's port starts with it */
    uint16_t port;
    uint16_t publish; /* port on this host's 127.0.0.1 that leads to it; 0 = none */
    struct spec_env *env;
    size_t env_count;
    unsigned index; /* from 0, over all instances: fixes its loopback address */
};

struct spec {
    struct arena arena;
    const char *mesh;       /* mesh.name; "default" */
    const char *name_space; /* of every object; "default" */
    bool wants_sockmap;     /* mesh.sockmap: the short cut of io/sockmap.h */
    const char *directory;  /* where the file is: commands run there and config is relative to it */
    struct spec_instance *instances;
    size_t instance_count;
    const char **config; /* files and directories of YAML, as written */
    size_t config_count;
};

/* path "-" reads standard input. False with the place. On success the caller ends it with spec_fini. */
MUST_USE bool spec_read(struct spec *spec, const char *path, struct error *error);
void spec_fini(struct spec *spec);
