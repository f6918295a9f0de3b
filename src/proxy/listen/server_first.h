/*
 * server_first: on which ports servers speak before their clients, so that nobody waits there for a client's first bytes.
 *
 * Known from the beginning: the ports that other meshes treat as opaque. Others are remembered, by each worker, when
 * a server was seen to speak first.
 */
#pragma once

#include "base/attributes.h"

#include <stdint.h>

struct worker;

/* How long a client may be silent before the upstream is asked, on any other port. */
enum { SERVER_FIRST_SILENCE_MS = 50 };

bool server_first_expects(const struct worker *worker, uint16_t port);
void server_first_remember(struct worker *worker, uint16_t port);
