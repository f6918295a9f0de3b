/*
 * connect: a CONNECT that ends at this proxy: its payload goes to the route's cluster as a TCP connection's bytes (RFC 9110
 * 9.3.6, RFC 9113 8.5).
 */
#pragma once

#include "base/attributes.h"

struct exchange;
struct raw_waiter;
struct route_upgrade;

/* What the route says of this request's upgrade, or of CONNECT; NULL: nothing. */
const struct route_upgrade *connect_find(const struct exchange *exchange);
/* Fills in what the PROXY headers of the try's connection say. */
void connect_describe(const struct exchange *exchange, struct raw_waiter *waiter);
