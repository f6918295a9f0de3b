/*
 * h2_pump: what an HTTP/2 session has to send, to its socket.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

/*
 * By way of `out`, which keeps what the socket does not take; room for more than a frame of 16 KB.
 * False: the socket is broken, or the session is over.
 */
bool h2_pump(nghttp2_session *session, int fd, uint8_t *out, size_t *out_size, size_t room);
