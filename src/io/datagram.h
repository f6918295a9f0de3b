/*
 * datagram: a UDP socket on a loop, as the DNS proxy needs it.
 *
 * An answer goes out from the address that the question came to, so a socket bound to the wildcard works with
 * virtual addresses and REDIRECT.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "io/address.h"

struct datagram;
struct loop;

enum {
    DATAGRAM_BYTES = 65535,
    DATAGRAM_TURN = 64
}; /* largest message; messages a socket and turn */

struct datagram_path {
    struct address peer;
    struct address local; /* IP that the message was sent to; "none" lets the kernel choose */
};
/* bytes hold until the call returns. A message that was cut short by the kernel is not delivered. */
typedef void datagram_on_message(void *owner, const struct datagram_path *path, struct slice bytes);

struct datagram_options {
    struct address address;
    uint32_t mark;
    bool is_transparent;
    bool is_reuse_port;
    const char
        *network_namespace; /* file of the one to receive in; NULL: our own. Needs rights over it */
};
MUST_USE int datagram_create(struct loop *loop, const struct datagram_options *options,
                             datagram_on_message *on_message, void *owner, struct datagram **out);
/* Accepts NULL. */
void datagram_destroy(struct datagram *datagram);
struct address datagram_address(const struct datagram *datagram);
/* At once; 0 or a negative errno. A full socket buffer (-EAGAIN) loses the message, as networks do. */
MUST_USE int datagram_send(struct datagram *datagram, const struct datagram_path *path,
                           struct slice bytes);
