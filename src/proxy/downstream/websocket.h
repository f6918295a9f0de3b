/*
 * websocket: the parts of its handshake that HTTP/1 has and HTTP/2 has not (RFC 6455 4, RFC 8441 5).
 *
 * HTTP/1 proves with a key and its hash that the server understood; HTTP/2 needs no proof. Where the two meet, this proxy
 * asks with a key of its own, and answers a key that nobody answered.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct exchange;
struct http_response;

enum { WEBSOCKET_ACCEPT_SIZE = 28 };
/* Sec-WebSocket-Accept for a key. */
void websocket_accept(struct slice key, char accept[WEBSOCKET_ACCEPT_SIZE]);

/* Both for an exchange whose request asks for a WebSocket, else nothing is done. False when memory is refused. */
MUST_USE bool websocket_ask(struct exchange *exchange);
MUST_USE bool websocket_answer(struct exchange *exchange, struct http_response *response);
