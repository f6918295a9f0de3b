/*
 * values: durations, numbers, addresses and other small values of messages, checked.
 *
 * Each function takes the field's name for its errors, and writes its result only on success.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/endpoints.h"
#include "build/http_options.h"
#include "build/messages_internal.h"
#include "build/socket_options.h"
#include "match/cidr_set.h"
#include "match/route_list.h"

/* Milliseconds; not negative, and below 100 years. */
MUST_USE bool build_ms(struct builder *b, const char *field, const DurationMessage *duration,
                       uint64_t otherwise, uint64_t *out);
/* The same below 2^32 ms, 49 days. */
MUST_USE bool build_ms32(struct builder *b, const char *field, const DurationMessage *duration,
                         uint32_t otherwise, uint32_t *out);
MUST_USE bool build_u32(struct builder *b, const char *field,
                        const Google__Protobuf__UInt32Value *wrapper, uint32_t otherwise,
                        uint32_t least, uint32_t most, uint32_t *out);
/* 0 to 100. */
MUST_USE bool build_percent(struct builder *b, const char *field,
                            const Envoy__Type__V3__Percent *percent, double otherwise, double *out);
/* The default value of a runtime fraction: there is no runtime to change it. Absent: always. */
MUST_USE bool build_fraction(struct builder *b, const char *field, const FractionMessage *message,
                             struct fraction *out);

/* A required text of at most `most` bytes. */
MUST_USE bool build_required(struct builder *b, const char *field, const char *text, size_t most);
/* A name of another resource: not empty, at most NAME_MAX_BYTES. */
MUST_USE bool build_reference(struct builder *b, const char *field, const char *text,
                              struct name *out);

/* With a number for a port; a name for a host only where hosts may be. */
MUST_USE bool build_socket_address(struct builder *b, const char *field,
                                   const SocketAddressMessage *message, bool may_be_host,
                                   struct endpoint_address *out);
/* A socket address or a pipe; *mode as the pipe has it (may be NULL). */
MUST_USE bool build_address(struct builder *b, const char *field, const AddressMessage *message,
                            bool may_be_host, struct endpoint_address *out, uint32_t *mode);
MUST_USE bool build_cidr(struct builder *b, const char *field, size_t index,
                         const CidrRangeMessage *message, struct ip_prefix *out);
MUST_USE bool build_keepalive(struct builder *b, const char *field, const KeepaliveMessage *message,
                              struct keepalive *out);

/* Where resources come from. Everything but ADS is refused, except that `allow_grpc` takes an own gRPC source too (SDS). */
MUST_USE bool build_source(struct builder *b, const char *field, const ConfigSourceMessage *message,
                           bool allow_grpc, uint32_t *wait_ms);

/* The string at filter_metadata[space][key]; empty when there is none. Copied. */
struct slice build_metadata_text(struct builder *b, const MetadataMessage *metadata,
                                 const char *space, const char *key);

/* Strings by key, as transport_socket_matches and endpoint metadata have them. */
MUST_USE bool build_labels(struct builder *b, const char *field, const StructMessage *object,
                           const struct endpoint_label **labels, uint32_t *count);

MUST_USE bool build_http_options(struct builder *b, const char *field,
                                 const HttpOptionsMessage *message, struct http_options *out);
MUST_USE bool build_http1_options(struct builder *b, const char *field,
                                  const Http1OptionsMessage *message, struct http1_options *out);
MUST_USE bool build_http2_options(struct builder *b, const char *field,
                                  const Http2OptionsMessage *message, struct http2_options *out);
