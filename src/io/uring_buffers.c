#include "io/uring_internal.h"

#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>

enum { RING_ALIGNMENT = 4096, RING_MASK = URING_GROUP_BLOCKS - 1 };

static enum block_size size_of(unsigned group)
{
    return group == URING_LARGE_GROUP ? BLOCK_LARGE : BLOCK_SMALL;
}

static size_t bytes_of(unsigned group)
{
    return group == URING_LARGE_GROUP ? BLOCK_LARGE_BYTES : BLOCK_SMALL_BYTES;
}

static unsigned count_held(const struct uring_group *group)
{
    return URING_GROUP_BLOCKS - group->spare_count;
}

/* --- making ---------------------------------------------------------------------------------- */

static int add_group(struct uring_buffers *buffers, unsigned number)
{
    struct uring_group *group = &buffers->groups[number];
    void *memory;
    if (group->ring)
        return 0; /* it was in use before */
    if (posix_memalign(&memory, RING_ALIGNMENT, RING_ALIGNMENT))
        return -ENOMEM;
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)memory,
                                            .ring_entries = URING_GROUP_BLOCKS,
                                            .bgid = (uint16_t)number};
    int error = io_uring_register_buf_ring(buffers->uring, &registration, 0);
    if (error) {
        free(memory);
        return error;
    }
    io_uring_buf_ring_init(memory);
    *group = (struct uring_group){.ring = memory};
    while (group->spare_count < URING_GROUP_BLOCKS) {
        group->spare[group->spare_count] = (uint16_t)group->spare_count;
        group->spare_count++;
    }
    return 0;
}

static void want(struct uring_buffers *buffers, unsigned number, unsigned wanted)
{
    buffers->groups[number].wanted = wanted;
    buffers->thin |= 1U << number;
}

static int add_small_group(struct uring_buffers *buffers)
{
    int error = add_group(buffers, buffers->small_groups);
    if (!error)
        want(buffers, buffers->small_groups++, URING_GROUP_BLOCKS);
    return error;
}

int uring_buffers_init(struct uring_buffers *buffers, struct io_uring *uring)
{
    *buffers = (struct uring_buffers){.uring = uring};
    int error = add_group(buffers, URING_LARGE_GROUP);
    while (!error && buffers->small_groups < URING_SMALL_GROUPS_FIRST)
        error = add_small_group(buffers);
    return error;
}

void uring_buffers_fini(struct uring_buffers *buffers)
{
    for (unsigned number = 0; number < URING_GROUPS; number++) {
        struct uring_group *group = &buffers->groups[number];
        for (unsigned i = 0; i < URING_GROUP_BLOCKS; i++)
            block_unref(group->blocks[i]);
        free(group->ring);
    }
    *buffers = (struct uring_buffers){0};
}

/* --- which group ----------------------------------------------------------------------------- */

unsigned uring_buffers_small_group(struct uring_buffers *buffers)
{
    if (++buffers->next_group >= buffers->small_groups)
        buffers->next_group = 0;
    return buffers->next_group;
}

/* Each block serves one receive, so there is one for each that is armed. */
static void want_large(struct uring_buffers *buffers)
{
    want(buffers, URING_LARGE_GROUP, MIN(buffers->large_receivers, (unsigned)URING_GROUP_BLOCKS));
}

unsigned uring_buffers_large_group(struct uring_buffers *buffers)
{
    buffers->large_receivers++;
    want_large(buffers);
    return URING_LARGE_GROUP;
}

void uring_buffers_leave(struct uring_buffers *buffers, unsigned group)
{
    if (group != URING_LARGE_GROUP)
        return;
    buffers->large_receivers--;
    want_large(buffers);
}

/* A group that is not filled any more, or a large one, was no sign that conns are many. */
void uring_buffers_lacked(struct uring_buffers *buffers, unsigned group)
{
    if (group < buffers->small_groups && buffers->small_groups < URING_SMALL_GROUPS)
        (void)!add_small_group(buffers); /* without kernel memory those that there are must do */
}

/* --- lending --------------------------------------------------------------------------------- */

struct block *uring_buffers_take(struct uring_buffers *buffers, unsigned number, unsigned block)
{
    struct uring_group *group = &buffers->groups[number];
    struct block *taken = group->blocks[block];
    group->blocks[block] = NULL;
    group->spare[group->spare_count++] = (uint16_t)block;
    buffers->thin |= 1U << number;
    buffers->lent -= bytes_of(number);
    return taken;
}

bool uring_buffers_fill(struct uring_buffers *buffers, unsigned number, struct block_pool *pool)
{
    struct uring_group *group = &buffers->groups[number];
    int added = 0;
    buffers->thin &= ~(1U << number);
    while (count_held(group) < group->wanted) {
        struct block *block = block_alloc(pool, size_of(number));
        if (!block) {
            buffers->thin |= 1U << number;
            break;
        }
        uint16_t spare = group->spare[--group->spare_count];
        group->blocks[spare] = block;
        io_uring_buf_ring_add(group->ring, block->bytes, block->capacity, spare, RING_MASK,
                              added++);
    }
    if (added > 0)
        io_uring_buf_ring_advance(group->ring, added);
    buffers->lent += (size_t)added * bytes_of(number);
    return count_held(group) > 0;
}

void uring_buffers_fill_all(struct uring_buffers *buffers, struct block_pool *pool)
{
    for (uint32_t thin = buffers->thin; thin != 0; thin &= thin - 1)
        uring_buffers_fill(buffers, (unsigned)__builtin_ctz(thin), pool);
}

/*
 * The kernel takes from the front, and only while we are inside an enter (deferred task run); so what stands at the back
 * is still ours to take.
 */
static void withdraw(struct uring_buffers *buffers, unsigned number)
{
    struct uring_group *group = &buffers->groups[number];
    while (group->ring && count_held(group) > 0) {
        uint16_t tail = (uint16_t)(group->ring->tail - 1);
        block_unref(uring_buffers_take(buffers, number, group->ring->bufs[tail & RING_MASK].bid));
        io_uring_smp_store_release(&group->ring->tail, tail);
    }
}

/* A receive that stays armed on a group that nobody fills any more finds nothing, and comes back on another. */
void uring_buffers_withdraw(struct uring_buffers *buffers)
{
    for (unsigned number = 0; number < URING_GROUPS; number++)
        withdraw(buffers, number);
    while (buffers->small_groups > URING_SMALL_GROUPS_FIRST)
        want(buffers, --buffers->small_groups, 0);
    want(buffers, URING_LARGE_GROUP, 0);
}
