/* What Kubernetes does not have: one-time tokens, leases of runners, and the state of proxies. */
#include "control/api/operation_internal.h"

#include "base/memory.h"
#include "control/api/token_wait_internal.h"
#include "control/model/validate.h"
#include "rpc/server.h"

#include <inttypes.h>

static void reply_missing(struct operation *operation)
{
    operation_fail(operation, 501, "this server does not do that");
}

/* --- tokens ------------------------------------------------------------------------------------------------------ */

static void answer_token(struct operation *operation, const struct api_token *token)
{
    if (!token->token) {
        operation_fail(operation, 403, "%s", token->reason ? token->reason : "no token was issued");
        return;
    }
    struct value *answer = value_new(&operation->arena, VALUE_OBJECT);
    tree_put_str(answer, "token", token->token, &operation->arena);
    tree_put_str(answer, "spiffeId", token->spiffe_id, &operation->arena);
    operation_reply(operation, 201, answer);
}

/* The client may have gone meanwhile. */
static void on_token(void *owner, const struct api_token *token)
{
    struct token_wait *wait = owner;
    struct rpc_exchange *exchange = rpc_server_exchange(wait->api->server, wait->exchange);
    struct operation *operation = exchange ? rpc_exchange_state(exchange) : NULL;
    if (operation)
        answer_token(operation, token);
    list_remove(&wait->node);
    mem_free(wait);
}

static void issue_token(struct operation *operation)
{
    struct api *api = operation->api;
    struct slice name_space = operation->request.name_space;
    if (!api->services.issue_token) {
        reply_missing(operation);
        return;
    }
    if (!operation_read_body(operation, &operation->wanted))
        return;
    struct slice account = tree_text(operation->wanted, "serviceAccount");
    if (!object_name_is_valid(account) || !object_label_is_valid(name_space)) {
        operation_fail(operation, 400,
                       "the body is {\"serviceAccount\": NAME}, and NAME and the namespace are "
                       "lower-case names");
        return;
    }
    struct token_wait *wait = mem_new(struct token_wait);
    wait->api = api;
    wait->exchange = rpc_exchange_handle(operation->exchange);
    list_push_back(&api->token_waits, &wait->node);
    api->services.issue_token(api->services.owner, name_space, account, on_token, wait);
}

/* --- leases ------------------------------------------------------------------------------------------------------ */

static void on_leased(void *owner, const struct store_leased *leased)
{
    struct operation *operation = owner;
    operation->ticket = 0;
    if (leased->status != STORE_OK) {
        operation_fail_store(operation, leased->status, leased->reason);
        return;
    }
    struct value *answer = value_new(&operation->arena, VALUE_OBJECT);
    tree_put_str(answer, "lease", arena_format(&operation->arena, "%" PRIu64, leased->lease),
                 &operation->arena);
    operation_reply(operation, operation->request.verb == VERB_CREATE ? 201 : 200, answer);
}

static void grant(struct operation *operation)
{
    int64_t ttl_s;
    if (!operation_read_body(operation, &operation->wanted))
        return;
    if (!value_to_i64(value_get(operation->wanted, "ttlSeconds"), &ttl_s) || ttl_s < 1 ||
        ttl_s > 3600) {
        operation_fail(operation, 400, "the body is {\"ttlSeconds\": 1 to 3600}");
        return;
    }
    operation->ticket =
        store_grant(operation->api->store, (uint32_t)ttl_s * 1000, on_leased, operation);
}

static void lease(struct operation *operation)
{
    struct store *store = operation->api->store;
    struct request *request = &operation->request;
    uint64_t id = 0;
    if (request->verb == VERB_CREATE) {
        grant(operation);
        return;
    }
    if (!slice_to_u64(request->name, INT64_MAX, &id) || id == 0)
        operation_fail(operation, 404, "there is no lease %.*s", SLICE_ARG(request->name));
    else if (request->verb == VERB_UPDATE)
        operation->ticket = store_keep_alive(store, id, on_leased, operation);
    else if (request->verb == VERB_DELETE)
        operation->ticket = store_revoke(store, id, on_leased, operation);
    else
        operation_fail(operation, 405, "a lease is kept alive by PUT and ended by DELETE");
}

/* --- proxies ----------------------------------------------------------------------------------------------------- */

static void proxies(struct operation *operation)
{
    struct api *api = operation->api;
    struct arena *arena = &operation->arena;
    if (!api->services.proxies) {
        reply_missing(operation);
        return;
    }
    struct value *list = value_new(arena, VALUE_OBJECT);
    tree_put_str(list, "kind", "ProxyList", arena);
    tree_put_str(list, "apiVersion", "tulle.dev/v1", arena);
    api->services.proxies(api->services.owner, tree_put_list(list, "items", arena), arena);
    operation_reply(operation, 200, list);
}

void own_start(struct operation *operation)
{
    enum verb verb = operation->request.verb;
    enum target target = operation->request.target;
    if (target == TARGET_LEASES)
        lease(operation);
    else if (target == TARGET_TOKENS && verb == VERB_CREATE)
        issue_token(operation);
    else if (target == TARGET_PROXIES && verb == VERB_LIST)
        proxies(operation);
    else
        operation_fail(operation, 405, "%s is not possible here", verb_name(verb));
}
