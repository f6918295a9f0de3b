/*
 * routes: the parts of a route table, one file each.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/messages_internal.h"
#include "build/route_table.h"

/* A table while it is being made. */
struct table_builder {
    struct builder b;
    struct route_table *table;
    uint32_t max_body;
    bool table_edits_first; /* most_specific_header_mutations_wins */
    const struct header_edits *request_edits, *response_edits; /* of the table; NULL: none */
    const struct retry_policy *retry;                          /* of the virtual host we are in */
    const struct header_edits *host_request_edits, *host_response_edits;
};

/* What to do; where we are is the route. */
MUST_USE bool build_route_action(struct table_builder *t, const RouteMessage *message,
                                 struct route *route);
/* The condition; where we are is the route. */
MUST_USE bool build_route_rule(struct builder *b, const RouteMatchMessage *message,
                               struct route_rule *rule);
/* NULL for no message; enters "retry_policy". */
MUST_USE bool build_retry_policy(struct builder *b, const RetryPolicyMessage *message,
                                 const struct retry_policy **out);
/* NULL when there is nothing to edit. */
MUST_USE bool build_edit_pair(struct builder *b, HeaderValueOptionMessage *const *request_add,
                              size_t request_add_count, char *const *request_remove,
                              size_t request_remove_count,
                              HeaderValueOptionMessage *const *response_add,
                              size_t response_add_count, char *const *response_remove,
                              size_t response_remove_count, const struct header_edits **request,
                              const struct header_edits **response);
#define build_edits_of(b, message, request, response)                                              \
    build_edit_pair((b), (message)->request_headers_to_add, (message)->n_request_headers_to_add,   \
                    (message)->request_headers_to_remove, (message)->n_request_headers_to_remove,  \
                    (message)->response_headers_to_add, (message)->n_response_headers_to_add,      \
                    (message)->response_headers_to_remove,                                         \
                    (message)->n_response_headers_to_remove, (request), (response))
