/* gRPC framing: whole or in pieces, the same messages and the same end; no more memory than bytes came. */
#include "rpc/grpc_frame.h"

#include "base/hash.h"

#include <stdlib.h>

enum { MAX_MESSAGE = 4096 };

static uint64_t read_in_pieces(struct slice wire, size_t piece)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct grpc_reader reader;
    struct chain in = {0};
    enum grpc_frame_status status = GRPC_FRAME_MORE;
    uint64_t digest = 0;
    grpc_reader_init(&reader, MAX_MESSAGE);
    while (wire.size > 0 && status == GRPC_FRAME_MORE) {
        struct slice message;
        struct block *block = block_alloc(pool, BLOCK_SMALL);
        size_t room = MIN(wire.size, (size_t)block->capacity);
        struct slice bytes = slice_take(&wire, MIN(piece, room));
        memcpy(block->bytes, bytes.data, bytes.size);
        chain_append_block(&in, block, block->bytes, bytes.size);
        while ((status = grpc_read(&reader, &in, &message)) == GRPC_FRAME_MESSAGE) {
            if (message.size > MAX_MESSAGE)
                abort();
            digest = hash64(message, digest + 1);
        }
    }
    digest += (uint64_t)status << 32 | grpc_reader_is_amid(&reader);
    grpc_reader_fini(&reader);
    chain_fini(&in);
    block_pool_destroy(pool);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice wire = slice_of(data, size);
    uint64_t whole = read_in_pieces(wire, SIZE_MAX);
    if (whole != read_in_pieces(wire, 1) || whole != read_in_pieces(wire, 7))
        abort();
    return 0;
}
