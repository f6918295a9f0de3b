#include "http/h1_fields_internal.h"

#include "http/header_internal.h"
#include "http/scan_internal.h"

static bool is_in(const uint64_t set[2], unsigned id)
{
    return set[id / 64] >> (id % 64) & 1;
}
#define BIT0(id) ((id) < 64 ? (uint64_t)1 << ((id) % 64) : 0)
#define BIT1(id) ((id) >= 64 ? (uint64_t)1 << ((id) % 64) : 0)
#define SET9(a, b, c, d, e, f, g, h, i)                                                            \
    {                                                                                              \
        BIT0(a) | BIT0(b) | BIT0(c) | BIT0(d) | BIT0(e) | BIT0(f) | BIT0(g) | BIT0(h) | BIT0(i),   \
            BIT1(a) | BIT1(b) | BIT1(c) | BIT1(d) | BIT1(e) | BIT1(f) | BIT1(g) | BIT1(h) |        \
                BIT1(i)                                                                            \
    }

/* Fields about the message's framing or the connection, which the codec takes for itself. */
static const uint64_t own_fields[2] = SET9(
    HEADER_CONNECTION, HEADER_CONTENT_LENGTH, HEADER_HOST, HEADER_HTTP2_SETTINGS, HEADER_KEEP_ALIVE,
    HEADER_PROXY_CONNECTION, HEADER_TE, HEADER_TRANSFER_ENCODING, HEADER_UPGRADE);

/* Content-Length in digits, each of which counts: canonical without leading zeros. */
static enum http_refusal read_length(struct fields *fields, struct header *header)
{
    if (fields->content_length >= 0)
        return HTTP_REFUSAL_LENGTH_TWICE;
    struct slice digits = header_value(header);
    if (digits.size == 0)
        return HTTP_REFUSAL_LENGTH;
    uint64_t length = 0;
    for (size_t i = 0; i < digits.size; i++) {
        unsigned digit = (unsigned)(uint8_t)digits.data[i] - '0';
        if (digit > 9 || length > ((uint64_t)INT64_MAX - digit) / 10)
            return HTTP_REFUSAL_LENGTH;
        length = length * 10 + digit;
    }
    fields->content_length = (int64_t)length;
    while (digits.size > 1 && digits.data[0] == '0')
        slice_take(&digits, 1);
    if (digits.size < header->value_size) {
        header->value = digits.data;
        header->value_size = (uint32_t)digits.size;
        header->flags = 0;
    }
    return HTTP_REFUSAL_NONE;
}

static enum http_refusal read_coding(struct fields *fields, struct slice value)
{
    if (fields->codings++ > 0 || value.size == 0 || slice_find_byte(value, ',') < value.size)
        return HTTP_REFUSAL_CODING_LIST;
    if (!slice_equals_nocase(value, SLICE("chunked")))
        return HTTP_REFUSAL_CODING;
    fields->framing->chunked = true;
    return HTTP_REFUSAL_NONE;
}

static enum http_refusal read_host(struct fields *fields, struct slice value)
{
    if (fields->framing->hosts++ > 0)
        return HTTP_REFUSAL_HOST_TWICE;
    fields->framing->host = value;
    return HTTP_REFUSAL_NONE;
}

struct slice next_element(struct slice *list)
{
    struct slice head, tail;
    slice_cut(*list, ',', &head, &tail);
    *list = tail;
    return slice_trim(head);
}

bool list_has(struct slice list, struct slice token)
{
    while (list.size > 0)
        if (slice_equals_nocase(next_element(&list), token))
            return true;
    return false;
}

/* The connection options that we know; true when there is one that names a field of the message. */
static bool read_connection(struct fields *fields, struct slice list)
{
    bool names = false;
    while (list.size > 0) {
        struct slice option = next_element(&list);
        if (slice_equals_nocase(option, SLICE("keep-alive")))
            fields->framing->keep_alive = true;
        else if (slice_equals_nocase(option, SLICE("close")))
            fields->framing->close = true;
        else if (slice_equals_nocase(option, SLICE("upgrade")))
            fields->framing->upgrade = true;
        else if (option.size > 0)
            names = true;
    }
    return names;
}

static bool put(struct fields *fields, const struct header *header)
{
    struct headers *list = fields->list;
    if (UNLIKELY(list->count == list->capacity)) {
        if (!headers_reserve(list, fields->input->arena, (size_t)list->capacity * 2 + 8))
            return false;
    }
    list->items[list->count++] = *header;
    headers_mark(list, header->id);
    return true;
}

static enum http_refusal keep(struct fields *fields, const struct header *header)
{
    return put(fields, header) ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_OVERLOAD;
}

/* A field that is ours: read here, and kept in the list only where the next hop may read it too. */
static enum http_refusal take_own(struct fields *fields, struct header *header)
{
    struct slice value = header_value(header);
    switch ((int)header->id) {
    case HEADER_HOST: return read_host(fields, value);
    case HEADER_TRANSFER_ENCODING: return read_coding(fields, value);
    case HEADER_UPGRADE: fields->framing->upgrade_to = value; return HTTP_REFUSAL_NONE;
    case HEADER_CONTENT_LENGTH: {
        enum http_refusal refusal = read_length(fields, header);
        return refusal ? refusal : keep(fields, header);
    }
    case HEADER_CONNECTION:
        /* Stays until all fields are known, when it takes away those that it names. */
        return read_connection(fields, value) ? keep(fields, header) : HTTP_REFUSAL_NONE;
    case HEADER_TE:
        if (headers_has(fields->list, HEADER_TE) || !list_has(value, SLICE("trailers")))
            return HTTP_REFUSAL_NONE;
        header->value = "trailers";
        header->value_size = sizeof("trailers") - 1;
        header->flags = 0;
        return keep(fields, header);
    }
    return HTTP_REFUSAL_NONE; /* Keep-Alive, Proxy-Connection, HTTP2-Settings end here */
}

COLD static enum http_refusal bad_name(const char *line, size_t size)
{
    if (is_blank(line[0]))
        return HTTP_REFUSAL_FOLD;
    return memchr(line, ':', size) ? HTTP_REFUSAL_NAME : HTTP_REFUSAL_NO_COLON;
}

/* A name without id: whether it is one at all, and not an imitation. */
static enum http_refusal check_name(const struct fields *fields, const char *line, size_t line_size,
                                    size_t size, bool *drop)
{
    const struct http_limits *limits = fields->input->limits;
    if (size == line_size || !is_token(line, size))
        return bad_name(line, line_size);
    if (size > limits->max_name_bytes || size > UINT16_MAX)
        return HTTP_REFUSAL_NAME_SIZE;
    *drop = header_is_twin(line, size);
    return *drop && limits->refuse_underscore_twins ? HTTP_REFUSAL_UNDERSCORE : HTTP_REFUSAL_NONE;
}

static enum http_refusal read_field(struct fields *fields, const char *line, size_t size)
{
    size_t name_size = scan_byte_padded(line, size, ':');
    enum header_id id = name_size < size ? header_id_find(line, name_size) : HEADER_OTHER;
    if (id == HEADER_OTHER) {
        bool drop = false;
        enum http_refusal refusal = check_name(fields, line, size, name_size, &drop);
        if (refusal || drop)
            return refusal;
    }
    const char *value = line + name_size + 1, *end = line + size;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    bool whole = value == line + name_size + 2 && line[name_size + 1] == ' ' && end == line + size;
    struct header header = {.name = line,
                            .value = value,
                            .value_size = (uint32_t)(end - value),
                            .name_size = (uint16_t)name_size,
                            .id = (uint8_t)id,
                            .flags = whole ? HEADER_WHOLE_LINE : 0};
    if (UNLIKELY(is_in(own_fields, id)))
        return take_own(fields, &header);
    return keep(fields, &header);
}

/* Everything that Connection names goes, but what is protected; then Connection goes (RFC 9110 7.6.1). */
static void remove_named(struct headers *list)
{
    for (const struct header *one = headers_find(list, HEADER_CONNECTION); one;
         one = headers_find(list, HEADER_CONNECTION)) {
        struct slice options = header_value(one);
        headers_remove_at(list, (struct header *)(uintptr_t)one);
        while (options.size > 0) {
            struct slice name = next_element(&options);
            struct header *named = name.size > 0 ? headers_find_name(list, name) : NULL;
            if (named && named->id != HEADER_CONNECTION && named->id != HEADER_TE &&
                !header_is_protected(named))
                headers_remove(list, name);
        }
    }
}

enum http_refusal fields_read(struct fields *fields, unsigned first_line)
{
    const struct head_input *input = fields->input;
    const char *bytes = input->bytes.data;
    size_t spare = 6; /* what a proxy usually adds */
    if (!headers_reserve(fields->list, input->arena, input->lines - first_line + spare))
        return HTTP_REFUSAL_OVERLOAD;
    size_t start = first_line ? input->ends[first_line - 1] + 2 : 0;
    for (unsigned line = first_line; line < input->lines; line++) {
        enum http_refusal refusal = read_field(fields, bytes + start, input->ends[line] - start);
        if (UNLIKELY(refusal != HTTP_REFUSAL_NONE))
            return refusal;
        start = input->ends[line] + 2;
    }
    if (headers_has(fields->list, HEADER_CONNECTION))
        remove_named(fields->list);
    if (fields->framing->chunked && fields->content_length >= 0)
        return HTTP_REFUSAL_LENGTH_AND_CHUNKED;
    return HTTP_REFUSAL_NONE;
}

static bool is_framing(enum header_id id)
{
    return id == HEADER_CONTENT_LENGTH || id == HEADER_TRANSFER_ENCODING;
}

enum http_refusal head_parse_trailers(const struct head_input *input, struct headers *trailers)
{
    struct head_framing framing = {0};
    struct headers all = {0};
    struct fields fields = {
        .input = input, .framing = &framing, .list = &all, .content_length = HTTP_LENGTH_UNKNOWN};
    enum http_refusal refusal = fields_read(&fields, 0);
    if (fields.content_length >= 0 || fields.codings > 0)
        return HTTP_REFUSAL_TRAILER;
    if (refusal)
        return refusal == HTTP_REFUSAL_LENGTH ? HTTP_REFUSAL_TRAILER : refusal;
    *trailers = all;
    trailers->count = 0;
    trailers->known[0] = trailers->known[1] = 0;
    for (unsigned i = 0; i < all.count; i++) {
        if (is_framing((enum header_id)all.items[i].id))
            return HTTP_REFUSAL_TRAILER;
        if (!trailer_is_allowed(&all.items[i]))
            continue;
        trailers->items[trailers->count++] = all.items[i];
        headers_mark(trailers, all.items[i].id);
    }
    return HTTP_REFUSAL_NONE;
}
