#include "http/h1_head.h"

#include "http/h1_fields_internal.h"
#include "http/header_internal.h"
#include "http/scan_internal.h"
#include "http/url.h"

enum { METHOD_SIZE_MAX = 32 };

/* "HTTP/1.1" or "HTTP/1.0", 8 bytes at `text`. */
static enum http_refusal read_version(const char *text, size_t size, uint8_t *version)
{
    if (LIKELY(size == 8)) {
        uint64_t word = load_word(text);
        if (LIKELY(word == load_word("HTTP/1.1"))) {
            *version = HTTP_1_1;
            return HTTP_REFUSAL_NONE;
        }
        if (word == load_word("HTTP/1.0")) {
            *version = HTTP_1_0;
            return HTTP_REFUSAL_NONE;
        }
    }
    if (size < 8 || memcmp(text, "HTTP/", 5) != 0)
        return HTTP_REFUSAL_VERSION_SYNTAX;
    size_t dots = 0;
    for (size_t i = 5; i < size; i++) {
        if (text[i] == '.' && i > 5 && i + 1 < size)
            dots++;
        else if (text[i] < '0' || text[i] > '9')
            return HTTP_REFUSAL_VERSION_SYNTAX;
    }
    return dots == 1 ? HTTP_REFUSAL_VERSION : HTTP_REFUSAL_VERSION_SYNTAX;
}

static enum http_refusal read_method(struct http_request *request, const char *text, size_t size)
{
    if (size == 0)
        return HTTP_REFUSAL_REQUEST_LINE;
    request->method_text = slice_of(text, size);
    if (LIKELY(size == 3 && memcmp(text, "GET", 3) == 0)) {
        request->method = HTTP_GET;
        return HTTP_REFUSAL_NONE;
    }
    request->method = (uint8_t)http_method_of(request->method_text);
    if (request->method != HTTP_OTHER_METHOD)
        return HTTP_REFUSAL_NONE;
    if (!is_token(text, size))
        return HTTP_REFUSAL_METHOD;
    return size > METHOD_SIZE_MAX ? HTTP_REFUSAL_METHOD_SIZE : HTTP_REFUSAL_NONE;
}

/* http://host/path: a scheme, then as much as an authority allows, then a path. */
static enum http_refusal read_absolute(struct http_request *request, struct slice target)
{
    struct url url;
    if (!url_parse(target, &url))
        return HTTP_REFUSAL_TARGET_FORM;
    request->scheme = url.scheme;
    request->authority = url.authority;
    request->path = url.path;
    return HTTP_REFUSAL_NONE;
}

static enum http_refusal read_connect(struct http_request *request, struct slice target,
                                      const struct http_limits *limits)
{
    struct authority authority;
    if (!authority_parse(target, &authority) || authority.port == 0)
        return HTTP_REFUSAL_TARGET_FORM;
    if (!limits->allow_connect)
        return HTTP_REFUSAL_CONNECT;
    request->authority = target;
    return HTTP_REFUSAL_NONE;
}

/* Only behind the question mark: what routes is as strict as ever. */
COLD static bool query_is_visible(struct slice target)
{
    struct slice path, query;
    if (!slice_cut(target, '?', &path, &query) || !target_is_valid(path))
        return false;
    for (size_t i = 0; i < query.size; i++) {
        uint8_t byte = (uint8_t)query.data[i];
        if (byte <= ' ' || byte >= 0x7f || byte == '#')
            return false;
    }
    return true;
}

static enum http_refusal read_target(struct http_request *request, const char *text, size_t size,
                                     const struct http_limits *limits)
{
    struct slice target = slice_of(text, size);
    if (size == 0)
        return HTTP_REFUSAL_REQUEST_LINE;
    if (size > limits->max_target_bytes)
        return HTTP_REFUSAL_TARGET_SIZE;
    if (!target_is_valid(target) && !(limits->lenient_query && query_is_visible(target)))
        return HTTP_REFUSAL_TARGET;
    if (request->method == HTTP_CONNECT)
        return read_connect(request, target, limits);
    if (LIKELY(text[0] == '/')) {
        request->path = target;
        return HTTP_REFUSAL_NONE;
    }
    if (size == 1 && text[0] == '*') {
        request->path = target;
        return request->method == HTTP_OPTIONS ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_TARGET_FORM;
    }
    return read_absolute(request, target);
}

static enum http_refusal read_request_line(struct http_request *request, const char *line,
                                           size_t size, const struct http_limits *limits)
{
    size_t method_size = scan_byte_padded(line, size, ' ');
    if (method_size == size)
        return HTTP_REFUSAL_REQUEST_LINE;
    const char *target = line + method_size + 1;
    size_t rest = size - method_size - 1;
    size_t target_size = scan_byte_padded(target, rest, ' ');
    enum http_refusal refusal = read_method(request, line, method_size);
    if (refusal)
        return refusal;
    if (target_size == rest)
        return target_size > limits->max_target_bytes ? HTTP_REFUSAL_TARGET_SIZE
                                                      : HTTP_REFUSAL_REQUEST_LINE;
    const char *version = target + target_size + 1;
    size_t version_size = rest - target_size - 1;
    if (UNLIKELY(size == 14 && memcmp(line, "PRI * HTTP/2.0", 14) == 0))
        return HTTP_REFUSAL_PREFACE;
    if (memchr(version, ' ', version_size))
        return HTTP_REFUSAL_TARGET;
    refusal = read_version(version, version_size, &request->version);
    return refusal ? refusal : read_target(request, target, target_size, limits);
}

/* Host, and its agreement with the target's authority (RFC 9112 3.2). */
static enum http_refusal settle_host(struct http_request *request,
                                     const struct head_framing *framing, struct arena *arena)
{
    if (framing->hosts == 0)
        return request->version == HTTP_1_0 ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_HOST_MISSING;
    if (!authority_is_valid(framing->host))
        return HTTP_REFUSAL_HOST;
    if (LIKELY(request->authority.size == 0)) {
        request->authority = framing->host;
        return HTTP_REFUSAL_NONE;
    }
    struct slice scheme = request->scheme.size ? request->scheme : SLICE("http");
    struct slice target = authority_normalise(request->authority, scheme, false, arena);
    struct slice host = authority_normalise(framing->host, scheme, false, arena);
    return slice_equals(target, host) ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_HOST_DIFFERS;
}

/* An upgrade that we can carry: asked for by Connection, in HTTP/1.1, without a body, and not to HTTP/2. */
static void settle_upgrade(struct http_request *request, const struct head_framing *framing)
{
    struct slice list = framing->upgrade_to;
    if (!framing->upgrade || list.size == 0 || request->version != HTTP_1_1 || framing->chunked ||
        request->content_length > 0 || request->method == HTTP_CONNECT)
        return;
    struct slice first = next_element(&list);
    if (is_token(first.data, first.size) && !slice_equals_nocase(first, SLICE("h2c")) &&
        !slice_equals_nocase(first, SLICE("h2")))
        request->upgrade = first;
}

static enum http_refusal settle_expect(struct http_request *request)
{
    if (LIKELY(!headers_has(&request->headers, HEADER_EXPECT)))
        return HTTP_REFUSAL_NONE;
    const struct header *expect = headers_find(&request->headers, HEADER_EXPECT);
    if (!slice_equals_nocase(header_value(expect), SLICE("100-continue")) ||
        headers_find_next(&request->headers, expect))
        return HTTP_REFUSAL_EXPECT;
    request->expects_continue = request->version == HTTP_1_1;
    return HTTP_REFUSAL_NONE;
}

/* What the head says as a whole. */
static enum http_refusal settle(struct http_request *request, const struct fields *fields)
{
    const struct head_framing *framing = fields->framing;
    request->content_length = fields->content_length;
    if (framing->chunked && request->version == HTTP_1_0)
        return HTTP_REFUSAL_CODING_VERSION;
    if ((framing->chunked || request->content_length > 0) && request->method == HTTP_CONNECT)
        return HTTP_REFUSAL_LENGTH;
    enum http_refusal refusal = settle_host(request, framing, fields->input->arena);
    if (refusal)
        return refusal;
    if (UNLIKELY(framing->upgrade))
        settle_upgrade(request, framing);
    return settle_expect(request);
}

/* The start line's end. NULL: *status. */
static const char *start_line(struct fields *fields, enum head_status *status)
{
    struct head_input *input = fields->input;
    enum http_refusal refusal = HTTP_REFUSAL_NONE;
    const char *start = input->bytes.data, *end = start + input->bytes.size;
    const char *cr = find_line_end(start, end, &refusal);
    if (UNLIKELY(!cr)) {
        *status = refusal ? head_refuse(input, refusal) : HEAD_MORE;
        return NULL;
    }
    fields->end = end;
    return cr;
}

enum head_status head_parse_request(struct head_input *input, struct http_request *request,
                                    struct head_framing *framing)
{
    struct fields fields = {.input = input,
                            .framing = framing,
                            .list = &request->headers,
                            .content_length = HTTP_LENGTH_UNKNOWN};
    enum head_status status;
    http_request_init(request);
    *framing = (struct head_framing){0};
    const char *cr = start_line(&fields, &status);
    if (!cr)
        return status;
    enum http_refusal refusal = read_request_line(request, input->bytes.data,
                                                  (size_t)(cr - input->bytes.data), input->limits);
    if (UNLIKELY(refusal))
        return head_refuse(input, refusal);
    status = fields_read(&fields, cr + 2);
    if (UNLIKELY(status != HEAD_WHOLE))
        return status;
    refusal = settle(request, &fields);
    return UNLIKELY(refusal) ? head_refuse(input, refusal) : HEAD_WHOLE;
}

static enum http_refusal read_status_line(struct http_response *response, const char *line,
                                          size_t size)
{
    if (size < 12 || line[8] != ' ')
        return HTTP_REFUSAL_STATUS_LINE;
    enum http_refusal refusal = read_version(line, 8, &response->version);
    if (refusal)
        return refusal;
    unsigned status = 0;
    for (size_t i = 9; i < 12; i++) {
        unsigned digit = (unsigned)(uint8_t)line[i] - '0';
        if (digit > 9)
            return HTTP_REFUSAL_STATUS_LINE;
        status = status * 10 + digit;
    }
    if (status < 100 || (size > 12 && line[12] != ' '))
        return HTTP_REFUSAL_STATUS_LINE;
    response->status = (uint16_t)status;
    return HTTP_REFUSAL_NONE;
}

enum head_status head_parse_response(struct head_input *input, struct http_response *response,
                                     struct head_framing *framing)
{
    struct fields fields = {.input = input,
                            .framing = framing,
                            .list = &response->headers,
                            .content_length = HTTP_LENGTH_UNKNOWN};
    enum head_status status;
    http_response_init(response, 0);
    *framing = (struct head_framing){0};
    const char *cr = start_line(&fields, &status);
    if (!cr)
        return status;
    enum http_refusal refusal =
        read_status_line(response, input->bytes.data, (size_t)(cr - input->bytes.data));
    if (UNLIKELY(refusal))
        return head_refuse(input, refusal);
    status = fields_read(&fields, cr + 2);
    if (UNLIKELY(status != HEAD_WHOLE))
        return status;
    response->content_length = fields.content_length;
    if (framing->chunked && response->version == HTTP_1_0)
        return head_refuse(input, HTTP_REFUSAL_CODING_VERSION);
    if (response->status == 101)
        response->upgrade = framing->upgrade_to;
    return HEAD_WHOLE;
}

/* --- moving ------------------------------------------------------------------------------------------------- */

static void move_slice(struct slice *slice, struct slice bytes, const char *to)
{
    uintptr_t at = (uintptr_t)slice->data - (uintptr_t)bytes.data;
    if (slice->data && at <= bytes.size)
        slice->data = to + at;
}

void head_move_request(struct http_request *request, struct slice bytes, const char *to)
{
    move_slice(&request->method_text, bytes, to);
    move_slice(&request->scheme, bytes, to);
    move_slice(&request->authority, bytes, to);
    move_slice(&request->path, bytes, to);
    move_slice(&request->upgrade, bytes, to);
    head_move_fields(&request->headers, bytes, to);
}

void head_move_response(struct http_response *response, struct slice bytes, const char *to)
{
    move_slice(&response->upgrade, bytes, to);
    head_move_fields(&response->headers, bytes, to);
}
