/*
 * grpc_frame: messages with their five-byte head, over chains.
 *
 * The reader takes bytes as they come and gives one message at a time. A message that lies in one segment is borrowed where it
 * is; one that is spread is gathered into memory that grows with the bytes that have come, never with the length that was
 * promised. Compressed messages are not read (identity is all we offer), so none can swell.
 */
#pragma once

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/chain.h"
#include "base/slice.h"

enum { GRPC_FRAME_HEAD = 5, GRPC_MAX_MESSAGE = 4 * 1024 * 1024 };

/* Of a grpc-encoding header. Of what is not read the call fails with UNIMPLEMENTED. */
bool grpc_encoding_is_read(struct slice value);

enum grpc_frame_status {
    GRPC_FRAME_MORE, /* wait for bytes */
    GRPC_FRAME_MESSAGE,
    GRPC_FRAME_TOO_LONG, /* RESOURCE_EXHAUSTED */
    GRPC_FRAME_BAD,      /* INTERNAL: a flag that is none of ours */
};

struct grpc_reader {
    size_t max_message;
    bool in_message;
    uint8_t failure;        /* enum grpc_frame_status, once there was one */
    uint32_t left;          /* bytes of the message not yet taken */
    size_t held;            /* bytes of the input that the last message still borrows */
    struct buffer gathered; /* the message so far, when it is spread */
};

void grpc_reader_init(struct grpc_reader *reader, size_t max_message);
void grpc_reader_fini(struct grpc_reader *reader);
/* Takes from the front of `in`. The message holds until the next call with this reader. After an error: the same error. */
MUST_USE enum grpc_frame_status grpc_read(struct grpc_reader *reader, struct chain *in,
                                          struct slice *message);
/* A message has begun and is not whole: an end of stream here is an error (INTERNAL). */
bool grpc_reader_is_amid(const struct grpc_reader *reader);

/* Between messages: gives its memory back, so that an idle stream holds none. */
void grpc_reader_rest(struct grpc_reader *reader);

/* Appends head and message (copied). False, and nothing was added, when the pool refuses. */
MUST_USE bool grpc_write(struct chain *out, struct block_pool *pool, struct slice message);
/* Only the head, for a message of `size` bytes that the caller appends. */
MUST_USE bool grpc_write_head(struct chain *out, struct block_pool *pool, size_t size);
