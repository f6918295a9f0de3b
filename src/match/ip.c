#include "match/ip.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ip_of_bytes(struct slice bytes, struct ip *out)
{
    if (bytes.size == 16) {
        memcpy(out->bytes, bytes.data, 16);
        return true;
    }
    if (bytes.size != 4)
        return false;
    memcpy(out->bytes, mapped, 12);
    memcpy(out->bytes + 12, bytes.data, 4);
    return true;
}

bool ip_parse(struct slice text, struct ip *out)
{
    char copy[IP_TEXT];
    uint8_t bytes[16];
    if (text.size == 0 || text.size >= sizeof(copy) || memchr(text.data, '\0', text.size))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1)
        return ip_of_bytes(slice_of(bytes, 4), out);
    if (inet_pton(AF_INET6, copy, bytes) == 1)
        return ip_of_bytes(slice_of(bytes, 16), out);
    return false;
}

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->bytes, mapped, sizeof(mapped)) == 0;
}

static bool is_v6_with_last(const struct ip *ip, uint8_t last)
{
    for (size_t i = 0; i < 15; i++) {
        if (ip->bytes[i] != 0)
            return false;
    }
    return ip->bytes[15] == last;
}

bool ip_is_loopback(const struct ip *ip)
{
    return ip_is_v4(ip) ? ip->bytes[12] == 127 : is_v6_with_last(ip, 1);
}

bool ip_is_any(const struct ip *ip)
{
    static const uint8_t zeros[4];
    return ip_is_v4(ip) ? memcmp(ip->bytes + 12, zeros, 4) == 0 : is_v6_with_last(ip, 0);
}

struct slice ip_bytes(const struct ip *ip)
{
    return ip_is_v4(ip) ? slice_of(ip->bytes + 12, 4) : slice_of(ip->bytes, 16);
}

size_t ip_format(const struct ip *ip, char text[IP_TEXT])
{
    if (ip_is_v4(ip))
        inet_ntop(AF_INET, ip->bytes + 12, text, IP_TEXT);
    else
        inet_ntop(AF_INET6, ip->bytes, text, IP_TEXT);
    return strlen(text);
}

/* Clears the bits behind the first `bits`. */
static void clear_host(uint8_t bytes[16], uint32_t bits)
{
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            bytes[i] &= (uint8_t)(0xff00u >> kept);
    }
}

bool ip_prefix_make(const struct ip *ip, uint32_t bits, struct ip_prefix *out)
{
    bool is_v4 = ip_is_v4(ip);
    if (bits > (is_v4 ? 32u : 128u))
        return false;
    out->ip = *ip;
    out->bits = (uint8_t)(is_v4 ? bits + 96 : bits);
    clear_host(out->ip.bytes, out->bits);
    return true;
}

bool ip_prefix_parse(struct slice text, struct ip_prefix *out)
{
    struct slice address, length;
    struct ip ip;
    bool has_length = slice_cut(text, '/', &address, &length);
    if (!ip_parse(address, &ip))
        return false;
    uint64_t bits = ip_is_v4(&ip) ? 32 : 128;
    if (has_length && !slice_to_u64(length, bits, &bits))
        return false;
    return ip_prefix_make(&ip, (uint32_t)bits, out);
}

bool ip_prefix_holds(const struct ip_prefix *prefix, const struct ip *ip)
{
    size_t whole = prefix->bits / 8, rest = prefix->bits % 8;
    if (memcmp(prefix->ip.bytes, ip->bytes, whole) != 0)
        return false;
    return rest == 0 || ((prefix->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest)) == 0;
}
