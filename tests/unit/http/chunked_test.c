#include "http/chunked.h"

#include "base/buffer.h"
#include "http/message.h"
#include "test.h"

/* Decodes a body given in pieces; the rest behind the end is put into *rest. */
static enum chunked_status decode(const char *wire, size_t piece, struct buffer *body,
                                  enum http_refusal *refusal)
{
    struct chunked chunked;
    struct slice all = slice_str(wire);
    enum chunked_status status = CHUNKED_MORE;
    chunked_init(&chunked);
    while (all.size > 0) {
        struct slice in = slice_take(&all, MIN(piece, all.size));
        size_t size = 0;
        while ((status = chunked_read(&chunked, &http_limits_default, &in, &size)) ==
               CHUNKED_BYTES) {
            CHECK(size > 0 && size <= in.size);
            buffer_append_slice(body, slice_take(&in, size));
        }
        *refusal = (enum http_refusal)chunked.refusal;
        if (status != CHUNKED_MORE)
            return status;
        CHECK(in.size == 0);
    }
    return status;
}

static const struct {
    const char *name, *wire, *body;
    enum chunked_status end;
} cases[] = {
    {"two chunks", "3\r\nfoo\r\n3\r\nbar\r\n0\r\n", "foobar", CHUNKED_END},
    {"upper and lower digits", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n",
     "01234567890123456789", CHUNKED_END},
    {"zeros before", "0000000000000003\r\nfoo\r\n000\r\n", "foo", CHUNKED_END},
    {"extensions", "3;a;b=c;d=\"e;\\\"f\"\r\nfoo\r\n0;x\r\n", "foo", CHUNKED_END},
    {"empty extension", "3;\r\nfoo\r\n0\r\n", "foo", CHUNKED_END},
    {"8-bit quoted", "3;a=\"\x80\"\r\nfoo\r\n0\r\n", "foo", CHUNKED_END},
    {"8-bit extension", "3;\x80\r\n", "", CHUNKED_BAD},
    {"cut short", "5\r\nhel", "hel", CHUNKED_MORE},
    {"cut in a size", "5", "", CHUNKED_MORE},
    {"bare LF", "5\nhello\r\n0\r\n", "", CHUNKED_BAD},
    {"size overflows", "11111111111111111\r\n", "", CHUNKED_BAD},
    {"size is too large", "1000000000000000\r\n", "", CHUNKED_BAD},
    {"no size", "\r\n", "", CHUNKED_BAD},
    {"quoted end of line", "3;a=\"\r\n", "", CHUNKED_BAD},
    {"escaped control", "3;a=\"\\\r\n", "", CHUNKED_BAD},
    {"data too long", "3\r\nfooo\r\n", "foo", CHUNKED_BAD},
};

TEST(chunked_reads_the_same_body_however_it_is_cut)
{
    EACH (c, cases) {
        for (size_t piece = 1; piece <= strlen(c->wire); piece++) {
            struct buffer body = {0};
            enum http_refusal refusal = HTTP_REFUSAL_NONE;
            CHECK(decode(c->wire, piece, &body, &refusal) == c->end, "%s, by %zu", c->name, piece);
            CHECK(slice_equals_str(buffer_slice(&body), c->body), "%s, by %zu", c->name, piece);
            CHECK((refusal != HTTP_REFUSAL_NONE) == (c->end == CHUNKED_BAD), "%s", c->name);
            buffer_fini(&body);
        }
    }
}

TEST(what_is_written_reads_back)
{
    static const uint64_t sizes[] = {0,   1,    15,    16,       255,
                                     256, 4096, 65535, 1u << 30, ((uint64_t)1 << 60) - 1};
    EACH (size, sizes) {
        char text[CHUNK_HEAD_MAX + 1], expected[32];
        text[chunk_head(text, *size)] = '\0';
        snprintf(expected, sizeof(expected), "%llx\r\n", (unsigned long long)*size);
        CHECK(strcmp(text, expected) == 0, "%s", text);
        struct chunked chunked;
        struct slice in = slice_str(text);
        size_t none;
        chunked_init(&chunked);
        enum chunked_status status = chunked_read(&chunked, &http_limits_default, &in, &none);
        CHECK(status == (*size ? CHUNKED_MORE : CHUNKED_END) && chunked.left == *size);
    }
}

/* The place behind the last chunk's line is where trailers begin, to the byte. */
TEST(the_end_leaves_what_follows)
{
    struct chunked chunked;
    struct slice in = SLICE("0\r\nx: y\r\n\r\n");
    size_t none;
    chunked_init(&chunked);
    CHECK(chunked_read(&chunked, &http_limits_default, &in, &none) == CHUNKED_END);
    CHECK(slice_equals_str(in, "x: y\r\n\r\n"));
}
