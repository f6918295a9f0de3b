#include "xds/blob.h"

#include "base/memory.h"
#include "xds/wire.h"

enum { VERSION_DIGITS = 32 };

static struct blob *allocate(enum resource_type type, struct slice name, size_t size)
{
    struct blob *blob = mem_alloc(sizeof(*blob) + name.size + 1 + size);
    *blob = (struct blob){.refs = 1, .type = type, .name_size = (uint32_t)name.size, .size = size};
    if (name.size > 0)
        memcpy(blob->bytes, name.data, name.size);
    blob->bytes[name.size] = '\0';
    return blob;
}

/* The hash is taken over the bytes with an empty version, so it covers name, type and body at once. */
static void stamp(struct blob *blob, char *digits)
{
    char text[VERSION_DIGITS + 1];
    memset(digits, '0', VERSION_DIGITS);
    blob->version = hash128(blob_wire(blob));
    hash128_hex(blob->version, text);
    memcpy(digits, text, VERSION_DIGITS);
}

struct blob *blob_create(enum resource_type type, struct slice name, struct slice body)
{
    struct slice url = slice_str(resource_type_url(type));
    size_t any_size = wire_field_size(url.size) + wire_field_size(body.size);
    size_t any_at = wire_field_size(name.size) + wire_field_size(VERSION_DIGITS);
    struct blob *blob = allocate(type, name, any_at + wire_field_size(any_size));

    char *at = blob->bytes + blob->name_size + 1;
    at = wire_put_field(at, WIRE_FIELD_3, name);
    char *digits = at = wire_put_head(at, WIRE_FIELD_1, VERSION_DIGITS);
    at += VERSION_DIGITS;
    blob->any = (uint32_t)any_at;
    blob->body_size = (uint32_t)body.size;
    at = wire_put_head(at, WIRE_FIELD_2, any_size);
    at = wire_put_field(at, WIRE_FIELD_1, url);
    wire_put_field(at, WIRE_FIELD_2, body);
    stamp(blob, digits);
    return blob;
}

struct blob *blob_create_ghost(enum resource_type type, struct slice name, struct hash128 version)
{
    struct blob *blob = allocate(type, name, 0);
    blob->version = version;
    return blob;
}

struct blob *blob_ref(const struct blob *blob)
{
    struct blob *counted = (struct blob *)blob;
    atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    return counted;
}

void blob_unref(const struct blob *blob)
{
    struct blob *counted = (struct blob *)blob;
    if (counted && atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel) == 1)
        mem_free(counted);
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

static bool parse_half(const char *digits, uint64_t *half)
{
    uint64_t value = 0;
    for (size_t i = 0; i < VERSION_DIGITS / 2; i++) {
        int digit = hex_digit(digits[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *half = value;
    return true;
}

bool blob_version_parse(struct slice text, struct hash128 *version)
{
    struct hash128 parsed;
    if (text.size != VERSION_DIGITS || !parse_half(text.data, &parsed.high) ||
        !parse_half(text.data + VERSION_DIGITS / 2, &parsed.low))
        return false;
    *version = parsed;
    return true;
}
