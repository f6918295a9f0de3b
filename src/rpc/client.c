#include "rpc/client.h"

#include "base/hash.h"
#include "base/memory.h"
#include "io/resolver.h"
#include "net/dialer.h"
#include "net/transport.h"
#include "rpc/client_internal.h"
#include "tls/context.h"

#include <stdio.h>

static const struct slice alpn_2 = {"h2", 2}, alpn_1 = {"http/1.1", 8};

static void set_defaults(struct rpc_client_config *config)
{
#define DEFAULT(field, value) config->field = config->field ? config->field : (value)
    DEFAULT(connect_timeout_ms, 5000);
    DEFAULT(backoff_base_ms, 500);
    DEFAULT(backoff_max_ms, 30000);
    DEFAULT(max_message, GRPC_MAX_MESSAGE);
    DEFAULT(max_send_backlog, 1024 * 1024);
    DEFAULT(max_calls, 1024);
    DEFAULT(max_connections, 4);
    DEFAULT(idle_timeout_ms, 90000);
#undef DEFAULT
}

static char *copy_or_null(const char *text)
{
    return text ? str_copy(text) : NULL;
}

static const struct san_match *copy_expected(const struct rpc_target *target, size_t *count)
{
    if (!target->tls || (target->expected_count == 0 && !target->host))
        return NULL;
    struct san_match *copy = mem_calloc(target->expected_count + 1, sizeof(*copy));
    for (size_t i = 0; i < target->expected_count; i++) {
        copy[i] = target->expected[i];
        copy[i].value = slice_str(slice_to_str(target->expected[i].value));
    }
    if (target->expected_count == 0) {
        struct address literal;
        bool is_ip = address_parse_ip(slice_str(target->host), 0, &literal);
        copy[0] = (struct san_match){.how = SAN_MATCH_EXACT,
                                     .kind = is_ip ? SAN_IP : SAN_DNS,
                                     .value = slice_str(str_copy(target->host))};
    }
    *count = MAX(target->expected_count, (size_t)1);
    return copy;
}

static char *make_authority(const struct rpc_target *target)
{
    if (target->authority)
        return str_copy(target->authority);
    if (!target->host)
        return str_copy("localhost");
    bool is_ip6 = strchr(target->host, ':') && target->host[0] != '[';
    return str_format(is_ip6 ? "[%s]:%u" : "%s:%u", target->host, target->port);
}

static char *make_server_name(const struct rpc_target *target)
{
    struct address literal;
    if (target->server_name)
        return str_copy(target->server_name);
    bool is_name = target->host && !address_parse_ip(slice_str(target->host), 0, &literal);
    return str_copy(is_name ? target->host : "");
}

struct rpc_client *rpc_client_create(const struct rpc_means *means,
                                     const struct rpc_client_config *config)
{
    struct rpc_client *client = mem_new(struct rpc_client);
    struct rpc_target *target = &client->config.target;
    client->means = *means;
    client->config = *config;
    set_defaults(&client->config);
    target->host = copy_or_null(config->target.host);
    target->unix_path = copy_or_null(config->target.unix_path);
    target->authority = make_authority(&config->target);
    target->server_name = make_server_name(&config->target);
    target->expected_count = 0;
    target->expected = copy_expected(&config->target, &target->expected_count);
    target->tls = config->target.tls ? tls_context_ref(config->target.tls) : NULL;
    client->config.user_agent =
        str_copy(config->user_agent ? config->user_agent : "tulle/" TULLE_VERSION);
    client->http_limits = http_limits_default;
    client->options = http_connection_defaults;
    client->options.limits = &client->http_limits;
    client->options.idle_timeout_ms = client->config.idle_timeout_ms;
    client->options.stream_idle_timeout_ms = 0; /* calls have deadlines, long ones PING */
    client->options.ping_interval_ms = client->config.keepalive_ms;
    client->options.choice = config->protocol == RPC_HTTP2 ? HTTP_ONLY_2 : HTTP_ONLY_1;
    backoff_init(&client->backoff, client->config.backoff_base_ms, client->config.backoff_max_ms);
    list_init(&client->links);
    list_init(&client->waiting);
    return client;
}

static void reap_client(struct task *task)
{
    struct rpc_client *client = CONTAINER_OF(task, struct rpc_client, reap);
    struct rpc_target *target = &client->config.target;
    for (size_t i = 0; i < target->expected_count; i++)
        mem_free((char *)target->expected[i].value.data);
    mem_free((void *)target->expected);
    mem_free((char *)target->host);
    mem_free((char *)target->unix_path);
    mem_free((char *)target->authority);
    mem_free((char *)target->server_name);
    mem_free((char *)client->config.user_agent);
    tls_context_unref(target->tls);
    mem_free(client);
}

void rpc_client_set_tls(struct rpc_client *client, struct tls_context *tls)
{
    struct tls_context *old = client->config.target.tls;
    client->config.target.tls = tls_context_ref(tls);
    tls_context_unref(old);
}

const char *rpc_client_error(const struct rpc_client *client)
{
    return client->error;
}

/* Links. */

static void reap_link(struct task *task)
{
    mem_free(CONTAINER_OF(task, struct rpc_link, reap));
}

/* Its calls have had their on_reset, or are cancelled. */
static void forget_link(struct rpc_link *link)
{
    LIST_EACH_SAFE(node, after, &link->calls)
    {
        LIST_ENTRY(node, struct rpc_call, node)->link = NULL;
        list_remove(node);
    }
    list_remove(&link->node);
    link->http = NULL;
    task_init(&link->reap, reap_link);
    loop_reap_later(link->client->means.loop, &link->reap);
}

static void close_link(struct rpc_link *link)
{
    http_connection_close(link->http);
    forget_link(link);
}

bool rpc_client_is_connected(const struct rpc_client *client)
{
    LIST_EACH(node, &client->links)
    {
        const struct rpc_link *link = LIST_ENTRY(node, struct rpc_link, node);
        if (link->open && !link->draining)
            return true;
    }
    return false;
}

static struct rpc_link *link_with_room(struct rpc_client *client)
{
    LIST_EACH(node, &client->links)
    {
        struct rpc_link *link = LIST_ENTRY(node, struct rpc_link, node);
        if (link->open && !link->draining && http_connection_room(link->http) > 0)
            return link;
    }
    return NULL;
}

static bool may_open_another(const struct rpc_client *client)
{
    size_t usable = 0;
    LIST_EACH(node, &client->links)
    usable += !LIST_ENTRY(node, struct rpc_link, node)->draining;
    return usable < (client->config.protocol == RPC_HTTP2 ? 1 : client->config.max_connections);
}

/* Connecting: resolve, dial, open; each step reports from the loop, and the timer bounds all three together. */

static void on_back_off_over(struct timer *timer)
{
    struct rpc_client *client = CONTAINER_OF(timer, struct rpc_client, timer);
    client->dialing = RPC_AT_REST;
    rpc_client_dispatch_later(client);
}

static void fail_impatient_calls(struct rpc_client *client)
{
    LIST_EACH_SAFE(node, after, &client->waiting)
    {
        struct rpc_call *call = LIST_ENTRY(node, struct rpc_call, node);
        if (!call->wait_for_ready)
            rpc_call_fail(call, GRPC_UNAVAILABLE, slice_str(client->error));
    }
}

static void end_attempt(struct rpc_client *client)
{
    if (client->lookup)
        resolver_cancel(client->means.resolver, client->lookup);
    if (client->dial)
        dialer_cancel(client->means.dialer, client->dial);
    client->lookup = client->dial = 0;
    struct rpc_link *opening = client->opening;
    client->opening = NULL;
    if (opening)
        close_link(opening);
    loop_timer_stop(client->means.loop, &client->timer);
    client->dialing = RPC_AT_REST;
}

static void connect_failed(struct rpc_client *client, const char *what, const char *why)
{
    end_attempt(client);
    snprintf(client->error, sizeof(client->error), "%s: %s%s%s", client->config.target.authority,
             what, why[0] ? ": " : "", why);
    client->dialing = RPC_BACKING_OFF;
    uint32_t wait_ms = backoff_next_ms(&client->backoff, loop_random(client->means.loop));
    loop_timer_start(client->means.loop, &client->timer, wait_ms, on_back_off_over);
    fail_impatient_calls(client);
}

static void on_connect_timeout(struct timer *timer)
{
    struct rpc_client *client = CONTAINER_OF(timer, struct rpc_client, timer);
    static const char *const stages[] = {
        [RPC_RESOLVING] = "the name was not resolved in time",
        [RPC_CONNECTING] = "it did not answer in time",
        [RPC_OPENING] = "the handshake did not end in time",
    };
    connect_failed(client, stages[client->dialing], "");
}

static void on_open(void *owner, struct http_connection *http)
{
    (void)http;
    struct rpc_link *link = owner;
    struct rpc_client *client = link->client;
    link->open = true;
    client->opening = NULL;
    client->dialing = RPC_AT_REST;
    client->error[0] = '\0';
    loop_timer_stop(client->means.loop, &client->timer);
    backoff_reset(&client->backoff);
    rpc_client_dispatch_later(client);
}

static void on_room(void *owner, struct http_connection *http)
{
    (void)http;
    rpc_client_dispatch_later(((struct rpc_link *)owner)->client);
}

static void on_draining(void *owner, struct http_connection *http)
{
    (void)http;
    struct rpc_link *link = owner;
    link->draining = true;
    rpc_client_dispatch_later(link->client);
}

static void on_closed(void *owner, struct http_connection *http, enum http_closed reason,
                      const struct transport_failure *failure)
{
    (void)http;
    struct rpc_link *link = owner;
    struct rpc_client *client = link->client;
    bool opening = client->opening == link;
    if (opening)
        client->opening = NULL;
    forget_link(link);
    if (opening)
        connect_failed(client, http_closed_text(reason),
                       failure && failure->text ? failure->text : "");
    else
        rpc_client_dispatch_later(client);
}

static const struct http_connection_events link_events = {
    .on_open = on_open,
    .on_room = on_room,
    .on_draining = on_draining,
    .on_closed = on_closed,
};

static struct transport *open_transport(struct rpc_client *client, const struct dial_result *result)
{
    const struct rpc_target *target = &client->config.target;
    struct tls_session_spec tls = {
        .context = target->tls,
        .server_name = slice_str(target->server_name),
        .expected = target->expected,
        .expected_count = target->expected_count,
        .alpn = client->config.protocol == RPC_HTTP2 ? &alpn_2 : &alpn_1,
        .alpn_count = 1,
        .peer_key = address_hash(&result->address),
    };
    struct transport_options options = {.engine = client->means.engine,
                                        .tls = target->tls ? &tls : NULL,
                                        .handshake_timeout_ms = client->config.connect_timeout_ms};
    return transport_create(result->conn, NULL, &options, NULL, NULL);
}

static void on_dialed(void *owner, const struct dial_result *result)
{
    struct rpc_client *client = owner;
    client->dial = 0;
    if (result->status != DIAL_OK) {
        connect_failed(client, dial_status_name(result->status),
                       result->error ? strerror(result->error) : "");
        return;
    }
    struct rpc_link *link = mem_new(struct rpc_link);
    link->client = client;
    list_init(&link->calls);
    struct transport *transport = open_transport(client, result);
    if (transport)
        link->http =
            http_connection_create(transport, HTTP_CLIENT, &client->options, &link_events, link);
    if (!link->http) {
        mem_free(link);
        connect_failed(client, "no memory is left for a connection", "");
        return;
    }
    list_push_back(&client->links, &link->node);
    client->opening = link;
    client->dialing = RPC_OPENING;
}

static void dial(struct rpc_client *client, const struct address *addresses, size_t count)
{
    struct dial_options options = {.addresses = addresses,
                                   .address_count = MIN(count, (size_t)DIAL_ADDRESSES_MAX),
                                   .timeout_ms = client->config.connect_timeout_ms,
                                   .mark = client->means.mark,
                                   .conn_flags = CONN_EXEMPT};
    client->dialing = RPC_CONNECTING;
    client->dial = dialer_dial(client->means.dialer, &options, on_dialed, client);
}

static void on_resolved(void *owner, const struct resolve_answer *answer)
{
    struct rpc_client *client = owner;
    struct address addresses[DIAL_ADDRESSES_MAX];
    size_t count = MIN(answer->count, (size_t)DIAL_ADDRESSES_MAX);
    client->lookup = 0;
    if (count == 0) {
        connect_failed(client, "its name has no address", answer->why);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        addresses[i] = answer->addresses[i];
        address_set_port(&addresses[i], client->config.target.port);
    }
    dial(client, addresses, count);
}

static void connect_next(struct rpc_client *client)
{
    const struct rpc_target *target = &client->config.target;
    struct address address;
    loop_timer_start(client->means.loop, &client->timer, client->config.connect_timeout_ms,
                     on_connect_timeout);
    if (target->unix_path) {
        owned_str text = str_format("unix:%s", target->unix_path);
        if (address_parse(slice_str(text), &address))
            dial(client, &address, 1);
        else
            connect_failed(client, "the path is too long for a Unix socket", "");
    } else if (address_parse_ip(slice_str(target->host), target->port, &address)) {
        dial(client, &address, 1);
    } else if (client->means.resolver) {
        client->dialing = RPC_RESOLVING;
        client->lookup = resolver_lookup(client->means.resolver, slice_str(target->host),
                                         RESOLVE_ANY, on_resolved, client);
    } else {
        connect_failed(client, "names are not resolved here", "");
    }
}

/* Calls and links. */

static void dispatch(struct task *task)
{
    struct rpc_client *client = CONTAINER_OF(task, struct rpc_client, dispatch);
    while (!list_is_empty(&client->waiting)) {
        struct rpc_call *call = LIST_ENTRY(client->waiting.next, struct rpc_call, node);
        struct rpc_link *link = link_with_room(client);
        if (!link || !rpc_call_start(call, link))
            break;
    }
    if (list_is_empty(&client->waiting))
        return;
    if (client->dialing == RPC_BACKING_OFF && !rpc_client_is_connected(client))
        fail_impatient_calls(client);
    else if (client->dialing == RPC_AT_REST && may_open_another(client))
        connect_next(client);
}

void rpc_client_dispatch_later(struct rpc_client *client)
{
    client->dispatch.run = dispatch;
    if (!client->closed)
        loop_run_later(client->means.loop, &client->dispatch);
}

void rpc_client_forget_call(struct rpc_client *client)
{
    client->call_count--;
    rpc_client_dispatch_later(client);
}

void rpc_client_close(struct rpc_client *client)
{
    if (!client)
        return;
    client->closed = true;
    LIST_EACH_SAFE(node, after, &client->waiting)
    rpc_call_cancel(LIST_ENTRY(node, struct rpc_call, node));
    LIST_EACH_SAFE(at, later, &client->links)
    {
        struct rpc_link *link = LIST_ENTRY(at, struct rpc_link, node);
        LIST_EACH_SAFE(node, after, &link->calls)
        rpc_call_cancel(LIST_ENTRY(node, struct rpc_call, node));
    }
    end_attempt(client);
    LIST_EACH_SAFE(at, later, &client->links)
    close_link(LIST_ENTRY(at, struct rpc_link, node));
    loop_task_cancel(&client->dispatch);
    task_init(&client->reap, reap_client);
    loop_reap_later(client->means.loop, &client->reap);
}
