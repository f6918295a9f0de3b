/*
 * filter: what stands between a request and its route, and between a response and the client; in configured order, and
 * back in reverse.
 *
 * A filter is a constant struct of functions, found by its kind when the chain is built. It may look at and change heads,
 * and answer by itself. State that lasts from the request to the end lies in the exchange's arena, at filter_state.
 */
#pragma once

#include "base/attributes.h"
#include "build/hcm.h"

struct exchange;
struct http_response;
struct view;

enum filter_verdict {
    FILTER_CONTINUE,
    FILTER_REPLIED, /* the filter has answered by exchange_reply: nothing more happens */
};

struct filter {
    /* NULL: it has nothing to do there. */
    enum filter_verdict (*on_request)(struct exchange *exchange, const struct http_filter *config,
                                      struct view *view);
    enum filter_verdict (*on_response)(struct exchange *exchange, const struct http_filter *config,
                                       struct http_response *response);
};

/* False when a filter has answered. */
MUST_USE bool filters_run_request(struct exchange *exchange, struct view *view);
/* In reverse order; false when memory is refused or a filter has answered. */
MUST_USE bool filters_run_response(struct exchange *exchange, struct http_response *response);

extern const struct filter filter_rbac;
