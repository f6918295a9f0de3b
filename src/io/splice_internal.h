/*
 * splice_internal: what the conns ask of a splice, and the loop's pipes.
 */
#pragma once

#include "io/splice.h"

struct loop;
struct splice;

/* Moves what it can; true when ordinary reading is to go on. Its owner may have closed the conn when it returns. */
bool splice_receive(struct conn *from);
/* `to` is writable again, or what was queued to it has left. */
void splice_resume(struct splice *splice);
/* One of the two closes. What the pipe holds is lost, and `to` must then not look as if it ended well. */
void splice_end(struct splice *splice);

struct pipe_pool {
    int spare[SPLICE_PIPES_SPARE][2];
    unsigned spare_count;
    unsigned lent;
};
/* Closes the spare ones. */
void pipe_pool_trim(struct pipe_pool *pool);
