#include "base/chain.h"

#include "base/memory.h"

static inline struct segment *segment_at(const struct chain *chain, uint32_t i)
{
    if (LIKELY(!chain->segments))
        return (struct segment *)&chain->inline_segments[(chain->first + i) & (CHAIN_INLINE - 1)];
    return &chain->segments[(chain->first + i) & (chain->capacity - 1)];
}

struct segment *chain_segment(const struct chain *chain, uint32_t i)
{
    assert(i < chain->count);
    return segment_at(chain, i);
}

static inline struct segment *last_segment(const struct chain *chain)
{
    return chain->count > 0 ? segment_at(chain, chain->count - 1) : NULL;
}

static void free_ring(struct chain *chain)
{
    if (chain->ring)
        block_unref(chain->ring);
    else
        mem_free(chain->segments);
    chain->segments = NULL;
    chain->ring = NULL;
    chain->capacity = 0;
}

/* An empty chain holds nothing at all. */
static inline void rest(struct chain *chain)
{
    if (UNLIKELY(chain->segments != NULL))
        free_ring(chain);
    chain->first = 0;
}

void chain_drop(struct chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++)
        block_unref(segment_at(chain, i)->block);
    chain->count = 0;
    chain->size = 0;
    rest(chain);
}

struct slice chain_front(const struct chain *chain)
{
    if (chain->count == 0)
        return SLICE_NONE;
    const struct segment *front = segment_at(chain, 0);
    return slice_of(front->data, front->size);
}

enum {
    SMALL_RING = 64,
    LARGE_RING = 512,
};
_Static_assert(SMALL_RING * sizeof(struct segment) <= BLOCK_SMALL_CAPACITY,
               "a small block holds a small ring");
_Static_assert(LARGE_RING * sizeof(struct segment) <= BLOCK_LARGE_CAPACITY,
               "a large block holds a large ring");

/* The pool that any of the chain's blocks came from. */
static struct block_pool *pool_of(const struct chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct block *block = segment_at(chain, i)->block;
        if (block)
            return block->pool;
    }
    return NULL;
}

COLD static void grow(struct chain *chain)
{
    struct block_pool *pool = pool_of(chain);
    struct block *ring = NULL;
    uint32_t capacity = MAX(chain->capacity * 2, (uint32_t)SMALL_RING);
    if (pool && capacity == SMALL_RING) {
        ring = block_alloc(pool, BLOCK_SMALL);
    } else if (pool && capacity <= LARGE_RING) {
        ring = block_alloc(pool, BLOCK_LARGE);
        capacity = ring ? LARGE_RING : capacity;
    }
    struct segment *segments = ring ? (struct segment *)(void *)ring->bytes
                                    : mem_alloc((size_t)capacity * sizeof(*segments));
    for (uint32_t i = 0; i < chain->count; i++)
        segments[i] = *segment_at(chain, i);
    free_ring(chain);
    chain->segments = segments;
    chain->ring = ring;
    chain->capacity = capacity;
    chain->first = 0;
}

__attribute__((noinline)) static void push_slow(struct chain *chain, struct segment segment)
{
    uint32_t capacity = chain->segments ? chain->capacity : CHAIN_INLINE;
    if (chain->count == capacity)
        grow(chain);
    *segment_at(chain, chain->count++) = segment;
    chain->size += segment.size;
}

static inline void push(struct chain *chain, struct block *block, const char *data, size_t size)
{
    struct segment segment = {.block = block, .data = data, .size = size};
    if (UNLIKELY(chain->segments || chain->count == CHAIN_INLINE)) {
        push_slow(chain, segment);
        return;
    }
    chain->inline_segments[(chain->first + chain->count++) & (CHAIN_INLINE - 1)] = segment;
    chain->size += size;
}

void chain_append_block(struct chain *chain, struct block *block, const char *data, size_t size)
{
    assert(size > 0);
    struct segment *last = last_segment(chain);
    if (last && last->block == block && last->data + last->size == data) {
        last->size += size;
        chain->size += size;
        block_unref(block); /* the segment holds one already */
        return;
    }
    push(chain, block, data, size);
}

void chain_append_static(struct chain *chain, struct slice bytes)
{
    if (bytes.size > 0)
        chain_append_block(chain, NULL, bytes.data, bytes.size);
}

/* Bytes behind the last segment that nobody else can see. */
size_t chain_tail_room(const struct chain *chain)
{
    const struct segment *last = last_segment(chain);
    if (!last || !last->block || last->block->refs > 1)
        return 0;
    const struct block *block = last->block;
    return (size_t)(block->bytes + block->capacity - (last->data + last->size));
}

static char *tail(const struct chain *chain)
{
    const struct segment *last = last_segment(chain);
    return last->block->bytes + (last->data - last->block->bytes) + last->size;
}

/* Blocks for that many bytes, linked by `next`; NULL when the pool refuses one of them. */
static struct block *blocks_for(struct block_pool *pool, size_t size)
{
    struct block *first = NULL, **end = &first;
    for (size_t left = size; left > 0;) {
        struct block *block =
            block_alloc(pool, left > BLOCK_SMALL_CAPACITY ? BLOCK_LARGE : BLOCK_SMALL);
        if (!block) {
            for (struct block *next; first; first = next) {
                next = first->next;
                block_unref(first);
            }
            return NULL;
        }
        *end = block;
        end = &block->next;
        left -= MIN(left, (size_t)block->capacity);
    }
    return first;
}

bool chain_append_copy(struct chain *chain, struct block_pool *pool, struct slice bytes)
{
    size_t room = MIN(chain_tail_room(chain), bytes.size);
    struct block *fresh = NULL;
    if (bytes.size > room && !(fresh = blocks_for(pool, bytes.size - room)))
        return false;
    if (room > 0) {
        memcpy(tail(chain), bytes.data, room);
        last_segment(chain)->size += room;
        chain->size += room;
        slice_take(&bytes, room);
    }
    for (struct block *next; fresh; fresh = next) {
        next = fresh->next;
        fresh->next = NULL;
        struct slice piece = slice_take(&bytes, MIN(bytes.size, (size_t)fresh->capacity));
        memcpy(fresh->bytes, piece.data, piece.size);
        push(chain, fresh, fresh->bytes, piece.size);
    }
    return true;
}

char *chain_reserve(struct chain *chain, struct block_pool *pool, size_t size)
{
    assert(size > 0 && size <= BLOCK_LARGE_CAPACITY);
    if (chain_tail_room(chain) < size) {
        struct block *block =
            block_alloc(pool, size > BLOCK_SMALL_CAPACITY ? BLOCK_LARGE : BLOCK_SMALL);
        if (!block)
            return NULL;
        push(chain, block, block->bytes, 0);
    }
    return tail(chain);
}

void chain_commit(struct chain *chain, size_t size)
{
    assert(size <= chain_tail_room(chain));
    struct segment *last = last_segment(chain);
    last->size += size;
    chain->size += size;
    if (last->size == 0) {
        block_unref(last->block);
        chain->count--;
    }
    if (chain->count == 0)
        rest(chain);
}

/* What was reserved and never committed. */
static inline void drop_unused_room(struct chain *chain)
{
    const struct segment *last = last_segment(chain);
    if (UNLIKELY(last && last->size == 0)) {
        block_unref(last->block);
        chain->count--;
    }
}

void chain_move(struct chain *to, struct chain *from)
{
    assert(to != from);
    if (to->count == 0) {
        rest(to);
        *to = *from;
        chain_init(from);
        drop_unused_room(to);
        return;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        const struct segment *segment = segment_at(from, i);
        if (LIKELY(segment->size > 0))
            chain_append_block(to, segment->block, segment->data, segment->size);
        else
            block_unref(segment->block);
    }
    from->count = 0;
    from->size = 0;
    rest(from);
}

static bool should_copy(const struct chain *to, const struct segment *segment)
{
    return segment->block && segment->size < segment->block->capacity / 2 &&
           to->count >= CHAIN_INLINE && chain_tail_room(to) >= segment->size;
}

static void copy_front(struct chain *to, struct chain *from)
{
    size_t size = segment_at(from, 0)->size;
    memcpy(tail(to), segment_at(from, 0)->data, size);
    last_segment(to)->size += size;
    to->size += size;
    chain_consume(from, size);
}

void chain_gather(struct chain *to, struct chain *from)
{
    while (to->count >= CHAIN_INLINE && from->count > 1) {
        if (should_copy(to, segment_at(from, 0)))
            copy_front(to, from);
        else
            chain_move_n(to, from, segment_at(from, 0)->size);
    }
    if (from->count == 1 && should_copy(to, segment_at(from, 0)))
        copy_front(to, from);
    else
        chain_move(to, from);
}

void chain_move_n(struct chain *to, struct chain *from, size_t size)
{
    assert(size <= from->size && to != from);
    if (size == from->size) {
        chain_move(to, from);
        return;
    }
    from->size -= size;
    while (size > 0) {
        struct segment *front = segment_at(from, 0);
        if (front->size > size) {
            if (front->block)
                block_ref(front->block);
            chain_append_block(to, front->block, front->data, size);
            front->data += size;
            front->size -= size;
            return;
        }
        size -= front->size;
        chain_append_block(to, front->block, front->data, front->size);
        from->first++;
        from->count--;
    }
}

void chain_share_n(struct chain *to, const struct chain *from, size_t size)
{
    assert(size <= from->size && to != from);
    for (uint32_t i = 0; size > 0; i++) {
        const struct segment *segment = segment_at(from, i);
        size_t piece = MIN(segment->size, size);
        if (segment->block)
            block_ref(segment->block);
        chain_append_block(to, segment->block, segment->data, piece);
        size -= piece;
    }
}

void chain_consume(struct chain *chain, size_t size)
{
    assert(size <= chain->size);
    if (size == chain->size) {
        chain_fini(chain);
        return;
    }
    chain->size -= size;
    while (size > 0) {
        struct segment *front = segment_at(chain, 0);
        if (front->size > size) {
            front->data += size;
            front->size -= size;
            return;
        }
        size -= front->size;
        block_unref(front->block);
        chain->first++;
        chain->count--;
    }
}

struct slice chain_peek(const struct chain *chain, size_t size, char *scratch)
{
    assert(size <= chain->size);
    struct slice front = chain_front(chain);
    if (front.size >= size)
        return slice_first(front, size);
    chain_copy_out(chain, 0, scratch, size);
    return slice_of(scratch, size);
}

size_t chain_copy_out(const struct chain *chain, size_t offset, char *to, size_t size)
{
    size_t copied = 0;
    for (uint32_t i = 0; i < chain->count && copied < size; i++) {
        const struct segment *segment = segment_at(chain, i);
        if (offset >= segment->size) {
            offset -= segment->size;
            continue;
        }
        size_t piece = MIN(segment->size - offset, size - copied);
        memcpy(to + copied, segment->data + offset, piece);
        copied += piece;
        offset = 0;
    }
    return copied;
}

size_t chain_iovecs(const struct chain *chain, struct iovec *iovecs, size_t max)
{
    size_t filled = 0;
    for (uint32_t i = 0; i < chain->count && filled < max; i++) {
        const struct segment *segment = segment_at(chain, i);
        if (segment->size > 0)
            iovecs[filled++] = (struct iovec){.iov_base = (void *)(uintptr_t)segment->data,
                                              .iov_len = segment->size};
    }
    return filled;
}
