#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <errno.h>
#include <unistd.h>

TEST(buffer_appends)
{
    owned_buffer buffer = {0};
    CHECK(buffer_equals(&buffer, ""));
    buffer_append_str(&buffer, "a");
    buffer_append_byte(&buffer, 'b');
    buffer_append_slice(&buffer, SLICE("cd"));
    buffer_append_slice(&buffer, SLICE_NONE);
    buffer_append_u64(&buffer, 0);
    buffer_append_u64(&buffer, UINT64_MAX);
    buffer_format(&buffer, "-%d", -5);
    CHECK(buffer_equals(&buffer, "abcd018446744073709551615--5"), "%s", buffer.data);
    buffer_reset(&buffer);
    CHECK(buffer.size == 0 && buffer.data[0] == '\0');
    char *text = buffer_take(&buffer), *none = buffer_take(&buffer);
    CHECK(strcmp(text, "") == 0 && strcmp(none, "") == 0);
    mem_free(text);
    mem_free(none);
}

TEST(buffer_is_terminated_at_every_size)
{
    owned_buffer buffer = {0};
    for (size_t size = 1; size < 1000; size++) {
        buffer_append_byte(&buffer, 'x');
        CHECK(buffer.size == size && strlen(buffer.data) == size);
    }
}

TEST(buffer_formats_what_is_longer_than_its_room)
{
    for (int width = 0; width < 300; width++) {
        owned_buffer buffer = {0};
        buffer_append_str(&buffer, "head");
        buffer_format(&buffer, "%*s|", width, "");
        CHECK(buffer.size == (size_t)width + 5 && buffer.data[buffer.size - 1] == '|', "%d", width);
    }
}

TEST(buffer_escapes_json)
{
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        {{"plain", 5}, "plain"},
        {{"\"\\/\b\f\n\r\t", 8}, "\\\"\\\\/\\b\\f\\n\\r\\t"},
        {{"\0\x1f\x7f", 3}, "\\u0000\\u001f\\u007f"},
        {{"\xe2\x82\xac", 3}, "\xe2\x82\xac"},
        {{"a\xff"
          "b",
          3},
         "a\xef\xbf\xbd"
         "b"},
        {{"\xe2\x82", 2}, "\xef\xbf\xbd\xef\xbf\xbd"},
        {{NULL, 0}, ""},
    };
    EACH (c, cases) {
        owned_buffer buffer = {0};
        buffer_append_json(&buffer, c->in);
        CHECK(buffer_equals(&buffer, c->out), "%s", buffer.data);
    }
}

/* RFC 4648, section 10. */
TEST(buffer_writes_base64)
{
    static const struct {
        const char *in, *padded, *bare;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+", "-__-"},
    };
    EACH (c, cases) {
        owned_buffer standard = {0}, url = {0};
        buffer_append_base64(&standard, slice_str(c->in), false);
        buffer_append_base64(&url, slice_str(c->in), true);
        CHECK(buffer_equals(&standard, c->padded), "%s", standard.data);
        CHECK(buffer_equals(&url, c->bare), "%s", url.data);
    }
}

TEST(base64_values_are_those_of_what_is_written)
{
    for (int url = 0; url < 2; url++)
        for (int value = 0; value < 64; value++) {
            struct buffer text = {0};
            const char top = (char)(value << 2);
            buffer_append_base64(&text, slice_of(&top, 1), url);
            CHECK(base64_value(text.data[0], url) == value, "%c", text.data[0]);
            buffer_fini(&text);
        }
    CHECK(base64_value('-', false) == -1 && base64_value('+', true) == -1);
    CHECK(base64_value('=', false) == -1 && base64_value('\0', true) == -1);
}

TEST(buffer_reads_files_up_to_a_limit)
{
    char path[] = "/tmp/tulle-buffer-XXXXXX";
    int fd = mkstemp(path);
    owned_buffer big = {0};
    for (size_t i = 0; i < 50000; i++)
        buffer_append_byte(&big, (char)i);
    CHECK(fd >= 0 && write(fd, big.data, big.size) == 50000);
    close(fd);

    owned_buffer read = {0};
    buffer_append_str(&read, "before");
    CHECK(buffer_read_file(&read, path, 49999) == -EFBIG, "one byte over the limit");
    CHECK(buffer_equals(&read, "before"), "nothing is left behind");
    CHECK(buffer_read_file(&read, path, 50000) == 0);
    CHECK(read.size == 50006 && memcmp(read.data + 6, big.data, 50000) == 0);
    unlink(path);
    CHECK(buffer_read_file(&read, path, 50000) == -ENOENT);
    CHECK(buffer_read_file(&read, "/", 50000) == -EISDIR);
    CHECK(read.size == 50006);
    owned_buffer proc = {0};
    CHECK(buffer_read_file(&proc, "/proc/self/stat", 4096) == 0 && proc.size > 10,
          "a file that tells no size");
}
