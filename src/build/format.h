/*
 * format: text with command operators ("%RESPONSE_CODE% %REQ(:PATH)%"), compiled to a program of fields.
 *
 * Access logs, header values and bodies of direct responses use it. The program says what to write in which order;
 * writing belongs to proxy/observe, which knows the stream. An operator that does not exist, or an argument that it does
 * not take, is an error with its place.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "build/options.h"
#include "match/request.h"

#include "google/protobuf/struct.pb-c.h"

struct table_memory;

enum format_field {
    FORMAT_LITERAL, /* text, already escaped where it is JSON */
    /* JSON: a comma, unless the last byte written is '{' or '['; then text, which is the name with its colon. With
     * omit_empty, both are taken back when the value that follows is missing. */
    FORMAT_MEMBER,
    /* Times. text: strftime's format with %f, %1f to %9f, %s, %3s...; empty: 2026-01-31T12:00:00.123Z */
    FORMAT_START_TIME,
    FORMAT_START_TIME_LOCAL,
    FORMAT_EMIT_TIME,
    FORMAT_EMIT_TIME_LOCAL,
    /* Durations in ms. */
    FORMAT_DURATION,            /* request start to response end */
    FORMAT_REQUEST_DURATION,    /* to the last request byte received */
    FORMAT_REQUEST_TX_DURATION, /* to the last request byte sent upstream */
    FORMAT_RESPONSE_DURATION,   /* to the first response byte received */
    FORMAT_RESPONSE_TX_DURATION, /* from the first response byte received to the last sent downstream */
    FORMAT_DOWNSTREAM_HANDSHAKE_DURATION,
    FORMAT_ROUNDTRIP_DURATION,
    /* The exchange. */
    FORMAT_PROTOCOL,
    FORMAT_UPSTREAM_PROTOCOL,
    FORMAT_RESPONSE_CODE,
    FORMAT_RESPONSE_CODE_DETAILS,
    FORMAT_RESPONSE_FLAGS,
    FORMAT_RESPONSE_FLAGS_LONG,
    FORMAT_CONNECTION_TERMINATION_DETAILS,
    FORMAT_GRPC_STATUS, /* style */
    FORMAT_GRPC_STATUS_NUMBER,
    FORMAT_ROUTE_NAME,
    FORMAT_STREAM_ID,
    FORMAT_TRACE_ID,
    FORMAT_REQUEST_ATTEMPT_COUNT, /* UPSTREAM_REQUEST_ATTEMPT_COUNT */
    FORMAT_ACCESS_LOG_TYPE,
    FORMAT_WHY, /* %TULLE_WHY%: one sentence */
    /* Bytes. */
    FORMAT_BYTES_RECEIVED,
    FORMAT_BYTES_SENT,
    FORMAT_UPSTREAM_WIRE_BYTES_SENT,
    FORMAT_UPSTREAM_WIRE_BYTES_RECEIVED,
    FORMAT_UPSTREAM_HEADER_BYTES_SENT,
    FORMAT_UPSTREAM_HEADER_BYTES_RECEIVED,
    FORMAT_DOWNSTREAM_WIRE_BYTES_SENT,
    FORMAT_DOWNSTREAM_WIRE_BYTES_RECEIVED,
    FORMAT_DOWNSTREAM_HEADER_BYTES_SENT,
    FORMAT_DOWNSTREAM_HEADER_BYTES_RECEIVED,
    FORMAT_REQUEST_HEADERS_BYTES,
    FORMAT_RESPONSE_HEADERS_BYTES,
    FORMAT_RESPONSE_TRAILERS_BYTES,
    /* Headers: header, then other when the first is absent. */
    FORMAT_REQUEST_HEADER,
    FORMAT_REQUEST_HEADER_WITHOUT_QUERY,
    FORMAT_RESPONSE_HEADER,
    FORMAT_RESPONSE_TRAILER,
    FORMAT_PATH, /* style: which path; text: "NQ" without query, "WQ" with it */
    FORMAT_LOCAL_REPLY_BODY,
    /* Addresses: part says which part of them. */
    FORMAT_UPSTREAM_HOST,
    FORMAT_UPSTREAM_HOST_NAME,
    FORMAT_UPSTREAM_CLUSTER,
    FORMAT_UPSTREAM_CLUSTER_RAW,
    FORMAT_UPSTREAM_LOCAL_ADDRESS,
    FORMAT_UPSTREAM_REMOTE_ADDRESS,
    FORMAT_UPSTREAM_CONNECTION_ID,
    FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON,
    FORMAT_DOWNSTREAM_LOCAL_ADDRESS,
    FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS,
    FORMAT_DOWNSTREAM_REMOTE_ADDRESS,
    FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS,
    FORMAT_CONNECTION_ID,
    FORMAT_DOWNSTREAM_TRANSPORT_FAILURE_REASON,
    /* TLS. */
    FORMAT_REQUESTED_SERVER_NAME,
    FORMAT_DOWNSTREAM_TLS_VERSION,
    FORMAT_DOWNSTREAM_TLS_CIPHER,
    FORMAT_DOWNSTREAM_TLS_SESSION_ID,
    FORMAT_DOWNSTREAM_PEER_URI_SAN,
    FORMAT_DOWNSTREAM_PEER_DNS_SAN,
    FORMAT_DOWNSTREAM_PEER_SUBJECT,
    FORMAT_DOWNSTREAM_PEER_ISSUER,
    FORMAT_DOWNSTREAM_PEER_SERIAL,
    FORMAT_DOWNSTREAM_PEER_FINGERPRINT,  /* SHA-256 */
    FORMAT_DOWNSTREAM_PEER_CERT_V_START, /* text: time format */
    FORMAT_DOWNSTREAM_PEER_CERT_V_END,
    FORMAT_DOWNSTREAM_LOCAL_URI_SAN,
    FORMAT_DOWNSTREAM_LOCAL_SUBJECT,
    FORMAT_UPSTREAM_TLS_VERSION,
    FORMAT_UPSTREAM_TLS_CIPHER,
    FORMAT_UPSTREAM_PEER_URI_SAN,
    FORMAT_UPSTREAM_PEER_SUBJECT,
    /* Metadata: text is the namespace, path the keys. */
    FORMAT_DYNAMIC_METADATA,
    FORMAT_CLUSTER_METADATA,
    FORMAT_UPSTREAM_METADATA,
    FORMAT_ROUTE_METADATA,        /* METADATA(ROUTE:...) */
    FORMAT_LISTENER_METADATA,     /* METADATA(LISTENER:...) */
    FORMAT_FILTER_STATE,          /* text: key */
    FORMAT_UPSTREAM_FILTER_STATE, /* text: key */
    FORMAT_FIELDS
};

enum format_style {
    FORMAT_STYLE_DEFAULT,
    FORMAT_STYLE_SNAKE_STRING, /* GRPC_STATUS(SNAKE_STRING) */
    FORMAT_STYLE_CAMEL_STRING, /* the default of GRPC_STATUS */
    FORMAT_STYLE_NUMBER,
    FORMAT_STYLE_ORIGINAL_PATH, /* PATH(..:ORIG) */
    FORMAT_STYLE_PATH,          /* PATH(..:PATH) */
    FORMAT_STYLE_TYPED,         /* FILTER_STATE(..:TYPED), the default */
    FORMAT_STYLE_PLAIN,
};
enum format_part { FORMAT_PART_ALL, FORMAT_PART_IP, FORMAT_PART_PORT };

enum {
    FORMAT_MAX_BYTES = 16384, /* of a format */
    FORMAT_MAX_STEPS = 512,
    FORMAT_MAX_DEPTH = 8, /* of a JSON format */
    FORMAT_MAX_PATH = 16, /* keys into metadata */
    FORMAT_NO_LIMIT = UINT16_MAX,
    FORMAT_LITERAL_PADDING = 16, /* readable bytes at a literal's text, however short it is */
};

enum format_context {
    FORMAT_IN_TEXT,   /* as it is; missing: "-", or nothing with omit_empty */
    FORMAT_IN_STRING, /* inside a JSON string: escaped; missing as in text */
    FORMAT_AS_VALUE, /* a JSON value of its own: numbers bare, strings quoted; missing: null, or no member at all
                         with omit_empty */
};

struct format_step {
    enum format_field field : 16;
    enum format_style style : 8;
    enum format_part part : 8;
    enum format_context context : 8;
    uint8_t path_count;
    uint16_t max_bytes; /* of its value; FORMAT_NO_LIMIT */
    struct slice text;
    const struct header_key *header, *other; /* other is asked when header is absent; NULL: none */
    const struct slice *path;
};

struct format {
    const struct format_step *steps;
    uint32_t count;
    bool is_json;
    bool omit_empty;           /* see format_context */
    struct slice content_type; /* of a body; may be empty */
};

/* Text; the options say what %HOSTNAME% and %ENVIRONMENT(X)% write. */
MUST_USE bool format_build_text(struct format *format, struct slice text,
                                const struct build_options *options, struct table_memory *memory,
                                struct error *error);
/* One JSON object and a newline. */
MUST_USE bool format_build_json(struct format *format, const Google__Protobuf__Struct *object,
                                bool omit_empty, const struct build_options *options,
                                struct table_memory *memory, struct error *error);
/* The whole text, when the format has no operator; false otherwise. */
bool format_is_literal(const struct format *format, struct slice *text);
/* "RESPONSE_CODE", for explanations and tests; static. */
const char *format_field_name(enum format_field field);
