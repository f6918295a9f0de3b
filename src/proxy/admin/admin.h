/*
 * admin: the admin interface, in Envoy's shapes: /ready, /stats, /config_dump, /clusters, /listeners, /certs, /server_info,
 * /logging, /drain_listeners, /quitquitquit.
 *
 * On the main loop. Whatever changes something is a POST. It is exempt from memory pressure.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct admin;
struct process;

/* *out is NULL when the bootstrap names no admin address. False with TUL1234 when it cannot be listened on. */
MUST_USE bool admin_create(struct process *process, struct admin **out, struct error *error);
/* Accepts NULL. */
void admin_destroy(struct admin *admin);
