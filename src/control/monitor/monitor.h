/*
 * monitor: the port on which tulled tells about itself: /metrics, /ready, /version, /debug/syncz (istiod's 15014).
 *
 * Nothing that it shows is secret and nothing can be changed by it, so it asks for no password; pages under /debug/ are for this
 * host only. On loopback, Host must name it, so that no web page of a browser here can read it.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "rpc/means.h"

struct buffer;
struct monitor;
struct push;
struct stats_registry;

enum { MONITOR_PORT = 15014 };

struct monitor_options {
    const char *address;
    uint16_t port; /* 0 = any */
    const char *version;
    struct stats_registry *registry;
    struct push *push;
    void *owner;
    /* True when proxies are served; else, and also when something is amiss, `why` is filled. */
    bool (*is_ready)(void *owner, struct buffer *why);
    /* The gauges are about to be shown. */
    void (*refresh)(void *owner);
};
/* What is passed must outlive it; the options are copied, the texts borrowed. */
MUST_USE bool monitor_create(const struct rpc_means *means, const struct monitor_options *options,
                             struct monitor **out, struct error *error);
/* Accepts NULL. */
void monitor_destroy(struct monitor *monitor);
