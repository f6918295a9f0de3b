#include "proxy/dns/message.h"

#include <string.h>

enum {
    HEADER_BYTES = 12,
    FLAG_RESPONSE = 0x8000,
    FLAG_TRUNCATED = 0x0200,
    FLAG_RECURSION = 0x0100,
    FLAG_AVAILABLE = 0x0080
};
enum { OPCODE_MASK = 0x7800, TYPE_OPT = 41 };

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Labels of a question are never compressed. */
static bool read_name(const uint8_t *bytes, size_t size, size_t *at, struct dns_question *question)
{
    while (*at < size) {
        uint8_t length = bytes[(*at)++];
        if (length == 0)
            return true;
        size_t dot = question->name_size > 0;
        if (length > 63 || *at + length > size || question->name_size + dot + length > DNS_NAME_MAX)
            return false;
        if (question->name_size)
            question->name[question->name_size++] = '.';
        for (uint8_t i = 0; i < length; i++) {
            char c = (char)bytes[*at + i];
            question->name[question->name_size++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        *at += length;
    }
    return false;
}

/* An OPT record (RFC 6891) after the question says how long an answer may be. */
static void read_edns(const uint8_t *bytes, size_t size, struct dns_question *question)
{
    size_t at = question->end;
    unsigned additional = get16(bytes + 10);
    if (additional == 1 && get16(bytes + 6) == 0 && get16(bytes + 8) == 0 && at + 11 <= size &&
        bytes[at] == 0 && get16(bytes + at + 1) == TYPE_OPT)
        question->udp_max =
            get16(bytes + at + 3) > DNS_UDP_MAX ? get16(bytes + at + 3) : DNS_UDP_MAX;
}

bool dns_question_read(struct slice message, struct dns_question *question, enum dns_code *code)
{
    const uint8_t *bytes = (const uint8_t *)message.data;
    *question = (struct dns_question){.udp_max = DNS_UDP_MAX};
    *code = DNS_NO_ERROR;
    if (message.size < HEADER_BYTES || message.size > DNS_MESSAGE_MAX)
        return false;
    question->id = get16(bytes);
    question->flags = get16(bytes + 2);
    if (question->flags & FLAG_RESPONSE)
        return false;
    question->end = HEADER_BYTES;
    if (question->flags & OPCODE_MASK) {
        *code = DNS_NOT_IMPLEMENTED;
        return true;
    }
    size_t at = HEADER_BYTES;
    if (get16(bytes + 4) != 1 || !read_name(bytes, message.size, &at, question) ||
        at + 4 > message.size) {
        *code = DNS_FORMAT_ERROR;
        return true;
    }
    question->type = get16(bytes + at);
    question->class = get16(bytes + at + 2);
    question->end = at + 4;
    question->name[question->name_size] = '\0';
    read_edns(bytes, message.size, question);
    return true;
}

size_t dns_answer_write(const struct dns_question *question, struct slice asked, enum dns_code code,
                        const struct dns_address *addresses, size_t count, uint32_t ttl_s,
                        size_t most, uint8_t *out)
{
    size_t at = question->end, written = 0;
    unsigned flags = FLAG_RESPONSE | FLAG_AVAILABLE |
                     (question->flags & (OPCODE_MASK | FLAG_RECURSION)) | (unsigned)code;
    most = MIN(most, (size_t)DNS_MESSAGE_MAX);
    memcpy(out, asked.data, question->end);
    for (size_t i = 0; i < count; i++) {
        const struct dns_address *address = &addresses[i];
        if (at + 12 + address->size > most) {
            flags |= FLAG_TRUNCATED;
            break;
        }
        put16(out + at, 0xc000 | HEADER_BYTES); /* the name of the question */
        put16(out + at + 2, address->size == 4 ? DNS_A : DNS_AAAA);
        put16(out + at + 4, DNS_IN);
        put16(out + at + 6, ttl_s >> 16);
        put16(out + at + 8, ttl_s & 0xffff);
        put16(out + at + 10, address->size);
        memcpy(out + at + 12, address->bytes, address->size);
        at += 12 + (size_t)address->size;
        written++;
    }
    put16(out + 2, flags);
    put16(out + 4, question->end > HEADER_BYTES ? 1 : 0);
    put16(out + 6, (unsigned)written);
    put16(out + 8, 0);
    put16(out + 10, 0);
    return at;
}
