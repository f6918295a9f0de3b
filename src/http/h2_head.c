/*
 * h2_head: heads between HTTP/2's field sections and our messages.
 *
 * What RFC 9113 section 8 says of single fields is checked by h2_rules.c. Here come the limits, and what HTTP/1 on the next
 * hop needs to be safe.
 */
#include "base/memory.h"
#include "http/h2_internal.h"
#include "http/header_internal.h"
#include "http/scan_internal.h"
#include "http/url.h"

/* --- receiving ---------------------------------------------------------------------------------------------- */

static struct slice copy(struct h2_stream *own, struct slice bytes)
{
    char *at = arena_try_alloc(own->stream.arena, bytes.size);
    if (!at) {
        own->refusal = HTTP_REFUSAL_OVERLOAD;
        return SLICE_NONE;
    }
    copy_short(at, bytes.data, bytes.size);
    return slice_of(at, bytes.size);
}

/* The size of a literal is a constant, so this takes a word or two and no call. */
static inline bool is_text(struct slice bytes, struct slice literal)
{
    return bytes.size == literal.size && memcmp(bytes.data, literal.data, literal.size) == 0;
}

/* Which one, where it may come once; 0 for unknown ones. */
static enum h2_seen request_pseudo_of(const struct h2 *h2, struct slice name)
{
    if (is_text(name, SLICE(":path")))
        return H2_SEEN_PATH;
    if (is_text(name, SLICE(":method")))
        return H2_SEEN_METHOD;
    if (is_text(name, SLICE(":scheme")))
        return H2_SEEN_SCHEME;
    if (is_text(name, SLICE(":authority")))
        return H2_SEEN_AUTHORITY;
    bool is_offered = h2->codec.limits->offer_extended_connect;
    return is_offered && is_text(name, SLICE(":protocol")) ? H2_SEEN_PROTOCOL : 0;
}

static void take_request_pseudo(struct h2 *h2, struct h2_stream *own, struct slice name,
                                struct slice value)
{
    struct http_request *request = own->stream.request;
    enum h2_seen what = request_pseudo_of(h2, name);
    if (!what || !h2_see(own, what) || value.size == 0)
        own->refusal = HTTP_REFUSAL_PSEUDO;
    else if (what == H2_SEEN_PATH) {
        if (value.size > h2->codec.limits->max_target_bytes)
            own->refusal = HTTP_REFUSAL_TARGET_SIZE;
        else
            request->path = copy(own, value);
    } else if (what == H2_SEEN_METHOD) {
        request->method = (uint8_t)http_method_of(value);
        request->method_text = request->method ? http_method_text((enum http_method)request->method)
                                               : copy(own, value);
    } else if (what == H2_SEEN_SCHEME) {
        request->scheme = is_text(value, SLICE("https"))  ? SLICE("https")
                          : is_text(value, SLICE("http")) ? SLICE("http")
                                                          : copy(own, value);
    } else if (what == H2_SEEN_AUTHORITY) {
        request->authority = copy(own, value);
    } else {
        request->upgrade = copy(own, value);
    }
}

static void take_response_pseudo(struct h2_stream *own, struct slice name, struct slice value)
{
    uint64_t status;
    if (!is_text(name, SLICE(":status")) || !h2_see(own, H2_SEEN_STATUS) || value.size != 3 ||
        !slice_to_u64(value, 999, &status))
        own->refusal = HTTP_REFUSAL_PSEUDO;
    else
        own->response->status = (uint16_t)status;
}

/* The field section costs what it would cost as text: HPACK may have made it of next to nothing. */
static bool is_within_limits(const struct h2 *h2, struct h2_stream *own, size_t size)
{
    const struct http_limits *limits = h2->codec.limits;
    uint32_t most = own->in_trailers ? limits->max_trailer_bytes : limits->max_head_bytes;
    own->received += (uint32_t)MIN(size + 4, (size_t)UINT32_MAX / 2);
    if (own->received > most)
        own->refusal = own->in_trailers ? HTTP_REFUSAL_TRAILER_SIZE : HTTP_REFUSAL_HEAD_SIZE;
    return !own->refusal;
}

void h2_take_field(struct h2 *h2, struct h2_stream *own, struct slice name, struct slice value,
                   bool is_sensitive)
{
    if (own->refusal)
        return;
    if (!is_within_limits(h2, own, name.size + value.size))
        return;
    if (name.size > 0 && name.data[0] == ':') {
        if (own->in_trailers || own->has_regular)
            own->refusal = HTTP_REFUSAL_PSEUDO;
        else if (h2_is_server(h2))
            take_request_pseudo(h2, own, name, value);
        else
            take_response_pseudo(own, name, value);
        return;
    }
    own->count++;
    if (own->count > h2->codec.limits->max_headers) {
        own->refusal = HTTP_REFUSAL_HEAD_COUNT;
        return;
    }
    enum header_id id = header_id_find(name.data, name.size, NAME_LOWER_CASE);
    if (name.size > h2->codec.limits->max_name_bytes) {
        own->refusal = HTTP_REFUSAL_NAME_SIZE;
        return;
    }
    bool is_dropped = false;
    own->refusal = (uint8_t)h2_check_field(h2, own, id, name, value, &is_dropped);
    if (own->refusal || is_dropped)
        return;
    if (id == HEADER_OTHER && header_is_twin(name.data, name.size)) {
        if (h2->codec.limits->refuse_underscore_twins)
            own->refusal = HTTP_REFUSAL_UNDERSCORE;
        return;
    }
    struct slice text = copy(own, value), own_name = id ? SLICE_NONE : copy(own, name);
    if (own->refusal)
        return;
    bool is_added = id ? headers_add_id(own->fields, own->stream.arena, id, text)
                       : headers_add(own->fields, own->stream.arena, own_name, text);
    if (!is_added)
        own->refusal = HTTP_REFUSAL_OVERLOAD;
    else if (is_sensitive)
        own->fields->items[own->fields->count - 1].flags |= HEADER_SENSITIVE;
}

/* Cookie crumbs become one field (RFC 9113 8.2.3): everything behind this codec expects one. */
static bool join_cookies(struct h2_stream *own)
{
    struct headers *list = own->fields;
    struct header *first = headers_find(list, HEADER_COOKIE);
    if (!first || !headers_find_next(list, first))
        return true;
    struct slice joined = headers_joined(list, SLICE("cookie"), own->stream.arena);
    return joined.data && headers_set_id(list, own->stream.arena, HEADER_COOKIE, joined);
}

/* Host is the authority where that is missing, and must agree where it is not. */
static enum http_refusal settle_host(struct h2_stream *own)
{
    struct http_request *request = own->stream.request;
    const struct header *host = headers_find(own->fields, HEADER_HOST);
    if (host) {
        if (headers_find_next(own->fields, host))
            return HTTP_REFUSAL_HOST_TWICE;
        if (request->authority.size == 0)
            request->authority = header_value(host);
        else if (!slice_equals_nocase(request->authority, header_value(host)))
            return HTTP_REFUSAL_HOST_DIFFERS;
        headers_remove_id(own->fields, HEADER_HOST);
    }
    if (request->authority.size == 0)
        return HTTP_REFUSAL_HOST_MISSING;
    return authority_is_valid(request->authority) ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_HOST;
}

static int64_t length_of(const struct headers *list)
{
    uint64_t length;
    const struct header *header = headers_find(list, HEADER_CONTENT_LENGTH);
    if (!header || !slice_to_u64(header_value(header), INT64_MAX, &length))
        return HTTP_LENGTH_UNKNOWN;
    return (int64_t)length;
}

static enum http_refusal settle_target(struct h2 *h2, struct h2_stream *own)
{
    struct http_request *request = own->stream.request;
    if (!is_token(request->method_text.data, request->method_text.size))
        return HTTP_REFUSAL_METHOD;
    if (request->upgrade.size > 0) {
        if (!is_token(request->upgrade.data, request->upgrade.size))
            return HTTP_REFUSAL_PSEUDO;
        /* RFC 8441: an upgrade in HTTP/1's words. */
        http_request_set_method(request, HTTP_GET);
        own->asks_tunnel = true;
    } else if (request->method == HTTP_CONNECT) {
        own->asks_tunnel = true;
        struct authority authority;
        if (!authority_parse(request->authority, &authority) || authority.port == 0)
            return HTTP_REFUSAL_TARGET_FORM;
        return h2->codec.limits->allow_connect ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_CONNECT;
    }
    if (!is_text(request->scheme, SLICE("http")) && !is_text(request->scheme, SLICE("https")))
        return HTTP_REFUSAL_PSEUDO;
    struct slice path = request->path;
    if (slice_equals(path, SLICE("*")))
        return request->method == HTTP_OPTIONS ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_TARGET_FORM;
    if (path.size == 0 || path.data[0] != '/')
        return HTTP_REFUSAL_TARGET_FORM;
    return target_is_valid(path) ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_TARGET;
}

enum http_refusal h2_settle_request(struct h2 *h2, struct h2_stream *own)
{
    struct http_request *request = own->stream.request;
    if (own->refusal)
        return (enum http_refusal)own->refusal;
    enum http_refusal refusal = h2_check_pseudo(own);
    if (!refusal)
        refusal = settle_host(own);
    if (!refusal)
        refusal = settle_target(h2, own);
    if (refusal)
        return refusal;
    if (!join_cookies(own))
        return HTTP_REFUSAL_OVERLOAD;
    request->content_length = length_of(own->fields);
    const struct header *expect = headers_find(own->fields, HEADER_EXPECT);
    if (expect) {
        if (!slice_equals_nocase(header_value(expect), SLICE("100-continue")))
            return HTTP_REFUSAL_EXPECT;
        request->expects_continue = true;
    }
    own->stream.method = request->method;
    return HTTP_REFUSAL_NONE;
}

enum http_refusal h2_settle_response(struct h2 *h2, struct h2_stream *own)
{
    struct http_response *response = own->response;
    (void)h2;
    if (own->refusal)
        return (enum http_refusal)own->refusal;
    if (response->status == 101 || response->status < 100)
        return HTTP_REFUSAL_UPGRADE; /* HTTP/2 has no 101 (RFC 9113 8.6) */
    response->content_length = length_of(own->fields);
    return HTTP_REFUSAL_NONE;
}

void h2_settle_trailers(struct h2_stream *own)
{
    struct headers *list = own->fields;
    for (unsigned i = list->count; i-- > 0;)
        if (!trailer_is_allowed(&list->items[i]))
            headers_remove_at(list, &list->items[i]);
}

/* --- sending ------------------------------------------------------------------------------------------------ */

static void reserve(struct h2_fields *fields, size_t count)
{
    fields->count = 0;
    fields->items =
        count <= COUNT(fields->few) ? fields->few : mem_calloc(count, sizeof(*fields->items));
}

void h2_fields_fini(struct h2_fields *fields)
{
    if (fields->items != fields->few)
        mem_free(fields->items);
}

/* nghttp2 lower-cases names while it copies them. */
static void put(struct h2_fields *fields, struct slice name, struct slice value, uint8_t flags)
{
    fields->items[fields->count++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.data,
                                                  .value = (uint8_t *)(uintptr_t)value.data,
                                                  .namelen = name.size,
                                                  .valuelen = value.size,
                                                  .flags = flags};
}

/* A name of ours is static and in lower case, so it need not be copied. */
static void put_known(struct h2_fields *fields, struct slice name, struct slice value)
{
    put(fields, name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

/* Of these each request has its own: in the table of either side they would only drive out what comes again. */
static bool is_never_the_same(enum header_id id)
{
    switch (id) {
    case HEADER_B3:
    case HEADER_TRACEPARENT:
    case HEADER_X_B3_PARENTSPANID:
    case HEADER_X_B3_SPANID:
    case HEADER_X_B3_TRACEID:
    case HEADER_X_ENVOY_UPSTREAM_SERVICE_TIME:
    case HEADER_X_REQUEST_ID: return true;
    default: return false;
    }
}

/* As received in HTTP/1, or made here: a last look that nothing in it could end a line at some later hop. */
static void put_list(struct h2_fields *fields, const struct headers *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        const struct header *header = &list->items[i];
        if (header_is_hop_by_hop((enum header_id)header->id) || header->id == HEADER_CONTENT_LENGTH)
            continue;
        if (scan_control(header->value, header->value_size) < header->value_size ||
            (header->id == HEADER_OTHER && !is_token(header->name, header->name_size)))
            continue;
        enum header_id id = (enum header_id)header->id;
        bool is_kept_out = header->flags & HEADER_SENSITIVE || is_never_the_same(id);
        bool is_known = id != HEADER_OTHER;
        uint8_t flags = (uint8_t)((is_kept_out ? NGHTTP2_NV_FLAG_NO_INDEX : 0) |
                                  (is_known ? NGHTTP2_NV_FLAG_NO_COPY_NAME : 0));
        put(fields, is_known ? header_id_name(id) : header_name(header), header_value(header),
            flags);
    }
}

static void put_length(struct h2_fields *fields, int64_t length)
{
    char *end = fields->length + sizeof(fields->length), *at = end;
    uint64_t rest = (uint64_t)length;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    put_known(fields, SLICE("content-length"), slice_of(at, (size_t)(end - at)));
}

void h2_fields_of_request(struct h2_fields *fields, const struct http_request *head, bool end)
{
    reserve(fields, head->headers.count + 6u);
    bool upgrades = head->upgrade.size > 0;
    bool connects = head->method == HTTP_CONNECT && !upgrades;
    put_known(fields, SLICE(":method"), upgrades ? SLICE("CONNECT") : head->method_text);
    if (!connects) {
        put_known(fields, SLICE(":scheme"), head->scheme.size ? head->scheme : SLICE("http"));
        put_known(fields, SLICE(":path"), head->path);
    }
    put_known(fields, SLICE(":authority"), head->authority);
    if (upgrades)
        put_known(fields, SLICE(":protocol"), head->upgrade);
    put_list(fields, &head->headers);
    if (!upgrades && !connects && head->content_length >= 0)
        put_length(fields, end ? 0 : head->content_length);
}

void h2_fields_of_response(struct h2_fields *fields, const struct http_response *head,
                           const struct http_stream *stream, bool end)
{
    enum http_method method = (enum http_method)stream->method;
    bool tunnel = http_response_is_tunnel(method, head->status);
    unsigned status = head->status == 101 ? 200 : head->status;
    reserve(fields, head->headers.count + 2u);
    for (unsigned i = 3; i-- > 0; status /= 10)
        fields->status[i] = (char)('0' + status % 10);
    put_known(fields, SLICE(":status"), slice_of(fields->status, 3));
    put_list(fields, &head->headers);
    if (tunnel || head->status < 200 || head->status == 204)
        return;
    if (http_response_is_bodyless(method, head->status)) {
        if (head->content_length >= 0)
            put_length(fields, head->content_length);
    } else if (end || head->content_length >= 0) {
        put_length(fields, end ? 0 : head->content_length);
    }
}

void h2_fields_of_trailers(struct h2_fields *fields, const struct headers *trailers)
{
    reserve(fields, trailers->count);
    put_list(fields, trailers);
}
