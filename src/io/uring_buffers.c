#include "io/uring_internal.h"

#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>

enum { RING_ALIGNMENT = 4096 };

int uring_buffers_init(struct uring_buffers *buffers, struct io_uring *ring, enum block_size size,
                       unsigned entries)
{
    void *memory;
    if (posix_memalign(&memory, RING_ALIGNMENT, RING_ALIGNMENT))
        return -ENOMEM;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)memory, .ring_entries = entries, .bgid = (uint16_t)size};
    int error = io_uring_register_buf_ring(ring, &registration, 0);
    if (error) {
        free(memory);
        return error;
    }
    io_uring_buf_ring_init(memory);
    *buffers = (struct uring_buffers){.ring = memory, .entries = entries, .size = size};
    buffers->blocks = mem_calloc(entries, sizeof(*buffers->blocks));
    buffers->spare = mem_calloc(entries, sizeof(*buffers->spare));
    while (buffers->spare_count < entries) {
        buffers->spare[buffers->spare_count] = (uint16_t)buffers->spare_count;
        buffers->spare_count++;
    }
    return 0;
}

void uring_buffers_fini(struct uring_buffers *buffers)
{
    if (!buffers->ring)
        return;
    for (unsigned i = 0; i < buffers->entries; i++)
        block_unref(buffers->blocks[i]);
    mem_free(buffers->blocks);
    mem_free(buffers->spare);
    free(buffers->ring);
    buffers->ring = NULL;
}

struct block *uring_buffers_take(struct uring_buffers *buffers, unsigned number)
{
    struct block *block = buffers->blocks[number];
    buffers->blocks[number] = NULL;
    buffers->spare[buffers->spare_count++] = (uint16_t)number;
    return block;
}

static unsigned count_held(const struct uring_buffers *buffers)
{
    return buffers->entries - buffers->spare_count;
}

bool uring_buffers_fill(struct uring_buffers *buffers, struct block_pool *pool)
{
    int mask = io_uring_buf_ring_mask(buffers->entries), added = 0;
    while (count_held(buffers) < buffers->wanted) {
        struct block *block = block_alloc(pool, buffers->size);
        if (!block)
            break;
        uint16_t number = buffers->spare[--buffers->spare_count];
        buffers->blocks[number] = block;
        io_uring_buf_ring_add(buffers->ring, block->bytes, block->capacity, number, mask, added++);
    }
    if (added > 0)
        io_uring_buf_ring_advance(buffers->ring, added);
    return count_held(buffers) > 0;
}

/*
 * The kernel takes from the front, and only while we are inside an enter (deferred task run); so what stands at the back
 * is still ours to take.
 */
void uring_buffers_withdraw(struct uring_buffers *buffers)
{
    unsigned mask = (unsigned)io_uring_buf_ring_mask(buffers->entries);
    while (count_held(buffers) > 0) {
        uint16_t tail = (uint16_t)(buffers->ring->tail - 1);
        block_unref(uring_buffers_take(buffers, buffers->ring->bufs[tail & mask].bid));
        io_uring_smp_store_release(&buffers->ring->tail, tail);
    }
}

size_t uring_buffers_held(const struct uring_buffers *buffers)
{
    return count_held(buffers) *
           (size_t)(buffers->size == BLOCK_SMALL ? BLOCK_SMALL_BYTES : BLOCK_LARGE_BYTES);
}
