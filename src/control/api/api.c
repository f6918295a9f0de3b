#include "control/api/api.h"

#include "base/log.h"
#include "base/memory.h"
#include "control/api/access_internal.h"
#include "control/api/openapi.h"
#include "control/api/operation_internal.h"
#include "control/api/token_wait_internal.h"
#include "rpc/server.h"
#include "tls/context.h"
#include "tls/key_pair.h"

#include <unistd.h>

enum { BODY_BYTES_MAX = 3 << 20 };

/* --- one request ------------------------------------------------------------------------------------------------- */

static bool has_token(const struct operation *operation)
{
    const char *token = operation->api->token;
    struct slice given = rpc_exchange_header(operation->exchange, "authorization");
    struct slice scheme;
    return token && slice_cut(given, ' ', &scheme, &given) &&
           slice_equals_nocase(scheme, SLICE("Bearer")) && given.size == strlen(token) &&
           secret_equals(given.data, token, given.size);
}

static struct caller identify(const struct operation *operation)
{
    const struct api *api = operation->api;
    struct rpc_credentials credentials;
    if (rpc_exchange_listener(operation->exchange) == api->socket_listener &&
        rpc_exchange_credentials(operation->exchange, &credentials))
        return (struct caller){.kind = CALLER_LOCAL, .uid = credentials.uid};
    return (struct caller){.kind = has_token(operation) ? CALLER_TOKEN : CALLER_NOBODY};
}

/* A namespace object is judged by its own name. */
static bool is_allowed(const struct operation *operation)
{
    const struct request *request = &operation->request;
    bool is_namespace = request->target == TARGET_OBJECTS && request->kind == KIND_NAMESPACE;
    struct slice name_space = is_namespace && request->name.size > 0 ? request->name
                              : is_namespace                         ? request->selector.name
                                                                     : request->name_space;
    return request->target == TARGET_DISCOVERY ||
           authorize(&operation->api->authorizer, &operation->caller, request->verb,
                     slice_str(request->resource), name_space);
}

static void dispatch(struct operation *operation)
{
    switch (operation->request.target) {
    case TARGET_DISCOVERY: discovery_answer(operation); return;
    case TARGET_TOKENS:
    case TARGET_LEASES:
    case TARGET_PROXIES: own_start(operation); return;
    case TARGET_OBJECTS: break;
    }
    switch (operation->request.verb) {
    case VERB_GET:
    case VERB_LIST: read_start(operation); return;
    case VERB_WATCH: watch_start(operation); return;
    case VERB_CREATE:
    case VERB_UPDATE:
    case VERB_PATCH: write_start(operation); return;
    case VERB_DELETE:
    case VERB_DELETE_COLLECTION: remove_start(operation); return;
    case VERBS: break;
    }
}

static void run(struct operation *operation)
{
    struct request *request = &operation->request;
    operation->caller = identify(operation);
    if (operation->caller.kind == CALLER_NOBODY) {
        operation_fail(operation, 401, "Unauthorized");
        return;
    }
    if (!request_parse(rpc_exchange_method(operation->exchange),
                       rpc_exchange_path(operation->exchange),
                       rpc_exchange_query(operation->exchange), &operation->arena, request,
                       &operation->failure)) {
        operation_refuse(operation);
        return;
    }
    if (!is_allowed(operation)) {
        operation_fail(operation, 403,
                       "%s is forbidden: user %u may not %s it in namespace \"%.*s\"",
                       request->resource, operation->caller.uid, verb_name(request->verb),
                       SLICE_ARG(request->name_space));
        return;
    }
    dispatch(operation);
}

static void on_body(void *owner, struct rpc_exchange *exchange, struct slice body)
{
    struct api *api = owner;
    struct operation *operation = mem_new(struct operation);
    operation->api = api;
    operation->exchange = exchange;
    arena_init(&operation->arena, NULL);
    operation->body = slice_of(arena_copy(&operation->arena, body), body.size);
    list_push_back(&api->operations, &operation->node);
    rpc_exchange_set_state(exchange, operation);
    run(operation);
}

static void end(struct operation *operation)
{
    watch_end(operation);
    if (operation->ticket)
        store_cancel(operation->api->store, operation->ticket);
    list_remove(&operation->node);
    arena_fini(&operation->arena);
    mem_free(operation);
}

static void on_close(void *owner, struct rpc_exchange *exchange)
{
    (void)owner;
    struct operation *operation = rpc_exchange_state(exchange);
    if (operation)
        end(operation);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static const struct rpc_service service = {.on_body = on_body, .on_close = on_close};

static bool listen_socket(struct api *api, const char *data, struct error *error)
{
    owned_str path = str_format("%s/api.sock", data);
    struct rpc_listen listen = {.unix_path = path, .unix_mode = 0600};
    api->socket_listener = rpc_server_listen(api->server, &listen, error);
    return api->socket_listener >= 0;
}

static bool listen_tls(struct api *api, const struct api_options *options, struct error *error)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", NULL};
    struct access access = {0};
    if (!access_open(options->data, loop_wall_us(api->loop) / 1000000, &access, error))
        return false;
    struct rpc_listen listen = {
        .address = "127.0.0.1", .port = options->port, .tls = access.tls, .hosts = hosts};
    api->tls_listener = rpc_server_listen(api->server, &listen, error);
    api->token = str_copy(access.token);
    bool good = api->tls_listener >= 0 &&
                access_write_kubeconfig(&access, options->data, api_port(api), error);
    access_fini(&access);
    return good;
}

bool api_create(const struct rpc_means *means, struct store *store,
                const struct api_options *options, struct api **out, struct error *error)
{
    owned(api) api = mem_new(struct api);
    struct rpc_server_limits limits = {.max_body = BODY_BYTES_MAX};
    api->loop = means->loop;
    api->store = store;
    api->authorizer = options->authorizer;
    api->services = options->services;
    api->figures = options->figures;
    api->version = str_copy(options->version ? options->version : "unknown");
    api->socket_listener = api->tls_listener = -1;
    list_init(&api->operations);
    list_init(&api->token_waits);
    api->server = rpc_server_create(means, &limits);
    rpc_server_add_http(api->server, "/", &service, api);
    if (!listen_socket(api, options->data, error))
        return false;
    if (!options->socket_only && means->engine && !listen_tls(api, options, error))
        return false;
    *out = give(api);
    return true;
}

void api_drain(struct api *api)
{
    LIST_EACH_SAFE(node, after, &api->operations)
    watch_drain(LIST_ENTRY(node, struct operation, node));
    rpc_server_drain(api->server);
}

size_t api_connections(const struct api *api)
{
    return rpc_server_connections(api->server);
}

void api_destroy(struct api *api)
{
    if (!api)
        return;
    if (api->server)
        rpc_server_close(api->server);
    LIST_EACH_SAFE(node, after, &api->operations)
    end(LIST_ENTRY(node, struct operation, node));
    LIST_EACH_SAFE(node, after, &api->token_waits)
    mem_free(LIST_ENTRY(node, struct token_wait, node));
    openapi_destroy(api->openapi);
    if (api->token)
        mem_free_secret(api->token, strlen(api->token));
    mem_free(api->version);
    mem_free(api);
}

uint16_t api_port(const struct api *api)
{
    return api->tls_listener < 0 ? 0 : rpc_server_port(api->server, api->tls_listener);
}
