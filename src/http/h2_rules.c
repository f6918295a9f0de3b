/*
 * h2_rules: what RFC 9113 section 8 asks of a message: its fields one by one, and its body's length.
 *
 * nghttp2 could look as well, but reads every byte of names that we know and of values that we look through anyway, which
 * was a tenth of what a small call costs. What a request's fields say together stands in h2_head.c.
 */
#include "http/h2_internal.h"
#include "http/header_internal.h"

void h2_begin_section(struct h2_stream *own)
{
    own->count = 0;
    own->seen = 0;
    own->has_regular = false;
}

bool h2_see(struct h2_stream *own, enum h2_seen what)
{
    bool is_first = !(own->seen & what);
    own->seen |= (uint8_t)what;
    return is_first;
}

/* --- fields ------------------------------------------------------------------------------------------------- */

static bool is_lower_token(struct slice name)
{
    for (size_t i = 0; i < name.size; i++)
        if (!token_bytes[(uint8_t)name.data[i]] || (name.data[i] >= 'A' && name.data[i] <= 'Z'))
            return false;
    return name.size > 0;
}

static bool is_value(struct slice value)
{
    if (value.size == 0)
        return true;
    return !is_blank(value.data[0]) && !is_blank(value.data[value.size - 1]) &&
           scan_control(value.data, value.size) == value.size;
}

static enum http_refusal take_length(const struct h2 *h2, struct h2_stream *own, struct slice value,
                                     bool *is_dropped)
{
    uint64_t length;
    if (own->in_trailers)
        return HTTP_REFUSAL_NONE; /* it is not passed on */
    if (!h2_see(own, H2_SEEN_LENGTH))
        return HTTP_REFUSAL_LENGTH_TWICE;
    if (!slice_to_u64(value, INT64_MAX, &length))
        return HTTP_REFUSAL_LENGTH;
    unsigned status = h2_is_server(h2) ? 0 : own->response->status;
    if (status > 0 && status < 200)
        return HTTP_REFUSAL_LENGTH;
    if (status == 204) {
        /* Some servers say 0 where RFC 9110 8.6 wants nothing said. */
        *is_dropped = true;
        return length > 0 ? HTTP_REFUSAL_LENGTH : HTTP_REFUSAL_NONE;
    }
    if (own->asks_tunnel && status >= 200 && status < 300)
        *is_dropped = true;
    else
        own->body_left = (int64_t)length;
    return HTTP_REFUSAL_NONE;
}

enum http_refusal h2_check_field(const struct h2 *h2, struct h2_stream *own, enum header_id id,
                                 struct slice name, struct slice value, bool *is_dropped)
{
    own->has_regular = true;
    if (id == HEADER_OTHER && !is_lower_token(name)) /* those that have an id are well */
        return HTTP_REFUSAL_NAME;
    if (!is_value(value))
        return HTTP_REFUSAL_VALUE;
    switch (id) {
    case HEADER_CONNECTION:
    case HEADER_KEEP_ALIVE:
    case HEADER_PROXY_CONNECTION:
    case HEADER_TRANSFER_ENCODING:
    case HEADER_UPGRADE: return HTTP_REFUSAL_CONNECTION_FIELD;
    case HEADER_TE:
        return slice_equals_nocase(value, SLICE("trailers")) ? HTTP_REFUSAL_NONE
                                                             : HTTP_REFUSAL_CONNECTION_FIELD;
    case HEADER_CONTENT_LENGTH: return take_length(h2, own, value, is_dropped);
    default: return HTTP_REFUSAL_NONE;
    }
}

/* Which pseudo-headers a request needs (RFC 9113 8.3.1 and 8.5, RFC 8441 4). */
enum http_refusal h2_check_pseudo(const struct h2_stream *own)
{
    enum { USUAL = H2_SEEN_METHOD | H2_SEEN_SCHEME | H2_SEEN_PATH };
    bool connects = own->stream.request->method == HTTP_CONNECT;
    uint8_t seen = own->seen & (USUAL | H2_SEEN_AUTHORITY | H2_SEEN_PROTOCOL);
    if (seen & H2_SEEN_PROTOCOL)
        return connects && seen == (USUAL | H2_SEEN_AUTHORITY | H2_SEEN_PROTOCOL)
                   ? HTTP_REFUSAL_NONE
                   : HTTP_REFUSAL_PSEUDO;
    if (connects)
        return seen == (H2_SEEN_METHOD | H2_SEEN_AUTHORITY) ? HTTP_REFUSAL_NONE
                                                            : HTTP_REFUSAL_PSEUDO;
    return (seen & USUAL) == USUAL ? HTTP_REFUSAL_NONE : HTTP_REFUSAL_PSEUDO;
}

/* --- bodies ------------------------------------------------------------------------------------------------- */

void h2_expect_body(const struct h2 *h2, struct h2_stream *own)
{
    if (h2_is_server(h2)) {
        if (own->stream.request->method == HTTP_CONNECT)
            own->body_left = HTTP_LENGTH_UNKNOWN;
        return;
    }
    unsigned status = own->response->status;
    if (status < 200)
        own->body_left = HTTP_LENGTH_UNKNOWN;
    else if (http_response_is_bodyless((enum http_method)own->stream.method, status))
        own->body_left = 0;
}

bool h2_body_is_within(const struct h2 *h2, struct h2_stream *own, size_t size, bool is_end)
{
    if (!h2_is_server(h2) && !own->stream.in_headed)
        return false; /* after an informational response, before the final one */
    if (own->body_left == HTTP_LENGTH_UNKNOWN)
        return true;
    if (size > (uint64_t)own->body_left)
        return false;
    own->body_left -= (int64_t)size;
    return !is_end || own->body_left == 0;
}
