#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- leaving --------------------------------------------------------------------------------- */

enum { CHUNK_FRAMING = 16, CHUNK_MOST = 4096 };

static size_t fill_chunk(struct source *source, uint8_t *out, size_t room)
{
    size_t size = source->left < CHUNK_MOST ? source->left : CHUNK_MOST;
    if (size > room - CHUNK_FRAMING)
        size = room - CHUNK_FRAMING;
    int head = snprintf((char *)out, CHUNK_FRAMING, "%zx\r\n", size);
    size_t at = (size_t)head;
    memcpy(out + at, source->at, size);
    at += size;
    memcpy(out + at, "\r\n", 2);
    source->at += size;
    source->left -= size;
    source->is_over = size == 0;
    return at + 2;
}

size_t source_fill(struct source *source, uint8_t *out, size_t room)
{
    size_t filled = 0;
    if (source->is_chunked) {
        while (!source->is_over && room - filled > CHUNK_FRAMING)
            filled += fill_chunk(source, out + filled, room - filled);
        return filled;
    }
    filled = source->left < room ? source->left : room;
    memcpy(out, source->at, filled);
    source->at += filled;
    source->left -= filled;
    source->is_over = source->left == 0;
    return filled;
}

/* --- coming ---------------------------------------------------------------------------------- */

bool sink_take(struct sink *sink, const uint8_t *bytes, size_t size)
{
    if (size > sink->left || memcmp(sink->expected, bytes, size) != 0)
        return false;
    sink->expected += size;
    sink->left -= size;
    return true;
}

void reader_reset(struct reader *reader)
{
    reader->state = READER_IN_HEAD;
    reader->head_size = reader->line_size = 0;
    reader->left = 0;
}

bool reader_header(const struct reader *reader, const char *name, char *value, size_t room)
{
    size_t name_size = strlen(name);
    for (const char *line = strchr(reader->head, '\n'); line; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, name_size) != 0 || line[name_size] != ':')
            continue;
        line += name_size + 1;
        line += strspn(line, " \t");
        size_t size = strcspn(line, "\r");
        if (size >= room)
            return false;
        memcpy(value, line, size);
        value[size] = '\0';
        return true;
    }
    return false;
}

static enum reader_event read_framing(struct reader *reader)
{
    char value[64];
    if (reader_header(reader, "transfer-encoding", value, sizeof(value))) {
        reader->state = READER_AT_CHUNK_SIZE;
        return strcasecmp(value, "chunked") == 0 ? READER_HEAD : READER_BAD;
    }
    if (reader_header(reader, "content-length", value, sizeof(value)))
        reader->left = strtoull(value, NULL, 10);
    else if (strncmp(reader->head, "HTTP/", 5) == 0)
        return READER_BAD; /* an answer that ends with its connection is none that the server made */
    reader->state = reader->left > 0 ? READER_IN_BODY : READER_AT_END;
    return READER_HEAD;
}

static enum reader_event read_head(struct reader *reader, uint8_t byte)
{
    if (reader->head_size == HEAD_MOST)
        return READER_BAD;
    reader->head[reader->head_size++] = (char)byte;
    reader->head[reader->head_size] = '\0';
    if (byte != '\n' || reader->head_size < 4 ||
        memcmp(reader->head + reader->head_size - 4, "\r\n\r\n", 4) != 0)
        return READER_MORE;
    return read_framing(reader);
}

/* True when a line is whole, without its CR LF. */
static bool read_line(struct reader *reader, uint8_t byte, bool *is_bad)
{
    if (byte != '\n') {
        *is_bad = reader->line_size + 1 == sizeof(reader->line);
        if (!*is_bad)
            reader->line[reader->line_size++] = (char)byte;
        return false;
    }
    *is_bad = reader->line_size == 0 || reader->line[reader->line_size - 1] != '\r';
    reader->line[*is_bad ? 0 : reader->line_size - 1] = '\0';
    reader->line_size = 0;
    return !*is_bad;
}

static enum reader_event read_framing_byte(struct reader *reader, uint8_t byte)
{
    bool is_bad = false;
    if (reader->state == READER_IN_HEAD)
        return read_head(reader, byte);
    if (!read_line(reader, byte, &is_bad))
        return is_bad ? READER_BAD : READER_MORE;
    if (reader->state == READER_AT_CHUNK_SIZE) {
        char *end;
        reader->left = strtoull(reader->line, &end, 16);
        if (end == reader->line || *end != '\0')
            return READER_BAD;
        reader->state = reader->left > 0 ? READER_IN_CHUNK : READER_IN_TRAILERS;
    } else if (reader->state == READER_AFTER_CHUNK) {
        if (reader->line[0] != '\0')
            return READER_BAD;
        reader->state = READER_AT_CHUNK_SIZE;
    } else if (reader->line[0] == '\0') { /* after the trailers */
        reader->state = READER_AT_END;
    }
    return READER_MORE;
}

enum reader_event reader_read(struct reader *reader, const uint8_t **bytes, size_t *size,
                              const uint8_t **body, size_t *body_size)
{
    for (;;) {
        if (reader->state == READER_AT_END)
            return READER_END;
        if (*size == 0)
            return READER_MORE;
        if (reader->state == READER_IN_BODY || reader->state == READER_IN_CHUNK) {
            *body = *bytes;
            *body_size = *size < reader->left ? *size : (size_t)reader->left;
            *bytes += *body_size;
            *size -= *body_size;
            reader->left -= *body_size;
            if (reader->left == 0)
                reader->state =
                    reader->state == READER_IN_CHUNK ? READER_AFTER_CHUNK : READER_AT_END;
            return READER_BYTES;
        }
        enum reader_event event = read_framing_byte(reader, **bytes);
        (*bytes)++;
        (*size)--;
        if (event != READER_MORE)
            return event;
    }
}
