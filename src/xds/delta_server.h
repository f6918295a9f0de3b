/*
 * delta_server: reads what a client says on a DeltaAggregatedResources stream into its session.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "xds/ads_session.h"

struct name_version;

/* A request in our own words, so that nothing here depends on how it was decoded. Borrowed for the call. */
struct delta_request {
    struct slice type_url;
    const struct slice *subscribe;
    size_t subscribe_count;
    const struct slice *unsubscribe;
    size_t unsubscribe_count;
    const struct name_version *held; /* initial_resource_versions */
    size_t held_count;
    struct slice nonce;        /* empty = spontaneous */
    const struct slice *error; /* NULL = no error_detail */
};

MUST_USE enum ads_verdict delta_server_read(struct ads_session *session,
                                            const struct delta_request *request, uint64_t now_ms);
