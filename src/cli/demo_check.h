/*
 * demo_check: `tulle demo --check`: the canary is shifted under load, the control plane is killed, and all is judged.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct options;
struct session;

/* Prints a table, or one document (-o json, -o yaml); EXIT_GOOD, or EXIT_FAILED when anything is off (the error stays
 * empty then). */
int demo_check(struct session *session, unsigned load_port, const struct options *options,
               struct error *error);
/* n of `all` went one way, where `share` of 1 was wanted: within what chance allows in 999 of 1,000 cases. */
MUST_USE bool split_is_fair(double n, double all, double share);
