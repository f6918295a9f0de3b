/*
 * message: one HTTP/1 message as it is sent (source) and as it is read (reader, sink), for a client and a server that share no
 * line with the proxies that stand between them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A body that leaves, in pieces; in chunks where it is open. */
struct source {
    const uint8_t *at;
    size_t left;
    bool is_chunked, is_over;
};

/* Puts as much of it into `out` as there is room for (at least 64 bytes), and tells how much that was. */
size_t source_fill(struct source *source, uint8_t *out, size_t room);

/* A body that comes, byte for byte as it must be. */
struct sink {
    const uint8_t *expected;
    size_t left;
};

/* False: a wrong byte, or one too many. */
bool sink_take(struct sink *sink, const uint8_t *bytes, size_t size);

enum { HEAD_MOST = 8192 };

enum reader_state {
    READER_IN_HEAD,
    READER_IN_BODY,
    READER_AT_CHUNK_SIZE,
    READER_IN_CHUNK,
    READER_AFTER_CHUNK,
    READER_IN_TRAILERS,
    READER_AT_END,
};

struct reader {
    enum reader_state state;
    uint64_t left;    /* of the body, or of the chunk */
    size_t head_size; /* with the empty line that ends it */
    size_t line_size; /* of the line under way: a chunk's size, a trailer */
    char line[256];
    char head[HEAD_MOST + 1];
};

enum reader_event {
    READER_MORE, /* all is read, and the message goes on */
    READER_HEAD,
    READER_BYTES,
    READER_END,
    READER_BAD,
};

/* Before each message. */
void reader_reset(struct reader *reader);
/* Reads from `*bytes` up to the next event, and moves it; of READER_BYTES, `*body` are the bytes. */
enum reader_event reader_read(struct reader *reader, const uint8_t **bytes, size_t *size,
                              const uint8_t **body, size_t *body_size);
/* A header's value, ended by a NUL in `value`; false where there is none. */
bool reader_header(const struct reader *reader, const char *name, char *value, size_t room);
