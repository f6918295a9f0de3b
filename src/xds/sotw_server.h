/*
 * sotw_server: reads what a client says on a StreamAggregatedResources stream into its session.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "xds/ads_session.h"

/* Borrowed for the call. */
struct sotw_request {
    struct slice type_url;
    const struct slice *names; /* the whole set */
    size_t name_count;
    struct slice version;
    struct slice nonce;        /* empty = first of this type */
    const struct slice *error; /* NULL = no error_detail */
};

MUST_USE enum ads_verdict sotw_server_read(struct ads_session *session,
                                           const struct sotw_request *request, uint64_t now_ms);
