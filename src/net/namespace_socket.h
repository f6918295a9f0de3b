/*
 * namespace_socket: TCP sockets that belong to another network namespace.
 *
 * A socket keeps the namespace it was made in. A thread of its own enters the namespace and makes the socket
 * (io/namespace.h); the loop's thread never leaves its own. Needs CAP_SYS_ADMIN over that namespace.
 */
#pragma once

#include "base/handle.h"

struct helper_pool;
struct loop;

/* A descriptor, now the owner's, or a negative errno. */
typedef void namespace_socket_on_made(void *owner, int fd);

/*
 * name_space is a descriptor of the namespace, duplicated during the call. Drop the returned handle in the loop's table and no
 * answer comes (the socket is then closed); it is dropped before the answer.
 */
handle namespace_socket_make(struct helper_pool *helpers, struct loop *loop, int name_space,
                             int family, namespace_socket_on_made *on_made, void *owner);
