/*
 * registry: what the runner tells the control plane: namespace, services, workloads under its lease, configuration.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "cli/run/spec.h"

struct api;
struct registry;

enum { REGISTRY_LEASE_S = 10 };

/* What it is given must outlive it. Asks nothing yet. */
struct registry *registry_create(struct api *api, const struct spec *spec);
/* Tells nothing. Accepts NULL. */
void registry_destroy(struct registry *registry);

/* The namespace, the services, the workloads under a fresh lease: everything but configuration. */
MUST_USE bool registry_register(struct registry *registry, const char *const *addresses,
                                struct error *error);
/* The YAML that the spec names. */
MUST_USE bool registry_configure(struct registry *registry, struct error *error);
/* At least every REGISTRY_LEASE_S / 2. When the lease is gone (false without an error set), register again. */
MUST_USE bool registry_keep_alive(struct registry *registry, struct error *error);
/* A one-time token of an account, on the heap; NULL with the error set. */
MUST_USE char *registry_token(struct registry *registry, const char *account, struct error *error);
/* Ends the lease, and with it the workloads. */
void registry_end(struct registry *registry);
