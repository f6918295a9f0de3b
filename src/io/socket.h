/*
 * socket: the few things that are asked of, or told to, a kernel socket.
 */
#pragma once

#include "base/attributes.h"
#include "io/address.h"

/* A non-blocking, close-on-exec socket of the address's family; TCP gets TCP_NODELAY. The descriptor or a negative errno. */
MUST_USE int socket_open(const struct address *like, int type);
MUST_USE int socket_set(int fd, int level, int option, int value);
/* IP_TRANSPARENT and IPV6_TRANSPARENT, as the family needs. */
MUST_USE int socket_set_transparent(int fd, const struct address *like);
struct address socket_local_address(int fd);
struct address socket_peer_address(int fd);
MUST_USE int socket_original_destination(int fd, struct address *out);
uint64_t socket_cookie(int fd);
/* The pending error, which this call clears; 0 when there is none. */
int socket_take_error(int fd);
/* Closing will send a reset. */
void socket_reset_on_close(int fd);
