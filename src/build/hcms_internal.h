/*
 * hcms: the network filters of a chain, each from its message.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/hcm.h"
#include "build/messages_internal.h"
#include "build/tcp_proxy.h"

/* Where we are is the message. */
MUST_USE bool build_hcm(struct builder *b, const HcmMessage *message, const struct hcm **out);
MUST_USE bool build_tcp_proxy(struct builder *b, const TcpProxyMessage *message,
                              const struct tcp_proxy **out);
/* The HTTP filters that do something, in order, the router last. */
MUST_USE bool build_http_filters(struct builder *b, HttpFilterMessage *const *messages,
                                 size_t count, const struct http_filter **out, uint32_t *out_count);
