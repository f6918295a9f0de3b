/*
 * view: a request's head as the matchers of match/ see it.
 */
#pragma once

#include "http/message.h"
#include "match/request.h"

struct address;
struct downstream;
struct transport;

struct view {
    struct match_request request;
    struct match_connection connection; /* filled only by view_connection */
    const struct headers *headers;
    struct arena *arena;
    bool lost;
};
/* The head must stay as it is while the view is used. connection is not filled: most rules do not ask. */
void view_init(struct view *view, const struct http_request *head, struct arena *arena, bool is_tls,
               uint64_t random);
/* application/grpc and its sub-types, and not gRPC-Web. */
bool view_is_grpc(const struct headers *headers);
/* What rules about peers see of a connection: the socket's peer, where it comes from and where it was going. */
void view_ends(struct match_connection *connection, const struct transport *transport,
               const struct address *direct, const struct address *from, const struct address *to);
/* For rules about peers: addresses and verified names of the downstream connection. */
void view_connection(struct view *view, const struct downstream *downstream);
