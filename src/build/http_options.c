#include "build/http_options.h"

#include "build/values_internal.h"

enum { HTTP_HOUR_MS = 3600 * 1000, HTTP_MAX_FIELDS = 1000 };

bool build_http_options(struct builder *b, const char *field, const HttpOptionsMessage *message,
                        struct http_options *out)
{
    *out = (struct http_options){.idle_timeout_ms = HTTP_HOUR_MS, .max_headers = 100};
    if (!message)
        return true;
    if (!build_enter(b, field) ||
        !build_honours(b, message, "idle_timeout", "max_headers_count", "max_connection_duration",
                       "max_stream_duration", "headers_with_underscores_action",
                       "max_requests_per_connection") ||
        !build_ms(b, "idle_timeout", message->idle_timeout, HTTP_HOUR_MS, &out->idle_timeout_ms) ||
        !build_ms(b, "max_connection_duration", message->max_connection_duration, 0,
                  &out->max_connection_ms) ||
        !build_ms(b, "max_stream_duration", message->max_stream_duration, 0, &out->max_stream_ms) ||
        !build_u32(b, "max_headers_count", message->max_headers_count, 100, 1, HTTP_MAX_FIELDS,
                   &out->max_headers) ||
        !build_u32(b, "max_requests_per_connection", message->max_requests_per_connection, 0, 0,
                   UINT32_MAX, &out->max_requests))
        return false;
    uint32_t action = (uint32_t)PB_GET(message, headers_with_underscores_action, 0);
    if (action > HTTP_UNDERSCORES_REFUSE)
        return build_fail_at(b, "headers_with_underscores_action",
                             "only ALLOW and REJECT_REQUEST act here yet");
    out->underscores = (enum http_underscores)action;
    build_leave(b);
    return true;
}

typedef Envoy__Config__Core__V3__Http1ProtocolOptions__HeaderKeyFormat KeyFormatMessage;

static bool check_key_format(struct builder *b, const KeyFormatMessage *message)
{
    switch ((int)message->header_format_case) {
    case ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_PROPER_CASE_WORDS:
        return build_fail_at(b, "header_key_format", "proper_case_words does not act here yet");
    case ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_STATEFUL_FORMATTER: {
        const AnyMessage *any = message->stateful_formatter->typed_config;
        const char *url = any ? pb_str(any->type_url) : "";
        if (!strstr(url, "/envoy.extensions.http.header_formatters.preserve_case.v3."
                         "PreserveCaseFormatterConfig"))
            return build_fail_at(b, "header_key_format.stateful_formatter",
                                 "only preserve_case can be had");
        return true;
    }
    default: return build_fail_at(b, "header_key_format", "say which format");
    }
}

bool build_http1_options(struct builder *b, const char *field, const Http1OptionsMessage *message,
                         struct http1_options *out)
{
    *out = (struct http1_options){.default_host = SLICE("")};
    if (!message)
        return true;
    /* Harmless: accept_http_10, for it is always taken, and preserve_case, for between HTTP/1 and HTTP/1 names keep theirs. */
    if (!build_enter(b, field) ||
        !build_honours(b, message, "allow_absolute_url", "accept_http_10",
                       "default_host_for_http_10", "header_key_format", "enable_trailers"))
        return false;
    if (!pb_bool(message->allow_absolute_url, true))
        return build_fail_at(b, "allow_absolute_url", "absolute targets are always taken");
    out->default_host = build_text(b, pb_str(message->default_host_for_http_10));
    out->send_trailers = PB_GET(message, enable_trailers, false);
    if (message->header_key_format && !check_key_format(b, message->header_key_format))
        return false;
    build_leave(b);
    return true;
}

static bool build_pings(struct builder *b,
                        const Envoy__Config__Core__V3__KeepaliveSettings *message,
                        struct http2_options *out)
{
    if (!message)
        return true;
    /* Harmless: interval_jitter, for connections are pinged by their own silence and so at times of their own. */
    if (!build_enter(b, "connection_keepalive") ||
        !build_ms(b, "interval", message->interval, 0, &out->ping_interval_ms) ||
        !build_ms(b, "timeout", message->timeout, 0, &out->ping_timeout_ms) ||
        !build_honours(b, message, "interval", "timeout", "interval_jitter"))
        return false;
    if (out->ping_interval_ms > 0 && out->ping_timeout_ms == 0)
        return build_fail_at(b, "timeout", "this is required");
    build_leave(b);
    return true;
}

bool build_http2_options(struct builder *b, const char *field, const Http2OptionsMessage *message,
                         struct http2_options *out)
{
    enum { WINDOW_LEAST = 65535, WINDOW_MOST = INT32_MAX, STREAMS_MOST = 1000 };
    *out = (struct http2_options){
        .max_streams = 100, .stream_window = 1 << 17, .connection_window = 1 << 20};
    if (!message)
        return true;
    /* The limits on floods and frames are our codec's own, and stricter. Harmless, too:
     * override_stream_error_on_invalid_http_message, for what can be a stream's error is one. */
    if (!build_enter(b, field) ||
        !build_honours(b, message, "hpack_table_size", "max_concurrent_streams",
                       "initial_stream_window_size", "initial_connection_window_size",
                       "allow_connect", "max_outbound_frames", "max_outbound_control_frames",
                       "max_consecutive_inbound_frames_with_empty_payload",
                       "max_inbound_priority_frames_per_stream",
                       "max_inbound_window_update_frames_per_data_frame_sent",
                       "override_stream_error_on_invalid_http_message", "connection_keepalive") ||
        !build_u32(b, "initial_stream_window_size", message->initial_stream_window_size, 1 << 17,
                   WINDOW_LEAST, WINDOW_MOST, &out->stream_window) ||
        !build_u32(b, "initial_connection_window_size", message->initial_connection_window_size,
                   1 << 20, WINDOW_LEAST, WINDOW_MOST, &out->connection_window) ||
        !build_u32(b, "max_concurrent_streams", message->max_concurrent_streams, 100, 1, INT32_MAX,
                   &out->max_streams) ||
        !build_pings(b, message->connection_keepalive, out))
        return false;
    if (pb_u32(message->hpack_table_size, 4096) != 4096)
        return build_fail_at(b, "hpack_table_size", "only 4096 acts here yet");
    out->max_streams = MIN(out->max_streams, (uint32_t)STREAMS_MOST);
    out->allow_connect = PB_GET(message, allow_connect, false);
    build_leave(b);
    return true;
}
