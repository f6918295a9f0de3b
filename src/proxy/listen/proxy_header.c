#include "proxy/listen/proxy_header.h"

#include <stdio.h>
#include <string.h>

enum { V2_HEAD = 16, V2_PROXY = 1, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V4_BYTES = 12, V6_BYTES = 36 };

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char word[6] = "PROXY ";

static enum proxy_header_status bad(struct proxy_header *header, const char *why)
{
    header->why = why;
    return PROXY_HEADER_BAD;
}

/* --- version 1: one line of text ------------------------------------------------------------------------------ */

/* Exactly one space between words; a decimal without a sign or leading zeros (the specification, 2.1). */
static bool read_port(struct slice text, uint16_t *port)
{
    uint64_t number;
    if (text.size == 0 || text.size > 5 || (text.size > 1 && text.data[0] == '0') ||
        !slice_to_u64(text, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool read_end(struct slice ip, struct slice port, bool is_v6, struct address *out)
{
    uint16_t number;
    return (memchr(ip.data, ':', ip.size) != NULL) == is_v6 && !memchr(ip.data, '[', ip.size) &&
           read_port(port, &number) && address_parse_ip(ip, number, out);
}

static enum proxy_header_status read_line(struct slice line, struct proxy_header *header)
{
    struct slice family, words[4], rest = line;
    if (!slice_cut(rest, ' ', &family, &rest))
        family = line;
    if (slice_equals(family, SLICE("UNKNOWN"))) {
        header->is_local = true;
        return PROXY_HEADER_DONE;
    }
    bool is_v6 = slice_equals(family, SLICE("TCP6"));
    if (!is_v6 && !slice_equals(family, SLICE("TCP4")))
        return bad(header, "the PROXY header names no family that there is");
    for (int i = 0; i < 3; i++)
        if (!slice_cut(rest, ' ', &words[i], &rest))
            return bad(header, "the PROXY header is short of words");
    words[3] = rest;
    if (!read_end(words[0], words[2], is_v6, &header->source) ||
        !read_end(words[1], words[3], is_v6, &header->destination))
        return bad(header, "an address or port of the PROXY header is malformed");
    return PROXY_HEADER_DONE;
}

static enum proxy_header_status peek_v1(struct slice text, struct proxy_header *header)
{
    size_t end = slice_find_byte(text, '\n');
    if (end == text.size)
        return text.size >= PROXY_V1_BYTES_MAX ? bad(header, "the PROXY line does not end")
                                               : PROXY_HEADER_MORE;
    if (end + 1 > PROXY_V1_BYTES_MAX || text.data[end - 1] != '\r')
        return bad(header, "the PROXY line is too long, or does not end in CR LF");
    header->version = 1;
    header->size = (uint16_t)(end + 1);
    return read_line(slice_of(text.data + sizeof(word), end - 1 - sizeof(word)), header);
}

/* --- version 2: binary ---------------------------------------------------------------------------------------- */

static struct address read_address(const uint8_t *ip, bool is_v6, uint16_t port)
{
    uint32_t number =
        (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | (uint32_t)ip[3];
    return is_v6 ? address_v6(ip, port) : address_v4(number, port);
}

static enum proxy_header_status read_addresses(const uint8_t *bytes, size_t size, uint8_t family,
                                               struct proxy_header *header)
{
    bool is_v6 = family == V2_TCP6;
    size_t ip = is_v6 ? 16 : 4;
    if (family != V2_TCP4 && family != V2_TCP6) {
        header->is_local = true; /* Unix sockets, datagrams, unspecified */
        return PROXY_HEADER_DONE;
    }
    if (size < (is_v6 ? V6_BYTES : V4_BYTES))
        return bad(header, "the PROXY header is too short for its addresses");
    const uint8_t *ports = bytes + 2 * ip;
    header->source = read_address(bytes, is_v6, (uint16_t)(ports[0] << 8 | ports[1]));
    header->destination = read_address(bytes + ip, is_v6, (uint16_t)(ports[2] << 8 | ports[3]));
    return PROXY_HEADER_DONE;
}

static enum proxy_header_status peek_v2(const struct chain *bytes, struct proxy_header *header)
{
    char scratch[V2_HEAD + V6_BYTES];
    size_t have = MIN(bytes->size, sizeof(scratch));
    const uint8_t *head = (const uint8_t *)chain_peek(bytes, have, scratch).data;
    if (have < V2_HEAD)
        return PROXY_HEADER_MORE;
    size_t size = (size_t)head[14] << 8 | head[15];
    uint8_t command = head[12] & 15;
    if (head[12] >> 4 != 2 || command > V2_PROXY)
        return bad(header, "the PROXY header has a version or command that there is not");
    if (size > PROXY_V2_BYTES_MAX - V2_HEAD)
        return bad(header, "the PROXY header is too long");
    if (bytes->size < V2_HEAD + size)
        return PROXY_HEADER_MORE;
    header->version = 2;
    header->size = (uint16_t)(V2_HEAD + size);
    if (command != V2_PROXY) {
        header->is_local = true;
        return PROXY_HEADER_DONE;
    }
    return read_addresses(head + V2_HEAD, size, head[13], header);
}

enum proxy_header_status proxy_header_peek(const struct chain *bytes, struct proxy_header *header)
{
    char scratch[PROXY_V1_BYTES_MAX];
    size_t size = MIN(bytes->size, sizeof(scratch));
    *header = (struct proxy_header){0};
    if (size == 0)
        return PROXY_HEADER_MORE;
    struct slice text = chain_peek(bytes, size, scratch);
    size_t same = MIN(size, sizeof(signature));
    if (memcmp(text.data, signature, same) == 0)
        return same < sizeof(signature) ? PROXY_HEADER_MORE : peek_v2(bytes, header);
    same = MIN(size, sizeof(word));
    if (memcmp(text.data, word, same) == 0)
        return same < sizeof(word) ? PROXY_HEADER_MORE : peek_v1(text, header);
    return PROXY_HEADER_NONE;
}

/* --- writing -------------------------------------------------------------------------------------------------- */

static size_t write_v2(const struct address *source, const struct address *destination, char *out)
{
    struct slice from = address_ip(source), to = address_ip(destination);
    bool is_known = from.size > 0 && from.size == to.size;
    size_t size = is_known ? 2 * from.size + 4 : 0;
    memcpy(out, signature, sizeof(signature));
    out[12] = (char)(is_known ? 0x21 : 0x20);
    out[13] = (char)(!is_known ? 0 : from.size == 16 ? V2_TCP6 : V2_TCP4);
    out[14] = 0;
    out[15] = (char)size;
    if (!is_known)
        return V2_HEAD;
    char *at = out + V2_HEAD;
    memcpy(at, from.data, from.size);
    memcpy(at + from.size, to.data, to.size);
    at += 2 * from.size;
    uint16_t ports[] = {address_port(source), address_port(destination)};
    for (int i = 0; i < 2; i++) {
        at[2 * i] = (char)(ports[i] >> 8);
        at[2 * i + 1] = (char)(ports[i] & 0xff);
    }
    return V2_HEAD + size;
}

static size_t write_v1(const struct address *source, const struct address *destination, char *out)
{
    enum { OUT = PROXY_V1_BYTES_MAX + 1 };
    char from[ADDRESS_TEXT], to[ADDRESS_TEXT];
    size_t from_size = address_format_ip(source, from),
           to_size = address_format_ip(destination, to);
    struct slice one = address_ip(source), other = address_ip(destination);
    if (one.size == 0 || one.size != other.size)
        return (size_t)snprintf(out, OUT, "PROXY UNKNOWN\r\n");
    return (size_t)snprintf(out, OUT, "PROXY TCP%c %.*s %.*s %u %u\r\n", one.size == 16 ? '6' : '4',
                            (int)from_size, from, (int)to_size, to, address_port(source),
                            address_port(destination));
}

size_t proxy_header_write(uint8_t version, const struct address *source,
                          const struct address *destination, char out[PROXY_V1_BYTES_MAX + 1])
{
    struct address from = address_unmap(source), to = address_unmap(destination);
    return version == 2 ? write_v2(&from, &to, out) : write_v1(&from, &to, out);
}
