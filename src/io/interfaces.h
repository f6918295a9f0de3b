/*
 * interfaces: which addresses are this host's own (rtnetlink), kept current.
 *
 * The dialer asks it before every connect, so that the proxy never dials itself.
 */
#pragma once

#include "base/attributes.h"
#include "io/address.h"

struct interfaces;
struct loop;

/* Reads the addresses once, and follows changes on the loop (on a simulated loop it knows loopback alone). */
MUST_USE int interfaces_create(struct loop *loop, struct interfaces **out);
/* Accepts NULL. */
void interfaces_destroy(struct interfaces *interfaces);
/* Any interface's address, all of 127/8, ::1, the wildcards, and v4-mapped forms of these. */
bool interfaces_are_local(const struct interfaces *interfaces, const struct address *address);
size_t interfaces_count(const struct interfaces *interfaces);
struct address interfaces_get(const struct interfaces *interfaces, size_t index);
/* For simulations: one more address. */
void interfaces_add(struct interfaces *interfaces, const struct address *address);
