#include "control/process.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "control/api/api.h"
#include "control/api/proxy_rows.h"
#include "control/attest/csr_service.h"
#include "control/attest/issue_log.h"
#include "control/attest/tokens.h"
#include "control/ca/authority.h"
#include "control/ca/signer.h"
#include "control/conditions/conditions.h"
#include "control/conditions/keeper.h"
#include "control/import/directory.h"
#include "control/model/feed.h"
#include "control/monitor/figures.h"
#include "control/monitor/monitor.h"
#include "control/push/push.h"
#include "control/registry/addresses.h"
#include "control/store/sqlite.h"
#include "control/translate/source.h"
#include "io/signal.h"
#include "pb/document.h"
#include "rpc/server.h"
#include "stats/registry.h"
#include "tls/certificate.h"
#include "tls/context.h"
#include "tls/engine.h"
#include "tls/identity.h"
#include "tls/key_pair.h"
#include "tls/trust.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SERIES_MAX = 10000,
    RENEW_MS = 6 * 3600 * 1000,
    RETRY_MS = 5000,
    DRAIN_MS = 1500, /* peers may take so long to let go */
    DRAIN_LOOK_MS = 10
};

struct control_process {
    const struct control_options *options;
    struct signer *signer;
    struct loop *loop;
    struct signal_watch *signals;
    struct tls_engine *engine;
    struct rpc_means means;
    struct stats_registry *stats;
    struct figures *figures;
    struct monitor *monitor;
    uint64_t started_ms;
    struct timer draining;
    uint64_t drain_until_ms; /* 0: it serves */
    struct store *store;
    struct model *model;
    struct registry *registry;
    struct translate *translate;
    struct source_of_views source;
    struct push *push;
    struct push_thread *plain_thread, *tls_thread;
    struct addresses *addresses;
    struct conditions *conditions;
    struct keeper *keeper;
    struct feed *feed;
    struct directory *directories[CONFIG_DIRECTORIES_MAX];
    struct tokens *tokens;
    struct csr_service *csr;
    struct issue_log *issue_log;
    struct rpc_server *plain, *secure;
    int secure_listener;
    struct api *api;

    struct key_pair *server_key;
    struct signer_order server_order;
    struct tls_ticket_keys *tickets;
    struct timer renew;
    bool listening;
    struct error failure; /* found while it ran */
};

/* --- what the store says ---------------------------------------------------------------------------------------------- */

static void on_object(void *owner, enum kind kind)
{
    struct control_process *p = owner;
    if (!feed_is_ready(p->feed))
        return;
    push_note(p->push, kind == KIND_WORKLOAD_ENTRY ? PUSH_ENDPOINTS : PUSH_CONFIG,
              kind_trigger(kind));
    if (kind == KIND_SERVICE || kind == KIND_SERVICE_ENTRY)
        addresses_check(p->addresses);
    conditions_note(p->conditions);
}

static void on_other(void *owner, struct slice key, struct slice value)
{
    struct control_process *p = owner;
    if (addresses_see(p->addresses, key, value) && p->feed && feed_is_ready(p->feed))
        push_note(p->push, PUSH_CONFIG, "address");
    (void)keeper_see(p->keeper, key, value);
    conditions_note(p->conditions);
}

/* Translation may have found what proxies would refuse. */
static void on_refreshed(void *owner)
{
    struct control_process *p = owner;
    conditions_note(p->conditions);
}

static void on_ready(void *owner)
{
    struct control_process *p = owner;
    keeper_start(p->keeper);
    addresses_check(p->addresses);
    for (unsigned i = 0; i < p->options->directory_count; i++)
        directory_start(p->directories[i]);
    push_set_ready(p->push, true);
    conditions_start(p->conditions);
    log_info("tulled", "ready: %zu objects", model_count(p->model));
}

/* --- our own certificate ----------------------------------------------------------------------------------------------- */

static void ask_certificate(struct control_process *p);

static void on_renew(struct timer *timer)
{
    ask_certificate(CONTAINER_OF(timer, struct control_process, renew));
}

static bool listen_secure(struct control_process *p, struct tls_context *context,
                          struct error *error)
{
    if (p->listening) {
        rpc_server_set_tls(p->secure, p->secure_listener, context);
        return true;
    }
    struct rpc_listen listen = {
        .address = p->options->xds_address, .port = p->options->xds_tls_port, .tls = context};
    p->secure_listener = rpc_server_listen(p->secure, &listen, error);
    p->listening = p->secure_listener >= 0;
    if (p->listening)
        log_info("tulled", "xDS and certificates on %s:%u", p->options->xds_address,
                 rpc_server_port(p->secure, p->secure_listener));
    return p->listening;
}

static bool use_certificate(struct control_process *p, struct slice leaf, struct error *error)
{
    const struct signer_trust *known = signer_trust(p->signer);
    owned(tls_trust) trust = NULL;
    struct trust_source source = {.trust_domain = slice_str(p->options->trust_domain),
                                  .roots = known->roots};
    if (!tls_trust_create(&source, 1, &trust, error))
        return false;
    owned_buffer chain = {0};
    buffer_append_slice(&chain, leaf);
    buffer_append_slice(&chain, known->chain);
    owned_key_buffer key = {0};
    key_pair_write_pem(p->server_key, &key);
    struct tls_certificate certificate = {.chain = buffer_slice(&chain), .key = buffer_slice(&key)};
    const struct slice alpn[] = {SLICE("h2"), SLICE("http/1.1")};
    struct tls_context_spec spec = {.role = TLS_SERVER,
                                    .name = "tulled",
                                    .certificates = &certificate,
                                    .certificate_count = 1,
                                    .trust = trust,
                                    .peer_certificate = TLS_PEER_OPTIONAL,
                                    .min_version = TLS_1_2,
                                    .max_version = TLS_1_3,
                                    .alpn = alpn,
                                    .alpn_count = COUNT(alpn),
                                    .ticket_keys = p->tickets};
    owned(tls_context) context = NULL;
    return tls_context_create(&spec, loop_wall_us(p->loop) / 1000000, &context, error) &&
           listen_secure(p, context, error);
}

static void on_certificate(struct signer_order *order, const struct signer_answer *answer)
{
    struct control_process *p = CONTAINER_OF(order, struct control_process, server_order);
    owned_error error = {0};
    bool good = answer->good && use_certificate(p, answer->certificate, &error);
    if (!good) {
        owned_str text = error_text(answer->good ? &error : answer->error, true);
        log_error("tulled", "no certificate of our own: %s", text);
    }
    loop_timer_start(p->loop, &p->renew, good ? RENEW_MS : RETRY_MS, on_renew);
}

static void ask_certificate(struct control_process *p)
{
    owned_str spiffe_id = spiffe_id_of_workload(slice_str(p->options->trust_domain),
                                                SLICE("istio-system"), SLICE("tulled"));
    owned_buffer request = {0};
    owned_error error = {0};
    key_pair_destroy(p->server_key);
    p->server_key = key_pair_generate();
    if (!key_pair_request(p->server_key, slice_str(spiffe_id), &request, &error)) {
        loop_timer_start(p->loop, &p->renew, RETRY_MS, on_renew);
        return;
    }
    static const struct slice names[] = {
        {"localhost", 9},
        {"tulled", 6},
        {"tulled.istio-system.svc", 23},
        {"istiod.istio-system.svc", 23},
    };
    struct authority_order what = {.request = buffer_slice(&request),
                                   .spiffe_id = slice_str(spiffe_id),
                                   .dns_names = names,
                                   .dns_count = COUNT(names)};
    signer_sign(p->signer, &p->server_order, &what, on_certificate);
}

static void on_trust(void *owner)
{
    struct control_process *p = owner;
    if (!p->server_order.node.next || list_is_empty(&p->server_order.node))
        loop_timer_start(p->loop, &p->renew, 0, on_renew);
}

/* --- what the API asks for --------------------------------------------------------------------------------------------- */

struct token_order {
    api_on_token *on_token;
    void *to;
};

static void on_token(void *owner, const struct token_answer *answer)
{
    struct token_order *order = owner;
    struct api_token token = {
        .token = answer->token, .spiffe_id = answer->spiffe_id, .reason = answer->reason};
    order->on_token(order->to, &token);
    mem_free(order);
}

static void issue_token(void *owner, struct slice name_space, struct slice account,
                        api_on_token *on_answer, void *to)
{
    struct control_process *p = owner;
    struct token_order *order = mem_new(struct token_order);
    *order = (struct token_order){on_answer, to};
    tokens_create(p->tokens, name_space, account, on_token, order);
}

static void list_proxies(void *owner, struct value *items, struct arena *arena)
{
    struct control_process *p = owner;
    proxy_rows(p->push, loop_wall_us(p->loop), items, arena);
}

/* --- what people look at ------------------------------------------------------------------------------------------------ */

static bool is_ready(void *owner, struct buffer *why)
{
    const struct control_process *p = owner;
    if (p->drain_until_ms)
        buffer_append_str(why, "tulled is ending");
    else if (!feed_is_ready(p->feed))
        buffer_append_str(why, "the store has not been read yet");
    else if (!p->listening)
        buffer_append_str(why, "tulled waits for its own certificate");
    else if (feed_is_degraded(p->feed))
        buffer_append_str(why, "the store does not answer: proxies are served what was known");
    return !p->drain_until_ms && feed_is_ready(p->feed) && p->listening;
}

/* Of the bundle's first root, which is ours; 0: unknown. */
static int64_t root_expiry_s(const struct signer_trust *trust)
{
    owned_buffer der = {0};
    owned_error error = {0};
    struct certificate_summary root = {0};
    size_t cursor = 0;
    if (!certificate_next(trust->roots, &cursor, &der, &error) ||
        !certificate_summarize(buffer_slice(&der), &root, &error))
        return 0;
    int64_t expiry_s = root.not_after_s;
    certificate_summary_fini(&root);
    return expiry_s;
}

static void refresh_figures(void *owner)
{
    struct control_process *p = owner;
    struct figures *f = p->figures;
    const struct signer_trust *trust = signer_trust(p->signer);
    struct translate_totals totals = translate_totals(p->translate);
    struct conditions_report report = conditions_report(p->conditions);
    figures_set(f, FIGURE_UPTIME_S, (int64_t)(loop_now_ms(p->loop) - p->started_ms) / 1000);
    figures_set(f, FIGURE_ROOT_EXPIRY, root_expiry_s(trust));
    figures_set(f, FIGURE_CHAIN_EXPIRY, trust->expiry_s);
    figures_set(f, FIGURE_UNITS_RUN, (int64_t)totals.units_run);
    figures_set(f, FIGURE_RESOURCES_CHANGED, (int64_t)totals.resources_changed);
    figures_set(f, FIGURE_RESOURCES_REFUSED, (int64_t)totals.refused);
    figures_set(f, FIGURE_STATUS_WRITES, (int64_t)report.writes);
    figures_set(f, FIGURE_WITH_FINDINGS, (int64_t)report.objects);
    figures_set(f, FIGURE_STORE_DEGRADED, feed_is_degraded(p->feed));
    figures_set(f, FIGURE_SLOWEST_TURN_US, (int64_t)loop_stats(p->loop)->slowest_turn_us);
}

static bool make_monitor(struct control_process *p, struct error *error)
{
    const struct monitor_options options = {.address = p->options->monitoring_address,
                                            .port = p->options->monitoring_port,
                                            .version = TULLE_VERSION,
                                            .registry = p->stats,
                                            .push = p->push,
                                            .owner = p,
                                            .is_ready = is_ready,
                                            .refresh = refresh_figures};
    return options.port == 0 || monitor_create(&p->means, &options, &p->monitor, error);
}

/* --- making ------------------------------------------------------------------------------------------------------------ */

static void on_turn(void *owner)
{
    struct control_process *p = owner;
    tls_engine_turn(p->engine, loop_wall_us(p->loop) / 1000000, 2 * LOOP_TURN_HANDSHAKES);
}

static bool is_drained(const struct control_process *p)
{
    return rpc_server_connections(p->secure) == 0 && api_connections(p->api) == 0 &&
           (!p->plain || rpc_server_connections(p->plain) == 0);
}

static void on_drain_look(struct timer *timer)
{
    struct control_process *p = CONTAINER_OF(timer, struct control_process, draining);
    if (is_drained(p) || loop_now_ms(p->loop) >= p->drain_until_ms)
        loop_stop(p->loop);
    else
        loop_timer_start(p->loop, timer, DRAIN_LOOK_MS, on_drain_look);
}

/* Nobody finds a broken connection: streams and watches end with a word, and requests under way are answered. */
static void drain(struct control_process *p)
{
    p->drain_until_ms = loop_now_ms(p->loop) + DRAIN_MS;
    push_drain_thread(p->tls_thread);
    rpc_server_drain(p->secure);
    if (p->plain) {
        push_drain_thread(p->plain_thread);
        rpc_server_drain(p->plain);
    }
    api_drain(p->api);
    loop_timer_start(p->loop, &p->draining, DRAIN_LOOK_MS, on_drain_look);
}

static void on_signal(void *owner, int signal, pid_t sender)
{
    struct control_process *p = owner;
    if (signal == SIGHUP) { /* as daemons do: for folders that tell nobody of their changes */
        for (unsigned i = 0; i < p->options->directory_count; i++)
            directory_check(p->directories[i]);
        return;
    }
    log_info("tulled", "signal %d from process %d: ending", signal, (int)sender);
    if (p->drain_until_ms)
        loop_stop(p->loop); /* asked twice: at once */
    else
        drain(p);
}

static bool make_ground(struct control_process *p, struct error *error)
{
    const char *data = p->options->data;
    if (mkdir(data, 0700) != 0 && errno != EEXIST)
        return error_set(error, "TUL4101", "the data directory %s cannot be made: %s", data,
                         strerror(errno));
    /* The signing child is forked before anything of ours has a thread. */
    owned_str ca = str_format("%s/ca", data);
    if (!signer_create(ca, p->options->trust_domain, &p->signer, error))
        return false;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};
    int failure = loop_create(&(struct loop_options){.name = "tulled"}, &p->loop);
    if (failure == 0)
        failure = signal_watch_create(p->loop, signals, on_signal, p, &p->signals);
    if (failure == 0)
        failure = signer_start(p->signer, p->loop, on_trust, p);
    if (failure)
        return error_set(error, "TUL4102", "the event loop cannot be made: %s", strerror(-failure));
    p->engine = tls_engine_create(loop_memory(p->loop));
    p->started_ms = loop_now_ms(p->loop);
    p->means = (struct rpc_means){.loop = p->loop, .engine = p->engine};
    p->stats = stats_registry_create(SERIES_MAX);
    p->tickets = tls_ticket_keys_create();
    loop_on_turn(p->loop, on_turn, p);
    owned_str path = str_format("%s/tulled.db", data);
    return sqlite_store_open(p->loop, &(struct sqlite_options){.path = path}, &p->store, error);
}

static bool make_directories(struct control_process *p, struct error *error)
{
    for (unsigned i = 0; i < p->options->directory_count; i++) {
        int failure = directory_create(p->loop, p->store, p->model, p->options->directories[i],
                                       &p->directories[i]);
        if (failure)
            return error_set(error, "TUL4103", "%s cannot be watched: %s",
                             p->options->directories[i], strerror(-failure));
    }
    return true;
}

static void make_model(struct control_process *p)
{
    struct mesh_settings mesh = {.trust_domain = p->options->trust_domain,
                                 .registry_only = p->options->registry_only,
                                 .access_log = p->options->access_log};
    p->model = model_create();
    p->registry = registry_create(p->model);
    p->figures = figures_create(p->stats, p->model, TULLE_VERSION);
    p->translate = translate_create(p->model, p->registry, &mesh);
    p->source = (struct source_of_views){.translate = p->translate,
                                         .trust_domain = p->options->trust_domain,
                                         .on_refreshed = on_refreshed,
                                         .owner = p};
    struct push_config config = {0};
    char host[128] = "localhost";
    gethostname(host, sizeof(host) - 1);
    snprintf(config.identifier, sizeof(config.identifier),
             "{\"Component\":\"tulled\",\"ID\":\"%s\",\"Info\":{\"version\":\"%s\"}}", host,
             TULLE_VERSION);
    void *stats = p->stats;
    p->push = push_create(p->loop, stats, &config, &source_of_views, &p->source);
    p->source.push = p->push;
    p->keeper = keeper_create(p->loop, p->store, translate_fallbacks(p->translate));
    p->addresses = addresses_create(p->loop, p->store, p->registry);
    struct findings_sources sources = {p->model, p->registry, p->translate};
    p->conditions =
        conditions_create(p->loop, p->store, p->model, &sources, &(struct conditions_options){0});
}

static bool make_servers(struct control_process *p, struct error *error)
{
    p->tokens = tokens_open(p->loop, p->store, p->options->trust_domain);
    p->secure = rpc_server_create(&p->means, NULL);
    p->csr = csr_service_create(p->loop, p->secure, p->signer, p->tokens, p->store,
                                p->options->trust_domain, p->figures);
    p->issue_log = issue_log_create(p->loop, p->store);
    p->tls_thread = push_add_thread(p->push, p->loop, p->secure);
    if (p->options->xds_port) {
        p->plain = rpc_server_create(&p->means, NULL);
        p->plain_thread = push_add_thread(p->push, p->loop, p->plain);
        struct rpc_listen listen = {.address = "127.0.0.1", .port = p->options->xds_port};
        if (rpc_server_listen(p->plain, &listen, error) < 0)
            return false;
    }
    ask_certificate(p);
    struct api_options api = {
        .data = p->options->data,
        .port = p->options->api_port,
        .version = TULLE_VERSION,
        .authorizer = {.own_uid = (unsigned)getuid()},
        .figures = p->figures,
        .services = {.owner = p, .issue_token = issue_token, .proxies = list_proxies}};
    return api_create(&p->means, p->store, &api, &p->api, error);
}

static bool start(struct control_process *p, struct error *error)
{
    if (!make_ground(p, error))
        return false;
    make_model(p);
    if (!make_directories(p, error) || !make_servers(p, error))
        return false;
    static const char *const others[] = {ADDRESSES_PREFIX, KEEPER_PREFIX, NULL};
    struct feed_listener listener = {.on_object = on_object,
                                     .on_other = on_other,
                                     .on_ready = on_ready,
                                     .owner = p,
                                     .others = others};
    p->feed = feed_create(p->loop, p->store, p->model, &listener);
    return make_monitor(p, error);
}

/* Undoes start in reverse order, however far it came. */
static void stop(struct control_process *p)
{
    monitor_destroy(p->monitor);
    api_destroy(p->api);
    if (p->loop) {
        loop_timer_stop(p->loop, &p->renew);
        loop_timer_stop(p->loop, &p->draining);
        loop_on_turn(p->loop, NULL, NULL);
    }
    if (p->signer && p->server_order.node.next)
        signer_cancel(p->signer, &p->server_order);
    feed_destroy(p->feed);
    for (size_t i = 0; i < CONFIG_DIRECTORIES_MAX; i++)
        directory_destroy(p->directories[i]);
    if (p->plain_thread)
        push_remove_thread(p->plain_thread);
    if (p->tls_thread)
        push_remove_thread(p->tls_thread);
    if (p->plain)
        rpc_server_close(p->plain);
    if (p->secure)
        rpc_server_close(p->secure);
    csr_service_destroy(p->csr);
    issue_log_destroy(p->issue_log);
    tokens_close(p->tokens);
    addresses_destroy(p->addresses);
    if (p->push)
        push_destroy(p->push);
    conditions_destroy(p->conditions);
    keeper_destroy(p->keeper);
    translate_destroy(p->translate);
    figures_destroy(p->figures);
    registry_destroy(p->registry);
    model_destroy(p->model);
    if (p->store)
        store_close(p->store);
    if (p->signer && p->loop)
        signer_stop(p->signer);
    signal_watch_destroy(p->signals);
    key_pair_destroy(p->server_key);
    tls_ticket_keys_unref(p->tickets);
    if (p->loop) {
        loop_settle(p->loop);
        tls_engine_destroy(p->engine);
        loop_destroy(p->loop);
    }
    if (p->stats)
        stats_registry_destroy(p->stats);
    signer_destroy(p->signer);
}

bool control_process_run(const struct control_options *options, struct error *error)
{
    struct control_process *p = mem_new(struct control_process);
    p->options = options;
    bool good = start(p, error);
    if (good)
        loop_run(p->loop);
    stop(p);
    mem_free(p);
    return good;
}
