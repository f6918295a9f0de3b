#include "test.h"

#include "base/chain.h"
#include "base/memory.h"
#include "base/random.h"

/* The bytes a chain holds, and the sums it keeps about them. */
static bool chain_holds(const struct chain *chain, struct slice bytes)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < chain->count; i++)
        sum += chain_segment(chain, i)->size;
    char *copy = mem_alloc(bytes.size + 1);
    bool same = sum == chain->size && chain->size == bytes.size &&
                chain_copy_out(chain, 0, copy, bytes.size + 1) == bytes.size &&
                slice_equals(slice_of(copy, bytes.size), bytes) &&
                chain_is_empty(chain) == (bytes.size == 0);
    mem_free(copy);
    return same;
}

static struct block *block_with(struct block_pool *pool, const char *text)
{
    struct block *block = block_alloc(pool, BLOCK_SMALL);
    memcpy(block->bytes, text, strlen(text));
    return block;
}

TEST(chain_owns_a_reference_a_segment)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct chain a = {0}, b = {0};
    struct block *block = block_with(pool, "hello world");
    chain_append_block(&a, block, block->bytes, 5);
    chain_append_static(&a, SLICE(", "));
    chain_append_block(&a, block_ref(block), block->bytes + 6, 5);
    CHECK(block->refs == 2 && a.count == 3 && chain_holds(&a, SLICE("hello, world")));
    chain_move_n(&b, &a, 3);
    CHECK(block->refs == 3 && chain_holds(&b, SLICE("hel")) && chain_holds(&a, SLICE("lo, world")));
    chain_move_n(&b, &a, 2);
    CHECK(block->refs == 2 && b.count == 1, "what lies together becomes one segment");
    chain_share_n(&b, &a, 4);
    CHECK(block->refs == 3 && chain_holds(&b, SLICE("hello, wo")) &&
          chain_holds(&a, SLICE(", world")));
    chain_consume(&a, 3);
    CHECK(chain_holds(&a, SLICE("orld")));
    chain_move(&b, &a);
    CHECK(chain_holds(&b, SLICE("hello, woorld")) && chain_holds(&a, SLICE("")) && a.count == 0);
    chain_fini(&b);
    chain_fini(&a);
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(chain_copies_small_appends_into_its_tail)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct chain chain = {0}, other = {0};
    for (int i = 0; i < 100; i++)
        CHECK(chain_append_copy(&chain, pool, SLICE("0123456789")));
    CHECK(chain.count == 1 && chain.size == 1000 && block_pool_in_use(pool) == BLOCK_SMALL_BYTES);
    chain_share_n(&other, &chain, 1000);
    CHECK(chain_append_copy(&chain, pool, SLICE("x")) && chain.count == 2,
          "a shared block is not written to");
    CHECK(chain_append_copy(&other, pool, SLICE("y")) && other.count == 2);
    chain_fini(&other);
    chain_fini(&chain);
    CHECK(chain_append_copy(&chain, pool, SLICE_NONE) && chain.count == 0 &&
          block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(chain_is_as_it_was_when_the_pool_refuses)
{
    struct memory_budget budget = {.limit = 2 * 128 * 1024};
    struct block_pool *pool = block_pool_create(&budget);
    struct chain chain = {0};
    size_t large = (size_t)1 << 20;
    char *bytes = mem_calloc(1, large);
    CHECK(chain_append_copy(&chain, pool, SLICE("before")));
    size_t in_use = block_pool_in_use(pool);
    CHECK(!chain_append_copy(&chain, pool, slice_of(bytes, large)));
    CHECK(chain_holds(&chain, SLICE("before")) && block_pool_in_use(pool) == in_use);
    CHECK(chain_append_copy(&chain, pool, slice_of(bytes, 100000)) && chain.size == 100006);
    CHECK(!chain_append_copy(&chain, pool, slice_of(bytes, 100000)) && chain.size == 100006);
    size_t taken = 0;
    while (chain_reserve(&chain, pool, BLOCK_LARGE_CAPACITY)) {
        chain_commit(&chain, BLOCK_LARGE_CAPACITY);
        taken++;
    }
    CHECK(taken == 2, "a slab has 8 large blocks, the copy took 6: %zu", taken);
    chain_fini(&chain);
    mem_free(bytes);
    block_pool_destroy(pool);
}

/* However the pieces come, the bytes are those that a move would have brought, in few blocks. */
TEST(chain_gathers_what_is_not_worth_its_block)
{
    static const unsigned sizes[] = {1, 60, 2100, 9000, BLOCK_LARGE_CAPACITY};
    struct block_pool *pool = block_pool_create(NULL);
    struct random random;
    random_seed(&random, 7);
    EACH (most, sizes) {
        struct chain gathered = {0}, moved = {0};
        while (moved.size < 200000 && moved.count < 3000) {
            struct chain piece = {0}, same = {0};
            for (uint64_t pieces = 1 + random_below(&random, 3); pieces > 0; pieces--) {
                size_t size = 1 + random_below(&random, *most);
                struct block *block =
                    block_alloc(pool, size > BLOCK_SMALL_CAPACITY ? BLOCK_LARGE : BLOCK_SMALL);
                memset(block->bytes, (int)(moved.count % 251), size);
                chain_append_block(&piece, block, block->bytes, size);
                CHECK(chain_append_copy(&same, pool, slice_of(block->bytes, size)));
            }
            chain_gather(&gathered, &piece);
            CHECK(piece.count == 0 && chain_is_empty(&piece));
            chain_move(&moved, &same);
        }
        size_t in_use = 0;
        for (uint32_t i = 0; i < gathered.count; i++)
            in_use += chain_segment(&gathered, i)->block->capacity;
        CHECK(in_use <= 3 * gathered.size + 5 * BLOCK_LARGE_BYTES, "pieces of %u: %zu for %zu",
              *most, in_use, gathered.size);
        char *bytes = mem_alloc(moved.size);
        chain_copy_out(&moved, 0, bytes, moved.size);
        CHECK(chain_holds(&gathered, slice_of(bytes, moved.size)), "pieces of %u", *most);
        mem_free(bytes);
        chain_fini(&gathered);
        chain_fini(&moved);
    }
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(chain_reserves_and_commits)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct chain chain = {0};
    char *at = chain_reserve(&chain, pool, 10);
    CHECK(at);
    chain_commit(&chain, 0);
    CHECK(chain.count == 0 && block_pool_in_use(pool) == 0, "what was not used is given back");
    at = chain_reserve(&chain, pool, 10);
    memcpy(at, "0123456789", 10);
    chain_commit(&chain, 4);
    char *next = chain_reserve(&chain, pool, 10);
    CHECK(next == at + 4, "the same tail again");
    memcpy(next, "abc", 3);
    chain_commit(&chain, 3);
    CHECK(chain.count == 1 && chain_holds(&chain, SLICE("0123abc")));
    at = chain_reserve(&chain, pool, BLOCK_LARGE_CAPACITY);
    memset(at, 'x', BLOCK_LARGE_CAPACITY);
    chain_commit(&chain, BLOCK_LARGE_CAPACITY);
    CHECK(chain.count == 2);
    CHECK(chain_reserve(&chain, pool, 1));
    chain_commit(&chain, 0);
    CHECK(chain.count == 2 && chain.size == 7 + BLOCK_LARGE_CAPACITY);
    chain_fini(&chain);
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(chain_drops_room_that_was_never_committed)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct chain chain = {0}, other = {0};
    chain_append_static(&chain, SLICE("abc"));
    CHECK(chain_reserve(&chain, pool, 10));
    chain_move(&other, &chain);
    CHECK(chain_holds(&other, SLICE("abc")) && other.count == 1 && block_pool_in_use(pool) == 0);
    CHECK(chain_reserve(&other, pool, 10));
    chain_consume(&other, 3);
    CHECK(other.count == 0 && block_pool_in_use(pool) == 0);
    CHECK(chain_reserve(&other, pool, 10));
    chain_fini(&other);
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(chain_shows_its_bytes_in_one_piece)
{
    struct chain chain = {0};
    char scratch[16];
    CHECK(chain_front(&chain).size == 0 && chain_peek(&chain, 0, scratch).size == 0);
    chain_append_static(&chain, SLICE("abc"));
    chain_append_static(&chain, SLICE("defg"));
    chain_append_static(&chain, SLICE(""));
    CHECK(slice_equals_str(chain_front(&chain), "abc"));
    struct slice in_place = chain_peek(&chain, 3, scratch), copied = chain_peek(&chain, 5, scratch);
    CHECK(slice_equals_str(in_place, "abc") && in_place.data != scratch);
    CHECK(slice_equals_str(copied, "abcde") && copied.data == scratch);
    CHECK(chain_copy_out(&chain, 2, scratch, 3) == 3 && memcmp(scratch, "cde", 3) == 0);
    CHECK(chain_copy_out(&chain, 5, scratch, 16) == 2 &&
          chain_copy_out(&chain, 7, scratch, 1) == 0);
    struct iovec iovecs[4];
    CHECK(chain_iovecs(&chain, iovecs, 4) == 2 && iovecs[1].iov_len == 4);
    CHECK(chain_iovecs(&chain, iovecs, 1) == 1 && iovecs[0].iov_len == 3);
    chain_fini(&chain);
}

/* Segments that do not touch, so that none are joined. */
static void append_many(struct chain *chain, struct block_pool *pool, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct block *block = block_alloc(pool, BLOCK_SMALL);
        CHECK(block);
        block->bytes[0] = (char)i;
        chain_append_block(chain, block, block->bytes, 1);
    }
}

TEST(chain_takes_its_ring_from_the_pool_and_gives_it_back)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct chain chain = {0}, other = {0};
    append_many(&chain, pool, 4);
    CHECK(chain.segments == NULL && block_pool_in_use(pool) == 4 * BLOCK_SMALL_BYTES);
    append_many(&chain, pool, 1);
    CHECK(chain.segments && block_pool_in_use(pool) == 6 * BLOCK_SMALL_BYTES,
          "four are inline, the fifth takes a ring");
    chain_move(&other, &chain);
    CHECK(other.count == 5 && chain.segments == NULL, "the ring moves along");
    chain_move_n(&chain, &other, 4);
    CHECK(chain.segments == NULL && chain.count == 4);
    chain_consume(&other, 1);
    CHECK(other.segments == NULL && block_pool_in_use(pool) == 4 * BLOCK_SMALL_BYTES);
    chain_fini(&chain);
    append_many(&chain, pool, 2000);
    CHECK(chain.count == 2000);
    for (uint32_t i = 0; i < 2000; i++)
        CHECK(chain_segment(&chain, i)->data[0] == (char)i);
    chain_fini(&chain);
    CHECK(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
}

TEST(chain_takes_its_ring_from_the_heap_when_the_pool_refuses)
{
    struct memory_budget budget = {.limit = 128 * 1024};
    struct block_pool *pool = block_pool_create(&budget);
    struct chain chain = {0};
    append_many(&chain, pool, 4);
    struct block *rest[60];
    for (size_t i = 0; i < COUNT(rest); i++)
        rest[i] = block_alloc(pool, BLOCK_SMALL);
    CHECK(rest[59] && block_alloc(pool, BLOCK_SMALL) == NULL);
    chain_append_static(&chain, SLICE("tulle"));
    CHECK(chain.count == 5 && chain.segments && !chain.ring);
    chain_fini(&chain);
    EACH (block, rest)
        block_unref(*block);
    block_pool_destroy(pool);
}

struct model {
    char bytes[1 << 16];
    size_t size;
};

static void model_move(struct model *to, struct model *from, size_t size, bool keep)
{
    memcpy(to->bytes + to->size, from->bytes, size);
    to->size += size;
    if (!keep) {
        from->size -= size;
        memmove(from->bytes, from->bytes + size, from->size);
    }
}

static void act_at_random(struct chain *chain, struct chain *other, struct model *model,
                          struct model *other_model, struct block_pool *pool, struct random *random)
{
    static const char text[] =
        "The quick brown fox jumps over the lazy dog and keeps running for a while.";
    struct slice piece = slice_first(slice_str(text), random_below(random, sizeof(text)));
    size_t part = random_below(random, chain->size + 1);
    char *at;
    switch (random_below(random, 8)) {
    case 0: chain_append_static(chain, piece); break;
    case 1: CHECK(chain_append_copy(chain, pool, piece)); break;
    case 2:
        at = chain_reserve(chain, pool, piece.size + 1);
        memcpy(at, piece.data, piece.size);
        chain_commit(chain, piece.size);
        break;
    case 3:
        chain_move_n(other, chain, part);
        model_move(other_model, model, part, false);
        return;
    case 4:
        chain_share_n(other, chain, part);
        model_move(other_model, model, part, true);
        return;
    case 5:
        chain_move(other, chain);
        model_move(other_model, model, model->size, false);
        return;
    default:
        chain_consume(chain, part);
        model->size -= part;
        memmove(model->bytes, model->bytes + part, model->size);
        return;
    }
    memcpy(model->bytes + model->size, piece.data, piece.size);
    model->size += piece.size;
}

TEST(chain_does_as_a_model)
{
    static struct model models[2];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct block_pool *pool = block_pool_create(NULL);
        struct chain chains[2] = {0};
        struct random random;
        random_seed(&random, seed);
        models[0].size = models[1].size = 0;
        for (int step = 0; step < 3000; step++) {
            size_t i = random_below(&random, 2);
            act_at_random(&chains[i], &chains[1 - i], &models[i], &models[1 - i], pool, &random);
            for (size_t j = 0; j < 2; j++) {
                CHECK(chain_holds(&chains[j], slice_of(models[j].bytes, models[j].size)),
                      "seed %lu, step %d", seed, step);
                if (models[j].size > 20000) {
                    chain_fini(&chains[j]);
                    models[j].size = 0;
                }
            }
        }
        chain_fini(&chains[0]);
        chain_fini(&chains[1]);
        CHECK(block_pool_in_use(pool) == 0, "seed %lu", seed);
        block_pool_destroy(pool);
    }
}
