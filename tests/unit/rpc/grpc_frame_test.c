#include "rpc/grpc_frame.h"

#include "base/memory.h"
#include "test.h"

/* Feeds `wire` in pieces and gathers "message|message|" and how it ended. */
static char *read_all(struct slice wire, size_t piece, size_t max_message,
                      enum grpc_frame_status *end, bool *amid)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct grpc_reader reader;
    struct chain in = {0};
    struct buffer text = {0};
    grpc_reader_init(&reader, max_message);
    *end = GRPC_FRAME_MORE;
    while (wire.size > 0 && *end == GRPC_FRAME_MORE) {
        struct block *block = block_alloc(pool, BLOCK_SMALL);
        size_t room = MIN(wire.size, (size_t)block->capacity);
        struct slice bytes = slice_take(&wire, MIN(piece, room));
        memcpy(block->bytes, bytes.data, bytes.size);
        chain_append_block(&in, block, block->bytes, bytes.size);
        struct slice message;
        while ((*end = grpc_read(&reader, &in, &message)) == GRPC_FRAME_MESSAGE) {
            buffer_append_slice(&text, message);
            buffer_append_byte(&text, '|');
        }
    }
    struct slice again;
    CHECK(*end == GRPC_FRAME_MORE || grpc_read(&reader, &in, &again) == *end, "an error stays");
    *amid = grpc_reader_is_amid(&reader);
    grpc_reader_fini(&reader);
    chain_fini(&in);
    block_pool_destroy(pool);
    return buffer_take(&text);
}

static const struct {
    const char *name;
    struct slice wire;
    const char *messages;
    enum grpc_frame_status end;
    bool amid;
} cases[] = {
    {"nothing", SLICE(""), "", GRPC_FRAME_MORE, false},
    {"empty message", SLICE("\0\0\0\0\0"), "|", GRPC_FRAME_MORE, false},
    {"two", SLICE("\0\0\0\0\3abc\0\0\0\0\1d"), "abc|d|", GRPC_FRAME_MORE, false},
    {"head cut short", SLICE("\0\0\0\0"), "", GRPC_FRAME_MORE, false},
    {"body cut short", SLICE("\0\0\0\0\5abc"), "", GRPC_FRAME_MORE, true},
    {"as long as allowed", SLICE("\0\0\0\0\10abcdefgh"), "abcdefgh|", GRPC_FRAME_MORE, false},
    {"one byte too long", SLICE("\0\0\0\0\11abcdefghi"), "", GRPC_FRAME_TOO_LONG, false},
    {"four gigabytes", SLICE("\0\377\377\377\377a"), "", GRPC_FRAME_TOO_LONG, false},
    {"compressed", SLICE("\0\0\0\0\1a\1\0\0\0\1b"), "a|", GRPC_FRAME_BAD, false},
    {"flag 2", SLICE("\2\0\0\0\1a"), "", GRPC_FRAME_BAD, false},
};

TEST(grpc_reader_gives_the_same_messages_however_they_are_cut)
{
    EACH (c, cases) {
        for (size_t piece = 1; piece <= c->wire.size + 1; piece++) {
            enum grpc_frame_status end;
            bool amid;
            char *messages = read_all(c->wire, piece, 8, &end, &amid);
            CHECK(end == c->end, "%s, by %zu", c->name, piece);
            CHECK(strcmp(messages, c->messages) == 0, "%s, by %zu: %s", c->name, piece, messages);
            CHECK(amid == c->amid, "%s, by %zu", c->name, piece);
            mem_free(messages);
        }
    }
}

TEST(grpc_reader_borrows_a_message_that_lies_in_one_piece)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct grpc_reader reader;
    struct chain in = {0};
    struct slice message;
    grpc_reader_init(&reader, GRPC_MAX_MESSAGE);
    CHECK(grpc_write(&in, pool, SLICE("hello")) && grpc_write(&in, pool, SLICE("")));
    const char *lies = chain_front(&in).data + GRPC_FRAME_HEAD;
    CHECK(grpc_read(&reader, &in, &message) == GRPC_FRAME_MESSAGE && message.data == lies &&
          message.size == 5);
    CHECK(grpc_read(&reader, &in, &message) == GRPC_FRAME_MESSAGE && message.size == 0);
    CHECK(grpc_read(&reader, &in, &message) == GRPC_FRAME_MORE && chain_is_empty(&in));
    grpc_reader_fini(&reader);
    chain_fini(&in);
    block_pool_destroy(pool);
}

TEST(grpc_reader_keeps_no_memory_for_a_promise)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct grpc_reader reader;
    struct chain in = {0};
    struct slice message;
    grpc_reader_init(&reader, GRPC_MAX_MESSAGE);
    CHECK(chain_append_copy(&in, pool, SLICE("\0\0\100\0\0ab"))); /* 4 MiB are promised */
    CHECK(grpc_read(&reader, &in, &message) == GRPC_FRAME_MORE);
    CHECK(reader.gathered.capacity < 4096);
    grpc_reader_fini(&reader);
    chain_fini(&in);
    block_pool_destroy(pool);
}

TEST(grpc_write_refused_by_the_pool_leaves_the_chain_as_it_was)
{
    struct memory_budget budget = {.limit = 1};
    struct block_pool *pool = block_pool_create(&budget);
    struct chain out = {0};
    CHECK(!grpc_write(&out, pool, SLICE("hello")));
    CHECK(chain_is_empty(&out));
    block_pool_destroy(pool);
}

TEST(grpc_encodings_other_than_identity_are_not_read)
{
    CHECK(grpc_encoding_is_read(SLICE_NONE) && grpc_encoding_is_read(SLICE("identity")));
    CHECK(!grpc_encoding_is_read(SLICE("gzip")) && !grpc_encoding_is_read(SLICE("Identity ")));
}
