/*
 * exchange: one request and its answer, from a downstream stream to an attempt upstream and back.
 *
 *   on_request ─▶ exchange_begin ─▶ heads, route ─▶ filters ─▶ forward: pick a host, borrow or wait for a connection
 *                      │ redirect, direct response, refusal                    │
 *                      ▼                                                       ▼
 *                  local reply                          attempt: request ─▶ response ─▶ downstream
 *
 * It lives in the downstream stream's arena and ends with the stream's release. Bodies stream at once; what was sent is also
 * kept, shared, in the replay buffer until the first byte of a response or its limit. The first response byte sent
 * downstream commits the attempt: then there are no more tries.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"
#include "io/loop.h"
#include "net/http_connection.h"
#include "proxy/observe/grpc_calls.h"
#include "proxy/observe/record.h"
#include "proxy/upstream/pool.h"
#include "proxy/upstream/raw_stream.h"

struct downstream;
struct exchange;
struct filter_chain;
struct filters;
struct hcm;
struct host;
struct limits;
struct resource;
struct upstream;

enum { EXCHANGE_REPLAY_MAX = 64 * 1024, EXCHANGE_TRIED_MAX = 8, EXCHANGE_RESENDS_MAX = 3 };

/* One try of the request on one host. */
struct attempt {
    struct exchange *exchange;
    struct host *host; /* a reference */
    enum http_pool pool;
    union { /* while it waits */
        struct pool_waiter waiter;
        struct raw_waiter raw; /* of a CONNECT that ends here */
    };
    bool is_waiting;
    bool is_reused; /* its connection was open before: the host may be closing it */
    bool is_headed; /* the final response head came */
    bool has_failed;
    bool is_counted;            /* among its host's requests */
    struct http_stream *stream; /* NULL while it waits */
    struct timer timeout;       /* per try */
    size_t sent;                /* body bytes that left for this host */
};

struct exchange {
    struct list node; /* its downstream's */
    struct downstream *downstream;
    struct http_stream *stream; /* NULL once it was released */
    const struct hcm *hcm;
    const struct resource *listener; /* pinned: hcm and its logs lie there */
    const struct resource *table;    /* pinned: the route; NULL when it is the listener's own */
    const struct resource *cluster;  /* pinned */
    struct http_request *head;       /* after edits; immutable once a try was made */
    struct record record;

    struct attempt attempt; /* the try under way */
    bool has_attempt;
    bool has_request_slot; /* of the cluster's circuit breakers (breakers.h) */
    bool has_retry_slot;
    bool is_retrying;   /* waits for its back-off */
    uint8_t resends;    /* for connections that were stale, or went away */
    bool request_ended; /* the request is whole */
    bool has_trailers;
    bool is_answering;     /* a response was given to the filters: there are no more tries */
    bool is_answered;      /* that response is our own: what comes from upstream is not wanted */
    bool is_committed;     /* a response head went downstream */
    bool filters_response; /* some filter looks at responses */
    bool reroutes;         /* a filter changed what the route depends on */
    bool response_ended;
    bool replay_lost; /* the body outgrew the replay buffer */
    bool is_routed;   /* on its way to a host: the route's times count */
    bool is_over;
    uint8_t grpc_status; /* of a local reply; 0: what its HTTP status says */
    bool counts_messages;
    bool made_websocket_key;
    const struct route_upgrade *connect; /* the CONNECT ends here; NULL: it does not */
    uint8_t priority;
    uint32_t tries_left;
    uint32_t request_limit, retry_limit; /* as they were taken */
    struct limits *limits;
    struct chain body;   /* received and not yet given to a try */
    struct chain replay; /* given to a try and kept */
    size_t consumed;     /* credit returned downstream */
    struct headers *trailers;
    struct grpc_messages asked, answered;
    struct timer arrival;  /* of the request's end */
    struct timer timeout;  /* the route's */
    struct timer duration; /* of all of it */
    uint64_t route_timeout_ms;
    struct timer back_off;
    struct filters *filters; /* NULL: none wants more than heads */
    uint32_t tried_count;
    /* Last, as they are not cleared when an exchange begins. */
    struct balance_host *tried[EXCHANGE_TRIED_MAX];
    struct host *tried_hosts[EXCHANGE_TRIED_MAX];
};

/* In on_request: takes the stream over. */
void exchange_begin(struct downstream *downstream, struct http_stream *stream);

/* Between the files of this room: */

/* Replies with a status of our own and one sentence, unless something was sent already; then resets. */
COLD void exchange_reply(struct exchange *exchange, unsigned status, const char *details,
                         const char *format, ...) PRINTF(4, 5);
/* Sends a head (edited and completed) and body of ours. */
void exchange_respond(struct exchange *exchange, struct http_response *response, struct slice body);
/* Response headers that every response gets; false when memory is refused. */
MUST_USE bool exchange_edit_response(struct exchange *exchange, struct http_response *response);
/* The filters let the request's head pass: what its route says. */
void exchange_act(struct exchange *exchange);
/* The filters let (more of) the response pass. The exchange may be over afterwards. */
void exchange_pass_response(struct exchange *exchange, bool head, struct chain *data,
                            struct headers *trailers, bool end);
/* Bytes of the response that a filter keeps: credit upstream. */
void exchange_credit_upstream(struct exchange *exchange, size_t bytes);
/* Ends it: record, logs, release. Nothing touches it afterwards. */
void exchange_end(struct exchange *exchange);
struct arena *exchange_arena(const struct exchange *exchange);
struct loop *exchange_loop(const struct exchange *exchange);
