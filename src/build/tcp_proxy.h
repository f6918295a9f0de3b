/*
 * tcp_proxy: to which cluster the bytes of a connection go, compiled from a TcpProxy.
 */
#pragma once

#include "base/attributes.h"
#include "build/access_log.h"
#include "build/name.h"
#include "match/weighted.h"

struct format;

struct tcp_target {
    struct name cluster;
};

struct tcp_proxy {
    struct slice stat_prefix;
    const struct tcp_target *targets;
    struct weighted split; /* over targets */
    uint64_t idle_ms;      /* 1 h unless configured; 0: never */
    uint64_t max_connection_ms;
    uint32_t connect_attempts;
    const struct format
        *tunnel_to; /* CONNECT to this authority carries the bytes; NULL: they go as they are */
    struct access_logs logs;
};
static inline const struct tcp_target *tcp_target_pick(const struct tcp_proxy *proxy,
                                                       uint64_t random)
{
    return &proxy->targets[proxy->split.count > 1 ? weighted_pick(&proxy->split, random) : 0];
}
