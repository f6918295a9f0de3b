#include "control/attest/csr_service.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "control/attest/issue_log.h"
#include "control/attest/tokens.h"
#include "control/ca/authority.h"
#include "control/ca/signer.h"
#include "control/monitor/figures.h"
#include "control/store/store.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "rpc/exchange.h"
#include "rpc/server.h"
#include "tls/identity.h"

#include "istio/ca.pb-c.h"

struct csr_service {
    struct loop *loop;
    struct rpc_server *server;
    struct signer *signer;
    struct tokens *tokens;
    struct store *store;
    struct figures *figures;
    char *trust_domain;
    struct list calls;
};

/* One request, from its message to its answer; gone with its exchange. */
struct call {
    struct list node;
    struct csr_service *service;
    struct rpc_exchange *exchange;
    char *csr, *spiffe_id;
    int64_t lifetime_s;
    struct signer_order order;
    uint64_t token_ticket, log_ticket;
    struct buffer certificate;
};

static void call_destroy(struct call *call)
{
    if (!call)
        return;
    signer_cancel(call->service->signer, &call->order);
    tokens_cancel(call->service->tokens, call->token_ticket);
    store_cancel(call->service->store, call->log_ticket);
    list_remove(&call->node);
    mem_free(call->csr);
    mem_free(call->spiffe_id);
    buffer_fini(&call->certificate);
    mem_free(call);
}

static void fail(struct call *call, enum grpc_code code, const char *reason)
{
    log_warning("ca", "no certificate for %s: %s", call->spiffe_id ? call->spiffe_id : "a caller",
                reason);
    rpc_exchange_end(call->exchange, code, slice_str(reason));
}

/* --- the answer ------------------------------------------------------------------------------------------------------- */

static void on_logged(void *owner, const struct store_written *written)
{
    struct call *call = owner;
    call->log_ticket = 0;
    if (written->status != STORE_OK) {
        fail(call, GRPC_UNAVAILABLE, "the issue log cannot be written");
        return;
    }
    struct arena arena = {0};
    const struct signer_trust *trust = signer_trust(call->service->signer);
    Istio__V1__Auth__IstioCertificateResponse *response =
        pb_new(&arena, &istio__v1__auth__istio_certificate_response__descriptor);
    /* Leaf, what signed it, and the bundle last, as Istio's clients expect. */
    PB_APPEND(&arena, response, cert_chain, arena_copy(&arena, buffer_slice(&call->certificate)));
    PB_APPEND(&arena, response, cert_chain, arena_copy(&arena, trust->chain));
    PB_APPEND(&arena, response, cert_chain, arena_copy(&arena, trust->roots));
    owned_buffer body = {0};
    pb_pack(&response->base, &body);
    rpc_exchange_answer(call->exchange, buffer_slice(&body));
    figures_count(call->service->figures, FIGURE_CSR_ISSUED);
    arena_fini(&arena);
}

static void on_signed(struct signer_order *order, const struct signer_answer *answer)
{
    struct call *call = CONTAINER_OF(order, struct call, order);
    if (!answer->good) {
        figures_count(call->service->figures, FIGURE_CSR_UNSIGNED);
        fail(call, answer->try_again ? GRPC_UNAVAILABLE : GRPC_INVALID_ARGUMENT,
             answer->error && answer->error->what ? answer->error->what : "it cannot be signed");
        return;
    }
    buffer_append_slice(&call->certificate, answer->certificate);
    owned_buffer value = {0};
    owned_str key = issue_log_entry(&answer->record, &value);
    struct store_put put = {.key = slice_str(key), .value = buffer_slice(&value)};
    call->log_ticket = store_txn(
        call->service->store, &(struct store_txn){.puts = &put, .put_count = 1}, on_logged, call);
}

static void sign(struct call *call)
{
    struct authority_order what = {.request = slice_str(call->csr),
                                   .spiffe_id = slice_str(call->spiffe_id),
                                   .lifetime_s = call->lifetime_s};
    signer_sign(call->service->signer, &call->order, &what, on_signed);
}

/* --- the question ----------------------------------------------------------------------------------------------------- */

static void on_token(void *owner, const struct token_answer *answer)
{
    struct call *call = owner;
    call->token_ticket = 0;
    if (answer->reason) {
        if (!answer->unavailable)
            figures_count(call->service->figures, FIGURE_CSR_UNAUTHENTICATED);
        fail(call, answer->unavailable ? GRPC_UNAVAILABLE : GRPC_UNAUTHENTICATED, answer->reason);
        return;
    }
    call->spiffe_id = str_copy(answer->spiffe_id);
    sign(call);
}

/* A certificate of this mesh that names a workload may be renewed. */
static bool renews(struct call *call)
{
    const struct peer_identity *peer = rpc_exchange_identity(call->exchange);
    if (!peer || peer->id.name_space.size == 0 ||
        !slice_equals_str(peer->id.trust_domain, call->service->trust_domain))
        return false;
    call->spiffe_id = slice_to_str(peer->id.text);
    return true;
}

static bool read_request(struct call *call, struct slice message)
{
    struct arena arena = {0};
    owned_error error = {0};
    struct pb_limits limits = {
        .max_bytes = CSR_REQUEST_MAX, .max_depth = 16, .max_memory = 4 * CSR_REQUEST_MAX};
    const Istio__V1__Auth__IstioCertificateRequest *request = pb_decode(
        &istio__v1__auth__istio_certificate_request__descriptor, message, &arena, &limits, &error);
    if (request) {
        call->csr = str_copy(pb_str(request->csr));
        call->lifetime_s = PB_GET(request, validity_duration, 0);
    } else {
        figures_count(call->service->figures, FIGURE_CSR_UNREADABLE);
        rpc_exchange_end(call->exchange, GRPC_INVALID_ARGUMENT, slice_str(error.what));
    }
    arena_fini(&arena);
    return request != NULL;
}

static void refuse(struct call *call)
{
    figures_count(call->service->figures, FIGURE_CSR_UNAUTHENTICATED);
    fail(call, GRPC_UNAUTHENTICATED,
         "show a one-time token, or the client certificate that is to be renewed");
}

static void on_message(void *owner, struct rpc_exchange *exchange, struct slice message)
{
    struct csr_service *service = owner;
    if (rpc_exchange_state(exchange) || rpc_exchange_is_finished(exchange))
        return; /* one request a call */
    if (!rpc_exchange_is_encrypted(exchange)) {
        rpc_exchange_end(exchange, GRPC_PERMISSION_DENIED,
                         SLICE("certificates are given over TLS only"));
        return;
    }
    figures_count(service->figures, FIGURE_CSR);
    struct call *call = mem_new(struct call);
    call->service = service;
    call->exchange = exchange;
    list_push_back(&service->calls, &call->node);
    rpc_exchange_set_state(exchange, call);
    if (!read_request(call, message))
        return;
    struct slice bearer = rpc_exchange_header(exchange, "authorization");
    struct slice scheme = SLICE("Bearer ");
    /* A token speaks for itself, also beside a certificate. */
    if (bearer.size > scheme.size && slice_equals_nocase(slice_first(bearer, scheme.size), scheme))
        call->token_ticket = tokens_consume(
            service->tokens, slice_trim(slice_from(bearer, scheme.size)), on_token, call);
    else if (renews(call))
        sign(call);
    else
        refuse(call);
}

static void on_close(void *owner, struct rpc_exchange *exchange)
{
    (void)owner;
    call_destroy(rpc_exchange_state(exchange));
}

struct csr_service *csr_service_create(struct loop *loop, struct rpc_server *server,
                                       struct signer *signer, struct tokens *tokens,
                                       struct store *store, const char *trust_domain,
                                       struct figures *figures)
{
    static const struct rpc_service reports = {.on_message = on_message, .on_close = on_close};
    struct csr_service *service = mem_new(struct csr_service);
    *service = (struct csr_service){.loop = loop,
                                    .server = server,
                                    .signer = signer,
                                    .tokens = tokens,
                                    .store = store,
                                    .figures = figures,
                                    .trust_domain = str_copy(trust_domain)};
    list_init(&service->calls);
    rpc_server_add_grpc(server, "/istio.v1.auth.IstioCertificateService/CreateCertificate",
                        &reports, service);
    return service;
}

void csr_service_destroy(struct csr_service *service)
{
    if (!service)
        return;
    LIST_EACH_SAFE(node, after, &service->calls)
    call_destroy(LIST_ENTRY(node, struct call, node));
    mem_free(service->trust_domain);
    mem_free(service);
}
