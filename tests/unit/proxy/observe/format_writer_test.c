#include "proxy/observe/format_writer.h"

#include "base/clock.h"
#include "build/format.h"
#include "http/message.h"
#include "io/address.h"
#include "match/table_memory.h"
#include "proxy/observe/record.h"

#include "test.h"

static struct record record_of(struct http_request *head, const char *path, size_t size)
{
    http_request_init(head);
    head->path = slice_of(path, size);
    head->method_text = SLICE("GET");
    struct record record = {.request = head,
                            .status = 200,
                            .bytes_sent = UINT64_MAX,
                            .start_us = 1000,
                            .end_us = 2500,
                            .start_wall_us = 1767225600123456};
    static struct address upstream, upstream_local;
    CHECK(address_parse(SLICE("127.0.0.255:65535"), &upstream));
    record.upstream_address = &upstream;
    CHECK(address_parse(SLICE("[2001:db8::1]:80"), &record.original_destination));
    static struct address_packed local, peer;
    struct address end;
    CHECK(address_parse(SLICE("10.0.0.1:8080"), &end));
    local = address_pack(&end);
    CHECK(address_parse(SLICE("10.0.0.2:3333"), &end));
    peer = address_pack(&end);
    record.downstream_local = &local;
    record.downstream_peer = &peer;
    CHECK(address_parse(SLICE("10.0.0.3:4444"), &upstream_local));
    record.upstream_local = &upstream_local;
    return record;
}

static size_t render(const char *text, const struct record *record, char *to, size_t room,
                     bool *is_cut)
{
    struct format format;
    struct table_memory memory;
    table_memory_init(&memory);
    struct build_options options = {0};
    owned_error error = {0};
    CHECK(format_build_text(&format, slice_str(text), &options, &memory, &error), "%s", text);
    struct clock_text clock = {0};
    struct line line = {to, to, to + room, &clock, false};
    format_render(&format, record, &line);
    table_memory_fini(&memory);
    *is_cut = line.is_cut;
    return (size_t)(line.at - line.start);
}

static const struct {
    const char *format, *line;
} cases[] = {
    {"%RESPONSE_CODE% %BYTES_SENT% %BYTES_RECEIVED% %DURATION%", "200 18446744073709551615 0 1"},
    {"%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "127.0.0.255:65535 127.0.0.255"},
    {"%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_PORT%", "[2001:db8::1]:80 80"},
    {"%DOWNSTREAM_DIRECT_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%",
     "10.0.0.1:8080 10.0.0.2:3333"},
    {"%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.0.0.3:4444 10.0.0.2:3333"},
    {"%START_TIME%", "2026-01-01T00:00:00.123Z"},
    {"%REQ(:METHOD)% %REQ(absent)% %ROUTE_NAME%", "GET - -"},
    {"%REQ(:PATH)%|", "/a\\\"b\\\\c\\x0a\\x7f\xc3\xa9|"},
    {"%REQ(:PATH):4%|", "/a\\\"b|"},
};

TEST(values_are_written_and_what_peers_chose_is_escaped)
{
    static const char path[] = "/a\"b\\c\n\x7f\xc3\xa9";
    EACH (c, cases) {
        struct http_request head;
        struct record record = record_of(&head, path, sizeof(path) - 1);
        char text[256];
        bool is_cut;
        size_t size = render(c->format, &record, text, sizeof(text), &is_cut);
        CHECK(slice_equals_str(slice_of(text, size), c->line) && !is_cut, "%s: %.*s", c->format,
              (int)size, text);
    }
}

TEST(a_line_ends_where_its_memory_does)
{
    struct http_request head;
    struct record record = record_of(&head, "0123456789", 10);
    for (size_t room = 0; room <= 12; room++) {
        char text[16];
        bool is_cut;
        memset(text, '!', sizeof(text));
        size_t size = render("%REQ(:PATH)%", &record, text, room, &is_cut);
        CHECK(size == MIN(room, (size_t)10) && text[room] == '!', "%zu: %zu", room, size);
        CHECK(is_cut == (room < 10));
    }
}

/* Eight bytes are looked at together: whatever stands among plain ones, and wherever. */
TEST(no_byte_of_a_peer_ends_a_line_wherever_it_stands)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 20; at++) {
            char path[20], text[64];
            struct http_request head;
            bool is_cut;
            memset(path, 'a', sizeof(path));
            path[at] = (char)byte;
            struct record record = record_of(&head, path, sizeof(path));
            size_t size = render("%REQ(:PATH)%", &record, text, sizeof(text), &is_cut);
            bool quotes = byte == '"' || byte == '\\', hides = byte < 0x20 || byte == 0x7f;
            CHECK(size == sizeof(path) + (quotes ? 1 : 0) + (hides ? 3 : 0), "%u at %zu", byte, at);
            CHECK(text[at] == (quotes || hides ? '\\' : (char)byte), "%u at %zu", byte, at);
        }
    }
}
