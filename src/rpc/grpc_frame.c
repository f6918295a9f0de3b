#include "rpc/grpc_frame.h"

bool grpc_encoding_is_read(struct slice value)
{
    return value.size == 0 || slice_equals_str(value, "identity");
}

void grpc_reader_init(struct grpc_reader *reader, size_t max_message)
{
    *reader = (struct grpc_reader){.max_message = max_message};
}

void grpc_reader_fini(struct grpc_reader *reader)
{
    buffer_fini(&reader->gathered);
}

bool grpc_reader_is_amid(const struct grpc_reader *reader)
{
    return reader->in_message;
}

static enum grpc_frame_status fail(struct grpc_reader *reader, enum grpc_frame_status status)
{
    reader->failure = (uint8_t)status;
    return status;
}

/* Limits are checked on what was promised, before anything is kept for it. */
static enum grpc_frame_status read_head(struct grpc_reader *reader, struct chain *in)
{
    char scratch[GRPC_FRAME_HEAD];
    if (in->size < GRPC_FRAME_HEAD)
        return GRPC_FRAME_MORE;
    struct slice head = chain_peek(in, GRPC_FRAME_HEAD, scratch);
    const unsigned char *bytes = (const unsigned char *)head.data;
    uint32_t length =
        (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
    if (bytes[0] != 0) /* compressed although we offer only identity, or no flag at all */
        return fail(reader, GRPC_FRAME_BAD);
    if (length > reader->max_message)
        return fail(reader, GRPC_FRAME_TOO_LONG);
    reader->left = length;
    reader->in_message = true;
    chain_consume(in, GRPC_FRAME_HEAD);
    return GRPC_FRAME_MESSAGE;
}

/* Moves what has come into the gathered message: memory follows the bytes, not the promise. */
static void gather(struct grpc_reader *reader, struct chain *in)
{
    while (reader->left > 0 && in->size > 0) {
        struct slice front = chain_front(in);
        size_t size = MIN(front.size, (size_t)reader->left);
        buffer_append(&reader->gathered, front.data, size);
        reader->left -= (uint32_t)size;
        chain_consume(in, size);
    }
}

static enum grpc_frame_status finish(struct grpc_reader *reader, struct slice whole,
                                     struct slice *message)
{
    reader->in_message = false;
    *message = whole;
    return GRPC_FRAME_MESSAGE;
}

enum grpc_frame_status grpc_read(struct grpc_reader *reader, struct chain *in,
                                 struct slice *message)
{
    if (reader->failure)
        return (enum grpc_frame_status)reader->failure;
    chain_consume(in, reader->held);
    reader->held = 0;
    if (!reader->in_message) {
        buffer_reset(&reader->gathered);
        enum grpc_frame_status status = read_head(reader, in);
        if (status != GRPC_FRAME_MESSAGE)
            return status;
    }
    struct slice front = chain_front(in);
    if (reader->gathered.size == 0 && front.size >= reader->left) {
        reader->held = reader->left;
        return finish(reader, slice_first(front, reader->held), message);
    }
    gather(reader, in);
    if (reader->left > 0)
        return GRPC_FRAME_MORE;
    return finish(reader, buffer_slice(&reader->gathered), message);
}

void grpc_reader_rest(struct grpc_reader *reader)
{
    if (reader->in_message)
        return;
    buffer_fini(&reader->gathered);
}

bool grpc_write_head(struct chain *out, struct block_pool *pool, size_t size)
{
    char head[GRPC_FRAME_HEAD] = {0, (char)(size >> 24), (char)(size >> 16), (char)(size >> 8),
                                  (char)size};
    return chain_append_copy(out, pool, slice_of(head, sizeof(head)));
}

bool grpc_write(struct chain *out, struct block_pool *pool, struct slice message)
{
    /* Both or nothing: the message goes into a chain of its own first. */
    struct chain frame = {0};
    bool done = grpc_write_head(&frame, pool, message.size) &&
                (message.size == 0 || chain_append_copy(&frame, pool, message));
    if (done)
        chain_move(out, &frame);
    chain_fini(&frame);
    return done;
}
