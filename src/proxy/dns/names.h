/*
 * names: the mesh's names for the programs beside this proxy, over UDP and TCP.
 *
 * The control plane's name table (NDS) answers services by their virtual addresses: `cart`, `cart.shop`, `cart.shop.svc`,
 * `cart.shop.svc.cluster.local`. Any other name is resolved as this host resolves names. Main thread.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct names;
struct process;

/* *out is NULL when no address is configured. False with TUL1238 when it cannot be listened on. */
MUST_USE bool names_create(struct process *process, struct names **out, struct error *error);
/* Accepts NULL. */
void names_destroy(struct names *names);
