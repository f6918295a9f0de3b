/*
 * fetch: one HTTP GET of a command, to a sidecar's admin address or a published port; waits for its answer.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"

#include <netinet/in.h>

struct loop;

enum { FETCH_MAX = 64 << 20 };

/* address is "IP:PORT". 0 when no whole answer came in time; else its status, and the body is appended. */
MUST_USE unsigned fetch(struct loop *loop, const char *address, const char *path,
                        unsigned timeout_ms, struct buffer *body);
