#include "rpc/grpc_status.h"

#include "base/memory.h"
#include "test.h"

TEST(grpc_code_of_anything_else_is_unknown)
{
    CHECK(grpc_code_parse(SLICE("0")) == GRPC_OK &&
          grpc_code_parse(SLICE("16")) == GRPC_UNAUTHENTICATED);
    CHECK(grpc_code_parse(SLICE("17")) == GRPC_UNKNOWN &&
          grpc_code_parse(SLICE("99")) == GRPC_UNKNOWN);
    CHECK(grpc_code_parse(SLICE("")) == GRPC_UNKNOWN &&
          grpc_code_parse(SLICE("-1")) == GRPC_UNKNOWN);
    CHECK(strcmp(grpc_code_name(GRPC_UNAVAILABLE), "UNAVAILABLE") == 0);
    CHECK(strcmp(grpc_code_name((enum grpc_code)99), "UNKNOWN") == 0);
}

TEST(grpc_code_of_http_follows_the_mapping)
{
    CHECK(grpc_code_of_http(401) == GRPC_UNAUTHENTICATED &&
          grpc_code_of_http(404) == GRPC_UNIMPLEMENTED);
    CHECK(grpc_code_of_http(503) == GRPC_UNAVAILABLE && grpc_code_of_http(200) == GRPC_UNKNOWN);
}

static const struct {
    const char *text, *wire;
} messages[] = {
    {"", ""},
    {"plain text", "plain text"},
    {"100% \"quoted\"", "100%25 \"quoted\""},
    {"caf\xc3\xa9", "caf%C3%A9"},
};

TEST(grpc_message_survives_the_wire)
{
    EACH (m, messages) {
        struct buffer wire = {0}, text = {0};
        grpc_message_encode(&wire, slice_str(m->text));
        CHECK(slice_equals_str(buffer_slice(&wire), m->wire), "%s", m->text);
        grpc_message_decode(&text, buffer_slice(&wire));
        CHECK(slice_equals_str(buffer_slice(&text), m->text), "%s", m->text);
        buffer_fini(&wire);
        buffer_fini(&text);
    }
}

TEST(grpc_message_from_a_peer_is_capped_and_without_control_characters)
{
    struct buffer text = {0};
    grpc_message_decode(&text, SLICE("a%0d%0Ab%zz%4"));
    CHECK(slice_equals_str(buffer_slice(&text), "a  b%zz%4"));
    buffer_reset(&text);
    char *long_one = mem_alloc(GRPC_MESSAGE_MAX + 1);
    memset(long_one, 'x', GRPC_MESSAGE_MAX + 1);
    grpc_message_decode(&text, slice_of(long_one, GRPC_MESSAGE_MAX + 1));
    CHECK(text.size == GRPC_MESSAGE_MAX);
    buffer_reset(&text);
    grpc_message_encode(&text, slice_of(long_one, GRPC_MESSAGE_MAX + 1));
    CHECK(text.size == GRPC_MESSAGE_MAX);
    mem_free(long_one);
    buffer_fini(&text);
}

static const struct {
    const char *wire;
    uint64_t us;
} timeouts[] = {
    {"1H", 3600000000}, {"2M", 120000000}, {"3S", 3000000}, {"4m", 4000},
    {"5u", 5},          {"6n", 1},         {"0n", 0},       {"99999999H", 359999996400000000},
};

TEST(grpc_timeout_reads_every_unit)
{
    EACH (t, timeouts) {
        uint64_t us;
        CHECK(grpc_timeout_parse(slice_str(t->wire), &us) && us == t->us, "%s", t->wire);
    }
    static const char *const bad[] = {"",           "S",    "1",  "-1S", "1x", "99999999999H",
                                      "100000000S", "1.5S", " 1S"};
    EACH (b, bad) {
        uint64_t us;
        CHECK(!grpc_timeout_parse(slice_str(*b), &us), "%s", *b);
    }
}

TEST(grpc_timeout_written_is_never_shorter_than_asked)
{
    static const uint64_t values[] = {1,          999,         99999999,       100000000,
                                      5000000000, 99999999000, 100000000000000};
    EACH (v, values) {
        char text[12];
        uint64_t us;
        size_t size = grpc_timeout_format(*v, text);
        CHECK(grpc_timeout_parse(slice_of(text, size), &us) && us >= *v, "%llu %s",
              (unsigned long long)*v, text);
        CHECK(us - *v <= *v / 1000 + 1000, "%s is much longer", text);
    }
}
