#include "tls/client_hello.h"

enum {
    RECORD_HANDSHAKE = 22,
    MESSAGE_CLIENT_HELLO = 1,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_ALPN = 16,
    EXTENSION_SUPPORTED_VERSIONS = 43,
    RECORD_MAX = 16384,
    HEADERS = 5 + 4, /* of the record and of the message */
};

/* Walks the message's bytes across blocks and records, forward only. */
struct walk {
    const struct chain *bytes;
    uint32_t segment;
    size_t offset;      /* in the segment */
    size_t record_left; /* bytes of the current record */
    size_t message_left;
    unsigned records;
    enum client_hello_status status; /* DONE while all is well */
    const char *why;
};

static bool stop(struct walk *walk, enum client_hello_status status, const char *why)
{
    if (walk->status == CLIENT_HELLO_DONE) {
        walk->status = status;
        walk->why = why;
    }
    return false;
}

/* Below the records: the next `size` bytes as they came; to NULL = skip them. */
static bool take_raw(struct walk *walk, void *to, size_t size)
{
    while (size > 0) {
        if (walk->segment == walk->bytes->count)
            return stop(walk, CLIENT_HELLO_MORE, NULL);
        const struct segment *segment = chain_segment(walk->bytes, walk->segment);
        size_t part = MIN(segment->size - walk->offset, size);
        if (to) {
            memcpy(to, segment->data + walk->offset, part);
            to = (char *)to + part;
        }
        size -= part;
        walk->offset += part;
        if (walk->offset == segment->size) {
            walk->segment++;
            walk->offset = 0;
        }
    }
    return true;
}

static bool next_record(struct walk *walk)
{
    uint8_t header[5];
    if (!take_raw(walk, header, sizeof(header)))
        return false;
    walk->record_left = (size_t)header[3] << 8 | header[4];
    if (header[0] != RECORD_HANDSHAKE || header[1] != 3)
        return stop(walk, CLIENT_HELLO_BAD,
                    "a record of another type stands in the client's hello");
    if (walk->record_left == 0 || walk->record_left > RECORD_MAX)
        return stop(walk, CLIENT_HELLO_BAD, "a record of the client's hello is empty or overlong");
    if (++walk->records > CLIENT_HELLO_RECORDS_MAX)
        return stop(walk, CLIENT_HELLO_BAD, "the client's hello is cut into too many records");
    return true;
}

static bool take(struct walk *walk, void *to, size_t size)
{
    if (size > walk->message_left)
        return stop(walk, CLIENT_HELLO_BAD, "a length in the client's hello passes its end");
    walk->message_left -= size;
    while (size > 0) {
        if (walk->record_left == 0 && !next_record(walk))
            return false;
        size_t part = MIN(walk->record_left, size);
        if (!take_raw(walk, to, part))
            return false;
        to = to ? (char *)to + part : NULL;
        walk->record_left -= part;
        size -= part;
    }
    return true;
}

static bool take_number(struct walk *walk, size_t size, size_t *number)
{
    uint8_t bytes[4] = {0};
    if (!take(walk, bytes, size))
        return false;
    *number = 0;
    for (size_t i = 0; i < size; i++)
        *number = *number << 8 | bytes[i];
    return true;
}

/* A length of `size` bytes and as many bytes as it says. */
static bool skip_vector(struct walk *walk, size_t size)
{
    size_t length;
    return take_number(walk, size, &length) && take(walk, NULL, length);
}

static bool is_host_byte(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool keep_host(struct walk *walk, struct client_hello *hello, size_t size)
{
    if (size == 0 || size > CLIENT_HELLO_NAME_MAX)
        return stop(walk, CLIENT_HELLO_BAD, "the server name is empty or longer than 255 bytes");
    if (!take(walk, hello->server_name, size))
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = hello->server_name[i];
        if (!is_host_byte(c))
            return stop(walk, CLIENT_HELLO_BAD,
                        "the server name holds a byte that is not printable");
        if (c >= 'A' && c <= 'Z')
            hello->server_name[i] = (char)(c + ('a' - 'A'));
    }
    if (hello->server_name[size - 1] == '.')
        size--;
    hello->server_name_size = (uint8_t)size;
    return size > 0 || stop(walk, CLIENT_HELLO_BAD, "the server name is only a dot");
}

/* RFC 6066 3: a list of names, of which one may be a host. */
static bool read_server_name(struct walk *walk, struct client_hello *hello, size_t length)
{
    size_t list, end = walk->message_left - length;
    if (hello->server_name_size > 0)
        return stop(walk, CLIENT_HELLO_BAD, "the client's hello has two server names");
    if (!take_number(walk, 2, &list))
        return false;
    if (walk->message_left < end || walk->message_left - end != list)
        return stop(walk, CLIENT_HELLO_BAD, "the server name's lengths disagree");
    while (walk->message_left > end) {
        size_t type, size;
        if (!take_number(walk, 1, &type) || !take_number(walk, 2, &size))
            return false;
        if (walk->message_left < end + size)
            return stop(walk, CLIENT_HELLO_BAD, "a server name passes the end of its list");
        if (type != 0 || hello->server_name_size > 0)
            return stop(walk, CLIENT_HELLO_BAD,
                        "the client's hello has two server names or an unknown kind");
        if (!keep_host(walk, hello, size))
            return false;
    }
    return true;
}

/* RFC 7301 3.1. */
static bool read_alpn(struct walk *walk, struct client_hello *hello, size_t length)
{
    size_t list, end = walk->message_left - length;
    if (hello->alpn_size > 0)
        return stop(walk, CLIENT_HELLO_BAD, "the client's hello has two lists of protocols");
    if (!take_number(walk, 2, &list))
        return false;
    if (walk->message_left < end || walk->message_left - end != list || list == 0)
        return stop(walk, CLIENT_HELLO_BAD,
                    "the list of protocols is empty, or its lengths disagree");
    bool has_room = true;
    while (walk->message_left > end) {
        size_t size;
        if (!take_number(walk, 1, &size))
            return false;
        if (size == 0 || walk->message_left < end + size)
            return stop(walk, CLIENT_HELLO_BAD,
                        "a protocol name is empty or passes the end of its list");
        has_room = has_room && hello->alpn_size + 1 + size <= CLIENT_HELLO_ALPN_BYTES_MAX;
        if (!take(walk, has_room ? hello->alpn + hello->alpn_size + 1 : NULL, size))
            return false;
        if (has_room) {
            hello->alpn[hello->alpn_size] = (uint8_t)size;
            hello->alpn_size = (uint16_t)(hello->alpn_size + 1 + size);
        }
    }
    return true;
}

/* RFC 8446 4.2.1: the highest version that exists; values that grease are above it. */
static bool read_versions(struct walk *walk, struct client_hello *hello, size_t length)
{
    size_t list, version, best = 0;
    if (!take_number(walk, 1, &list))
        return false;
    if (list + 1 != length || list % 2 != 0)
        return stop(walk, CLIENT_HELLO_BAD, "the list of versions is malformed");
    for (; list > 0; list -= 2) {
        if (!take_number(walk, 2, &version))
            return false;
        if (version <= 0x0304 && version > best)
            best = version;
    }
    hello->max_version = (uint16_t)best;
    return true;
}

static bool read_extension(struct walk *walk, struct client_hello *hello)
{
    size_t type, length;
    if (!take_number(walk, 2, &type) || !take_number(walk, 2, &length))
        return false;
    if (length > walk->message_left)
        return stop(walk, CLIENT_HELLO_BAD, "an extension passes the end of the client's hello");
    switch (type) {
    case EXTENSION_SERVER_NAME: return read_server_name(walk, hello, length);
    case EXTENSION_ALPN: return read_alpn(walk, hello, length);
    case EXTENSION_SUPPORTED_VERSIONS: return read_versions(walk, hello, length);
    default: return take(walk, NULL, length);
    }
}

/* RFC 8446 4.1.2. */
static bool read_hello(struct walk *walk, struct client_hello *hello)
{
    size_t version, extensions;
    if (!take_number(walk, 2, &version) || !take(walk, NULL, 32) || !skip_vector(walk, 1) ||
        !skip_vector(walk, 2) || !skip_vector(walk, 1))
        return false;
    hello->max_version = (uint16_t)MIN(version, (size_t)0x0303);
    if (walk->message_left == 0)
        return true;
    if (!take_number(walk, 2, &extensions))
        return false;
    if (extensions != walk->message_left)
        return stop(walk, CLIENT_HELLO_BAD, "the extensions do not fill the client's hello");
    while (walk->message_left > 0) {
        if (!read_extension(walk, hello))
            return false;
    }
    return true;
}

/* The message's own header; *whole tells whether it can be there at all yet. */
static bool read_header(struct walk *walk, bool *whole)
{
    size_t type, length;
    walk->message_left = 4;
    if (!take_number(walk, 1, &type))
        return false;
    if (type != MESSAGE_CLIENT_HELLO)
        return stop(walk, CLIENT_HELLO_BAD, "the first message is no client's hello");
    if (!take_number(walk, 3, &length))
        return false;
    if (length > CLIENT_HELLO_BYTES_MAX)
        return stop(walk, CLIENT_HELLO_BAD, "the client's hello is longer than 64 KB");
    walk->message_left = length;
    *whole = walk->bytes->size >= HEADERS + length;
    return true;
}

enum client_hello_status client_hello_peek(const struct chain *bytes, struct client_hello *hello)
{
    uint8_t first[2] = {RECORD_HANDSHAKE, 3};
    hello->server_name_size = 0;
    hello->alpn_size = 0;
    hello->max_version = 0;
    hello->why = NULL;
    chain_copy_out(bytes, 0, (char *)first, sizeof(first));
    if (first[0] != RECORD_HANDSHAKE || first[1] != 3)
        return CLIENT_HELLO_NOT_TLS;

    struct walk walk = {.bytes = bytes, .status = CLIENT_HELLO_DONE};
    bool whole = false;
    if (read_header(&walk, &whole)) {
        if (!whole)
            return CLIENT_HELLO_MORE;
        read_hello(&walk, hello);
    }
    hello->why = walk.why;
    return walk.status;
}

bool client_hello_next_alpn(const struct client_hello *hello, size_t *at, struct slice *name)
{
    if (*at >= hello->alpn_size)
        return false;
    *name = slice_of(hello->alpn + *at + 1, hello->alpn[*at]);
    *at += 1U + hello->alpn[*at];
    return true;
}
