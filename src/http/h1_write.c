#include "http/h1_internal.h"

#include "base/decimal.h"
#include "http/header_internal.h"
#include "http/scan_internal.h"

/* Writes into the free tail of a chain; what does not fit goes the slow way, in copies. */
struct writer {
    struct chain *out;
    struct block_pool *pool;
    char *at, *end; /* reserved and not yet committed */
    char *start;
    bool refused;
};

static void commit(struct writer *writer)
{
    if (writer->start)
        chain_commit(writer->out, (size_t)(writer->at - writer->start));
    writer->start = writer->at = writer->end = NULL;
}

COLD static void put_slow(struct writer *writer, const char *bytes, size_t size)
{
    commit(writer);
    if (!writer->refused)
        writer->refused = !chain_append_copy(writer->out, writer->pool, slice_of(bytes, size));
}

static inline void put(struct writer *writer, const char *bytes, size_t size)
{
    if (UNLIKELY((size_t)(writer->end - writer->at) < size)) {
        put_slow(writer, bytes, size);
        return;
    }
    if (__builtin_constant_p(size))
        memcpy(writer->at, bytes, size);
    else
        copy_short(writer->at, bytes, size);
    writer->at += size;
}
#define PUT(writer, literal) put((writer), (literal), sizeof(literal) - 1)

static void put_slice(struct writer *writer, struct slice bytes)
{
    if (bytes.size > 0)
        put(writer, bytes.data, bytes.size);
}

COLD static void put_number_slow(struct writer *writer, uint64_t number)
{
    char digits[DECIMAL_MAX];
    put(writer, digits, decimal_write(number, digits));
}

static void put_number(struct writer *writer, uint64_t number)
{
    if (LIKELY(writer->end - writer->at >= DECIMAL_MAX))
        writer->at += decimal_write(number, writer->at);
    else
        put_number_slow(writer, number);
}

/* --- fields ------------------------------------------------------------------------------------------------- */

/* What the codec says for itself: it never goes out as a field of the message. */
static bool is_own(unsigned id)
{
    switch (id) {
    case HEADER_CONNECTION:
    case HEADER_CONTENT_LENGTH:
    case HEADER_HOST:
    case HEADER_HTTP2_SETTINGS:
    case HEADER_KEEP_ALIVE:
    case HEADER_PROXY_CONNECTION:
    case HEADER_TRANSFER_ENCODING:
    case HEADER_UPGRADE: return true;
    default: return false;
    }
}

static size_t fields_size(const struct headers *headers)
{
    size_t size = 0;
    for (unsigned i = 0; i < headers->count; i++)
        size += headers->items[i].name_size + headers->items[i].value_size + 4;
    return size;
}

/* A field that was made here rather than received: a last look that it cannot begin a line of its own. */
static void put_field(struct writer *writer, const struct header *header)
{
    bool is_known = header->id != HEADER_OTHER;
    if (scan_control(header->value, header->value_size) < header->value_size ||
        (!is_known && !is_token(header->name, header->name_size)))
        return;
    put(writer, header->name, header->name_size);
    PUT(writer, ": ");
    put_slice(writer, header_value(header));
    PUT(writer, "\r\n");
}

static inline const char *line_end(const struct header *header)
{
    return header->value + header->value_size + 2;
}

/* Lines that lie behind each other as they were received are written by one copy. */
static void put_fields(struct writer *writer, const struct headers *headers)
{
    if (headers->count == 0)
        return;
    const struct header *header = headers->items, *last = header + headers->count;
    while (header < last) {
        if (is_own(header->id)) {
            header++;
        } else if (header->flags & HEADER_WHOLE_LINE) {
            const char *start = header->name, *end = line_end(header);
            for (header++; header < last && header->name == end &&
                           header->flags & HEADER_WHOLE_LINE && !is_own(header->id);
                 header++)
                end = line_end(header);
            put(writer, start, (size_t)(end - start));
        } else {
            put_field(writer, header++);
        }
    }
}

/* The start line; three digits, whatever the number. */
static void put_status(struct writer *writer, unsigned status)
{
    if (LIKELY(status == 200)) {
        PUT(writer, "HTTP/1.1 200 OK\r\n");
        return;
    }
    char line[] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    PUT(writer, line);
    put_slice(writer, http_status_text(status));
    PUT(writer, "\r\n");
}

static void put_framing(struct writer *writer, const struct h1_head_style *style)
{
    switch (style->framing) {
    case H1_FRAME_NONE: break;
    case H1_FRAME_LENGTH:
        PUT(writer, "content-length: ");
        put_number(writer, style->length);
        PUT(writer, "\r\n");
        break;
    case H1_FRAME_CHUNKED: PUT(writer, "transfer-encoding: chunked\r\n"); break;
    }
}

static void put_upgrade(struct writer *writer, struct slice upgrade)
{
    PUT(writer, "connection: upgrade\r\nupgrade: ");
    put_slice(writer, upgrade);
    PUT(writer, "\r\n");
}

/* --- heads -------------------------------------------------------------------------------------------------- */

enum { EXTRAS_MAX = 192 }; /* the start line's fixed parts and all fields of our own */

static void reserve(struct writer *writer, size_t size)
{
    size = MIN(size, (size_t)BLOCK_LARGE_CAPACITY);
    writer->start = writer->at = chain_reserve(writer->out, writer->pool, size);
    writer->end = writer->at ? writer->at + size : NULL;
    writer->refused = !writer->at;
}

static bool finish(struct writer *writer)
{
    commit(writer);
    return !writer->refused;
}

bool h1_write_request(struct chain *out, struct block_pool *pool, const struct http_request *head,
                      const struct h1_head_style *style)
{
    bool is_connect = head->method == HTTP_CONNECT;
    struct slice target = is_connect ? head->authority : head->path;
    struct slice method = head->method_text;
    if (LIKELY(head->method != HTTP_OTHER_METHOD))
        method = http_method_text((enum http_method)head->method);
    else if (!is_token(method.data, method.size))
        return false;
    /* Nothing that came in through configuration or a filter may break the line. */
    if (!is_one_word(target.data, target.size) || target.size == 0 ||
        !is_one_word(head->authority.data, head->authority.size))
        return false;
    struct writer writer = {.out = out, .pool = pool};
    reserve(&writer, fields_size(&head->headers) + method.size + target.size +
                         head->authority.size + head->upgrade.size + EXTRAS_MAX);
    put_slice(&writer, method);
    PUT(&writer, " ");
    put_slice(&writer, target);
    PUT(&writer, " HTTP/1.1\r\nhost: ");
    put_slice(&writer, head->authority);
    PUT(&writer, "\r\n");
    put_fields(&writer, &head->headers);
    if (style->framing != H1_FRAME_NONE)
        put_framing(&writer, style);
    if (head->upgrade.size > 0)
        put_upgrade(&writer, head->upgrade);
    else if (headers_has(&head->headers, HEADER_TE))
        PUT(&writer, "connection: te\r\n");
    PUT(&writer, "\r\n");
    return finish(&writer);
}

bool h1_write_response(struct chain *out, struct block_pool *pool, const struct http_response *head,
                       const struct h1_head_style *style)
{
    struct writer writer = {.out = out, .pool = pool};
    reserve(&writer, fields_size(&head->headers) + head->upgrade.size + EXTRAS_MAX);
    put_status(&writer, head->status);
    put_fields(&writer, &head->headers);
    put_framing(&writer, style);
    if (head->status == 101)
        put_upgrade(&writer, head->upgrade);
    else if (style->close)
        PUT(&writer, "connection: close\r\n");
    else if (style->keep_alive)
        PUT(&writer, "connection: keep-alive\r\n");
    PUT(&writer, "\r\n");
    return finish(&writer);
}

bool h1_write_trailers(struct chain *out, struct block_pool *pool, const struct headers *trailers)
{
    struct writer writer = {.out = out, .pool = pool};
    reserve(&writer, fields_size(trailers) + 2);
    put_fields(&writer, trailers);
    PUT(&writer, "\r\n");
    return finish(&writer);
}
