#include "rpc/server.h"

#include "base/error.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/random.h"
#include "io/conn.h"
#include "io/listener.h"
#include "net/transport.h"
#include "rpc/server_internal.h"
#include "tls/context.h"

#include <errno.h>
#include <stdlib.h>

static const struct slice alpn[] = {{"h2", 2}, {"http/1.1", 8}};

static void set_defaults(struct rpc_server_limits *limits)
{
#define DEFAULT(field, value) limits->field = limits->field ? limits->field : (value)
    DEFAULT(max_connections, 16384);
    DEFAULT(max_streams, 100);
    DEFAULT(max_body, 4 * 1024 * 1024);
    DEFAULT(max_message, GRPC_MAX_MESSAGE);
    DEFAULT(max_send_backlog, 1024 * 1024);
    DEFAULT(idle_timeout_ms, 300000);
    DEFAULT(request_timeout_ms, 60000);
    DEFAULT(keepalive_ms, 30000);
    DEFAULT(max_age_grace_ms, 10000);
#undef DEFAULT
}

struct rpc_server *rpc_server_create(const struct rpc_means *means,
                                     const struct rpc_server_limits *limits)
{
    struct rpc_server *server = mem_new(struct rpc_server);
    server->means = *means;
    if (limits)
        server->limits = *limits;
    set_defaults(&server->limits);
    server->http_limits = http_limits_default;
    server->http_limits.max_streams = server->limits.max_streams;
    server->http_limits.lenient_query = server->limits.lenient_query;
    server->options = http_connection_defaults;
    server->options.limits = &server->http_limits;
    server->options.idle_timeout_ms = server->limits.idle_timeout_ms;
    server->options.stream_idle_timeout_ms =
        0; /* watches and ADS are silent for hours; PING finds the dead */
    server->options.drain_timeout_ms = server->limits.max_age_grace_ms;
    server->options.ping_interval_ms = server->limits.keepalive_ms;
    server->grpc_routes = map_create();
    server->date_s = -1;
    list_init(&server->connections);
    return server;
}

/* Closing. */

static void reap_connection(struct task *task)
{
    struct rpc_connection *connection = CONTAINER_OF(task, struct rpc_connection, reap);
    loop_object_free(connection->server->means.loop, connection, sizeof(*connection));
}

static void forget_connection(struct rpc_connection *connection)
{
    struct rpc_server *server = connection->server;
    loop_timer_stop(server->means.loop, &connection->age);
    list_remove(&connection->node);
    server->connection_count--;
    connection->http = NULL;
    loop_reap_later(server->means.loop, &connection->reap);
}

static void close_connection(struct rpc_connection *connection)
{
    http_connection_close(connection->http);
    LIST_EACH_SAFE(node, after, &connection->exchanges)
    rpc_exchange_discard(LIST_ENTRY(node, struct rpc_exchange, node));
    forget_connection(connection);
}

static void free_hosts(char **hosts)
{
    for (size_t i = 0; hosts && hosts[i]; i++)
        mem_free(hosts[i]);
    mem_free(hosts);
}

static void stop_listening(struct rpc_listener *listener)
{
    acceptor_destroy(listener->acceptor);
    listen_group_destroy(listener->group);
    listener->acceptor = NULL;
    listener->group = NULL;
}

static void listener_destroy(struct rpc_listener *listener)
{
    stop_listening(listener);
    tls_context_unref(listener->tls);
    free_hosts(listener->hosts);
    mem_free(listener);
}

static void reap_server(struct task *task)
{
    struct rpc_server *server = CONTAINER_OF(task, struct rpc_server, reap);
    struct map_iterator it = {0};
    VECTOR_EACH(listener, &server->listeners)
    listener_destroy(*listener);
    vector_fini(&server->listeners);
    VECTOR_EACH(route, &server->http_routes)
    mem_free(route->path);
    vector_fini(&server->http_routes);
    while (map_next(server->grpc_routes, &it)) {
        mem_free(((struct rpc_route *)it.value)->path);
        mem_free(it.value);
    }
    map_destroy(server->grpc_routes);
    mem_free(server);
}

void rpc_server_close(struct rpc_server *server)
{
    VECTOR_EACH(listener, &server->listeners)
    stop_listening(*listener);
    LIST_EACH_SAFE(node, after, &server->connections)
    close_connection(LIST_ENTRY(node, struct rpc_connection, node));
    /* Connections and exchanges look at the server until they are reaped, which they were queued for before it. */
    task_init(&server->reap, reap_server);
    loop_reap_later(server->means.loop, &server->reap);
}

void rpc_server_drain(struct rpc_server *server)
{
    VECTOR_EACH(listener, &server->listeners)
    stop_listening(*listener);
    LIST_EACH_SAFE(node, after, &server->connections)
    http_connection_drain(LIST_ENTRY(node, struct rpc_connection, node)->http);
}

size_t rpc_server_connections(const struct rpc_server *server)
{
    return server->connection_count;
}

/* Connections. */

static void on_request(void *owner, struct http_connection *http, struct http_stream *stream)
{
    (void)http;
    rpc_exchange_begin(owner, stream);
}

static void on_closed(void *owner, struct http_connection *http, enum http_closed reason,
                      const struct transport_failure *failure)
{
    (void)http, (void)reason, (void)failure;
    struct rpc_connection *connection = owner;
    /* Its exchanges have had their on_reset and tell their services in this turn; they outlive the connection. */
    LIST_EACH_SAFE(node, after, &connection->exchanges)
    {
        LIST_ENTRY(node, struct rpc_exchange, node)->connection = NULL;
        list_remove(node);
    }
    forget_connection(connection);
}

static const struct http_connection_events connection_events = {
    .on_request = on_request,
    .on_closed = on_closed,
};

static void on_age(struct timer *timer)
{
    http_connection_drain(CONTAINER_OF(timer, struct rpc_connection, age)->http);
}

static void start_age(struct rpc_connection *connection)
{
    struct rpc_server *server = connection->server;
    uint32_t age = server->limits.max_age_ms;
    if (age == 0)
        return;
    uint64_t jitter = random_below(loop_random(server->means.loop), age / 5 + 1);
    loop_timer_start(server->means.loop, &connection->age, age - age / 10 + jitter, on_age);
}

static struct http_connection *open_http(struct rpc_connection *connection, int fd)
{
    struct rpc_server *server = connection->server;
    struct tls_session_spec tls = {
        .context = connection->listener->tls, .alpn = alpn, .alpn_count = COUNT(alpn)};
    struct transport_options options = {.engine = server->means.engine,
                                        .tls = tls.context ? &tls : NULL};
    struct conn *conn = conn_adopt(server->means.loop, fd, CONN_EXEMPT, NULL, NULL);
    if (!conn)
        return NULL;
    struct transport *transport = transport_create(conn, NULL, &options, NULL, NULL);
    if (!transport)
        return NULL;
    return http_connection_create(transport, HTTP_SERVER, &server->options, &connection_events,
                                  connection);
}

static void on_accept(void *owner, int fd, const struct address *peer)
{
    (void)peer;
    struct rpc_listener *listener = owner;
    struct rpc_server *server = listener->server;
    struct loop *loop = server->means.loop;
    struct rpc_connection *connection = NULL;
    if (server->connection_count < server->limits.max_connections)
        connection = loop_object_new(loop, sizeof(*connection));
    if (!connection) {
        accepted_close(loop, fd);
        return;
    }
    *connection = (struct rpc_connection){.server = server, .listener = listener};
    list_init(&connection->exchanges);
    task_init(&connection->reap, reap_connection);
    connection->http = open_http(connection, fd);
    if (!connection->http) {
        loop_object_free(loop, connection, sizeof(*connection));
        return;
    }
    list_push_back(&server->connections, &connection->node);
    server->connection_count++;
    start_age(connection);
}

/* Listening. */

static char **copy_hosts(const char *const *hosts)
{
    size_t count = 0;
    if (!hosts)
        return NULL;
    while (hosts[count])
        count++;
    char **copy = mem_calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = str_copy(hosts[i]);
    return copy;
}

static bool find_address(const struct rpc_listen *listen, struct address *address,
                         struct error *error)
{
    if (listen->unix_path) {
        owned_str text = str_format("unix:%s", listen->unix_path);
        if (!address_parse(slice_str(text), address))
            return error_set(error, NULL, "%s is no path for a Unix socket", listen->unix_path);
        return true;
    }
    if (!address_parse_ip(slice_str(listen->address), listen->port, address))
        return error_set(error, NULL, "%s is no IP address to listen on",
                         listen->address ? listen->address : "(none)");
    return true;
}

static int open_group(const struct rpc_listen *listen, struct listen_group **group,
                      struct error *error)
{
    struct listen_options options = {.is_exclusive = true,
                                     .unix_mode = listen->unix_mode ? listen->unix_mode : 0600};
    char text[ADDRESS_TEXT];
    if (!find_address(listen, &options.address, error))
        return -EINVAL;
    int failed = listen_group_create(&options, group);
    if (failed) {
        address_format(&options.address, text);
        error_set(error, NULL, "cannot listen on %s: %s", text, strerror(-failed));
        if (failed == -EADDRINUSE)
            error_fix(error, "stop the process that listens there, or choose another address");
    }
    return failed;
}

int rpc_server_listen(struct rpc_server *server, const struct rpc_listen *listen,
                      struct error *error)
{
    struct rpc_listener *listener = mem_new(struct rpc_listener);
    int fd = listen->fd;
    int failed = fd > 0 ? 0 : open_group(listen, &listener->group, error);
    *listener = (struct rpc_listener){.server = server,
                                      .number = (int)server->listeners.count,
                                      .group = listener->group,
                                      .tls = listen->tls ? tls_context_ref(listen->tls) : NULL,
                                      .hosts = copy_hosts(listen->hosts)};
    if (!failed) {
        if (listener->group)
            fd = listen_group_fd(listener->group, 0);
        failed = acceptor_create(server->means.loop, fd, on_accept, listener, &listener->acceptor);
        if (failed)
            error_set(error, NULL, "cannot accept connections: %s", strerror(-failed));
    }
    if (failed) {
        listener_destroy(listener);
        return failed;
    }
    acceptor_set_exempt(listener->acceptor);
    vector_push(&server->listeners, listener);
    return listener->number;
}

uint16_t rpc_server_port(const struct rpc_server *server, int listener)
{
    const struct listen_group *group = server->listeners.items[listener]->group;
    if (!group)
        return 0;
    struct address address = listen_group_address(group);
    return address_port(&address);
}

void rpc_server_set_tls(struct rpc_server *server, int listener, struct tls_context *tls)
{
    struct rpc_listener *it = server->listeners.items[listener];
    struct tls_context *old = it->tls;
    it->tls = tls_context_ref(tls);
    tls_context_unref(old);
}

/* Routes. */

void rpc_server_add_grpc(struct rpc_server *server, const char *path,
                         const struct rpc_service *service, void *owner)
{
    struct rpc_route *route = mem_new(struct rpc_route);
    *route = (struct rpc_route){str_copy(path), service, owner};
    struct rpc_route *old = map_put(server->grpc_routes, slice_str(path), route);
    if (old)
        mem_free(old->path);
    mem_free(old);
}

static int compare_routes(const void *a, const void *b)
{
    size_t x = strlen(((const struct rpc_route *)a)->path),
           y = strlen(((const struct rpc_route *)b)->path);
    return (x < y) - (x > y);
}

void rpc_server_add_http(struct rpc_server *server, const char *prefix,
                         const struct rpc_service *service, void *owner)
{
    vector_push(&server->http_routes, {str_copy(prefix), service, owner});
    qsort(server->http_routes.items, server->http_routes.count, sizeof(struct rpc_route),
          compare_routes);
}

const struct rpc_route *rpc_server_route(const struct rpc_server *server, struct slice path,
                                         bool is_grpc)
{
    if (is_grpc)
        return map_get(server->grpc_routes, path);
    VECTOR_EACH(route, &server->http_routes)
    {
        if (slice_starts_with(path, slice_str(route->path)))
            return route;
    }
    return NULL;
}

struct slice rpc_server_date(struct rpc_server *server)
{
    int64_t now_s = loop_wall_us(server->means.loop) / 1000000;
    if (now_s != server->date_s) {
        server->date_s = now_s;
        http_date_format(now_s, server->date);
    }
    return slice_of(server->date, HTTP_DATE_SIZE);
}

struct rpc_exchange *rpc_server_exchange(struct rpc_server *server, uint64_t name)
{
    return handle_get(loop_handles(server->means.loop), name);
}
