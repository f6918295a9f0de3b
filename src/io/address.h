/*
 * address: where to listen or connect to: IPv4, IPv6 or Unix; a value.
 *
 * Text forms: "10.0.0.1:80", "[fd00::1]:80", "unix:/run/x.sock", "unix:@abstract".
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un unix_;
    };
    socklen_t size; /* 0: none */
};
enum { ADDRESS_TEXT = 128 }; /* room for any formatted address and its NUL */

static inline bool address_is_set(const struct address *address)
{
    return address->size > 0;
}
/* Address and port, or unix:...; false when it is neither. */
MUST_USE bool address_parse(struct slice text, struct address *out);
/* An IP address without port ("::1", "[::1]", "10.0.0.1"), or unix:... (port is ignored). */
MUST_USE bool address_parse_ip(struct slice ip, uint16_t port, struct address *out);
struct address address_v4(uint32_t host_order_ip, uint16_t port);
/* 16 bytes in network order. */
struct address address_v6(const void *ip, uint16_t port);
/* From what the kernel wrote; an unknown family or a short size gives "none". */
struct address address_from(const struct sockaddr *any, socklen_t size);

/* Writes the text form and returns its length. v4-mapped addresses print as IPv4. "-" when none. */
size_t address_format(const struct address *address, char text[ADDRESS_TEXT]);
/* The IP alone, or the path. */
size_t address_format_ip(const struct address *address, char text[ADDRESS_TEXT]);

uint16_t address_port(const struct address *address); /* 0 for Unix */
void address_set_port(struct address *address, uint16_t port);
bool address_is_ip(const struct address *address);
bool address_is_unix(const struct address *address);
/* IPv4, also when v4-mapped. */
bool address_is_v4(const struct address *address);
/* 127/8, ::1 and the mapped forms. */
bool address_is_loopback(const struct address *address);
/* 0.0.0.0, ::, ::ffff:0.0.0.0. */
bool address_is_wildcard(const struct address *address);
/* ::ffff:a.b.c.d becomes a.b.c.d; anything else stays. */
struct address address_unmap(const struct address *address);
/* The IP in network order: 4 or 16 bytes of the unmapped address, or nothing. Borrowed from it. */
struct slice address_ip(const struct address *address);
/* Both compare IPs unmapped, so that one host has one identity. */
bool address_equals(const struct address *a, const struct address *b);
bool address_equals_ip(const struct address *a, const struct address *b);
uint64_t address_hash(const struct address *address);

/* An address in 24 bytes, for what there are many of. A Unix address lies on the heap. */
struct address_packed {
    union {
        uint8_t ip[16]; /* network order */
        struct address *elsewhere;
    };
    uint32_t scope; /* IPv6 */
    uint16_t port;
    uint16_t family; /* AF_UNSPEC: none */
};
/* To be given back with address_packed_fini. IPv6 flow labels are not kept. */
struct address_packed address_pack(const struct address *address);
struct address address_unpack(const struct address_packed *packed);
void address_packed_fini(struct address_packed *packed);
static inline bool address_packed_is_set(const struct address_packed *packed)
{
    return packed->family != AF_UNSPEC;
}

struct cidr {
    uint8_t ip[16]; /* network order, masked; the first 4 bytes for IPv4 */
    uint8_t bits;
    bool is_v4;
};
/* "10.0.0.0/8", "::/0"; an address alone is /32 or /128. Host bits may be set and are cleared. */
MUST_USE bool cidr_parse(struct slice text, struct cidr *out);
/* A prefix of `ip` (an IP address); false when bits are too many. */
MUST_USE bool cidr_make(const struct address *ip, unsigned bits, struct cidr *out);
/* False for Unix and for the other family; v4-mapped addresses count as IPv4. */
bool cidr_contains(const struct cidr *cidr, const struct address *address);
size_t cidr_format(const struct cidr *cidr, char text[ADDRESS_TEXT]);
