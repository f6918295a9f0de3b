#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "tls/client_hello.h"

/* A hello is built from its extensions, and cut into records and blocks in every way. */

static void put_u8(struct buffer *to, size_t value)
{
    buffer_append_byte(to, (char)value);
}

static void put_u16(struct buffer *to, size_t value)
{
    put_u8(to, value >> 8);
    put_u8(to, value);
}

static void put_text(struct buffer *to, struct slice text)
{
    put_u16(to, text.size);
    buffer_append_slice(to, text);
}

/* The handshake message with these extensions. */
static struct buffer message(struct slice extensions)
{
    struct buffer body = {0}, all = {0};
    put_u16(&body, 0x0303);
    for (int i = 0; i < 32; i++)
        put_u8(&body, (size_t)i);
    put_u8(&body, 3);
    buffer_append_str(&body, "sid");
    put_text(&body, SLICE("\x13\x01\x13\x02"));
    put_u8(&body, 1);
    put_u8(&body, 0);
    put_text(&body, extensions);
    put_u8(&all, 1);
    put_u8(&all, body.size >> 16);
    put_u16(&all, body.size);
    buffer_append_slice(&all, buffer_slice(&body));
    buffer_fini(&body);
    return all;
}

/* Records of at most `piece` bytes. */
static struct buffer records(struct slice bytes, size_t piece)
{
    struct buffer wire = {0};
    while (bytes.size > 0) {
        struct slice part = slice_take(&bytes, MIN(bytes.size, piece));
        put_u8(&wire, 22);
        put_u16(&wire, 0x0301);
        put_text(&wire, part);
    }
    return wire;
}

static void put_extension(struct buffer *to, size_t type, struct slice content)
{
    put_u16(to, type);
    put_text(to, content);
}

static void put_server_name(struct buffer *to, struct slice name)
{
    struct buffer content = {0};
    put_u16(&content, name.size + 3);
    put_u8(&content, 0);
    put_text(&content, name);
    put_extension(to, 0, buffer_slice(&content));
    buffer_fini(&content);
}

static struct buffer good_extensions(void)
{
    struct buffer extensions = {0};
    put_extension(&extensions, 0x0a0a, SLICE("")); /* grease */
    put_server_name(&extensions, SLICE("Pay.Shop.Example."));
    put_extension(&extensions, 16, SLICE("\0\x0c\x02h2\x08http/1.1"));
    put_extension(&extensions, 43, SLICE("\x06\x7a\x7a\x03\x04\x03\x03"));
    put_extension(&extensions, 51, SLICE("a key share"));
    return extensions;
}

/* Shown in segments of `step` bytes, growing by a segment at a time; every state but the last must be MORE. */
static enum client_hello_status show(struct slice wire, size_t step, struct client_hello *hello)
{
    struct chain chain = {0};
    enum client_hello_status status = CLIENT_HELLO_MORE;
    while (wire.size > 0 && status == CLIENT_HELLO_MORE) {
        struct slice part = slice_take(&wire, MIN(wire.size, step));
        /* Copies, so that neighbours in memory do not join into one segment. */
        char *copy = mem_alloc(part.size + 1);
        memcpy(copy, part.data, part.size);
        chain_append_static(&chain, slice_of(copy, part.size));
        status = client_hello_peek(&chain, hello);
    }
    for (uint32_t i = 0; i < chain.count; i++)
        mem_free((char *)(uintptr_t)chain_segment(&chain, i)->data);
    chain_fini(&chain);
    return status;
}

TEST(name_protocols_and_version_are_found_in_every_cut)
{
    static const size_t pieces[] = {1, 2, 3, 7, 50, 16384};
    struct buffer extensions = good_extensions(), hello_bytes = message(buffer_slice(&extensions));
    EACH (piece, pieces) {
        struct buffer wire = records(buffer_slice(&hello_bytes), *piece);
        EACH (step, pieces) {
            struct client_hello hello;
            CHECK(show(buffer_slice(&wire), *step, &hello) == CLIENT_HELLO_DONE,
                  "records of %zu, by %zu", *piece, *step);
            CHECK(slice_equals_str(client_hello_server_name(&hello), "pay.shop.example"));
            CHECK(hello.max_version == 0x0304);
            struct slice name;
            size_t at = 0;
            CHECK(client_hello_next_alpn(&hello, &at, &name) && slice_equals_str(name, "h2"));
            CHECK(client_hello_next_alpn(&hello, &at, &name) && slice_equals_str(name, "http/1.1"));
            CHECK(!client_hello_next_alpn(&hello, &at, &name));
        }
        buffer_fini(&wire);
    }
    buffer_fini(&hello_bytes);
    buffer_fini(&extensions);
}

TEST(other_protocols_are_told_by_their_first_bytes)
{
    static const struct slice firsts[] = {SLICE("GET / HTTP/1.1\r\n"),
                                          SLICE("PRI * HTTP/2.0\r\n"),
                                          SLICE("\x16\x02"),
                                          SLICE("\x80\x2e\x01\x00\x02"),
                                          SLICE("S"),
                                          SLICE("\0"),
                                          SLICE("\x15\x03\x01\x00\x02\x02\x28")};
    EACH (first, firsts) {
        struct client_hello hello;
        CHECK(show(*first, 1, &hello) == CLIENT_HELLO_NOT_TLS, "%.*s", SLICE_ARG(*first));
    }
    struct chain nothing = {0};
    struct client_hello hello;
    CHECK(client_hello_peek(&nothing, &hello) == CLIENT_HELLO_MORE);
}

static void check_bad(struct slice extensions, const char *what)
{
    struct buffer bytes = message(extensions), wire = records(buffer_slice(&bytes), 16384);
    struct client_hello hello;
    CHECK(show(buffer_slice(&wire), 16384, &hello) == CLIENT_HELLO_BAD, "%s", what);
    CHECK(hello.why != NULL && *hello.why, "%s", what);
    buffer_fini(&bytes);
    buffer_fini(&wire);
}

TEST(malformed_extensions_are_refused)
{
    static const struct {
        const char *what;
        struct slice extensions;
    } rows[] = {
        {"half an extension", SLICE("\0\0\0")},
        {"an extension past the end", SLICE("\0\x0a\0\x05"
                                            "abc")},
        {"an empty list of names", SLICE("\0\0\0\0")},
        {"an empty name", SLICE("\0\0\0\5\0\3\0\0\0")},
        {"a list longer than its extension", SLICE("\0\0\0\6\0\5\0\0\1x")},
        {"a list shorter than its extension", SLICE("\0\0\0\6\0\3\0\0\1x")},
        {"a name longer than its list", SLICE("\0\0\0\6\0\4\0\0\2x")},
        {"a NUL in the name", SLICE("\0\0\0\x08\0\6\0\0\3a\0b")},
        {"a blank in the name", SLICE("\0\0\0\x08\0\6\0\0\3a b")},
        {"a dot for a name", SLICE("\0\0\0\6\0\4\0\0\1.")},
        {"two names in a list", SLICE("\0\0\0\x0a\0\x08\0\0\1a\0\0\1b")},
        {"a name of another kind", SLICE("\0\0\0\6\0\4\1\0\1x")},
        {"two extensions of names", SLICE("\0\0\0\6\0\4\0\0\1x\0\0\0\6\0\4\0\0\1y")},
        {"an empty list of protocols", SLICE("\0\x10\0\2\0\0")},
        {"an empty protocol", SLICE("\0\x10\0\3\0\1\0")},
        {"a protocol past its list", SLICE("\0\x10\0\4\0\2\2h")},
        {"two lists of protocols", SLICE("\0\x10\0\4\0\2\1a\0\x10\0\4\0\2\1b")},
        {"half a version", SLICE("\0\x2b\0\4\3\3\4\3")},
        {"a list of versions that lies", SLICE("\0\x2b\0\3\4\3\4")},
    };
    EACH (row, rows)
        check_bad(row->extensions, row->what);
}

TEST(limits_hold_to_the_byte)
{
    char name[300];
    memset(name, 'a', sizeof(name));
    struct buffer extensions = {0};
    put_server_name(&extensions, slice_of(name, CLIENT_HELLO_NAME_MAX + 1));
    check_bad(buffer_slice(&extensions), "a name of 256 bytes");
    buffer_reset(&extensions);
    put_server_name(&extensions, slice_of(name, CLIENT_HELLO_NAME_MAX));
    struct buffer bytes = message(buffer_slice(&extensions)),
                  wire = records(buffer_slice(&bytes), 16384);
    struct client_hello hello;
    CHECK(show(buffer_slice(&wire), 16384, &hello) == CLIENT_HELLO_DONE);
    CHECK(hello.server_name_size == CLIENT_HELLO_NAME_MAX);
    buffer_fini(&wire);
    buffer_fini(&bytes);
    buffer_fini(&extensions);

    /* The size of a message is refused as soon as it is told. */
    CHECK(show(SLICE("\x16\3\1\0\x40\1\1\0\1"), 16384, &hello) == CLIENT_HELLO_BAD);
    CHECK(show(SLICE("\x16\3\1\0\x40\1\1\0\0"), 16384, &hello) == CLIENT_HELLO_MORE);
    CHECK(show(SLICE("\x16\3\1\x40\1\1\0\0\0"), 16384, &hello) == CLIENT_HELLO_BAD,
          "a record over 16 KB");
    CHECK(show(SLICE("\x16\3\1\0\0"), 16384, &hello) == CLIENT_HELLO_BAD, "an empty record");
    CHECK(show(SLICE("\x16\3\1\0\x40\2\0\0\4"), 16384, &hello) == CLIENT_HELLO_BAD,
          "a server's hello");

    put_extension(&extensions, 21, slice_of(name, 300));
    for (int i = 0; i < 4; i++)
        put_extension(&extensions, 21, slice_of(name, 250));
    bytes = message(buffer_slice(&extensions));
    CHECK(bytes.size > CLIENT_HELLO_RECORDS_MAX);
    wire = records(buffer_slice(&bytes), 1);
    CHECK(show(buffer_slice(&wire), 16384, &hello) == CLIENT_HELLO_BAD, "too many records");
    buffer_fini(&wire);
    wire = records(buffer_slice(&bytes), 2);
    CHECK(show(buffer_slice(&wire), 16384, &hello) == CLIENT_HELLO_DONE);
    buffer_fini(&wire);
    buffer_fini(&bytes);
    buffer_fini(&extensions);
}

TEST(a_long_list_of_protocols_is_kept_as_far_as_there_is_room)
{
    struct buffer list = {0}, content = {0}, extensions = {0};
    for (int i = 0; i < 40; i++)
        buffer_append_str(&list, "\x09protocol!");
    put_text(&content, buffer_slice(&list));
    put_extension(&extensions, 16, buffer_slice(&content));
    struct buffer bytes = message(buffer_slice(&extensions)),
                  wire = records(buffer_slice(&bytes), 16384);
    struct client_hello hello;
    CHECK(show(buffer_slice(&wire), 16384, &hello) == CLIENT_HELLO_DONE);
    CHECK(hello.alpn_size == 250, "whole names only: %u", hello.alpn_size);
    buffer_fini(&list);
    buffer_fini(&content);
    buffer_fini(&extensions);
    buffer_fini(&bytes);
    buffer_fini(&wire);
}

TEST(an_old_hello_without_extensions_is_read)
{
    struct buffer bytes = message(SLICE_NONE);
    bytes.size -= 2; /* nor their length */
    bytes.data[3] = (char)(bytes.size - 4);
    struct buffer wire = records(buffer_slice(&bytes), 16384);
    struct client_hello hello;
    CHECK(show(buffer_slice(&wire), 1, &hello) == CLIENT_HELLO_DONE);
    CHECK(hello.max_version == 0x0303 && hello.server_name_size == 0 && hello.alpn_size == 0);
    buffer_fini(&bytes);
    buffer_fini(&wire);
}
