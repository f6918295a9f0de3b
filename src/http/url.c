#include "http/url.h"

#include <arpa/inet.h>

static const uint8_t host_bytes[256] = {
    ['-'] = 1,         ['.'] = 1,         ['_'] = 1,         ['~'] = 1,
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool is_name(struct slice host)
{
    uint8_t all = host.size > 0;
    for (size_t i = 0; i < host.size; i++)
        all &= host_bytes[(uint8_t)host.data[i]];
    return all && host.data[0] != '.';
}

static bool is_ip6(struct slice host)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (host.size >= sizeof(text))
        return false;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    return strlen(text) == host.size && inet_pton(AF_INET6, text, address) == 1;
}

/* ":8080" or nothing. */
static bool read_port(struct slice text, uint16_t *port)
{
    *port = 0;
    if (text.size == 0)
        return true;
    uint64_t number;
    if (text.data[0] != ':' || text.size > 6 ||
        !slice_to_u64(slice_from(text, 1), 65535, &number) || number == 0)
        return false;
    *port = (uint16_t)number;
    return true;
}

bool authority_parse(struct slice text, struct authority *out)
{
    struct authority authority = {0};
    struct slice rest;
    if (text.size > 0 && text.data[0] == '[') {
        size_t end = slice_find_byte(text, ']');
        if (end == text.size)
            return false;
        authority.host = slice_of(text.data + 1, end - 1);
        authority.is_ip6 = true;
        rest = slice_from(text, end + 1);
        if (!is_ip6(authority.host))
            return false;
    } else {
        size_t colon = slice_find_byte(text, ':');
        authority.host = slice_first(text, colon);
        rest = slice_from(text, colon);
        if (!is_name(authority.host))
            return false;
    }
    if (!read_port(rest, &authority.port))
        return false;
    *out = authority;
    return true;
}

bool authority_is_valid(struct slice text)
{
    struct authority authority;
    return authority_parse(text, &authority);
}

static uint16_t default_port(struct slice scheme)
{
    return slice_equals_nocase(scheme, SLICE("https")) ? 443 : 80;
}

static bool is_upper(char byte)
{
    return byte >= 'A' && byte <= 'Z';
}

static bool has_upper(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (is_upper(text.data[i]))
            return true;
    return false;
}

/* The text of the port with its colon, when it stays. */
static struct slice kept_port(struct slice text, const struct authority *authority,
                              struct slice scheme, bool strip_port)
{
    if (authority->port == 0 || strip_port || authority->port == default_port(scheme))
        return SLICE_NONE;
    const char *after = authority->host.data + authority->host.size + (authority->is_ip6 ? 1 : 0);
    return slice_of(after, (size_t)(text.data + text.size - after));
}

struct slice authority_normalise(struct slice text, struct slice scheme, bool strip_port,
                                 struct arena *arena)
{
    struct authority authority;
    if (!authority_parse(text, &authority))
        return SLICE_NONE;
    struct slice port = kept_port(text, &authority, scheme, strip_port);
    struct slice host = authority.host;
    if (!authority.is_ip6 && host.size > 1 && host.data[host.size - 1] == '.')
        host.size--;
    size_t brackets = authority.is_ip6 ? 2 : 0;
    if (!has_upper(host)) {
        if (host.size + brackets + port.size == text.size)
            return text;
        if (port.size == 0)
            return slice_first(text, host.size + brackets);
    }
    char *copy = arena_try_alloc(arena, host.size + brackets + port.size), *at = copy;
    if (!copy)
        return SLICE_NONE;
    if (authority.is_ip6)
        *at++ = '[';
    for (size_t i = 0; i < host.size; i++)
        *at++ = is_upper(host.data[i]) ? (char)(host.data[i] | 0x20) : host.data[i];
    if (authority.is_ip6)
        *at++ = ']';
    if (port.size > 0)
        at = mempcpy(at, port.data, port.size);
    return slice_of(copy, (size_t)(at - copy));
}

bool url_parse(struct slice text, struct url *out)
{
    size_t colon = slice_find_byte(text, ':');
    struct url url = {.scheme = slice_first(text, colon)};
    if (!slice_equals_nocase(url.scheme, SLICE("http")) &&
        !slice_equals_nocase(url.scheme, SLICE("https")))
        return false;
    struct slice rest = slice_from(text, colon);
    if (!slice_starts_with(rest, SLICE("://")))
        return false;
    slice_take(&rest, 3);
    size_t end = 0;
    while (end < rest.size && rest.data[end] != '/' && rest.data[end] != '?' &&
           rest.data[end] != '#')
        end++;
    url.authority = slice_take(&rest, end);
    if (!authority_is_valid(url.authority) || (rest.size > 0 && rest.data[0] != '/'))
        return false;
    url.path = rest.size > 0 ? rest : SLICE("/");
    *out = url;
    return true;
}

/*
 * What may stand in a request target: RFC 3986's characters, and "|", "[", "]" that browsers leave as they are. All others
 * must be escaped.
 */
static const uint8_t target_bytes[256] = {
    ['!'] = 1,         ['$'] = 1,         ['%'] = 1, ['&'] = 1, ['\''] = 1, ['('] = 1,
    [')'] = 1,         ['*'] = 1,         ['+'] = 1, [','] = 1, ['-'] = 1,  ['.'] = 1,
    ['/'] = 1,         [':'] = 1,         [';'] = 1, ['='] = 1, ['?'] = 1,  ['@'] = 1,
    ['['] = 1,         [']'] = 1,         ['_'] = 1, ['|'] = 1, ['~'] = 1,  ['0' ... '9'] = 1,
    ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

bool target_is_valid(struct slice target)
{
    uint8_t all = 1;
    for (size_t i = 0; i < target.size; i++)
        all &= target_bytes[(uint8_t)target.data[i]];
    return all;
}

struct slice path_only(struct slice path_and_query)
{
    return slice_first(path_and_query, slice_find_byte(path_and_query, '?'));
}

struct slice path_query(struct slice path_and_query)
{
    size_t mark = slice_find_byte(path_and_query, '?');
    return mark < path_and_query.size ? slice_from(path_and_query, mark + 1) : SLICE_NONE;
}

struct slice query_parameter(struct slice query, struct slice name)
{
    while (query.size > 0) {
        struct slice pair, key, value;
        slice_cut(query, '&', &pair, &query);
        bool has_value = slice_cut(pair, '=', &key, &value);
        if (slice_equals(key, name))
            return has_value ? value : slice_of(pair.data + pair.size, 0);
    }
    return SLICE_NONE;
}
