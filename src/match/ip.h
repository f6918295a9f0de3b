/*
 * ip: an address of either family as 16 bytes, IPv4 in its mapped form, so that one host has one identity.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

#include <string.h>

enum { IP_TEXT = 46 }; /* room for any address as text and its NUL */

struct ip {
    uint8_t bytes[16]; /* network order; ::ffff:a.b.c.d for IPv4 */
};

/* "10.0.0.1", "fd00::1"; no port, scope, brackets or leading zeros. */
MUST_USE bool ip_parse(struct slice text, struct ip *out);
/* 4 or 16 bytes in network order. */
MUST_USE bool ip_of_bytes(struct slice bytes, struct ip *out);
bool ip_is_v4(const struct ip *ip);
/* 127/8 and ::1. */
bool ip_is_loopback(const struct ip *ip);
/* 0.0.0.0 and ::. */
bool ip_is_any(const struct ip *ip);
/* 4 or 16 bytes, borrowed. */
struct slice ip_bytes(const struct ip *ip);
/* Returns the length. */
size_t ip_format(const struct ip *ip, char text[IP_TEXT]);

struct ip_prefix {
    struct ip ip; /* host bits are zero */
    uint8_t bits; /* of 128: 96 are added for IPv4 */
};
/* Host bits are cleared; false when there are more bits than the family has. */
MUST_USE bool ip_prefix_make(const struct ip *ip, uint32_t bits, struct ip_prefix *out);
/* "10.0.0.0/8"; an address alone is all bits. */
MUST_USE bool ip_prefix_parse(struct slice text, struct ip_prefix *out);
bool ip_prefix_holds(const struct ip_prefix *prefix, const struct ip *ip);

static inline bool ip_equals(const struct ip *a, const struct ip *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
