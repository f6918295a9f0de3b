/*
 * client_hello: looks at the first bytes of a connection, without consuming them, for TLS, SNI and ALPN.
 *
 * Pure: the same chain may be shown again when more bytes have come, in any cut, across records and blocks.
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"
#include "base/slice.h"

enum {
    CLIENT_HELLO_BYTES_MAX = 64 << 10, /* of the handshake message, as TLS-04 caps it */
    CLIENT_HELLO_RECORDS_MAX = 1024,   /* that it may be cut into */
    CLIENT_HELLO_NAME_MAX = 255,
    CLIENT_HELLO_ALPN_BYTES_MAX = 256, /* kept; the rest of a longer list is not */
};

enum client_hello_status {
    CLIENT_HELLO_MORE,    /* so far it looks like one */
    CLIENT_HELLO_NOT_TLS, /* the first bytes are none of TLS: it is another protocol */
    CLIENT_HELLO_BAD,     /* TLS, but broken or over a limit: refuse the connection */
    CLIENT_HELLO_DONE,
};

struct client_hello {
    /* Lower case, without a trailing dot; empty when there is none. Not NUL-terminated. */
    char server_name[CLIENT_HELLO_NAME_MAX];
    uint8_t server_name_size;
    uint16_t alpn_size;
    uint8_t
        alpn[CLIENT_HELLO_ALPN_BYTES_MAX]; /* length-prefixed names, as on the wire, whole ones */
    uint16_t max_version; /* the highest that we know of: 0x0304, 0x0303 or lower */
    const char *why;      /* BAD: a phrase for the log */
};

enum client_hello_status client_hello_peek(const struct chain *bytes, struct client_hello *hello);
static inline struct slice client_hello_server_name(const struct client_hello *hello)
{
    return slice_of(hello->server_name, hello->server_name_size);
}
/* Walks the offered protocols: size_t at = 0; while (client_hello_next_alpn(hello, &at, &name)) */
bool client_hello_next_alpn(const struct client_hello *hello, size_t *at, struct slice *name);
