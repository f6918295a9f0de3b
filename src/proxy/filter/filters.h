/*
 * filters: the filters of one exchange, between its two streams and its router.
 */
#pragma once

#include "proxy/filter/filter.h"

/* The request's head. When it has passed, now or later, exchange_act follows. */
void filters_request(struct exchange *exchange, struct view *view);
/* A response's head, and its body as far as it is known. True: taken (exchange_pass_response follows, perhaps within
 * this call; the exchange may be over). False: no filter wants it. */
MUST_USE bool filters_response(struct exchange *exchange, struct http_response *head,
                               struct chain *body, bool end);
/* True: taken. False: it goes on as it is. */
MUST_USE bool filters_data(struct exchange *exchange, enum filter_side side, struct chain *data,
                           bool end);
MUST_USE bool filters_trailers(struct exchange *exchange, enum filter_side side,
                               struct headers *trailers);
/* The response has come to its end, though some of it may wait at a filter. */
bool filters_have_end(const struct exchange *exchange);
/* So many bytes have left: how many of them their sender is owed. */
size_t filters_credit(struct exchange *exchange, enum filter_side side, size_t bytes);
/* The exchange is over: what waits is dropped, what is outstanding is cancelled. */
void filters_end(struct exchange *exchange);
