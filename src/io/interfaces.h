/*
 * interfaces: which addresses are this host's own (rtnetlink), kept current.
 *
 * The dialer asks it before every connect, so that the proxy never dials itself. It belongs to its loop: every worker
 * has its own, and nothing here locks.
 */
#pragma once

#include "base/attributes.h"
#include "io/address.h"

struct interfaces;
struct loop;

/* Reads the addresses once, and follows changes on the loop (on a simulated loop it knows loopback alone). */
MUST_USE int interfaces_create(struct loop *loop, struct interfaces **out);
/*
 * The addresses of another network namespace count as local too, from now on: where a sidecar listens from outside of
 * its pod. A second call for the same one does nothing. 0 or a negative errno.
 */
MUST_USE int interfaces_add_namespace(struct interfaces *interfaces, const char *path);
/* Accepts NULL. */
void interfaces_destroy(struct interfaces *interfaces);
/* Any interface's address, all of 127/8, ::1, the wildcards, and v4-mapped forms of these. */
bool interfaces_are_local(const struct interfaces *interfaces, const struct address *address);
size_t interfaces_count(const struct interfaces *interfaces);
struct address interfaces_get(const struct interfaces *interfaces, size_t index);
/* For simulations: one more address. */
void interfaces_add(struct interfaces *interfaces, const struct address *address);
