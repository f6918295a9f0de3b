/*
 * heads: what the proxy changes in the heads of requests and responses that pass.
 */
#pragma once

#include "base/attributes.h"
#include "http/message.h"

struct exchange;
struct format;
struct header_edits;
struct hcm;
struct route_rewrite;

/* Connection manager's part, before routing: canonical path and host, request id, forwarding headers. False with the
 * refusal's details and a sentence when the request cannot be accepted (400). */
MUST_USE bool heads_receive(struct exchange *exchange, const char **details, const char **why);
/* Counts one more proxy on the request's way; true when it has passed too many (508). */
MUST_USE bool heads_is_looping(struct exchange *exchange);
/* The route's part of the request: rewrites and edits. False when memory is refused. */
MUST_USE bool heads_route_request(struct exchange *exchange);
/* The route's and the connection manager's part of the response. False when memory is refused. */
MUST_USE bool heads_route_response(struct exchange *exchange, struct http_response *response);
/* The path after a rewrite of what the route matched; in the arena. data == NULL when memory is refused. */
struct slice heads_rewrite(struct exchange *exchange, const struct route_rewrite *rewrite,
                           struct slice path);
