/*
 * forward: the relay between an exchange and its try: the request's body up, the answer down, and what becomes of failures.
 */
#pragma once

#include "base/attributes.h"
#include "proxy/upstream/pool.h"

struct attempt;
struct exchange;
struct http_stream_events;
struct timer;

/* The route says forward: begins the first try. */
void forward_begin(struct exchange *exchange);
/* Bytes or the end of the request have come: on to the try. */
void forward_request(struct exchange *exchange);
/* The timer of a try. */
void forward_on_try_timeout(struct timer *timer);
/* The host of the try under way did not answer in time. */
void forward_count_timeout(const struct exchange *exchange);

/* Of the stream of a try, whose owner is the attempt. */
extern const struct http_stream_events forward_events;
/* There is no connection for the try; the text is one sentence. */
void forward_connect_failed(struct attempt *attempt, enum pool_failure failure, const char *text);
