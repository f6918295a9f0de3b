#include "tls/pem_internal.h"

#include "base/memory.h"

#include <openssl/crypto.h>

static const struct slice begin = {"-----BEGIN ", 11};
static const struct slice dashes = {"-----", 5};

void pem_block_fini(struct pem_block *block)
{
    if (block->der.data)
        OPENSSL_cleanse(block->der.data, block->der.capacity);
    buffer_fini(&block->der);
}

/* Base64 with line ends and blanks anywhere; padding only at the end, and no stray bits under it. */
static bool decode_base64(struct slice text, uint8_t *to, size_t *size)
{
    uint32_t bits = 0;
    unsigned held = 0, padding = 0;
    size_t used = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int value = base64_value(c, false);
        if (value < 0 || padding > 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[used++] = (uint8_t)(bits >> held);
            bits &= (1U << held) - 1;
        }
    }
    *size = used;
    /* 6 bits left over = one lone character; 2 and 4 ask for two and one signs of padding. */
    return bits == 0 && held != 6 && padding == held / 2;
}

static enum pem_next bad(struct error *error, const char *what)
{
    error_set(error, NULL, "%s", what);
    return PEM_BAD;
}

static bool read_label(struct slice *rest, char label[PEM_LABEL_MAX + 1])
{
    size_t size = slice_find(*rest, dashes);
    if (size == SIZE_MAX || size > PEM_LABEL_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = rest->data[i];
        if (c != ' ' && (c < '0' || c > '9') && (c < 'A' || c > 'Z'))
            return false;
    }
    memcpy(label, rest->data, size);
    label[size] = '\0';
    slice_take(rest, size + dashes.size);
    return true;
}

enum pem_next pem_next(struct slice text, size_t *cursor, size_t limit, struct pem_block *block,
                       struct error *error)
{
    struct slice rest = slice_from(text, *cursor);
    size_t at = slice_find(rest, begin);
    if (at == SIZE_MAX)
        return PEM_END;
    slice_take(&rest, at + begin.size);
    if (!read_label(&rest, block->label))
        return bad(error, "a PEM block begins with a broken line");

    size_t body_size = slice_find(rest, dashes);
    if (body_size == SIZE_MAX)
        return bad(error, "a PEM block has no END line: the text is cut off");
    struct slice body = slice_take(&rest, body_size);
    char end[PEM_LABEL_MAX + 20];
    int end_size = snprintf(end, sizeof(end), "-----END %s-----", block->label);
    if (!slice_starts_with(rest, slice_of(end, (size_t)end_size)))
        return bad(error, "a PEM block's END line does not match its BEGIN line");
    slice_take(&rest, (size_t)end_size);
    if (slice_find_byte(body, ':') < body.size)
        return bad(error, "a PEM block is encrypted or has headers");
    if (body.size / 4 * 3 > limit)
        return bad(error, "a PEM block is too large");

    buffer_reset(&block->der);
    char *to = buffer_reserve(&block->der, body.size / 4 * 3 + 3);
    size_t size;
    if (!decode_base64(body, (uint8_t *)to, &size) || size == 0)
        return bad(error, "a PEM block is not base64");
    block->der.size += size;
    block->der.data[block->der.size] = 0;
    *cursor = (size_t)(rest.data - text.data);
    return PEM_BLOCK;
}

bool pem_looks_like_der(struct slice text)
{
    return text.size > 1 && text.data[0] == 0x30;
}

void pem_write(const char *label, struct slice der, struct buffer *pem)
{
    buffer_format(pem, "-----BEGIN %s-----\n", label);
    while (der.size > 0) {
        buffer_append_base64(pem, slice_take(&der, MIN(der.size, (size_t)48)), false);
        buffer_append_byte(pem, '\n');
    }
    buffer_format(pem, "-----END %s-----\n", label);
}
