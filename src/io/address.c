#include "io/address.h"

#include "base/decimal.h"
#include "base/hash.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct address address_v4(uint32_t host_order_ip, uint16_t port)
{
    return (struct address){
        .v4 = {.sin_family = AF_INET,
               .sin_port = htons(port),
               .sin_addr.s_addr = htonl(host_order_ip)},
        .size = sizeof(struct sockaddr_in),
    };
}

struct address address_v6(const void *ip, uint16_t port)
{
    struct address address = {
        .v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)},
        .size = sizeof(struct sockaddr_in6),
    };
    memcpy(&address.v6.sin6_addr, ip, 16);
    return address;
}

struct address address_from(const struct sockaddr *any, socklen_t size)
{
    struct address address = {0};
    bool fits = false;
    if (size >= sizeof(sa_family_t) && size <= sizeof(address.unix_)) {
        switch (any->sa_family) {
        case AF_INET: fits = size >= sizeof(address.v4); break;
        case AF_INET6: fits = size >= sizeof(address.v6); break;
        case AF_UNIX: fits = true; break;
        default: break;
        }
    }
    if (fits) {
        memcpy(&address.any, any, size);
        address.size = size;
    }
    return address;
}

/* --- packing --------------------------------------------------------------------------------- */

struct address_packed address_pack(const struct address *address)
{
    struct address_packed packed = {.port = address_port(address)};
    if (!address_is_set(address))
        return packed;
    packed.family = address->any.sa_family;
    switch (address->any.sa_family) {
    case AF_INET: memcpy(packed.ip, &address->v4.sin_addr, 4); break;
    case AF_INET6:
        memcpy(packed.ip, &address->v6.sin6_addr, 16);
        packed.scope = address->v6.sin6_scope_id;
        break;
    default:
        packed.elsewhere = mem_new(struct address);
        *packed.elsewhere = *address;
        break;
    }
    return packed;
}

struct address address_unpack(const struct address_packed *packed)
{
    struct address address = {0};
    uint32_t ip;
    switch (packed->family) {
    case AF_UNSPEC: return address;
    case AF_INET: memcpy(&ip, packed->ip, 4); return address_v4(ntohl(ip), packed->port);
    case AF_INET6:
        address = address_v6(packed->ip, packed->port);
        address.v6.sin6_scope_id = packed->scope;
        return address;
    default: return *packed->elsewhere;
    }
}

void address_packed_fini(struct address_packed *packed)
{
    if (packed->family != AF_UNSPEC && packed->family != AF_INET && packed->family != AF_INET6)
        mem_free(packed->elsewhere);
    *packed = (struct address_packed){.family = AF_UNSPEC};
}

/* --- reading --------------------------------------------------------------------------------- */

static bool parse_unix(struct slice path, struct address *out)
{
    struct address address = {.unix_ = {.sun_family = AF_UNIX}};
    size_t room = sizeof(address.unix_.sun_path);
    bool is_abstract = path.size > 0 && path.data[0] == '@';
    if (path.size <= (is_abstract ? 1 : 0) || path.size >= room || memchr(path.data, 0, path.size))
        return false;
    memcpy(address.unix_.sun_path, path.data, path.size);
    if (is_abstract)
        address.unix_.sun_path[0] = '\0';
    /* An abstract name is counted, a path ends with NUL. */
    address.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.size + !is_abstract);
    *out = address;
    return true;
}

bool address_parse_ip(struct slice ip, uint16_t port, struct address *out)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    if (slice_starts_with(ip, SLICE("unix:")))
        return parse_unix(slice_from(ip, 5), out);
    bool is_bracketed = ip.size >= 2 && ip.data[0] == '[' && ip.data[ip.size - 1] == ']';
    if (is_bracketed)
        ip = (struct slice){ip.data + 1, ip.size - 2};
    if (ip.size == 0 || ip.size >= sizeof(text) || memchr(ip.data, 0, ip.size))
        return false;
    memcpy(text, ip.data, ip.size);
    text[ip.size] = '\0';
    if (!is_bracketed && inet_pton(AF_INET, text, bytes) == 1) {
        uint32_t network;
        memcpy(&network, bytes, 4);
        *out = address_v4(ntohl(network), port);
        return true;
    }
    if (inet_pton(AF_INET6, text, bytes) != 1)
        return false;
    *out = address_v6(bytes, port);
    return true;
}

bool address_parse(struct slice text, struct address *out)
{
    uint64_t port;
    if (slice_starts_with(text, SLICE("unix:")))
        return parse_unix(slice_from(text, 5), out);
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || !slice_to_u64(slice_from(text, colon), UINT16_MAX, &port))
        return false;
    struct slice ip = slice_first(text, colon - 1);
    /* "::1" is no address with a port: IPv6 needs brackets. */
    if (slice_find_byte(ip, ':') < ip.size && ip.data[0] != '[')
        return false;
    return address_parse_ip(ip, (uint16_t)port, out);
}

/* --- writing --------------------------------------------------------------------------------- */

static size_t format_unix(const struct address *address, char text[ADDRESS_TEXT])
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t size = address->size > start ? address->size - start : 0;
    const char *path = address->unix_.sun_path;
    bool is_abstract = size > 0 && path[0] == '\0';
    if (!is_abstract)
        size = strnlen(path, size);
    int written = is_abstract ? snprintf(text, ADDRESS_TEXT, "unix:@%.*s", (int)size - 1, path + 1)
                              : snprintf(text, ADDRESS_TEXT, "unix:%.*s", (int)size, path);
    return (size_t)written;
}

static size_t format_none(char text[ADDRESS_TEXT])
{
    memcpy(text, "-", 2);
    return 1;
}

/* Access logs write several of them a request. */
static size_t format_v4(const uint8_t ip[4], char text[ADDRESS_TEXT])
{
    char *at = text;
    for (int i = 0; i < 4; i++) {
        unsigned number = ip[i];
        if (number >= 100)
            *at++ = (char)('0' + number / 100);
        if (number >= 10)
            *at++ = (char)('0' + number / 10 % 10);
        *at++ = (char)('0' + number % 10);
        *at++ = '.';
    }
    *--at = '\0';
    return (size_t)(at - text);
}

size_t address_format_ip(const struct address *address, char text[ADDRESS_TEXT])
{
    struct slice ip = address_ip(address);
    if (address_is_unix(address))
        return format_unix(address, text);
    if (ip.size == 0)
        return format_none(text);
    if (ip.size == 4)
        return format_v4((const uint8_t *)ip.data, text);
    inet_ntop(AF_INET6, ip.data, text, ADDRESS_TEXT);
    return strlen(text);
}

size_t address_format(const struct address *address, char text[ADDRESS_TEXT])
{
    struct slice ip = address_ip(address);
    if (ip.size == 0)
        return address_format_ip(address, text);
    size_t size = 0;
    if (ip.size == 4) {
        size = format_v4((const uint8_t *)ip.data, text);
    } else {
        text[size++] = '[';
        inet_ntop(AF_INET6, ip.data, text + size, INET6_ADDRSTRLEN);
        size += strlen(text + size);
        text[size++] = ']';
    }
    text[size++] = ':';
    size += decimal_write(address_port(address), text + size);
    text[size] = '\0';
    return size;
}

/* --- asking ---------------------------------------------------------------------------------- */

bool address_is_ip(const struct address *address)
{
    return address->size &&
           (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6);
}

bool address_is_unix(const struct address *address)
{
    return address->size && address->any.sa_family == AF_UNIX;
}

uint16_t address_port(const struct address *address)
{
    if (!address_is_ip(address))
        return 0;
    return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
}

void address_set_port(struct address *address, uint16_t port)
{
    if (!address_is_ip(address))
        return;
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons(port);
    else
        address->v6.sin6_port = htons(port);
}

struct slice address_ip(const struct address *address)
{
    if (!address_is_ip(address))
        return SLICE_NONE;
    if (address->any.sa_family == AF_INET)
        return slice_of(&address->v4.sin_addr, 4);
    const uint8_t *ip = address->v6.sin6_addr.s6_addr;
    return memcmp(ip, mapped_prefix, 12) == 0 ? slice_of(ip + 12, 4) : slice_of(ip, 16);
}

bool address_is_v4(const struct address *address)
{
    return address_ip(address).size == 4;
}

bool address_is_loopback(const struct address *address)
{
    struct slice ip = address_ip(address);
    return ip.size == 4 ? (uint8_t)ip.data[0] == 127
                        : ip.size == 16 && memcmp(ip.data, &in6addr_loopback, 16) == 0;
}

bool address_is_wildcard(const struct address *address)
{
    struct slice ip = address_ip(address);
    return ip.size > 0 && memcmp(ip.data, &in6addr_any, ip.size) == 0;
}

struct address address_unmap(const struct address *address)
{
    uint32_t network;
    struct slice ip = address_ip(address);
    if (ip.size != 4)
        return *address;
    memcpy(&network, ip.data, 4);
    return address_v4(ntohl(network), address_port(address));
}

/* Link-local addresses are of one interface. */
static uint32_t scope(const struct address *address)
{
    return address->any.sa_family == AF_INET6 ? address->v6.sin6_scope_id : 0;
}

bool address_equals_ip(const struct address *a, const struct address *b)
{
    struct slice ip = address_ip(a);
    return ip.size > 0 && slice_equals(ip, address_ip(b)) && scope(a) == scope(b);
}

bool address_equals(const struct address *a, const struct address *b)
{
    if (address_is_ip(a))
        return address_equals_ip(a, b) && address_port(a) == address_port(b);
    return a->size == b->size && memcmp(&a->any, &b->any, a->size) == 0;
}

uint64_t address_hash(const struct address *address)
{
    if (address_is_ip(address))
        return hash64(address_ip(address), address_port(address));
    return hash64(slice_of(&address->any, address->size), 0);
}

/* --- prefixes -------------------------------------------------------------------------------- */

bool cidr_make(const struct address *ip, unsigned bits, struct cidr *out)
{
    struct slice bytes = address_ip(ip);
    if (bytes.size == 0 || bits > bytes.size * 8)
        return false;
    struct cidr cidr = {.bits = (uint8_t)bits, .is_v4 = bytes.size == 4};
    memcpy(cidr.ip, bytes.data, bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned kept = bits > i * 8 ? MIN(bits - (unsigned)i * 8, 8u) : 0;
        cidr.ip[i] &= (uint8_t)(0xff00u >> kept);
    }
    *out = cidr;
    return true;
}

bool cidr_parse(struct slice text, struct cidr *out)
{
    struct slice ip, bits_text;
    struct address address;
    uint64_t bits;
    bool has_bits = slice_cut(text, '/', &ip, &bits_text);
    if (!address_parse_ip(ip, 0, &address) || !address_is_ip(&address))
        return false;
    if (!has_bits)
        return cidr_make(&address, (unsigned)address_ip(&address).size * 8, out);
    if (!slice_to_u64(bits_text, 128, &bits))
        return false;
    /* ::ffff:10.0.0.0/104 is 10.0.0.0/8. */
    if (address.any.sa_family == AF_INET6 && address_is_v4(&address)) {
        if (bits < 96)
            return false;
        bits -= 96;
    }
    return cidr_make(&address, (unsigned)bits, out);
}

bool cidr_contains(const struct cidr *cidr, const struct address *address)
{
    struct slice ip = address_ip(address);
    if (ip.size != (cidr->is_v4 ? 4 : 16))
        return false;
    size_t whole = cidr->bits / 8;
    unsigned rest = cidr->bits % 8;
    if (memcmp(ip.data, cidr->ip, whole) != 0)
        return false;
    return rest == 0 ||
           (((uint8_t)ip.data[whole] ^ cidr->ip[whole]) & (0xff00u >> rest & 0xff)) == 0;
}

size_t cidr_format(const struct cidr *cidr, char text[ADDRESS_TEXT])
{
    inet_ntop(cidr->is_v4 ? AF_INET : AF_INET6, cidr->ip, text, INET6_ADDRSTRLEN);
    size_t size = strlen(text);
    return size + (size_t)snprintf(text + size, ADDRESS_TEXT - size, "/%u", cidr->bits);
}
