#include "build/format_operators_internal.h"

#include "base/error.h"

#define PLAIN(name)                                                                                \
    {                                                                                              \
#name, FORMAT_##name, FORMAT_ARG_NONE, FORMAT_PART_ALL                                     \
    }
#define ADDRESS(name, field)                                                                       \
    {name, field, FORMAT_ARG_NONE, FORMAT_PART_ALL},                                               \
    {                                                                                              \
        name "_WITHOUT_PORT", field, FORMAT_ARG_NONE, FORMAT_PART_IP                               \
    }

static const struct format_operator operators[] = {
    {"START_TIME", FORMAT_START_TIME, FORMAT_ARG_TIME, FORMAT_PART_ALL},
    {"START_TIME_LOCAL", FORMAT_START_TIME_LOCAL, FORMAT_ARG_TIME, FORMAT_PART_ALL},
    {"EMIT_TIME", FORMAT_EMIT_TIME, FORMAT_ARG_TIME, FORMAT_PART_ALL},
    {"EMIT_TIME_LOCAL", FORMAT_EMIT_TIME_LOCAL, FORMAT_ARG_TIME, FORMAT_PART_ALL},
    PLAIN(DURATION),
    PLAIN(REQUEST_DURATION),
    PLAIN(REQUEST_TX_DURATION),
    PLAIN(RESPONSE_DURATION),
    PLAIN(RESPONSE_TX_DURATION),
    PLAIN(DOWNSTREAM_HANDSHAKE_DURATION),
    PLAIN(ROUNDTRIP_DURATION),
    PLAIN(PROTOCOL),
    PLAIN(UPSTREAM_PROTOCOL),
    PLAIN(RESPONSE_CODE),
    PLAIN(RESPONSE_CODE_DETAILS),
    PLAIN(RESPONSE_FLAGS),
    PLAIN(RESPONSE_FLAGS_LONG),
    PLAIN(CONNECTION_TERMINATION_DETAILS),
    {"GRPC_STATUS", FORMAT_GRPC_STATUS, FORMAT_ARG_GRPC, FORMAT_PART_ALL},
    PLAIN(GRPC_STATUS_NUMBER),
    PLAIN(ROUTE_NAME),
    PLAIN(STREAM_ID),
    PLAIN(TRACE_ID),
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", FORMAT_REQUEST_ATTEMPT_COUNT, FORMAT_ARG_NONE,
     FORMAT_PART_ALL},
    PLAIN(ACCESS_LOG_TYPE),
    {"TULLE_WHY", FORMAT_WHY, FORMAT_ARG_NONE, FORMAT_PART_ALL},
    PLAIN(BYTES_RECEIVED),
    PLAIN(BYTES_SENT),
    PLAIN(UPSTREAM_WIRE_BYTES_SENT),
    PLAIN(UPSTREAM_WIRE_BYTES_RECEIVED),
    PLAIN(UPSTREAM_HEADER_BYTES_SENT),
    PLAIN(UPSTREAM_HEADER_BYTES_RECEIVED),
    PLAIN(DOWNSTREAM_WIRE_BYTES_SENT),
    PLAIN(DOWNSTREAM_WIRE_BYTES_RECEIVED),
    PLAIN(DOWNSTREAM_HEADER_BYTES_SENT),
    PLAIN(DOWNSTREAM_HEADER_BYTES_RECEIVED),
    PLAIN(REQUEST_HEADERS_BYTES),
    PLAIN(RESPONSE_HEADERS_BYTES),
    PLAIN(RESPONSE_TRAILERS_BYTES),
    {"REQ", FORMAT_REQUEST_HEADER, FORMAT_ARG_HEADER, FORMAT_PART_ALL},
    {"REQ_WITHOUT_QUERY", FORMAT_REQUEST_HEADER_WITHOUT_QUERY, FORMAT_ARG_HEADER, FORMAT_PART_ALL},
    {"RESP", FORMAT_RESPONSE_HEADER, FORMAT_ARG_HEADER, FORMAT_PART_ALL},
    {"TRAILER", FORMAT_RESPONSE_TRAILER, FORMAT_ARG_HEADER, FORMAT_PART_ALL},
    {"PATH", FORMAT_PATH, FORMAT_ARG_PATH, FORMAT_PART_ALL},
    PLAIN(LOCAL_REPLY_BODY),
    {"UPSTREAM_HOST", FORMAT_UPSTREAM_HOST, FORMAT_ARG_NONE, FORMAT_PART_ALL},
    PLAIN(UPSTREAM_HOST_NAME),
    {"UPSTREAM_HOST_NAME_WITHOUT_PORT", FORMAT_UPSTREAM_HOST_NAME, FORMAT_ARG_NONE, FORMAT_PART_IP},
    PLAIN(UPSTREAM_CLUSTER),
    PLAIN(UPSTREAM_CLUSTER_RAW),
    ADDRESS("UPSTREAM_LOCAL_ADDRESS", FORMAT_UPSTREAM_LOCAL_ADDRESS),
    {"UPSTREAM_LOCAL_PORT", FORMAT_UPSTREAM_LOCAL_ADDRESS, FORMAT_ARG_NONE, FORMAT_PART_PORT},
    ADDRESS("UPSTREAM_REMOTE_ADDRESS", FORMAT_UPSTREAM_REMOTE_ADDRESS),
    {"UPSTREAM_REMOTE_PORT", FORMAT_UPSTREAM_REMOTE_ADDRESS, FORMAT_ARG_NONE, FORMAT_PART_PORT},
    PLAIN(UPSTREAM_CONNECTION_ID),
    PLAIN(UPSTREAM_TRANSPORT_FAILURE_REASON),
    ADDRESS("DOWNSTREAM_LOCAL_ADDRESS", FORMAT_DOWNSTREAM_LOCAL_ADDRESS),
    {"DOWNSTREAM_LOCAL_PORT", FORMAT_DOWNSTREAM_LOCAL_ADDRESS, FORMAT_ARG_NONE, FORMAT_PART_PORT},
    ADDRESS("DOWNSTREAM_DIRECT_LOCAL_ADDRESS", FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS),
    {"DOWNSTREAM_DIRECT_LOCAL_PORT", FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS, FORMAT_ARG_NONE,
     FORMAT_PART_PORT},
    ADDRESS("DOWNSTREAM_REMOTE_ADDRESS", FORMAT_DOWNSTREAM_REMOTE_ADDRESS),
    {"DOWNSTREAM_REMOTE_PORT", FORMAT_DOWNSTREAM_REMOTE_ADDRESS, FORMAT_ARG_NONE, FORMAT_PART_PORT},
    ADDRESS("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS),
    {"DOWNSTREAM_DIRECT_REMOTE_PORT", FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS, FORMAT_ARG_NONE,
     FORMAT_PART_PORT},
    PLAIN(CONNECTION_ID),
    PLAIN(DOWNSTREAM_TRANSPORT_FAILURE_REASON),
    PLAIN(REQUESTED_SERVER_NAME),
    PLAIN(DOWNSTREAM_TLS_VERSION),
    PLAIN(DOWNSTREAM_TLS_CIPHER),
    PLAIN(DOWNSTREAM_TLS_SESSION_ID),
    PLAIN(DOWNSTREAM_PEER_URI_SAN),
    PLAIN(DOWNSTREAM_PEER_DNS_SAN),
    PLAIN(DOWNSTREAM_PEER_SUBJECT),
    PLAIN(DOWNSTREAM_PEER_ISSUER),
    PLAIN(DOWNSTREAM_PEER_SERIAL),
    {"DOWNSTREAM_PEER_FINGERPRINT_256", FORMAT_DOWNSTREAM_PEER_FINGERPRINT, FORMAT_ARG_NONE,
     FORMAT_PART_ALL},
    {"DOWNSTREAM_PEER_CERT_V_START", FORMAT_DOWNSTREAM_PEER_CERT_V_START, FORMAT_ARG_TIME,
     FORMAT_PART_ALL},
    {"DOWNSTREAM_PEER_CERT_V_END", FORMAT_DOWNSTREAM_PEER_CERT_V_END, FORMAT_ARG_TIME,
     FORMAT_PART_ALL},
    PLAIN(DOWNSTREAM_LOCAL_URI_SAN),
    PLAIN(DOWNSTREAM_LOCAL_SUBJECT),
    PLAIN(UPSTREAM_TLS_VERSION),
    PLAIN(UPSTREAM_TLS_CIPHER),
    PLAIN(UPSTREAM_PEER_URI_SAN),
    PLAIN(UPSTREAM_PEER_SUBJECT),
    {"DYNAMIC_METADATA", FORMAT_DYNAMIC_METADATA, FORMAT_ARG_METADATA, FORMAT_PART_ALL},
    {"CLUSTER_METADATA", FORMAT_CLUSTER_METADATA, FORMAT_ARG_METADATA, FORMAT_PART_ALL},
    {"UPSTREAM_METADATA", FORMAT_UPSTREAM_METADATA, FORMAT_ARG_METADATA, FORMAT_PART_ALL},
    {"METADATA", FORMAT_DYNAMIC_METADATA, FORMAT_ARG_ANY_METADATA, FORMAT_PART_ALL},
    {"FILTER_STATE", FORMAT_FILTER_STATE, FORMAT_ARG_STATE, FORMAT_PART_ALL},
    {"UPSTREAM_FILTER_STATE", FORMAT_UPSTREAM_FILTER_STATE, FORMAT_ARG_STATE, FORMAT_PART_ALL},
    {"HOSTNAME", FORMAT_LITERAL, FORMAT_ARG_HOSTNAME, FORMAT_PART_ALL},
    {"ENVIRONMENT", FORMAT_LITERAL, FORMAT_ARG_ENVIRONMENT, FORMAT_PART_ALL},
    {"CEL", FORMAT_LITERAL, FORMAT_ARG_CEL, FORMAT_PART_ALL},
};

/* CEL attributes that are plain names of something that an operator writes too. */
static const struct {
    const char *attribute, *operator_text;
} attributes[] = {
    {"request.method", "REQ(:METHOD)"},
    {"request.path", "REQ(:PATH)"},
    {"request.url_path", "REQ_WITHOUT_QUERY(:PATH)"},
    {"request.host", "REQ(:AUTHORITY)"},
    {"request.scheme", "REQ(:SCHEME)"},
    {"request.useragent", "REQ(USER-AGENT)"},
    {"request.referer", "REQ(REFERER)"},
    {"request.id", "REQ(X-REQUEST-ID)"},
    {"request.protocol", "PROTOCOL"},
    {"request.time", "START_TIME"},
    {"request.size", "BYTES_RECEIVED"},
    {"request.duration", "DURATION"},
    {"response.code", "RESPONSE_CODE"},
    {"response.code_details", "RESPONSE_CODE_DETAILS"},
    {"response.grpc_status", "GRPC_STATUS_NUMBER"},
    {"response.size", "BYTES_SENT"},
    {"source.address", "DOWNSTREAM_REMOTE_ADDRESS"},
    {"source.port", "DOWNSTREAM_REMOTE_PORT"},
    {"destination.address", "DOWNSTREAM_LOCAL_ADDRESS"},
    {"destination.port", "DOWNSTREAM_LOCAL_PORT"},
    {"connection.id", "CONNECTION_ID"},
    {"connection.requested_server_name", "REQUESTED_SERVER_NAME"},
    {"connection.tls_version", "DOWNSTREAM_TLS_VERSION"},
    {"connection.uri_san_peer_certificate", "DOWNSTREAM_PEER_URI_SAN"},
    {"connection.uri_san_local_certificate", "DOWNSTREAM_LOCAL_URI_SAN"},
    {"connection.subject_peer_certificate", "DOWNSTREAM_PEER_SUBJECT"},
    {"connection.subject_local_certificate", "DOWNSTREAM_LOCAL_SUBJECT"},
    {"connection.termination_details", "CONNECTION_TERMINATION_DETAILS"},
    {"upstream.address", "UPSTREAM_HOST"},
    {"upstream.port", "UPSTREAM_REMOTE_PORT"},
    {"upstream.local_address", "UPSTREAM_LOCAL_ADDRESS"},
    {"upstream.tls_version", "UPSTREAM_TLS_VERSION"},
    {"upstream.uri_san_peer_certificate", "UPSTREAM_PEER_URI_SAN"},
    {"upstream.transport_failure_reason", "UPSTREAM_TRANSPORT_FAILURE_REASON"},
    {"upstream.request_attempt_count", "UPSTREAM_REQUEST_ATTEMPT_COUNT"},
    {"xds.cluster_name", "UPSTREAM_CLUSTER_RAW"},
    {"xds.route_name", "ROUTE_NAME"},
};

const struct format_operator *format_operator_find(struct slice name)
{
    for (size_t i = 0; i < COUNT(operators); i++) {
        if (slice_equals_str(name, operators[i].name))
            return &operators[i];
    }
    return NULL;
}

const char *format_operator_near(struct slice name)
{
    const char *names[COUNT(operators)];
    for (size_t i = 0; i < COUNT(operators); i++)
        names[i] = operators[i].name;
    return nearest_word(name, names, COUNT(operators));
}

const char *format_of_attribute(struct slice attribute)
{
    for (size_t i = 0; i < COUNT(attributes); i++) {
        if (slice_equals_str(attribute, attributes[i].attribute))
            return attributes[i].operator_text;
    }
    return NULL;
}

const char *format_field_name(enum format_field field)
{
    for (size_t i = 0; i < COUNT(operators); i++) {
        if (operators[i].field == field && operators[i].part == FORMAT_PART_ALL)
            return operators[i].name;
    }
    return "LITERAL";
}
