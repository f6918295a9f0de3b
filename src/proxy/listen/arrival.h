/*
 * arrival: an accepted connection until its filter chain is known.
 *
 * Looks before deciding: where the connection wanted to go, then the first bytes, in its own input chain and without consuming
 * them, for TLS (server name, ALPN) and HTTP, as far as the listener asks. Then it becomes a downstream (HTTP) or a tunnel
 * (bytes), which starts from the same chain. While the client is silent its server is given the chance to speak first. When
 * neither has spoken within the listener's detection timeout, the connection is cut, or taken as it is when the listener says so.
 */
#pragma once

#include "base/attributes.h"
#include "io/address.h"

struct arrival;
struct name;
struct worker;

/* Takes the descriptor over. listener: the name of the one that accepted; peer: as accept told it. */
void arrival_begin(struct worker *worker, const struct name *listener, int fd,
                   const struct address *peer);
/* At once: the worker ends. */
void arrival_close(struct arrival *arrival);
struct list;
void arrivals_close(struct worker *worker);
