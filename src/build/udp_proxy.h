/*
 * udp_proxy: to which cluster the datagrams of a UDP listener go, compiled from a UdpProxyConfig.
 */
#pragma once

#include "base/attributes.h"
#include "build/access_log.h"
#include "build/name.h"

enum {
    UDP_DATAGRAM_MAX = 65507, /* what UDP over IPv4 can carry; the default of both limits */
    UDP_IDLE_MS = 60 * 1000,  /* of a session, unless configured */
};

/* How one side's sockets receive. */
struct udp_socket_options {
    uint32_t datagram_max; /* bytes; what is longer is dropped and counted */
    bool gro;              /* the kernel may join what one peer sends; upstream unless configured */
};

struct udp_proxy {
    struct slice stat_prefix;
    struct name cluster;
    uint64_t idle_ms;
    struct udp_socket_options upstream;
    struct access_logs logs; /* a line a session */
};
