#include "http/url.h"

#include "http/scan_internal.h"

#include <arpa/inet.h>

static const uint8_t host_bytes[256] = {
    ['-'] = 1,         ['.'] = 1,         ['_'] = 1,         ['~'] = 1,
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

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
    uint32_t number = 0;
    *port = 0;
    if (text.size == 0)
        return true;
    if (text.data[0] != ':' || text.size < 2 || text.size > 6)
        return false;
    for (size_t i = 1; i < text.size; i++) {
        uint32_t digit = (uint32_t)(uint8_t)text.data[i] - '0';
        if (digit > 9)
            return false;
        number = number * 10 + digit;
    }
    *port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

static bool parse_ip6(struct slice text, struct authority *out)
{
    size_t end = slice_find_byte(text, ']');
    if (end == text.size)
        return false;
    out->host = slice_of(text.data + 1, end - 1);
    out->is_ip6 = true;
    return is_ip6(out->host) && read_port(slice_from(text, end + 1), &out->port);
}

bool authority_parse(struct slice text, struct authority *out)
{
    if (text.size > 0 && text.data[0] == '[')
        return parse_ip6(text, out);
    size_t size = 0;
    while (size < text.size && host_bytes[(uint8_t)text.data[size]])
        size++;
    if (size == 0 || text.data[0] == '.')
        return false;
    out->host = slice_first(text, size);
    out->is_ip6 = false;
    return read_port(slice_from(text, size), &out->port);
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

#ifdef __SSE2__
/* The bytes that the table above has not, by what they have in common. */
static inline unsigned outsiders_among(__m128i bytes)
{
    __m128i low = scan_at_most(bytes, 0x20);
    __m128i quote_hash = scan_equal(_mm_or_si128(bytes, _mm_set1_epi8(1)), 0x23);
    __m128i or2 = _mm_or_si128(bytes, _mm_set1_epi8(2));
    __m128i less_greater = scan_equal(or2, 0x3e);
    __m128i backslash_caret = scan_equal(or2, 0x5e);
    __m128i brace_del = scan_equal(or2, 0x7f);
    __m128i brace = scan_equal(bytes, '{');
    __m128i tick = scan_equal(bytes, '`');
    __m128i any = _mm_or_si128(
        _mm_or_si128(_mm_or_si128(low, quote_hash), _mm_or_si128(less_greater, backslash_caret)),
        _mm_or_si128(_mm_or_si128(brace_del, brace), tick));
    return scan_bits(_mm_or_si128(any, bytes)); /* 80-ff have the sign bit themselves */
}
#endif

static inline bool is_outsider(uint8_t byte)
{
    return !target_bytes[byte];
}

SCAN_FOR(scan_outsider, outsiders_among, is_outsider)

bool target_is_valid(struct slice target)
{
    return scan_outsider(target.data, target.size) == target.size;
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
