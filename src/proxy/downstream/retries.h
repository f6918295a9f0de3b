/*
 * retries: whether a try that failed is followed by another one, as the route's retry policy says (Envoy's RetryPolicy), and
 * the back-off before it.
 */
#pragma once

#include "base/attributes.h"

#include <stdbool.h>

struct exchange;
struct http_reset;
struct http_response;

/* Why a try failed, in the terms of a retry policy. */
enum attempt_failure {
    FAILED_TO_CONNECT,
    FAILED_RESET,
    FAILED_REFUSED,
    FAILED_STATUS,
    FAILED_TIMEOUT
};

/* True: another try is on its way, and the one that failed is over. The response is that of FAILED_STATUS, otherwise NULL. */
MUST_USE bool retries_begin(struct exchange *exchange, enum attempt_failure failure,
                            const struct http_response *response);
/* The failure is passed on: notes URX when the policy allowed tries and all were made. */
void retries_note_end(struct exchange *exchange);
/* The same for a response: only when its status is one to try again for. */
void retries_note_status(struct exchange *exchange, const struct http_response *response);
/* Whatever the policy says: the request goes out again at once, because the host has not looked at it. False: it may have. */
MUST_USE bool retries_resend(struct exchange *exchange, const struct http_reset *reset);
