#include "test.h"

#include "base/chain.h"
#include "base/memory.h"
#include "proxy/listen/detect.h"

static enum detected_http detect(const char *wire, size_t size)
{
    struct chain chain = {0};
    chain_append_static(&chain, slice_of(wire, size));
    enum detected_http found = detect_http(&chain);
    chain_fini(&chain);
    return found;
}

static const struct {
    const char *wire;
    enum detected_http found;
} cases[] = {
    {"GET / HTTP/1.1\r\n", DETECTED_HTTP_11},
    {"\r\nGET / HTTP/1.1\r\n", DETECTED_HTTP_11},
    {"GET / HTTP/1.0\n", DETECTED_HTTP_10},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", DETECTED_HTTP_2},
    {"PRI /x HTTP/1.1\r\n", DETECTED_HTTP_11},
    {"GET / HTTP/2.7\r\n", DETECTED_OTHER},
    {"GET /\r\n", DETECTED_OTHER},
    {"\x16\x03\x01", DETECTED_OTHER},
    {"PROXY", DETECTED_MORE},
    {"", DETECTED_MORE},
};

TEST(what_it_is_is_known_from_the_whole)
{
    EACH (c, cases)
        CHECK(detect(c->wire, strlen(c->wire)) == c->found, "%s", c->wire);
}

TEST(the_verdict_does_not_depend_on_the_cut)
{
    EACH (c, cases) {
        enum detected_http found = DETECTED_MORE;
        for (size_t size = 1; size <= strlen(c->wire) && found == DETECTED_MORE; size++)
            found = detect(c->wire, size);
        CHECK(found == c->found, "%s", c->wire);
    }
}

TEST(a_request_line_of_one_byte_more_is_not_waited_for)
{
    char *line = mem_alloc(DETECT_HTTP_BYTES);
    memset(line, 'a', DETECT_HTTP_BYTES);
    CHECK(detect(line, DETECT_HTTP_BYTES - 1) == DETECTED_MORE);
    CHECK(detect(line, DETECT_HTTP_BYTES) == DETECTED_OTHER);
    mem_free(line);
}
