#include "proxy/identity/identity.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "build/secret.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "proxy/configure.h"
#include "proxy/process_state.h"
#include "proxy/snapshot/intake.h"
#include "rpc/client.h"
#include "tls/certificate.h"
#include "tls/context.h"
#include "tls/key_pair.h"
#include "tls/trust.h"

#include "istio/ca.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TOKEN_MAX = 16384,
    CHAIN_MAX = 10,
    RETRY_MS = 500,
    RETRY_MAX_MS = 30000,
    CALL_MS = 10000,
    LEAF_S = 86400
};

/* istiod's name, by which its certificate is verified. */
static const char ca_name[] = "istiod.istio-system.svc";

struct identity {
    struct process *process;
    char *host;
    uint16_t port;
    struct buffer root; /* PEM */
    char *token;        /* one-time; NULL once it was used, or when a file is reread */
    struct tls_trust *trust;
    struct rpc_client *client;
    struct rpc_call *call;
    struct key_pair *key; /* of the request under way */
    struct key_pair *own; /* of the certificate in force */
    struct buffer chain;  /* in force */
    struct buffer answer;
    struct timer again;
    uint32_t failures;
    bool is_ready;
};

static void ask(struct identity *identity);

static void on_again(struct timer *timer)
{
    ask(CONTAINER_OF(timer, struct identity, again));
}

static void try_later(struct identity *identity, const char *why)
{
    uint32_t doublings = MIN(identity->failures, 6u);
    uint64_t delay_ms = MIN((uint64_t)RETRY_MS << doublings, (uint64_t)RETRY_MAX_MS);
    delay_ms += random_below(loop_random(identity->process->loop), delay_ms / 2 + 1);
    identity->failures++;
    log_warning("identity", "no certificate from %s:%u: %s; again in %llu ms%s", identity->host,
                identity->port, why, (unsigned long long)delay_ms,
                identity->is_ready ? ", the present one holds" : "");
    loop_timer_start(identity->process->loop, &identity->again, delay_ms, on_again);
}

/* --- what came back ------------------------------------------------------------------------------------------- */

static bool put_secrets(struct identity *identity, struct error *error)
{
    struct build_options building = {.here = true,
                                     .now_s = loop_wall_us(identity->process->loop) / 1000000};
    owned_key_buffer key = {0};
    struct secret *certificate = NULL, *trust = NULL;
    key_pair_write_pem(identity->key, &key);
    struct tls_certificate pair = {buffer_slice(&identity->chain), buffer_slice(&key)};
    struct trust_source source = {.roots = buffer_slice(&identity->root)};
    if (!secret_of_certificate(SLICE("default"), &pair, &building, &certificate, error))
        return false;
    if (!secret_of_trust(SLICE("ROOTCA"), &source, 1, &trust, error)) {
        secret_unref(certificate);
        return false;
    }
    struct intake *intake = configure_intake(identity->process->configure);
    return intake_put_secret(intake, trust, error) && intake_put_secret(intake, certificate, error);
}

/* Later calls to the CA are authenticated by the certificate in force. */
static void present_certificate(struct identity *identity)
{
    owned_key_buffer key = {0};
    owned_error error = {0};
    struct tls_context *context;
    key_pair_write_pem(identity->own, &key);
    struct tls_certificate pair = {buffer_slice(&identity->chain), buffer_slice(&key)};
    struct tls_context_spec spec = {.role = TLS_CLIENT,
                                    .name = "identity",
                                    .certificates = &pair,
                                    .certificate_count = 1,
                                    .trust = identity->trust};
    if (!tls_context_create(&spec, loop_wall_us(identity->process->loop) / 1000000, &context,
                            &error)) {
        log_error("identity", "%s", error.what);
        return;
    }
    rpc_client_set_tls(identity->client, context);
    configure_set_tls(identity->process->configure, context);
    tls_context_unref(context);
}

static int64_t renewal_s(struct identity *identity, int64_t now_s)
{
    owned_buffer der = {0};
    owned_error error = {0};
    struct certificate_summary summary = {0};
    size_t cursor = 0;
    int64_t half = LEAF_S / 2;
    if (certificate_next(buffer_slice(&identity->chain), &cursor, &der, &error) &&
        certificate_summarize(buffer_slice(&der), &summary, &error)) {
        half = (summary.not_after_s - now_s) / 2;
        log_info("identity", "certificate %s of %.*s holds for %lld s", summary.serial,
                 summary.san_count ? (int)summary.sans[0].text.size : 1,
                 summary.san_count ? summary.sans[0].text.data : "-",
                 (long long)(summary.not_after_s - now_s));
    }
    certificate_summary_fini(&summary);
    int64_t jitter = (int64_t)random_below(loop_random(identity->process->loop),
                                           (uint64_t)(half > 10 ? half / 10 : 1));
    return MAX(half - jitter, (int64_t)1);
}

static bool read_answer(struct identity *identity, struct error *error)
{
    struct arena arena;
    arena_init(&arena, NULL);
    const Istio__V1__Auth__IstioCertificateResponse *answer =
        pb_decode(&istio__v1__auth__istio_certificate_response__descriptor,
                  buffer_slice(&identity->answer), &arena, NULL, error);
    bool is_whole = answer && answer->n_cert_chain > 0 && answer->n_cert_chain <= CHAIN_MAX;
    if (is_whole) {
        buffer_reset(&identity->chain);
        /* Istio's CA sends the chain with the root as its last; the root is the peers' to know. */
        size_t count = answer->n_cert_chain > 1 ? answer->n_cert_chain - 1 : 1;
        for (size_t i = 0; i < count; i++)
            buffer_append_str(&identity->chain, answer->cert_chain[i]);
    } else if (!error_is_set(error)) {
        error_set(error, "TUL3203", "the CA answered without a certificate");
    }
    arena_fini(&arena);
    return is_whole;
}

static void accept(struct identity *identity)
{
    owned_error error = {0};
    int64_t now_s = loop_wall_us(identity->process->loop) / 1000000;
    if (!read_answer(identity, &error) || !put_secrets(identity, &error)) {
        try_later(identity, error.what);
        return;
    }
    key_pair_destroy(identity->own);
    identity->own = identity->key;
    identity->key = NULL;
    identity->is_ready = true;
    identity->failures = 0;
    if (identity->token)
        mem_free_secret(identity->token, strlen(identity->token));
    identity->token = NULL;
    present_certificate(identity);
    configure_commit(identity->process->configure);
    loop_timer_start(identity->process->loop, &identity->again,
                     (uint64_t)renewal_s(identity, now_s) * 1000, on_again);
}

static void on_message(void *owner, struct slice message)
{
    struct identity *identity = owner;
    buffer_reset(&identity->answer);
    buffer_append_slice(&identity->answer, message);
}

static void on_end(void *owner, const struct rpc_end *end)
{
    struct identity *identity = owner;
    identity->call = NULL;
    if (end->code == GRPC_OK) {
        accept(identity);
        return;
    }
    owned_str why = str_format("%s: %.*s", grpc_code_name(end->code), SLICE_ARG(end->message));
    try_later(identity, why);
}

/* --- asking --------------------------------------------------------------------------------------------------- */

/* A token from a file is read anew each time, because whoever wrote it renews it. */
static char *token_now(struct identity *identity)
{
    owned_buffer text = {0};
    const char *path = identity->process->options->token_path;
    if (identity->token)
        return str_format("Bearer %s", identity->token);
    if (!path || buffer_read_file(&text, path, TOKEN_MAX) != 0)
        return NULL;
    struct slice token = slice_trim(buffer_slice(&text));
    while (token.size && (token.data[token.size - 1] == '\n' || token.data[token.size - 1] == '\r'))
        token.size--;
    return str_format("Bearer %.*s", SLICE_ARG(token));
}

static void ask(struct identity *identity)
{
    static const struct rpc_call_handler handler = {.on_message = on_message, .on_end = on_end};
    struct arena arena;
    owned_buffer csr = {0};
    owned_error error = {0};
    key_pair_destroy(identity->key);
    identity->key = key_pair_generate();
    /* The CA ignores the name: who we are follows from how we authenticate. */
    if (!key_pair_request(identity->key, SLICE("spiffe://cluster.local/ns/default/sa/default"),
                          &csr, &error)) {
        try_later(identity, error.what);
        return;
    }
    arena_init(&arena, NULL);
    Istio__V1__Auth__IstioCertificateRequest *request =
        pb_new(&arena, &istio__v1__auth__istio_certificate_request__descriptor);
    request->csr = arena_copy(&arena, buffer_slice(&csr));
    PB_SET(request, validity_duration, LEAF_S);
    owned_buffer body = {0};
    pb_pack(&request->base, &body);
    arena_fini(&arena);
    owned_str bearer = token_now(identity);
    struct rpc_header header = {SLICE("authorization"), slice_str(bearer)};
    struct rpc_call_config config = {.path =
                                         "/istio.v1.auth.IstioCertificateService/CreateCertificate",
                                     .headers = &header,
                                     .header_count = bearer ? 1 : 0,
                                     .timeout_ms = CALL_MS};
    identity->call = rpc_client_grpc(identity->client, &config, &handler, identity);
    if (!rpc_call_send(identity->call, buffer_slice(&body))) {
        rpc_call_cancel(identity->call);
        identity->call = NULL;
        try_later(identity, "no memory");
        return;
    }
    rpc_call_send_end(identity->call);
}

/* --- making --------------------------------------------------------------------------------------------------- */

static bool read_token(struct identity *identity, struct error *error)
{
    int fd = identity->process->options->token_fd;
    char token[TOKEN_MAX];
    size_t used = 0;
    ssize_t got;
    if (fd < 0)
        return true;
    while (used < sizeof(token) - 1 && (got = read(fd, token + used, sizeof(token) - 1 - used)) > 0)
        used += (size_t)got;
    close(fd);
    while (used > 0 && (token[used - 1] == '\n' || token[used - 1] == '\r'))
        used--;
    if (used == 0)
        return error_set(error, "TUL1235", "descriptor %d holds no token", fd);
    identity->token = str_copy_n(token, used);
    secret_wipe(token, sizeof(token));
    return true;
}

static bool read_address(struct identity *identity, struct error *error)
{
    const char *address = identity->process->options->ca_address;
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (!colon || !slice_to_u64(slice_str(colon + 1), UINT16_MAX, &port))
        return error_set(error, "TUL1236", "--ca-address is HOST:PORT, not \"%s\"", address);
    identity->host = str_copy_n(address, (size_t)(colon - address));
    identity->port = (uint16_t)port;
    return true;
}

static bool make_client(struct identity *identity, struct error *error)
{
    const char *path = identity->process->options->ca_root_path;
    int failure = path ? buffer_read_file(&identity->root, path, TRUST_BYTES_MAX) : -ENOENT;
    if (failure) {
        error_set(error, "TUL1237", "cannot read the CA's root certificate %s: %s",
                  path ? path : "", strerror(-failure));
        error_fix(error, "--ca-root FILE names it");
        return false;
    }
    struct trust_source source = {.roots = buffer_slice(&identity->root)};
    struct tls_context *context;
    if (!tls_trust_create(&source, 1, &identity->trust, error))
        return false;
    struct tls_context_spec spec = {.role = TLS_CLIENT, .name = "the CA", .trust = identity->trust};
    if (!tls_context_create(&spec, loop_wall_us(identity->process->loop) / 1000000, &context,
                            error))
        return false;
    struct san_match name = {.how = SAN_MATCH_EXACT, .kind = SAN_DNS, .value = slice_str(ca_name)};
    struct rpc_client_config config = {.target = {.host = identity->host,
                                                  .port = identity->port,
                                                  .tls = context,
                                                  .server_name = ca_name,
                                                  .expected = &name,
                                                  .expected_count = 1},
                                       .protocol = RPC_HTTP2};
    identity->client = rpc_client_create(&identity->process->means, &config);
    tls_context_unref(context);
    return true;
}

bool identity_create(struct process *process, struct identity **out, struct error *error)
{
    *out = NULL;
    if (!process->options->ca_address)
        return true;
    struct identity *identity = mem_new(struct identity);
    identity->process = process;
    if (!read_token(identity, error) || !read_address(identity, error) ||
        !make_client(identity, error)) {
        identity_destroy(identity);
        return false;
    }
    *out = identity;
    return true;
}

void identity_start(struct identity *identity)
{
    if (identity)
        ask(identity);
}

void identity_destroy(struct identity *identity)
{
    if (!identity)
        return;
    loop_timer_stop(identity->process->loop, &identity->again);
    if (identity->call)
        rpc_call_cancel(identity->call);
    if (identity->client)
        rpc_client_close(identity->client);
    if (identity->token)
        mem_free_secret(identity->token, strlen(identity->token));
    key_pair_destroy(identity->key);
    key_pair_destroy(identity->own);
    tls_trust_unref(identity->trust);
    buffer_fini(&identity->root);
    buffer_fini(&identity->chain);
    buffer_fini(&identity->answer);
    mem_free(identity->host);
    mem_free(identity);
}
