#include "http/h1_fields_internal.h"

#include "http/header_internal.h"
#include "http/scan_internal.h"

enum {
    FIELDS_USUAL = 20
}; /* room made at first: what nearly all heads have, and what a proxy adds */

COLD enum head_status head_refuse(struct head_input *input, enum http_refusal refusal)
{
    input->refusal = (uint8_t)refusal;
    return HEAD_BAD;
}

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
        /* Eighteen digits always fit. */
        if (digit > 9 || (i >= 18 && length > ((uint64_t)INT64_MAX - digit) / 10))
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
__attribute__((noinline)) static bool read_connection(struct fields *fields, struct slice list)
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

/* The field in the list's next slot belongs to the message. */
static inline void keep(struct headers *list, unsigned id)
{
    list->count++;
    headers_mark(list, id);
}

/* Of what is accepted in a transfer only trailers go on, once (RFC 9110 10.1.4). */
__attribute__((noinline)) static void read_te(struct fields *fields, struct header *header)
{
    if (headers_has(fields->list, HEADER_TE) || !list_has(header_value(header), SLICE("trailers")))
        return;
    header->value = "trailers";
    header->value_size = sizeof("trailers") - 1;
    header->flags = 0;
    keep(fields->list, HEADER_TE);
}

/* A field that is ours: read here, and kept in the list only where the next hop may read it too. */
__attribute__((noinline)) static enum http_refusal take_own(struct fields *fields,
                                                            struct header *header)
{
    struct slice value = header_value(header);
    switch ((int)header->id) {
    case HEADER_HOST: return read_host(fields, value);
    case HEADER_TRANSFER_ENCODING: return read_coding(fields, value);
    case HEADER_UPGRADE: fields->framing->upgrade_to = value; return HTTP_REFUSAL_NONE;
    case HEADER_CONTENT_LENGTH: {
        enum http_refusal refusal = read_length(fields, header);
        if (!refusal)
            keep(fields->list, header->id);
        return refusal;
    }
    case HEADER_CONNECTION:
        /* Stays until all fields are known, when it takes away those that it names. */
        if (read_connection(fields, value))
            keep(fields->list, HEADER_CONNECTION);
        return HTTP_REFUSAL_NONE;
    case HEADER_TE: read_te(fields, header); return HTTP_REFUSAL_NONE;
    }
    return HTTP_REFUSAL_NONE; /* Keep-Alive, Proxy-Connection, HTTP2-Settings end here */
}

COLD enum http_refusal line_fault(const char *at, const char *end)
{
    if (at >= end || (*at == '\r' && at + 1 == end))
        return HTTP_REFUSAL_NONE;
    if (*at == '\r')
        return HTTP_REFUSAL_BARE_CR;
    return *at == '\n' ? HTTP_REFUSAL_BARE_LF : HTTP_REFUSAL_CONTROL;
}

/* What is wrong with a line that does not begin with a name and a colon. */
COLD static enum head_status bad_line(const struct fields *fields, const char *line)
{
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    const char *cr = find_line_end(line, fields->end, &refusal);
    if (!cr)
        return refusal ? head_refuse(fields->input, refusal) : HEAD_MORE;
    if (is_blank(line[0]))
        return head_refuse(fields->input, HTTP_REFUSAL_FOLD);
    bool has_colon = memchr(line, ':', (size_t)(cr - line)) != NULL;
    return head_refuse(fields->input, has_colon ? HTTP_REFUSAL_NAME : HTTP_REFUSAL_NO_COLON);
}

/* A name without id: whether it is one at all, and not an imitation, which is dropped. */
static enum http_refusal check_name(const struct fields *fields, const char *name, size_t size,
                                    bool *drop)
{
    const struct http_limits *limits = fields->input->limits;
    if (UNLIKELY(size > limits->max_name_bytes || size > UINT16_MAX))
        return HTTP_REFUSAL_NAME_SIZE;
    *drop = header_is_twin(name, size);
    return *drop && limits->refuse_underscore_twins ? HTTP_REFUSAL_UNDERSCORE : HTTP_REFUSAL_NONE;
}

/* The value's slice in the line; true when the line is "name: value" without any other blank. */
static inline bool trim(const char **value, const char **value_end)
{
    const char *start = *value, *end = *value_end;
    if (LIKELY(start[0] == ' ' && (uint8_t)start[1] > ' ' && (uint8_t)end[-1] > ' ')) {
        *value = start + 1;
        return true;
    }
    while (start < end && is_blank(*start))
        start++;
    while (end > start && is_blank(end[-1]))
        end--;
    *value = start;
    *value_end = end;
    return false;
}

/* One line at *at, which then is the next. */
static inline enum head_status read_field(struct fields *fields, const char **at)
{
    struct headers *list = fields->list;
    const char *line = *at, *end = fields->end;
    size_t name_size = scan_byte_padded(line, (size_t)(end - line), ':');
    const struct header_entry *entry = header_entry_padded(line, name_size);
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    bool drop = false;
    if (entry->id == HEADER_OTHER) {
        if (line + name_size >= end || !is_token(line, name_size))
            return bad_line(fields, line);
        refusal = check_name(fields, line, name_size, &drop);
        if (UNLIKELY(refusal))
            return head_refuse(fields->input, refusal);
    }
    const char *value = line + name_size + 1, *cr = find_line_end(value, end, &refusal);
    if (UNLIKELY(!cr))
        return refusal ? head_refuse(fields->input, refusal) : HEAD_MORE;
    *at = cr + 2;
    if (UNLIKELY(list->count == list->capacity) &&
        !headers_reserve(list, fields->input->arena, (size_t)list->capacity * 2))
        return head_refuse(fields->input, HTTP_REFUSAL_OVERLOAD);
    struct header *header = &list->items[list->count];
    header->flags = trim(&value, &cr) ? HEADER_WHOLE_LINE : 0;
    header->name = line;
    header->value = value;
    header->value_size = (uint32_t)(cr - value);
    header->name_size = (uint16_t)name_size;
    header->id = entry->id;
    if (LIKELY(!entry->is_own)) {
        if (LIKELY(!drop))
            keep(list, entry->id);
        return HEAD_WHOLE;
    }
    refusal = take_own(fields, header);
    return UNLIKELY(refusal) ? head_refuse(fields->input, refusal) : HEAD_WHOLE;
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

static enum head_status end_fields(struct fields *fields, const char *at)
{
    struct head_input *input = fields->input;
    input->used = (size_t)(at - input->bytes.data) + 2;
    if (UNLIKELY(input->used > input->max_bytes))
        return head_refuse(input, HTTP_REFUSAL_HEAD_SIZE);
    if (UNLIKELY(headers_has(fields->list, HEADER_CONNECTION)))
        remove_named(fields->list);
    if (UNLIKELY(fields->framing->chunked && fields->content_length >= 0))
        return head_refuse(input, HTTP_REFUSAL_LENGTH_AND_CHUNKED);
    return HEAD_WHOLE;
}

enum head_status fields_read(struct fields *fields, const char *at)
{
    struct head_input *input = fields->input;
    uint32_t left = MIN(input->limits->max_headers, (uint32_t)HEAD_FIELDS_MAX);
    if (!headers_reserve(fields->list, input->arena, FIELDS_USUAL))
        return head_refuse(input, HTTP_REFUSAL_OVERLOAD);
    for (;; left--) {
        if (UNLIKELY(is_crlf(at))) /* at the end, this reads padding */
            return at + 2 > fields->end ? HEAD_MORE : end_fields(fields, at);
        if (UNLIKELY(left == 0))
            return head_refuse(input, HTTP_REFUSAL_HEAD_COUNT);
        enum head_status status = read_field(fields, &at);
        if (UNLIKELY(status != HEAD_WHOLE))
            return status;
    }
}

static bool is_framing(enum header_id id)
{
    return id == HEADER_CONTENT_LENGTH || id == HEADER_TRANSFER_ENCODING;
}

enum head_status head_parse_trailers(struct head_input *input, struct headers *trailers)
{
    struct head_framing framing = {0};
    struct headers all = {0};
    struct fields fields = {.end = input->bytes.data + input->bytes.size,
                            .input = input,
                            .framing = &framing,
                            .list = &all,
                            .content_length = HTTP_LENGTH_UNKNOWN};
    enum head_status status = fields_read(&fields, input->bytes.data);
    if (status == HEAD_BAD && input->refusal == HTTP_REFUSAL_LENGTH)
        return head_refuse(input, HTTP_REFUSAL_TRAILER);
    if (fields.content_length >= 0 || fields.codings > 0 || framing.hosts > 0)
        return head_refuse(input, HTTP_REFUSAL_TRAILER);
    if (status != HEAD_WHOLE)
        return status;
    *trailers = all;
    trailers->count = 0;
    trailers->known[0] = trailers->known[1] = 0;
    for (unsigned i = 0; i < all.count; i++) {
        if (is_framing((enum header_id)all.items[i].id))
            return head_refuse(input, HTTP_REFUSAL_TRAILER);
        if (!trailer_is_allowed(&all.items[i]))
            continue;
        trailers->items[trailers->count++] = all.items[i];
        headers_mark(trailers, all.items[i].id);
    }
    return HEAD_WHOLE;
}

/* --- moving ------------------------------------------------------------------------------------------------- */

void head_move_fields(struct headers *headers, struct slice bytes, const char *to)
{
    uintptr_t from = (uintptr_t)bytes.data;
    HEADERS_EACH (header, headers) {
        /* A value may be a literal of ours. */
        uintptr_t value = (uintptr_t)header->value - from;
        header->name = to + ((uintptr_t)header->name - from);
        if (LIKELY(value <= bytes.size))
            header->value = to + value;
    }
}
