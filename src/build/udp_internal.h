/* What a listener's builder needs of udp_proxy.c. */
#pragma once

#include "build/builder_internal.h"
#include "build/messages_internal.h"
#include "build/udp_proxy.h"

MUST_USE bool build_udp_proxy(struct builder *b, const UdpProxyMessage *message,
                              const struct udp_proxy **out);
MUST_USE bool build_udp_socket(struct builder *b, const char *field,
                               const UdpSocketMessage *message, bool gro,
                               struct udp_socket_options *out);
