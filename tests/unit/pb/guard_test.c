#include "test.h"

#include "base/error.h"
#include "base/memory.h"
#include "pb/guard.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"

#define CLUSTER &envoy__config__cluster__v3__cluster__descriptor
#define BYTES(literal) SLICE(literal)

/* Fields of Cluster: name = 1 (string), type = 2 (enum), connect_timeout = 4 (message). */
static const struct {
    const char *name;
    struct slice bytes;
    const char *wrong; /* NULL: fine */
} cases[] = {
    {"empty", BYTES(""), NULL},
    {"a name",
     BYTES("\x0a\x03"
           "abc"),
     NULL},
    {"varint cut short", BYTES("\x10\x80"), "holds a malformed number"},
    {"no value", BYTES("\x10"), "holds a malformed number"},
    {"varint of ten bytes", BYTES("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NULL},
    {"varint with 65 bits", BYTES("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
     "holds a malformed number"},
    {"varint of eleven bytes", BYTES("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
     "holds a malformed number"},
    {"length beyond the end",
     BYTES("\x0a\x04"
           "abc"),
     "Cluster.name is longer than what holds it"},
    {"length of six bytes",
     BYTES("\x0a\x83\x80\x80\x80\x80\x00"
           "abc"),
     "is longer than what holds it"},
    {"nested beyond its parent", BYTES("\x22\x02\x08\x80"), "holds a malformed number"},
    {"field zero", BYTES("\x00\x00"), "holds a malformed tag"},
    {"field zero, overlong", BYTES("\x80\x00"), "holds a malformed tag"},
    {"tag beyond 32 bits", BYTES("\xff\xff\xff\xff\x7f\x00"), "holds a malformed tag"},
    {"wrong wire type", BYTES("\x08\x01"), "Cluster.name has the wrong wire type"},
    {"bytes for a number", BYTES("\x12\x01\x01"), "Cluster.type has the wrong wire type"},
    {"group", BYTES("\x0b\x0c"), "has the wrong wire type"},
    {"unknown group", BYTES("\xfb\x7f\xfc\x7f"), "is a group"},
    {"end of a group", BYTES("\xfc\x7f"), "is a group"},
    {"wire type 6", BYTES("\xfe\x7f"), "is a group"},
    {"unknown varint", BYTES("\xf8\x7f\x05"), NULL},
    {"unknown bytes", BYTES("\xfa\x7f\x02\xff\x00"), NULL},
    {"unknown fixed cut short", BYTES("\xfd\x7f\x01\x02\x03"), "is cut short"},
    {"unknown fixed", BYTES("\xfd\x7f\x01\x02\x03\x04"), NULL},
    {"not UTF-8", BYTES("\x0a\x02\xc0\xaf"), "Cluster.name is not UTF-8"},
    {"a surrogate", BYTES("\x0a\x03\xed\xa0\x80"), "is not UTF-8"},
    {"NUL",
     BYTES("\x0a\x03"
           "a\0b"),
     "holds a NUL character"},
    {"a message twice", BYTES("\x22\x00\x22\x00"), "Cluster.connect_timeout comes twice"},
    {"a scalar twice",
     BYTES("\x0a\x01"
           "a\x0a\x01"
           "b"),
     NULL},
};

TEST(guard_takes_what_is_well_formed_and_names_what_is_not)
{
    EACH (c, cases) {
        owned_error error = {0};
        bool passed = pb_guard(CLUSTER, c->bytes, &PB_LIMITS, &error);
        CHECK(passed == !c->wrong, "%s: %s", c->name, error.what ? error.what : "passed");
        if (c->wrong)
            CHECK(strstr(error.what, c->wrong), "%s: %s", c->name, error.what);
    }
}

/* google.protobuf.Value within ListValue within Value...: writes `depth` messages to the end of a buffer. */
static struct slice nest(char *end, size_t depth)
{
    size_t size = 0;
    for (size_t i = 0; i < depth; i++) {
        char head[8];
        size_t n = 0, left = size;
        head[n++] = i % 2 ? 6 << 3 | 2 : 1 << 3 | 2; /* Value.list_value, ListValue.values */
        do
            head[n++] = (char)((left & 127) | (left > 127 ? 128 : 0));
        while (left >>= 7);
        size += n;
        memcpy(end - size, head, n);
    }
    return slice_of(end - size, size);
}

TEST(guard_stops_one_level_below_the_limit)
{
    static char buffer[1 << 20];
    char *end = buffer + sizeof buffer;
    const ProtobufCMessageDescriptor *list = &google__protobuf__list_value__descriptor;
    const ProtobufCMessageDescriptor *value = &google__protobuf__value__descriptor;
    for (size_t depth = 1; depth < 200; depth++) {
        owned_error error = {0};
        /* `depth` nested fields make depth + 1 messages. */
        bool passed = pb_guard(depth % 2 ? list : value, nest(end, depth), &PB_LIMITS, &error);
        CHECK(passed == (depth + 1 <= PB_MAX_DEPTH), "depth %zu", depth);
    }
    owned_error error = {0};
    CHECK(!pb_guard(list, nest(end, 100001), &PB_LIMITS, &error), "depth 100,001");
    CHECK(strstr(error.what, "nests too deep"), "%s", error.what);
}

TEST(guard_takes_the_limit_of_bytes_and_not_one_more)
{
    struct pb_limits limits = PB_LIMITS;
    limits.max_bytes = 5;
    owned_error error = {0};
    CHECK(pb_guard(CLUSTER,
                   SLICE("\x0a\x03"
                         "abc"),
                   &limits, &error),
          "five bytes");
    CHECK(!pb_guard(CLUSTER,
                    SLICE("\x0a\x04"
                          "abcd"),
                    &limits, &error),
          "six bytes");
    CHECK(strstr(error.what, "6 bytes, more than the limit of 5"), "%s", error.what);
}

TEST(guard_refuses_few_bytes_that_would_decode_into_much)
{
    /* Ten million empty endpoints: 20 MB on the wire would become gigabytes. Here within the limit of bytes. */
    size_t size = PB_LIMITS.max_bytes;
    char *bytes = mem_alloc(size);
    for (size_t i = 0; i + 2 <= size; i += 2)
        memcpy(bytes + i, "\x0a\x00", 2); /* ListValue.values */
    owned_error error = {0};
    CHECK(!pb_guard(&google__protobuf__list_value__descriptor, slice_of(bytes, size), &PB_LIMITS,
                    &error),
          "refused");
    CHECK(strstr(error.what, "takes too much memory"), "%s", error.what);
    mem_free(bytes);
}
