/*
 * filter: what stands between a request and its route, and between a response and the client; in configured order, and
 * back in reverse.
 *
 * A filter is a constant struct of functions, found by its kind (filters.c holds the table; build/ knows only kinds). It
 * sees the head, then the body as it comes, the trailers, and that the direction is complete. Each call says how
 * things go on. A filter that pauses names its call (filter_name) to whoever will answer, and the answer, from the loop, finds it
 * again (filter_find: NULL when the exchange is over), changes what it likes and calls filter_resume. on_destroy cancels
 * what is outstanding.
 *
 * Nothing is paid for what no filter wants: without a body function bodies never come this way.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"
#include "base/handle.h"
#include "build/hcm.h"
#include "http/message.h"

struct exchange;
struct headers;
struct loop;
struct view;

enum filter_side { FILTER_REQUEST, FILTER_RESPONSE, FILTER_SIDES };

enum filter_verdict {
    FILTER_CONTINUE,
    /* What has come, and what follows it, stays here until filter_resume. No credit is given, so the sender stops. */
    FILTER_PAUSE,
    /* The same, but the body is read on, to be seen whole; beyond the buffer's limit the answer is 413, or 500 for a
     * response. A body function is called again as more comes; CONTINUE ends the pause. */
    FILTER_PAUSE_AND_BUFFER,
    /* The filter has answered by exchange_reply: the exchange may be gone. */
    FILTER_REPLIED,
};

/* One filter in one exchange. */
struct filter_call {
    struct exchange *exchange; /* NULL in tests of the flow */
    const struct http_filter *config;
    void *state;       /* state_size bytes, zeroed, from the first call to on_destroy */
    struct view *view; /* while the request's head passes for the first time; see filter_view */
};

/* Functions may be NULL: nothing to do there. */
struct filter {
    bool heads_only;   /* has head functions only, and they never pause: no state is made for it */
    size_t state_size; /* of the exchange's arena */

    enum filter_verdict (*on_request)(struct filter_call *call, struct http_request *head,
                                      bool end);
    enum filter_verdict (*on_response)(struct filter_call *call, struct http_response *head,
                                       bool end);
    /* body: all that waits at this filter, in blocks of the worker's pool; what the call leaves in it goes on. */
    enum filter_verdict (*on_data[FILTER_SIDES])(struct filter_call *call, struct chain *body,
                                                 bool end);
    enum filter_verdict (*on_trailers[FILTER_SIDES])(struct filter_call *call,
                                                     struct headers *trailers);
    /* The last byte of that direction has passed this filter. */
    void (*on_complete[FILTER_SIDES])(struct filter_call *call);
    /* The exchange is over, however it ended. Called once for each filter whose state was made. */
    void (*on_destroy)(struct filter_call *call);
};

/* The request as matchers see it. `spare` is filled when the one that routing made is gone. */
struct view *filter_view(struct filter_call *call, struct view *spare);
/* The name of a call of a filter that is not heads_only, for an answer that may come when the exchange is gone. */
handle filter_name(struct filter_call *call);
struct filter_call *filter_find(const struct loop *loop, handle name);
/* By the run queue: what waits at the filter goes on, as after CONTINUE. Harmless when nothing waits. */
void filter_resume(struct filter_call *call, enum filter_side side);
/* In on_trailers: bytes of the body that go before them. */
void filter_append(struct filter_call *call, enum filter_side side, struct chain *bytes);
/* Another limit for this exchange's buffers than the listener's (the larger of the two holds). */
void filter_allow_buffer(struct filter_call *call, enum filter_side side, size_t bytes);
/* The request's head was changed in a way that may change its route: the router looks again. */
void filter_reroute(struct filter_call *call);

extern const struct filter filter_rbac, filter_grpc_web;
