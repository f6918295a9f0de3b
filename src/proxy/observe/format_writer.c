#include "proxy/observe/format_writer.h"

#include "base/clock.h"
#include "base/decimal.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/format.h"
#include "build/route_table.h"
#include "net/transport.h"
#include "proxy/downstream/exchange.h"
#include "proxy/observe/record.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { VALUE_MAX = 4096, FORMATTED_MAX = 16384 };

/* One value: where it lies, or NULL data when there is none. Text is made in scratch where it has to be. */
struct value_text {
    struct slice text;
    bool is_number;
    bool is_ours; /* made here, of bytes that need no escape */
    char *place;  /* where short texts of ours are made: where the line goes on, or scratch */
    char scratch[512];
};
enum { PLACE_BYTES = ADDRESS_TEXT }; /* the longest of them */

/* --- lines ---------------------------------------------------------------------------------------------------- */

static void put(struct line *line, struct slice bytes)
{
    if ((size_t)(line->end - line->at) < bytes.size) {
        line->is_cut = true;
        return;
    }
    copy_short(line->at, bytes.data, bytes.size);
    line->at += bytes.size;
}

/* Of the format itself, whose texts are followed by bytes that may be copied too. */
static inline void put_literal(struct line *line, struct slice text)
{
    if (LIKELY(text.size <= FORMAT_LITERAL_PADDING &&
               line->end - line->at >= FORMAT_LITERAL_PADDING)) {
        memcpy(line->at, text.data, FORMAT_LITERAL_PADDING);
        line->at += text.size;
    } else {
        put(line, text);
    }
}

/* A value that is_ours: it may lie in its place in the line already. */
static inline void put_ours(struct line *line, struct slice text)
{
    if (text.data == line->at)
        line->at += text.size;
    else
        put(line, text);
}

/* Which bytes need an escape: 1 in JSON only, 2 everywhere. */
static const uint8_t escapes[256] = {
    [0 ... 0x1f] = 2, ['"'] = 2, ['\\'] = 2, [0x7f] = 2, [0x80 ... 0xff] = 1,
};

static void put_escape(struct line *line, uint8_t byte, bool json)
{
    static const char hex[] = "0123456789abcdef";
    if (byte == '\\' || byte == '"')
        put(line, (struct slice){(char[]){'\\', (char)byte}, 2});
    else if (json)
        put(line, (struct slice){(char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6});
    else
        put(line, (struct slice){(char[]){'\\', 'x', hex[byte >> 4], hex[byte & 15]}, 4});
}

/* Whether some of 8 bytes are not plain ASCII or may need an escape: a borrow out of each byte that is too small. */
static inline bool may_need_escape(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\'),
             del = word ^ (ones * 0x7f);
    uint64_t found =
        (word - ones * 0x20) | (quote - ones) | (backslash - ones) | (del - ones) | word;
    return (found & high) != 0;
}

/* False also where nothing needs an escape in text, but in JSON it would. */
static inline bool is_plain(struct slice bytes)
{
    size_t at = 0;
    if (bytes.size >= 8) {
        for (; at + 8 <= bytes.size; at += 8)
            if (may_need_escape(bytes.data + at))
                return false;
        return !may_need_escape(bytes.data + bytes.size - 8);
    }
    uint8_t all = 0;
    for (; at < bytes.size; at++)
        all |= escapes[(uint8_t)bytes.data[at]];
    return all == 0;
}

static void put_pieces(struct line *line, struct slice bytes, uint8_t least)
{
    while (bytes.size > 0) {
        size_t plain = 0;
        while (plain < bytes.size && escapes[(uint8_t)bytes.data[plain]] < least)
            plain++;
        /* A run may be cut where the line ends, as it would be byte by byte. */
        size_t fits = MIN(plain, (size_t)(line->end - line->at));
        put(line, slice_of(bytes.data, fits));
        line->is_cut |= fits < plain;
        if (plain == bytes.size)
            return;
        put_escape(line, (uint8_t)bytes.data[plain], least == 1);
        bytes = slice_from(bytes, plain + 1);
    }
}

/* Peers choose these bytes: nothing of them may end a line or a string. */
static inline void put_escaped(struct line *line, struct slice bytes, bool json)
{
    if (LIKELY((size_t)(line->end - line->at) >= bytes.size && is_plain(bytes)))
        put(line, bytes);
    else
        put_pieces(line, bytes, json ? 1 : 2);
}

/* --- values --------------------------------------------------------------------------------------------------- */

static void set_number(struct value_text *value, uint64_t number)
{
    value->text = slice_of(value->place, decimal_write(number, value->place));
    value->is_number = true;
    value->is_ours = true;
}

static void set_version(struct value_text *value, enum http_version version)
{
    value->text = http_version_text(version);
    value->is_ours = true;
}

/* From one moment to another in ms; nothing when either did not happen. */
static void set_span(struct value_text *value, uint64_t from_us, uint64_t to_us)
{
    if (from_us && to_us >= from_us)
        set_number(value, (to_us - from_us) / 1000);
}

static void set_address(struct value_text *value, const struct address *address,
                        enum format_part part)
{
    _Static_assert(ADDRESS_TEXT <= sizeof(value->scratch), "an address fits");
    if (!address_is_set(address))
        return;
    value->is_ours = address_is_ip(address);
    char *text = value->is_ours ? value->place : value->scratch;
    size_t size = 0;
    switch (part) {
    case FORMAT_PART_ALL: size = address_format(address, text); break;
    case FORMAT_PART_IP: size = address_format_ip(address, text); break;
    case FORMAT_PART_PORT: set_number(value, address_port(address)); return;
    }
    value->text = slice_of(text, size);
}

static void set_time(struct value_text *value, int64_t wall_us, struct slice format,
                     struct clock_text *clock)
{
    if (format.size == 0) {
        value->text = slice_of(value->place, clock_format_again(clock, wall_us, value->place));
        value->is_ours = true;
        return;
    }
    char pattern[256], *at = pattern;
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm calendar;
    gmtime_r(&seconds, &calendar);
    for (size_t i = 0; i < format.size && at < pattern + sizeof(pattern) - 16; i++) {
        bool is_step = format.data[i] == '%' && i + 1 < format.size;
        char next = is_step ? format.data[i + 1] : '\0';
        int digits = next >= '1' && next <= '9' && i + 2 < format.size && format.data[i + 2] == 'f'
                         ? next - '0'
                         : 0;
        if (next == 'f' || digits) {
            char nanos[16];
            snprintf(nanos, sizeof(nanos), "%09lld", (long long)(wall_us % 1000000) * 1000);
            int shown = digits ? digits : 9;
            memcpy(at, nanos, (size_t)shown);
            at += shown;
            i += digits ? 2 : 1;
        } else if (next == 's') {
            at += snprintf(at, 16, "%lld", (long long)seconds);
            i++;
        } else {
            *at++ = format.data[i];
        }
    }
    *at = '\0';
    value->text = slice_of(value->scratch,
                           strftime(value->scratch, sizeof(value->scratch), pattern, &calendar));
}

static struct slice header_of(const struct headers *headers, const struct header_key *key)
{
    const struct header *header = headers && key
                                      ? key->id ? headers_find(headers, (enum header_id)key->id)
                                                : headers_find_name(headers, key->name)
                                      : NULL;
    return header ? header_value(header) : SLICE_NONE;
}

/* Request headers include the pseudo-headers, and the path before it was rewritten. */
static struct slice request_header(const struct record *record, const struct header_key *key)
{
    const struct http_request *head = record->request;
    if (!head || !key)
        return SLICE_NONE;
    switch (key->source) {
    case HEADER_KEY_METHOD: return head->method_text;
    case HEADER_KEY_PATH: return head->path;
    case HEADER_KEY_AUTHORITY: return head->authority;
    case HEADER_KEY_SCHEME: return head->scheme;
    case HEADER_KEY_FIELD: break;
    }
    if (key->id == HEADER_X_ENVOY_ORIGINAL_PATH)
        return record->original_path;
    return header_of(&head->headers, key);
}

static void set_flags(struct value_text *value, uint64_t flags, bool is_long)
{
    size_t size = 0;
    for (int flag = 0; flag < ACCESS_LOG_FLAGS && flags; flag++) {
        if (!(flags >> flag & 1))
            continue;
        const char *name = is_long ? access_log_flag_long_name((enum access_log_flag)flag)
                                   : access_log_flag_name((enum access_log_flag)flag);
        size += (size_t)snprintf(value->scratch + size, sizeof(value->scratch) - size, "%s%s",
                                 size ? "," : "", name);
        if (size >= sizeof(value->scratch) - 1)
            break;
    }
    if (size)
        value->text = slice_of(value->scratch, MIN(size, sizeof(value->scratch) - 1));
}

static struct slice peer_uri(const struct transport *transport)
{
    const struct peer_identity *peer = transport ? transport_peer(transport) : NULL;
    return peer ? peer->id.text : SLICE_NONE;
}

static struct slice own_uri(const struct transport *transport)
{
    const struct tls_session *session = transport ? transport_session(transport) : NULL;
    struct slice id = session ? tls_session_own_id(session) : SLICE_NONE;
    return id;
}

static struct slice peer_subject(const struct transport *transport)
{
    const struct peer_identity *peer = transport ? transport_peer(transport) : NULL;
    return peer ? peer->subject : SLICE_NONE;
}

static struct slice tls_version(const struct transport *transport)
{
    const struct tls_session *session = transport ? transport_session(transport) : NULL;
    if (!session)
        return SLICE_NONE;
    return tls_session_version(session) == TLS_1_3 ? SLICE("TLSv1.3") : SLICE("TLSv1.2");
}

static struct slice tls_cipher(const struct transport *transport)
{
    const struct tls_session *session = transport ? transport_session(transport) : NULL;
    return session ? slice_str(tls_session_cipher(session)) : SLICE_NONE;
}

static struct slice server_name(const struct transport *transport)
{
    const struct tls_session *session = transport ? transport_session(transport) : NULL;
    return session ? tls_session_server_name(session) : SLICE_NONE;
}

static void set_end(struct value_text *value, struct address end, enum format_part part)
{
    set_address(value, &end, part);
}

static void set_upstream_local(struct value_text *value, const struct record *record,
                               enum format_part part)
{
    if (record->upstream_local)
        set_address(value, record->upstream_local, part);
    else if (record->upstream)
        set_end(value, conn_local_address(transport_conn(record->upstream)), part);
}

static struct slice text_or_none(const char *text)
{
    return text ? slice_str(text) : SLICE_NONE;
}

/* RESP(x-envoy-upstream-service-time) is known without the header, which is not added for nobody. */
static void set_response_header(struct value_text *value, const struct format_step *step,
                                const struct record *record)
{
    const struct headers *headers = record->response ? &record->response->headers : NULL;
    value->text = header_of(headers, step->header);
    if (!value->text.data && step->other)
        value->text = header_of(headers, step->other);
    if (!value->text.data && step->header->id == HEADER_X_ENVOY_UPSTREAM_SERVICE_TIME)
        set_span(value, record->upstream_start_us, record->upstream_head_us);
}

static void set_request_header(struct value_text *value, const struct format_step *step,
                               const struct record *record)
{
    const struct header_key *key = step->header;
    value->text = request_header(record, key);
    if (!value->text.data && step->other) {
        key = step->other;
        value->text = request_header(record, key);
    }
    value->is_ours = key->source == HEADER_KEY_METHOD && record->request &&
                     record->request->method != HTTP_OTHER_METHOD;
    if (value->text.data && step->field == FORMAT_REQUEST_HEADER_WITHOUT_QUERY)
        value->text.size = slice_find_byte(value->text, '?');
}

/* Of a certificate's names one kind, with commas. */
static void set_peer_names(struct value_text *value, const struct transport *transport,
                           enum san_kind kind)
{
    const struct peer_identity *peer = transport ? transport_peer(transport) : NULL;
    size_t size = 0;
    for (uint32_t i = 0; peer && i < peer->san_count; i++) {
        const struct san *san = &peer->sans[i];
        if (san->kind == kind && size + san->text.size + 1 < sizeof(value->scratch))
            size += (size_t)snprintf(value->scratch + size, sizeof(value->scratch) - size, "%s%.*s",
                                     size ? "," : "", SLICE_ARG(san->text));
    }
    if (size)
        value->text = slice_of(value->scratch, size);
}

static void set_peer_fingerprint(struct value_text *value, const struct transport *transport)
{
    const struct peer_identity *peer = transport ? transport_peer(transport) : NULL;
    for (size_t i = 0; peer && i < CERTIFICATE_HASH_BYTES; i++)
        snprintf(value->scratch + 2 * i, 3, "%02x", peer->certificate_hash[i]);
    if (peer)
        value->text = slice_of(value->scratch, (size_t)2 * CERTIFICATE_HASH_BYTES);
    value->is_ours = true;
}

static void set_peer_end(struct value_text *value, const struct transport *transport,
                         struct slice format)
{
    const struct peer_identity *peer = transport ? transport_peer(transport) : NULL;
    if (peer)
        set_time(value, peer->not_after_s * 1000000, format, &(struct clock_text){0});
}

/* Names and values alone, as Envoy counts them. */
static uint64_t bytes_of(const struct headers *headers)
{
    uint64_t bytes = 0;
    for (uint16_t i = 0; headers && i < headers->count; i++)
        bytes += header_name(&headers->items[i]).size + header_value(&headers->items[i]).size;
    return bytes;
}

static void set_request_bytes(struct value_text *value, const struct http_request *head)
{
    if (!head)
        return;
    set_number(value, bytes_of(&head->headers) + strlen(":method:path:scheme:authority") +
                          head->method_text.size + head->path.size + head->scheme.size +
                          head->authority.size);
}

static void set_grpc_status(struct value_text *value, const struct record *record)
{
    static const struct header_key key = {.name = {"grpc-status", 11}, .id = HEADER_GRPC_STATUS};
    value->text = header_of(record->trailers, &key);
    if (!value->text.data && record->response)
        value->text = header_of(&record->response->headers, &key);
}

static void evaluate(const struct format_step *step, const struct record *record,
                     struct clock_text *clock, struct value_text *value)
{
    const struct transport *down = record->downstream, *up = record->upstream;
    value->text = SLICE_NONE;
    value->is_number = value->is_ours = false;
    switch (step->field) {
    case FORMAT_LITERAL: value->text = step->text; return;
    case FORMAT_START_TIME:
    case FORMAT_START_TIME_LOCAL: set_time(value, record->start_wall_us, step->text, clock); return;
    case FORMAT_EMIT_TIME:
    case FORMAT_EMIT_TIME_LOCAL:
        set_time(value, record->start_wall_us + (int64_t)(record->end_us - record->start_us),
                 step->text, clock);
        return;
    case FORMAT_DURATION: set_span(value, record->start_us, record->end_us); return;
    case FORMAT_REQUEST_DURATION:
    case FORMAT_REQUEST_TX_DURATION:
        set_span(value, record->start_us, record->request_end_us);
        return;
    case FORMAT_RESPONSE_DURATION:
        set_span(value, record->start_us, record->response_start_us);
        return;
    case FORMAT_RESPONSE_TX_DURATION:
        set_span(value, record->response_start_us, record->end_us);
        return;
    case FORMAT_PROTOCOL:
        if (record->request)
            set_version(value, (enum http_version)record->request->version);
        return;
    case FORMAT_UPSTREAM_PROTOCOL:
        if (record->upstream_head_us && !record->is_tunnel)
            set_version(value, (enum http_version)record->upstream_version);
        return;
    case FORMAT_RESPONSE_CODE: set_number(value, record->status); return;
    case FORMAT_RESPONSE_CODE_DETAILS: value->text = text_or_none(record->details); return;
    case FORMAT_RESPONSE_FLAGS: set_flags(value, record->flags, false); return;
    case FORMAT_RESPONSE_FLAGS_LONG: set_flags(value, record->flags, true); return;
    case FORMAT_CONNECTION_TERMINATION_DETAILS:
        value->text = text_or_none(record->termination);
        return;
    case FORMAT_GRPC_STATUS:
    case FORMAT_GRPC_STATUS_NUMBER: set_grpc_status(value, record); return;
    case FORMAT_ROUTE_NAME:
        if (record->route && record->route->name.size)
            value->text = record->route->name;
        return;
    case FORMAT_REQUEST_ATTEMPT_COUNT: set_number(value, record->attempts); return;
    case FORMAT_ACCESS_LOG_TYPE:
        value->text = record->request      ? SLICE("DownstreamEnd")
                      : record->is_session ? SLICE("UdpSessionEnd")
                                           : SLICE("TcpConnectionEnd");
        return;
    case FORMAT_WHY: value->text = record->why.size ? record->why : SLICE_NONE; return;
    case FORMAT_BYTES_RECEIVED:
    case FORMAT_DOWNSTREAM_WIRE_BYTES_RECEIVED: set_number(value, record->bytes_received); return;
    case FORMAT_BYTES_SENT:
    case FORMAT_DOWNSTREAM_WIRE_BYTES_SENT: set_number(value, record->bytes_sent); return;
    case FORMAT_UPSTREAM_WIRE_BYTES_SENT:
        set_number(value, record->upstream_start_us ? record->bytes_received : 0);
        return;
    case FORMAT_UPSTREAM_WIRE_BYTES_RECEIVED:
        set_number(value, record->upstream_head_us ? record->bytes_sent : 0);
        return;
    case FORMAT_REQUEST_HEADER:
    case FORMAT_REQUEST_HEADER_WITHOUT_QUERY: set_request_header(value, step, record); return;
    case FORMAT_RESPONSE_HEADER: set_response_header(value, step, record); return;
    case FORMAT_RESPONSE_TRAILER: value->text = header_of(record->trailers, step->header); return;
    case FORMAT_PATH:
        if (record->request)
            value->text = step->style == FORMAT_STYLE_ORIGINAL_PATH && record->original_path.size
                              ? record->original_path
                              : record->request->path;
        if (slice_equals(step->text, SLICE("NQ")) && value->text.data)
            value->text.size = slice_find_byte(value->text, '?');
        return;
    case FORMAT_UPSTREAM_HOST:
    case FORMAT_UPSTREAM_HOST_NAME:
    case FORMAT_UPSTREAM_REMOTE_ADDRESS:
        if (record->upstream_address)
            set_address(value, record->upstream_address, step->part);
        return;
    case FORMAT_UPSTREAM_CLUSTER:
        if (record->cluster)
            value->text = record->cluster->stat_name;
        return;
    case FORMAT_UPSTREAM_CLUSTER_RAW:
        if (record->cluster)
            value->text = record->cluster->name.text;
        return;
    case FORMAT_UPSTREAM_LOCAL_ADDRESS: set_upstream_local(value, record, step->part); return;
    case FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON:
        value->text = record->upstream_failure.size ? record->upstream_failure : SLICE_NONE;
        return;
    case FORMAT_DOWNSTREAM_LOCAL_ADDRESS:
        set_end(value, record_destination(record), step->part);
        return;
    case FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS:
        set_end(value, record_downstream_local(record), step->part);
        return;
    case FORMAT_DOWNSTREAM_REMOTE_ADDRESS:
        set_end(value, record_source(record), step->part);
        return;
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS:
        set_end(value, record_downstream_peer(record), step->part);
        return;
    case FORMAT_CONNECTION_ID:
        if (down)
            set_number(value, conn_id(transport_conn(down)));
        return;
    case FORMAT_UPSTREAM_CONNECTION_ID:
        if (up)
            set_number(value, conn_id(transport_conn(up)));
        return;
    case FORMAT_REQUESTED_SERVER_NAME: value->text = server_name(down); return;
    case FORMAT_DOWNSTREAM_TLS_VERSION: value->text = tls_version(down); return;
    case FORMAT_DOWNSTREAM_TLS_CIPHER: value->text = tls_cipher(down); return;
    case FORMAT_DOWNSTREAM_PEER_URI_SAN: value->text = peer_uri(down); return;
    case FORMAT_DOWNSTREAM_LOCAL_URI_SAN: value->text = own_uri(down); return;
    case FORMAT_DOWNSTREAM_PEER_DNS_SAN: set_peer_names(value, down, SAN_DNS); return;
    case FORMAT_DOWNSTREAM_PEER_FINGERPRINT: set_peer_fingerprint(value, down); return;
    case FORMAT_DOWNSTREAM_PEER_CERT_V_END: set_peer_end(value, down, step->text); return;
    case FORMAT_REQUEST_HEADERS_BYTES: set_request_bytes(value, record->request); return;
    case FORMAT_RESPONSE_HEADERS_BYTES:
        if (record->response)
            set_number(value, bytes_of(&record->response->headers) + strlen(":status200"));
        return;
    case FORMAT_RESPONSE_TRAILERS_BYTES:
        if (record->request)
            set_number(value, bytes_of(record->trailers));
        return;
    case FORMAT_DOWNSTREAM_PEER_SUBJECT: value->text = peer_subject(down); return;
    case FORMAT_UPSTREAM_TLS_VERSION: value->text = tls_version(up); return;
    case FORMAT_UPSTREAM_TLS_CIPHER: value->text = tls_cipher(up); return;
    case FORMAT_UPSTREAM_PEER_URI_SAN: value->text = peer_uri(up); return;
    case FORMAT_UPSTREAM_PEER_SUBJECT: value->text = peer_subject(up); return;
    /* Known to the format, and not there in what this proxy does. */
    case FORMAT_DOWNSTREAM_HANDSHAKE_DURATION:
    case FORMAT_ROUNDTRIP_DURATION:
    case FORMAT_STREAM_ID:
    case FORMAT_TRACE_ID:
    case FORMAT_UPSTREAM_HEADER_BYTES_SENT:
    case FORMAT_UPSTREAM_HEADER_BYTES_RECEIVED:
    case FORMAT_DOWNSTREAM_HEADER_BYTES_SENT:
    case FORMAT_DOWNSTREAM_HEADER_BYTES_RECEIVED:
    case FORMAT_DOWNSTREAM_TRANSPORT_FAILURE_REASON:
    case FORMAT_DOWNSTREAM_TLS_SESSION_ID:
    case FORMAT_DOWNSTREAM_PEER_ISSUER:
    case FORMAT_DOWNSTREAM_PEER_SERIAL:
    case FORMAT_DOWNSTREAM_PEER_CERT_V_START:
    case FORMAT_DOWNSTREAM_LOCAL_SUBJECT:
    case FORMAT_DYNAMIC_METADATA:
    case FORMAT_CLUSTER_METADATA:
    case FORMAT_UPSTREAM_METADATA:
    case FORMAT_ROUTE_METADATA:
    case FORMAT_LISTENER_METADATA:
    case FORMAT_FILTER_STATE:
    case FORMAT_UPSTREAM_FILTER_STATE:
    case FORMAT_MEMBER:
    case FORMAT_LOCAL_REPLY_BODY:
    case FORMAT_FIELDS: return;
    }
}

/* --- programs ------------------------------------------------------------------------------------------------- */

static const char dash[FORMAT_LITERAL_PADDING] = "-";
static const struct slice missing = {dash, 1};

static void write_value(const struct format *format, const struct format_step *step,
                        const struct value_text *value, struct line *line)
{
    switch (step->context) {
    case FORMAT_IN_TEXT:
        if (value->is_ours)
            put_ours(line, value->text);
        else if (value->text.data)
            put_escaped(line, value->text, false);
        else if (!format->omit_empty)
            put_literal(line, missing);
        return;
    case FORMAT_IN_STRING:
        if (value->is_ours)
            put_ours(line, value->text);
        else if (value->text.data)
            put_escaped(line, value->text, true);
        else if (!format->omit_empty)
            put_literal(line, missing);
        return;
    case FORMAT_AS_VALUE:
        if (!value->text.data) {
            put(line, SLICE("null"));
        } else if (value->is_number) {
            put(line, value->text);
        } else {
            put(line, SLICE("\""));
            put_escaped(line, value->text, true);
            put(line, SLICE("\""));
        }
        return;
    }
}

/* The name with its colon; with omit_empty it is taken back when no value follows. */
static void write_member(const struct format_step *step, struct line *line)
{
    char last = line->at > line->start ? line->at[-1] : '{';
    if (last != '{' && last != '[')
        put(line, SLICE(","));
    put(line, step->text);
}

static bool is_member(const struct format *format, const struct format_step *value)
{
    return value->context == FORMAT_AS_VALUE && value > format->steps &&
           value[-1].field == FORMAT_MEMBER;
}

void format_render(const struct format *format, const struct record *record, struct line *line)
{
    struct value_text value;
    char *before_member = NULL; /* of the last one */
    const struct format_step *end = format->steps + format->count;
    for (const struct format_step *step = format->steps; step < end; step++) {
        if (step->field == FORMAT_LITERAL) {
            put_literal(line, step->text);
            continue;
        }
        if (UNLIKELY(step->field == FORMAT_MEMBER)) {
            before_member = line->at;
            write_member(step, line);
            continue;
        }
        /* A JSON value has its quotes first, so it is made elsewhere. */
        bool has_place = step->context != FORMAT_AS_VALUE && line->end - line->at >= PLACE_BYTES;
        value.place = has_place ? line->at : value.scratch;
        evaluate(step, record, line->clock, &value);
        size_t most = MIN((size_t)step->max_bytes, (size_t)VALUE_MAX); /* FORMAT_NO_LIMIT is more */
        value.text.size = MIN(value.text.size, most);
        if (UNLIKELY(!value.text.data) && format->omit_empty && is_member(format, step))
            line->at = before_member;
        else
            write_value(format, step, &value, line);
    }
}

bool format_write(const struct format *format, const struct exchange *exchange, struct arena *arena,
                  struct slice *out)
{
    char text[FORMATTED_MAX];
    struct clock_text clock = {0};
    struct line line = {text, text, text + sizeof(text), &clock, false};
    format_render(format, &exchange->record, &line);
    size_t size = (size_t)(line.at - line.start);
    char *copy = arena_try_alloc(arena, size + 1);
    if (!copy)
        return false;
    memcpy(copy, text, size);
    *out = slice_of(copy, size);
    return true;
}
