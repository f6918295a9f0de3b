#include "proxy/listen/proxy_header.h"

#include "base/buffer.h"
#include "test.h"

#include <stdio.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define FOUR "\xcb\0\x71\7\xc0\0\2\1\x12\x67\1\xbb"

/* Shown in growing pieces, as bytes come: the verdict must be that of the whole. */
static enum proxy_header_status peek(struct slice wire, struct proxy_header *header)
{
    enum proxy_header_status status = PROXY_HEADER_MORE;
    for (size_t size = 0; size <= wire.size && status == PROXY_HEADER_MORE; size++) {
        struct chain bytes = {0};
        size_t half = size / 2;
        chain_append_static(&bytes, slice_of(wire.data, half));
        chain_append_static(&bytes, slice_of(wire.data + half, size - half));
        status = proxy_header_peek(&bytes, header);
        chain_fini(&bytes);
    }
    return status;
}

#define WIRE(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct {
    const char *name;
    struct slice wire;
    enum proxy_header_status status;
    const char *source, *destination; /* NULL: local */
} rows[] = {
    {"v1", WIRE("PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"), PROXY_HEADER_DONE,
     "203.0.113.7:4711", "192.0.2.1:443"},
    {"v1 IPv6", WIRE("PROXY TCP6 2001:db8::7 ::1 1 65535\r\n"), PROXY_HEADER_DONE,
     "[2001:db8::7]:1", "[::1]:65535"},
    {"v1 unknown", WIRE("PROXY UNKNOWN\r\n"), PROXY_HEADER_DONE, NULL, NULL},
    {"v1 unknown with words", WIRE("PROXY UNKNOWN ffff:: :: 1 2\r\n"), PROXY_HEADER_DONE, NULL,
     NULL},
    {"v1 cut", WIRE("PROXY TCP4 203.0.113.7"), PROXY_HEADER_MORE, NULL, NULL},
    {"v1 bare LF", WIRE("PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n"), PROXY_HEADER_BAD, NULL,
     NULL},
    {"v1 two spaces", WIRE("PROXY TCP4  203.0.113.7 192.0.2.1 4711 443\r\n"), PROXY_HEADER_BAD,
     NULL, NULL},
    {"v1 wrong family", WIRE("PROXY TCP4 ::1 ::2 4711 443\r\n"), PROXY_HEADER_BAD, NULL, NULL},
    {"v1 leading zero", WIRE("PROXY TCP4 203.0.113.7 192.0.2.1 04711 443\r\n"), PROXY_HEADER_BAD,
     NULL, NULL},
    {"v1 large port", WIRE("PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n"), PROXY_HEADER_BAD,
     NULL, NULL},
    {"v1 five words", WIRE("PROXY TCP4 203.0.113.7 192.0.2.1 1 2 3\r\n"), PROXY_HEADER_BAD, NULL,
     NULL},
    {"v2", WIRE(SIGNATURE "\x21\x11\0\x0c" FOUR), PROXY_HEADER_DONE, "203.0.113.7:4711",
     "192.0.2.1:443"},
    {"v2 with more", WIRE(SIGNATURE "\x21\x11\0\x10" FOUR "\4\0\1x"), PROXY_HEADER_DONE,
     "203.0.113.7:4711", "192.0.2.1:443"},
    {"v2 local", WIRE(SIGNATURE "\x20\0\0\0"), PROXY_HEADER_DONE, NULL, NULL},
    {"v2 datagrams", WIRE(SIGNATURE "\x21\x12\0\x0c" FOUR), PROXY_HEADER_DONE, NULL, NULL},
    {"v2 short", WIRE(SIGNATURE "\x21\x11\0\x0b" FOUR), PROXY_HEADER_BAD, NULL, NULL},
    {"v2 cut", WIRE(SIGNATURE "\x21\x11\0\x0c\xcb"), PROXY_HEADER_MORE, NULL, NULL},
    {"v2 version", WIRE(SIGNATURE "\x11\x11\0\x0c" FOUR), PROXY_HEADER_BAD, NULL, NULL},
    {"v2 command", WIRE(SIGNATURE "\x22\x11\0\x0c" FOUR), PROXY_HEADER_BAD, NULL, NULL},
    {"HTTP", WIRE("GET / HTTP/1.1\r\n"), PROXY_HEADER_NONE, NULL, NULL},
    {"P, but no PROXY", WIRE("PRI * HTTP/2.0"), PROXY_HEADER_NONE, NULL, NULL},
};

TEST(headers_are_read_however_they_come)
{
    EACH (row, rows) {
        struct proxy_header header;
        char text[ADDRESS_TEXT];
        enum proxy_header_status status = peek(row->wire, &header);
        CHECK(status == row->status, "%s: %d", row->name, status);
        if (status == PROXY_HEADER_BAD)
            CHECK(header.why != NULL, "%s", row->name);
        if (status != PROXY_HEADER_DONE)
            continue;
        CHECK(header.size == row->wire.size, "%s: %u", row->name, header.size);
        CHECK(header.is_local == (row->source == NULL), "%s", row->name);
        if (header.is_local)
            continue;
        address_format(&header.source, text);
        CHECK(strcmp(text, row->source) == 0, "%s: %s", row->name, text);
        address_format(&header.destination, text);
        CHECK(strcmp(text, row->destination) == 0, "%s: %s", row->name, text);
    }
}

TEST(a_header_has_so_many_bytes_and_not_one_more)
{
    char line[200] = "PROXY UNKNOWN ";
    struct proxy_header header;
    memset(line + 14, 'x', sizeof(line) - 14);
    memcpy(line + PROXY_V1_BYTES_MAX - 2, "\r\n", 2);
    CHECK(peek(slice_of(line, PROXY_V1_BYTES_MAX), &header) == PROXY_HEADER_DONE);
    memset(line + PROXY_V1_BYTES_MAX - 2, 'x', 2);
    memcpy(line + PROXY_V1_BYTES_MAX - 1, "\r\n", 2);
    CHECK(peek(slice_of(line, PROXY_V1_BYTES_MAX + 1), &header) == PROXY_HEADER_BAD);

    static char binary[PROXY_V2_BYTES_MAX + 1];
    for (size_t more = 0; more < 2; more++) {
        size_t size = PROXY_V2_BYTES_MAX - 16 + more;
        memcpy(binary, SIGNATURE "\x21\x11", 14);
        binary[14] = (char)(size >> 8);
        binary[15] = (char)size;
        memcpy(binary + 16, FOUR, 12);
        CHECK(peek(slice_of(binary, 16 + size), &header) ==
              (more ? PROXY_HEADER_BAD : PROXY_HEADER_DONE));
    }
}

TEST(what_is_written_is_read_again)
{
    static const char *const pairs[][2] = {{"203.0.113.7:4711", "192.0.2.1:443"},
                                           {"[2001:db8::7]:1", "[::1]:65535"},
                                           {"203.0.113.7:4711", "[::1]:443"}};
    for (uint8_t version = 1; version <= 2; version++) {
        EACH (pair, pairs) {
            struct address source, destination;
            struct proxy_header header;
            char out[PROXY_V1_BYTES_MAX + 1];
            CHECK(address_parse(slice_str((*pair)[0]), &source));
            CHECK(address_parse(slice_str((*pair)[1]), &destination));
            size_t size = proxy_header_write(version, &source, &destination, out);
            CHECK(peek(slice_of(out, size), &header) == PROXY_HEADER_DONE, "v%u %s", version,
                  (*pair)[0]);
            CHECK(header.version == version && header.size == size);
            bool is_mixed = pair == &pairs[2];
            CHECK(header.is_local == is_mixed);
            if (!is_mixed)
                CHECK(address_equals(&header.source, &source) &&
                      address_equals(&header.destination, &destination));
        }
    }
}
