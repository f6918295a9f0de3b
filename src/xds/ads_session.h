/*
 * ads_session: the server's side of one ADS stream: a subscription a type, and the order between types.
 *
 * delta_server and sotw_server feed it requests; ads_session_next says what goes out next. The rules that hold between types
 * live here and nowhere else: one unanswered response a type; clusters and endpoints before listeners and routes,
 * which wait for the acknowledgement of what they may refer to; clusters and endpoints go only after the listeners and
 * routes that named them have been answered for; fresh endpoints after each update of their cluster for clients that
 * need them. No wait is for ever: a client that does not answer delays itself by order_wait_ms. Pure: the time is an argument.
 */
#pragma once

#include "base/attributes.h"
#include "base/hash.h"
#include "base/slice.h"
#include "base/vector.h"
#include "xds/resource_type.h"
#include "xds/subscription.h"

struct blob;
struct chain;
struct refusals;
struct view;

enum ads_variant { ADS_DELTA, ADS_SOTW };

struct ads_session_limits {
    size_t max_names; /* explicit names a type; default 100,000 */
    size_t
        max_response_bytes; /* a delta response is cut here, after at least one resource; default 1 MiB */
    size_t max_response_resources; /* likewise; default 4,096 */
    uint32_t order_wait_ms;        /* default 5,000 */
};
extern const struct ads_session_limits ads_session_default_limits;

/* What people see of one type: `tulle proxy status`, syncz. */
struct ads_status {
    bool watched;
    uint64_t nonce_sent, nonce_acked;           /* 0 = none; equal = synced */
    struct hash128 version_sent, version_acked; /* of the set */
    uint64_t generation_sent, generation_acked; /* of the view */
    int64_t sent_wall_us;
    uint64_t sent_ms, answered_ms;
    uint64_t responses, resources, removals, bytes, rejections;
    char *error; /* the last NACK's reason; NULL once a later response was accepted */
};

struct ads_session;

/* client names it for refusals (identity and node). refusals may be NULL and outlives the session. */
struct ads_session *ads_session_create(enum ads_variant variant,
                                       const struct ads_session_limits *limits, struct slice client,
                                       struct refusals *refusals);
void ads_session_destroy(struct ads_session *session);
/* Envoy warms a changed cluster until its endpoints arrive anew, changed or not. */
void ads_session_set_fresh_endpoints(struct ads_session *session, bool fresh);

/* The view to serve from now on; holds a reference. */
void ads_session_see(struct ads_session *session, const struct view *view);
/* The session changes its class. */
void ads_session_set_refusals(struct ads_session *session, struct refusals *refusals);

/* One response, valid until the next call on the session. */
struct ads_response {
    enum resource_type type;
    enum ads_variant variant;
    char nonce[24];
    char version[33];
    VECTOR(struct blob *) blobs;   /* each with one reference of the response's own */
    VECTOR(struct blob *) removed; /* ghosts and old blobs: their names; delta only */
    size_t bytes;                  /* of the blobs' wire */
};
void ads_response_fini(struct ads_response *response);

/* The next response to send, if one is due and allowed: fills `out` (zeroed or used before) and returns true. */
MUST_USE bool ads_session_next(struct ads_session *session, uint64_t now_ms, int64_t wall_us,
                               struct ads_response *out);
/* When to ask again although nothing happened, or UINT64_MAX. */
uint64_t ads_session_next_ms(const struct ads_session *session);
/* Everything that the client asked for has been sent and answered for. */
bool ads_session_is_settled(const struct ads_session *session);
/* The client has what it asked for of this type, and nothing about it is under way: also when it brought everything along. */
bool ads_session_is_current(const struct ads_session *session, enum resource_type type);
/* A response of some type has waited for its answer since this time, or UINT64_MAX. */
uint64_t ads_session_oldest_unanswered_ms(const struct ads_session *session);

const struct ads_status *ads_session_status(const struct ads_session *session,
                                            enum resource_type type);
const struct subscription *ads_session_subscription(const struct ads_session *session,
                                                    enum resource_type type);

/* What became of a request (delta_server, sotw_server). */
enum ads_verdict {
    ADS_TAKEN,
    ADS_STRANGE_TYPE, /* none of ours: nothing is answered */
    ADS_TOO_MANY,     /* the stream ends with RESOURCE_EXHAUSTED */
    ADS_BAD_NAME,     /* the stream ends with INVALID_ARGUMENT */
};

/* For delta_server and sotw_server. The subscription, to be changed by a request. */
struct subscription *ads_session_request(struct ads_session *session, enum resource_type type);
/* The first request of this type has been read: it is served from now on. */
void ads_session_open(struct ads_session *session, enum resource_type type);
/* The client begins with this type anew, as on a new stream. */
void ads_session_reopen(struct ads_session *session, enum resource_type type);
const struct ads_session_limits *ads_session_limits(const struct ads_session *session);
enum ads_answer {
    ADS_STALE,    /* not the last response's nonce */
    ADS_REPEATED, /* the last response's, which was answered before */
    ADS_ACCEPTED,
    ADS_REFUSED,
};
/* The client's answer to a response: nonce as it came; error NULL = ACK. Stale ones change nothing. */
enum ads_answer ads_session_answer(struct ads_session *session, enum resource_type type,
                                   struct slice nonce, const struct slice *error, uint64_t now_ms);
OWNED(ads_session, ads_session_destroy)
