/*
 * chain: bytes in order, held in references to blocks; what connections and codecs pass on.
 *
 * A chain owns one reference a segment. Moving bytes between chains moves references and copies
 * nothing; small appends are copied into the last block's free tail when this chain alone holds it.
 * A chain is embedded (zeroed = empty) and keeps four segments inline. More lie in a block of the pool that its
 * bytes come from, which goes back when the chain is empty, or on the heap when that pool refuses.
 */
#pragma once

#include "base/attributes.h"
#include "base/block.h"
#include "base/slice.h"

#include <sys/uio.h>

struct segment {
    struct block *block; /* NULL: static bytes that outlive every chain */
    const char *data;
    size_t size;
};

enum { CHAIN_INLINE = 4 };

struct chain {
    struct segment *segments; /* ring of `capacity`; NULL while inline */
    struct block *ring;       /* where the ring lies; NULL: inline, or on the heap */
    struct segment inline_segments[CHAIN_INLINE];
    uint32_t capacity; /* a power of two; 0 while inline */
    uint32_t first;    /* index of the first segment */
    uint32_t count;
    size_t size; /* bytes in all */
};

/* An empty one; a zeroed one is as good, but takes more stores. */
static inline void chain_init(struct chain *chain)
{
    chain->segments = NULL;
    chain->ring = NULL;
    chain->capacity = chain->first = chain->count = 0;
    chain->size = 0;
}
/* Drops every reference. */
void chain_drop(struct chain *chain);
static inline void chain_fini(struct chain *chain)
{
    if (chain->count > 0 || chain->segments)
        chain_drop(chain);
}
static inline bool chain_is_empty(const struct chain *chain)
{
    return chain->size == 0;
}
/* The i-th segment; i < count. */
struct segment *chain_segment(const struct chain *chain, uint32_t i);
/* The first segment's bytes, or an empty slice. */
struct slice chain_front(const struct chain *chain);

/* Takes over the caller's reference to block (which may be NULL for static bytes). size > 0. */
void chain_append_block(struct chain *chain, struct block *block, const char *data, size_t size);
/* Bytes that outlive every chain, such as literals. */
void chain_append_static(struct chain *chain, struct slice bytes);
/* Copies; false when the pool refuses (the chain is then as it was). */
MUST_USE bool chain_append_copy(struct chain *chain, struct block_pool *pool, struct slice bytes);
/*
 * Room for `size` contiguous bytes (at most BLOCK_LARGE_CAPACITY) at the tail, to be written and then committed before
 * anything is appended; NULL when refused. Moving, emptying or finishing the chain drops it.
 */
MUST_USE char *chain_reserve(struct chain *chain, struct block_pool *pool, size_t size);
/* How many bytes could be reserved or copied without taking another block. */
size_t chain_tail_room(const struct chain *chain);
/* At most what was reserved; 0 gives the room back. */
void chain_commit(struct chain *chain, size_t size);

/* Moves all, or the first `size` bytes, from one chain to the tail of another; no byte is copied. */
void chain_move(struct chain *to, struct chain *from);
void chain_move_n(struct chain *to, struct chain *from, size_t size);
/*
 * As chain_move, for bytes that may have to wait for long: when more than a few segments do already, what fills less than half of
 * its block is copied behind them if it fits there. So, however small the pieces come, the blocks take about twice their bytes
 * at most.
 */
void chain_gather(struct chain *to, struct chain *from);
/* As chain_move_n, but `from` keeps its bytes too: both hold references. */
void chain_share_n(struct chain *to, const struct chain *from, size_t size);
/* Drops `size` bytes from the front. */
void chain_consume(struct chain *chain, size_t size);

/*
 * The first `size` bytes in one piece: in place when they lie in one segment, else copied to `scratch`.
 * size <= chain->size.
 */
struct slice chain_peek(const struct chain *chain, size_t size, char *scratch);
/* Copies up to `size` bytes from offset; returns how many. */
size_t chain_copy_out(const struct chain *chain, size_t offset, char *to, size_t size);
/* Fills at most `max` iovecs; returns how many. */
size_t chain_iovecs(const struct chain *chain, struct iovec *iovecs, size_t max);
