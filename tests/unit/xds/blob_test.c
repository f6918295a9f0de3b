#include "xds/blob.h"

#include "test.h"
#include "xds/wire.h"

static struct slice read_field(struct slice *in, unsigned char *tag)
{
    *tag = slice_take_byte(in);
    uint64_t size = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = slice_take_byte(in);
        size |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return slice_take(in, size);
}

TEST(blob_wire_is_a_resource_message)
{
    char body[300];
    memset(body, 'x', sizeof(body));
    struct blob *blob =
        blob_create(RESOURCE_CLUSTER, SLICE("outbound|80||a"), slice_of(body, sizeof(body)));
    struct slice wire = blob_wire(blob);
    unsigned char tag;

    struct slice name = read_field(&wire, &tag);
    CHECK(tag == WIRE_FIELD_3 && slice_equals_str(name, "outbound|80||a"));
    struct slice version = read_field(&wire, &tag);
    char digits[33];
    hash128_hex(blob->version, digits);
    CHECK(tag == WIRE_FIELD_1 && slice_equals_str(version, digits));
    CHECK(slice_equals(wire, blob_any_field(blob)), "the Any is the rest");
    struct slice any = read_field(&wire, &tag);
    CHECK(tag == WIRE_FIELD_2 && wire.size == 0);
    CHECK(slice_equals_str(read_field(&any, &tag), resource_type_url(RESOURCE_CLUSTER)) &&
          tag == WIRE_FIELD_1);
    CHECK(slice_equals(read_field(&any, &tag), slice_of(body, sizeof(body))) &&
          tag == WIRE_FIELD_2 && any.size == 0);
    CHECK(slice_equals(blob_body(blob), slice_of(body, sizeof(body))));
    blob_unref(blob);
}

TEST(blob_version_depends_on_name_type_and_body_only)
{
    struct blob *a = blob_create(RESOURCE_ROUTE, SLICE("r"), SLICE("body"));
    struct blob *same = blob_create(RESOURCE_ROUTE, SLICE("r"), SLICE("body"));
    struct blob *other_name = blob_create(RESOURCE_ROUTE, SLICE("s"), SLICE("body"));
    struct blob *other_body = blob_create(RESOURCE_ROUTE, SLICE("r"), SLICE("bodz"));
    struct blob *other_type = blob_create(RESOURCE_SECRET, SLICE("r"), SLICE("body"));
    CHECK(hash128_equals(a->version, same->version));
    CHECK(!hash128_equals(a->version, other_name->version));
    CHECK(!hash128_equals(a->version, other_body->version));
    CHECK(!hash128_equals(a->version, other_type->version));
    blob_unref(a);
    blob_unref(same);
    blob_unref(other_name);
    blob_unref(other_body);
    blob_unref(other_type);
}

TEST(blob_version_reads_its_own_text_and_no_other)
{
    struct hash128 version = {.low = 0x0123456789abcdef, .high = 0xfedcba9876543210}, parsed;
    char text[33];
    hash128_hex(version, text);
    CHECK(blob_version_parse(slice_str(text), &parsed) && hash128_equals(parsed, version));
    CHECK(!blob_version_parse(slice_of(text, 31), &parsed));
    CHECK(!blob_version_parse(SLICE("2026-01-31T12:00:00Z/14"), &parsed));
    CHECK(!blob_version_parse(SLICE("0123456789ABCDEF0123456789abcdef"), &parsed),
          "upper case is not ours");
}

TEST(blob_versions_add_up_in_any_order)
{
    struct hash128 a = {UINT64_MAX, 1}, b = {5, UINT64_MAX}, sum = {0}, reverse = {0};
    version_add(&sum, a);
    version_add(&sum, b);
    version_add(&reverse, b);
    version_add(&reverse, a);
    CHECK(hash128_equals(sum, reverse));
    version_subtract(&sum, a);
    CHECK(hash128_equals(sum, b));
    version_subtract(&sum, b);
    CHECK(hash128_equals(sum, (struct hash128){0}));
}

TEST(blob_ghosts_have_a_name_and_no_bytes)
{
    struct blob *ghost = blob_create_ghost(RESOURCE_ENDPOINTS, SLICE("e"), (struct hash128){1, 2});
    CHECK(blob_is_ghost(ghost) && slice_equals_str(blob_name(ghost), "e"));
    CHECK(blob_wire(ghost).size == 0 && blob_body(ghost).size == 0);
    blob_unref(ghost);
}
