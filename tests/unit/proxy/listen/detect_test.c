#include "proxy/listen/detect.h"

#include "test.h"

static const struct {
    const char *name, *wire;
    enum detected_http found;
} rows[] = {
    {"nothing yet", "", DETECTED_MORE},
    {"HTTP/1.1", "GET / HTTP/1.1\r\n", DETECTED_HTTP_11},
    {"HTTP/1.0", "GET /index.html HTTP/1.0\r\n", DETECTED_HTTP_10},
    {"a bare LF", "GET / HTTP/1.1\n", DETECTED_HTTP_11},
    {"an empty line first", "\r\nGET / HTTP/1.1\r\n", DETECTED_HTTP_11},
    {"a method of its own", "M-SEARCH * HTTP/1.1\r\n", DETECTED_HTTP_11},
    {"a line that may still come", "GET /a/long/pa", DETECTED_MORE},
    {"a method that may still come", "GE", DETECTED_MORE},
    {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", DETECTED_HTTP_2},
    {"half of HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nS", DETECTED_MORE},
    {"not quite HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSX", DETECTED_OTHER},
    {"a version that is none", "GET / HTTP/9.9\r\n", DETECTED_OTHER},
    {"no version", "GET /\r\n", DETECTED_OTHER},
    {"no target", "HELLO\r\n", DETECTED_OTHER},
    {"TLS", "\x16\x03\x01\x02\x01", DETECTED_OTHER},
    {"MySQL says nothing like it", "J\x01\x01\x01\n8.0\n", DETECTED_OTHER},
    {"Redis", "*1\r\n$4\r\nPING\r\n", DETECTED_OTHER},
};

TEST(protocols_are_told_by_their_first_bytes)
{
    EACH (row, rows) {
        struct chain bytes = {0};
        chain_append_static(&bytes, slice_str(row->wire));
        CHECK(detect_http(&bytes) == row->found, "%s: %d", row->name, detect_http(&bytes));
        CHECK(bytes.size == strlen(row->wire), "%s: nothing is consumed", row->name);
        chain_fini(&bytes);
    }
}

/* Bytes that come in any cuts lead to the same answer, and no answer is taken back. */
TEST(a_cut_changes_nothing)
{
    EACH (row, rows) {
        struct chain bytes = {0};
        enum detected_http found = DETECTED_MORE;
        for (size_t i = 0; i < strlen(row->wire) && found == DETECTED_MORE; i++) {
            chain_append_static(&bytes, slice_of(row->wire + i, 1));
            found = detect_http(&bytes);
        }
        CHECK(found == row->found, "%s: %d", row->name, found);
        chain_fini(&bytes);
    }
}

TEST(a_line_without_end_is_no_http)
{
    static char line[DETECT_HTTP_BYTES + 1];
    memset(line, 'a', sizeof(line));
    memcpy(line, "GET /", 5);
    struct chain bytes = {0};
    chain_append_static(&bytes, slice_of(line, DETECT_HTTP_BYTES - 1));
    CHECK(detect_http(&bytes) == DETECTED_MORE, "one byte less than the limit");
    chain_append_static(&bytes, slice_of(line + DETECT_HTTP_BYTES - 1, 1));
    CHECK(detect_http(&bytes) == DETECTED_OTHER, "at the limit");
    chain_append_static(&bytes, SLICE("a"));
    CHECK(detect_http(&bytes) == DETECTED_OTHER, "beyond it");
    chain_fini(&bytes);
}
