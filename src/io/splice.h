/*
 * splice: bulk from one connection to another through a kernel pipe, without passing through our memory.
 *
 * Only while bytes come in bulk; small messages are read and written as ever. The order is kept (what was
 * queued to `to` before leaves first), a FIN is told as by reading, and a slow reader stops the writer by itself: at most one
 * pipe's worth is on the way. Pipes are lent while bytes move and are bounded in number; without one, bytes are copied.
 */
#pragma once

#include "base/attributes.h"

struct conn;

enum {
    SPLICE_PIPE_BYTES = 1024 * 1024, /* as far as the kernel grants it */
    SPLICE_PIPES_MOST = 64,          /* lent at once on a loop */
    SPLICE_PIPES_SPARE = 4,          /* kept for the next ones */
};

/*
 * From now on what `from` receives in bulk goes to `to`, until either is closed. The owner reads `from` and copies what is
 * delivered to `to` all the same. False where it cannot be (another back end, other loops).
 */
bool conn_splice(struct conn *from, struct conn *to);
/* What of `from` went this way; conn_received and conn_sent count it too. */
struct spliced {
    uint64_t bytes;
    uint64_t last_ms; /* when some last did, by the loop's clock */
};
struct spliced conn_spliced(const struct conn *from);
