#include "control/monitor/monitor.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "control/monitor/syncz.h"
#include "io/address.h"
#include "rpc/server.h"
#include "stats/export.h"

struct monitor {
    struct monitor_options options;
    struct rpc_server *server;
};

static const char text_content[] = "text/plain; charset=UTF-8";

static void metrics(struct monitor *monitor, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    monitor->options.refresh(monitor->options.owner);
    stats_export_prometheus(monitor->options.registry, NULL, &text);
    rpc_exchange_reply(exchange, 200, STATS_PROMETHEUS_TYPE, buffer_slice(&text));
}

static void ready(struct monitor *monitor, struct rpc_exchange *exchange)
{
    owned_buffer why = {0};
    bool is_ready = monitor->options.is_ready(monitor->options.owner, &why);
    if (why.size > 0)
        buffer_append_byte(&why, '\n');
    rpc_exchange_reply(exchange, is_ready ? 200 : 503, text_content, buffer_slice(&why));
}

static void version(struct monitor *monitor, struct rpc_exchange *exchange)
{
    rpc_exchange_reply(exchange, 200, text_content, slice_str(monitor->options.version));
}

static void syncz(struct monitor *monitor, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    syncz_write(monitor->options.push, &text);
    rpc_exchange_reply(exchange, 200, "application/json", buffer_slice(&text));
}

static const struct page {
    const char *path;
    void (*show)(struct monitor *monitor, struct rpc_exchange *exchange);
    bool is_debug;
    const char *what;
} pages[] = {
    {"/metrics", metrics, false, "what tulled counts, for Prometheus"},
    {"/ready", ready, false, "200 when proxies are served, else 503 and why"},
    {"/version", version, false, "of tulled"},
    {"/debug/syncz", syncz, true, "what each proxy acknowledged, JSON; for this host only"},
};

static void list_pages(struct rpc_exchange *exchange, unsigned status)
{
    owned_buffer text = {0};
    for (size_t i = 0; i < COUNT(pages); i++)
        buffer_format(&text, "%-14s %s\n", pages[i].path, pages[i].what);
    rpc_exchange_reply(exchange, status, text_content, buffer_slice(&text));
}

static const struct page *find_page(struct slice path)
{
    for (size_t i = 0; i < COUNT(pages); i++) {
        if (slice_equals_str(path, pages[i].path))
            return &pages[i];
    }
    return NULL;
}

static void on_body(void *owner, struct rpc_exchange *exchange, struct slice body)
{
    (void)body;
    struct slice path = rpc_exchange_path(exchange), method = rpc_exchange_method(exchange);
    const struct page *page = find_page(path);
    struct address peer = rpc_exchange_peer(exchange);
    if (!slice_equals(method, SLICE("GET")) && !slice_equals(method, SLICE("HEAD")))
        rpc_exchange_reply(exchange, 405, text_content, SLICE("these pages are read only\n"));
    else if (!page)
        list_pages(exchange, slice_equals(path, SLICE("/")) ? 200 : 404);
    else if (page->is_debug && !address_is_loopback(&peer))
        rpc_exchange_reply(exchange, 403, text_content,
                           SLICE("debug pages are for this host only\n"));
    else
        page->show(owner, exchange);
}

static const struct rpc_service service = {.on_body = on_body};

static bool listen_on(struct monitor *monitor, struct error *error)
{
    static const char *const here[] = {"127.0.0.1", "localhost", "::1", NULL};
    const struct monitor_options *options = &monitor->options;
    struct address address;
    if (!address_parse_ip(slice_str(options->address), options->port, &address))
        return error_set(error, "TUL4104", "%s is no IP address to listen on", options->address);
    struct rpc_listen listen = {.address = options->address,
                                .port = options->port,
                                .hosts = address_is_loopback(&address) ? here : NULL};
    return rpc_server_listen(monitor->server, &listen, error) >= 0;
}

bool monitor_create(const struct rpc_means *means, const struct monitor_options *options,
                    struct monitor **out, struct error *error)
{
    struct monitor *monitor = mem_new(struct monitor);
    struct rpc_server_limits limits = {.max_connections = 64, .max_body = 4096};
    monitor->options = *options;
    monitor->server = rpc_server_create(means, &limits);
    rpc_server_add_http(monitor->server, "/", &service, monitor);
    if (!listen_on(monitor, error)) {
        monitor_destroy(monitor);
        return false;
    }
    *out = monitor;
    return true;
}

void monitor_destroy(struct monitor *monitor)
{
    if (!monitor)
        return;
    rpc_server_close(monitor->server);
    mem_free(monitor);
}
