/*
 * deadlines: the times that an exchange may take: its request to come whole, its answer to be whole, all of it together.
 *
 * A route's timeout and that of a try begin with the end of the request, as in Envoy: a stream whose client goes on talking
 * has none. A tunnel has none but the idle timeouts. A gRPC call's own deadline counts from the beginning.
 */
#pragma once

#include "base/attributes.h"

struct exchange;

/* The request's head has come: its rest may take so long. */
void deadlines_begin(struct exchange *exchange);
/* The route is known. */
void deadlines_route(struct exchange *exchange);
/* A try has its stream. */
void deadlines_try(struct exchange *exchange);
/* The same, before the request goes out: how long nothing may move on it. */
void deadlines_try_idle(struct exchange *exchange);
/* The request is whole. */
void deadlines_request_ended(struct exchange *exchange);
/* Bytes flow both ways from now on: only idleness ends it. */
void deadlines_tunnel(struct exchange *exchange);
void deadlines_stop(struct exchange *exchange);
