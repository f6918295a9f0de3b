#include "proxy/admin/admin.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "build/bootstrap.h"
#include "match/regex.h"
#include "pb/text_out.h"
#include "proxy/admin/dump_internal.h"
#include "proxy/admin/query.h"
#include "proxy/configure.h"
#include "proxy/listen/sockets.h"
#include "proxy/observe/telemetry.h"
#include "proxy/process_state.h"
#include "rpc/server.h"
#include "stats/export.h"
#include "stats/process.h"
#include "stats/registry.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

enum { DUMP_RESOURCE_MAX = 128, DUMP_MASK_BYTES_MAX = 4096 };

static const char text_content[] = "text/plain; charset=UTF-8", json_content[] = "application/json";

struct admin {
    struct process *process;
    struct rpc_server *server;
    int64_t started_us;
    bool is_failed; /* /healthcheck/fail */
};

/* --- requests ------------------------------------------------------------------------------------------------- */

static struct slice parameter(const struct rpc_exchange *exchange, const char *name)
{
    return query_value(rpc_exchange_query(exchange), name);
}

static bool has_parameter(const struct rpc_exchange *exchange, const char *name)
{
    return parameter(exchange, name).data != NULL;
}

static bool wants_json(const struct rpc_exchange *exchange)
{
    return slice_equals(parameter(exchange, "format"), SLICE("json"));
}

static void reply(struct rpc_exchange *exchange, unsigned status, const char *type,
                  const char *text)
{
    rpc_exchange_reply(exchange, status, type, slice_str(text));
}

/* --- pages ---------------------------------------------------------------------------------------------------- */

typedef void admin_page(struct admin *admin, struct rpc_exchange *exchange);

static const char *state_of(const struct admin *admin)
{
    if (admin->process->is_quitting || admin->process->shared.is_draining || admin->is_failed)
        return "DRAINING";
    return configure_is_ready(admin->process->configure) ? "LIVE" : "INITIALIZING";
}

static void ready(struct admin *admin, struct rpc_exchange *exchange)
{
    const char *state = state_of(admin);
    owned_buffer text = {0};
    buffer_format(&text, "%s\n", state);
    const char *problem = sockets_problem(admin->process->sockets);
    const char *waits = configure_waits_for(admin->process->configure);
    if (*waits)
        buffer_format(&text, "waits for %s\n", waits);
    if (problem)
        buffer_format(&text, "%s\n", problem);
    rpc_exchange_reply(exchange, strcmp(state, "LIVE") == 0 ? 200 : 503, text_content,
                       buffer_slice(&text));
}

struct filter {
    struct regex *regex;
};

static bool passes(const char *name, void *to)
{
    const struct filter *filter = to;
    return regex_finds(filter->regex, slice_str(name));
}

/* filter=REGEX, name_regex=REGEX. */
static bool read_regex(struct rpc_exchange *exchange, const char *name, struct regex **out)
{
    struct slice text = parameter(exchange, name), pattern;
    char plain[REGEX_MAX_BYTES];
    struct error error = {0};
    if (text.size == 0)
        return true;
    if (!query_plain(text, plain, sizeof(plain), &pattern)) {
        reply(exchange, 400, text_content, "the pattern is longer than 1024 bytes\n");
        return false;
    }
    if (regex_compile(pattern, false, out, &error))
        return true;
    reply(exchange, 400, text_content, error.what);
    error_fini(&error);
    return false;
}

static void print_stats(struct admin *admin, struct rpc_exchange *exchange, bool prometheus)
{
    struct filter filter = {0};
    owned_buffer text = {0};
    if (!read_regex(exchange, "filter", &filter.regex))
        return;
    struct stats_query query = {.is_wanted = filter.regex ? passes : NULL,
                                .to = &filter,
                                .used_only = has_parameter(exchange, "usedonly")};
    struct telemetry *telemetry = admin->process->telemetry;
    struct stats_registry *registry = telemetry_registry(telemetry);
    telemetry_follow(telemetry, publisher_newest(admin->process->publisher));
    const char *type = text_content;
    struct slice buckets = parameter(exchange, "histogram_buckets");
    query.buckets = slice_equals(buckets, SLICE("cumulative")) ? STATS_CUMULATIVE
                    : slice_equals(buckets, SLICE("disjoint")) ? STATS_DISJOINT
                                                               : STATS_SUMMARY;
    if (prometheus || slice_equals(parameter(exchange, "format"), SLICE("prometheus"))) {
        stats_export_prometheus(registry, &query, &text);
        type = STATS_PROMETHEUS_TYPE;
    } else if (wants_json(exchange)) {
        stats_export_json(registry, &query, &text);
        type = json_content;
    } else {
        stats_export_text(registry, &query, &text);
    }
    rpc_exchange_reply(exchange, 200, type, buffer_slice(&text));
    regex_destroy(filter.regex);
}

static void stats(struct admin *admin, struct rpc_exchange *exchange)
{
    print_stats(admin, exchange, false);
}

static void stats_prometheus(struct admin *admin, struct rpc_exchange *exchange)
{
    print_stats(admin, exchange, true);
}

static void config_dump(struct admin *admin, struct rpc_exchange *exchange)
{
    char resource[DUMP_RESOURCE_MAX], mask[DUMP_MASK_BYTES_MAX];
    struct dump_query query = {.include_eds = has_parameter(exchange, "include_eds")};
    struct regex *names = NULL;
    owned_buffer text = {0};
    if (!query_plain(parameter(exchange, "resource"), resource, sizeof(resource),
                     &query.resource) ||
        !query_plain(parameter(exchange, "mask"), mask, sizeof(mask), &query.mask)) {
        reply(exchange, 400, text_content, "the resource or the mask is too long\n");
        return;
    }
    if (!read_regex(exchange, "name_regex", &names))
        return;
    query.names = names;
    unsigned status = dump_config(admin->process, &query, &text);
    rpc_exchange_reply(exchange, status, status == 200 ? json_content : text_content,
                       buffer_slice(&text));
    regex_destroy(names);
}

static void clusters(struct admin *admin, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    dump_clusters(admin->process, wants_json(exchange), &text);
    rpc_exchange_reply(exchange, 200, wants_json(exchange) ? json_content : text_content,
                       buffer_slice(&text));
}

static void listeners(struct admin *admin, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    dump_listeners(admin->process, wants_json(exchange), &text);
    rpc_exchange_reply(exchange, 200, wants_json(exchange) ? json_content : text_content,
                       buffer_slice(&text));
}

static void certs(struct admin *admin, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    dump_certificates(admin->process, &text);
    rpc_exchange_reply(exchange, 200, json_content, buffer_slice(&text));
}

static void workers(struct admin *admin, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    dump_workers(admin->process, &text);
    rpc_exchange_reply(exchange, 200, json_content, buffer_slice(&text));
}

static void server_info(struct admin *admin, struct rpc_exchange *exchange)
{
    struct arena arena;
    owned_buffer text = {0}, node = {0};
    long long uptime_s = (clock_wall_us() - admin->started_us) / 1000000;
    static const struct text_style style = {.original_names = true, .one_line = true};
    arena_init(&arena, NULL);
    text_write_json(&admin->process->bootstrap->node->base, &style, &node);
    buffer_format(
        &text,
        "{\n \"version\": \"%s/Tulle\",\n \"state\": \"%s\",\n \"uptime_current_epoch\": "
        "\"%llds\",\n"
        " \"uptime_all_epochs\": \"%llds\",\n \"hot_restart_version\": \"disabled\",\n"
        " \"command_line_options\": {\"concurrency\": %u, \"io\": \"%s\", \"config_path\": \"",
        TULLE_VERSION, state_of(admin), uptime_s, uptime_s, admin->process->worker_count,
        loop_backend_name(admin->process->backend));
    buffer_append_json(&text, slice_str(admin->process->options->config_path));
    buffer_format(&text, "\", \"mode\": \"Serve\"},\n \"node\": %.*s\n}\n",
                  SLICE_ARG(slice_trim(buffer_slice(&node))));
    rpc_exchange_reply(exchange, 200, json_content, buffer_slice(&text));
    arena_fini(&arena);
}

static void memory(struct admin *admin, struct rpc_exchange *exchange)
{
    struct mallinfo2 heap = mallinfo2();
    owned_buffer text = {0};
    (void)admin;
    buffer_format(&text,
                  "{\n \"allocated\": \"%zu\",\n \"heap_size\": \"%zu\",\n "
                  "\"total_physical_bytes\": \"%zu\"\n}\n",
                  heap.uordblks + heap.hblkhd, heap.arena + heap.hblkhd, heap.arena + heap.hblkhd);
    rpc_exchange_reply(exchange, 200, json_content, buffer_slice(&text));
}

static void print_room(const char *room, enum log_level level, void *to)
{
    buffer_format(to, "  %s: %s\n", room, log_level_name(level));
}

static void set_level(struct slice room, enum log_level level, void *to)
{
    owned_str name = slice_to_str(room);
    (void)to;
    log_set_level(room.size ? name : NULL, level);
}

static void logging(struct admin *admin, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    (void)admin;
    if (!query_levels(rpc_exchange_query(exchange), set_level, NULL)) {
        reply(exchange, 400, text_content,
              "usage: /logging?level=LEVEL or /logging?paths=ROOM:LEVEL,...\n");
        return;
    }
    buffer_append_str(&text, "active loggers:\n");
    log_each_room(print_room, &text);
    rpc_exchange_reply(exchange, 200, text_content, buffer_slice(&text));
}

static void drain_listeners(struct admin *admin, struct rpc_exchange *exchange)
{
    process_drain_listeners(admin->process);
    reply(exchange, 200, text_content, "OK\n");
}

static void healthcheck_fail(struct admin *admin, struct rpc_exchange *exchange)
{
    admin->is_failed = true;
    reply(exchange, 200, text_content, "OK\n");
}

static void healthcheck_ok(struct admin *admin, struct rpc_exchange *exchange)
{
    admin->is_failed = false;
    reply(exchange, 200, text_content, "OK\n");
}

static void reset_counters(struct admin *admin, struct rpc_exchange *exchange)
{
    stats_reset(telemetry_registry(admin->process->telemetry));
    reply(exchange, 200, text_content, "OK\n");
}

static void quit(struct admin *admin, struct rpc_exchange *exchange)
{
    reply(exchange, 200, text_content, "OK\n");
    process_quit(admin->process, true);
}

static void help(struct admin *admin, struct rpc_exchange *exchange);

static const struct page {
    const char *path;
    admin_page *show;
    bool changes; /* POST only */
    const char *help;
} pages[] = {
    {"/", help, false, "this list"},
    {"/certs", certs, false, "certificates in force, JSON"},
    {"/clusters", clusters, false, "clusters and their endpoints (format=json)"},
    {"/config_dump", config_dump, false, "the whole configuration, JSON (include_eds)"},
    {"/drain_listeners", drain_listeners, true,
     "no new connections; those that are open end with their last request"},
    {"/healthcheck/fail", healthcheck_fail, true, "let /ready say DRAINING"},
    {"/healthcheck/ok", healthcheck_ok, true, "undo /healthcheck/fail"},
    {"/help", help, false, "this list"},
    {"/listeners", listeners, false, "listeners and their addresses (format=json)"},
    {"/logging", logging, true, "show and set log levels (level=, paths=ROOM:LEVEL)"},
    {"/memory", memory, false, "memory, JSON"},
    {"/quitquitquit", quit, true, "drain and end"},
    {"/ready", ready, false, "LIVE, or 503 with what is waited for"},
    {"/reset_counters", reset_counters, true, "counters and histograms begin again at zero"},
    {"/server_info", server_info, false, "version, state, node, JSON"},
    {"/stats", stats, false, "what was counted (usedonly, filter=, format=json|prometheus)"},
    {"/stats/prometheus", stats_prometheus, false, "the same for Prometheus"},
    {"/workers", workers, false,
     "the configuration that each worker has reached, its connections and its loop, JSON"},
};

static void help(struct admin *admin, struct rpc_exchange *exchange)
{
    owned_buffer text = {0};
    (void)admin;
    buffer_append_str(&text, "admin commands are:\n");
    for (size_t i = 1; i < COUNT(pages); i++)
        buffer_format(&text, "  %s%s: %s\n", pages[i].path, pages[i].changes ? " (POST)" : "",
                      pages[i].help);
    rpc_exchange_reply(exchange, 200, text_content, buffer_slice(&text));
}

static void on_body(void *owner, struct rpc_exchange *exchange, struct slice body)
{
    struct slice path = rpc_exchange_path(exchange), method = rpc_exchange_method(exchange);
    (void)body;
    for (size_t i = 0; i < COUNT(pages); i++) {
        if (!slice_equals_str(path, pages[i].path))
            continue;
        if (pages[i].changes && !slice_equals(method, SLICE("POST")))
            reply(exchange, 405, text_content,
                  "Method Not Allowed: this changes something, so it is a POST\n");
        else
            pages[i].show(owner, exchange);
        return;
    }
    reply(exchange, 404, text_content, "invalid path. /help lists those that exist\n");
}

bool admin_create(struct process *process, struct admin **out, struct error *error)
{
    static const struct rpc_service service = {.on_body = on_body};
    const struct bootstrap *bootstrap = process->bootstrap;
    *out = NULL;
    if (!bootstrap->has_admin)
        return true;
    struct admin *admin = mem_new(struct admin);
    char ip[IP_TEXT];
    owned_str path = bootstrap->admin.text.size ? slice_to_str(bootstrap->admin.text) : NULL;
    admin->process = process;
    admin->started_us = clock_wall_us();
    admin->server =
        rpc_server_create(&process->means, &(struct rpc_server_limits){.max_connections = 256,
                                                                       .lenient_query = true});
    rpc_server_add_http(admin->server, "/", &service, admin);
    ip_format(&bootstrap->admin.ip, ip);
    /* A page from elsewhere, led here by DNS, says another Host. */
    const char *const hosts[] = {"localhost", "127.0.0.1", "::1", ip, NULL};
    struct rpc_listen listen = {.address = path ? NULL : ip,
                                .port = bootstrap->admin.port,
                                .unix_path = path,
                                .hosts = ip_is_any(&bootstrap->admin.ip) ? NULL : hosts};
    owned_error refused = {0};
    if (rpc_server_listen(admin->server, &listen, &refused) < 0) {
        error_set(error, "TUL1234", "admin: %s", refused.what);
        admin_destroy(admin);
        return false;
    }
    *out = admin;
    return true;
}

void admin_destroy(struct admin *admin)
{
    if (!admin)
        return;
    rpc_server_close(admin->server);
    mem_free(admin);
}
