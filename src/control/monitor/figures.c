#include "control/monitor/figures.h"

#include "base/memory.h"
#include "control/model/model.h"
#include "stats/counter.h"
#include "stats/registry.h"

static const struct stats_metric metrics[FIGURES] = {
    [FIGURE_CSR] = {"citadel_server_csr_count", NULL, "Certificates that were asked for.",
                    STATS_COUNTER, STATS_PLAIN},
    [FIGURE_CSR_ISSUED] = {"citadel_server_success_cert_issuance_count", NULL,
                           "Certificates that were issued.", STATS_COUNTER, STATS_PLAIN},
    [FIGURE_CSR_UNAUTHENTICATED] = {"citadel_server_authentication_failure_count", NULL,
                                    "Requests for certificates without a valid identity.",
                                    STATS_COUNTER, STATS_PLAIN},
    [FIGURE_CSR_UNREADABLE] = {"citadel_server_csr_parsing_err_count", NULL,
                               "Requests for certificates that could not be read.", STATS_COUNTER,
                               STATS_PLAIN},
    [FIGURE_CSR_UNSIGNED] = {"citadel_server_csr_sign_err_count", NULL,
                             "Requests for certificates that could not be signed.", STATS_COUNTER,
                             STATS_PLAIN},
    [FIGURE_UNITS_RUN] = {"tulle_translate_units_run_total", NULL,
                          "Units of translation that were made anew.", STATS_COUNTER, STATS_PLAIN},
    [FIGURE_RESOURCES_CHANGED] = {"tulle_translate_resources_changed_total", NULL,
                                  "Resources that really came out different.", STATS_COUNTER,
                                  STATS_PLAIN},
    [FIGURE_RESOURCES_REFUSED] = {"pilot_total_rejected_configs", NULL,
                                  "Configurations not sent because proxies would refuse them.",
                                  STATS_COUNTER, STATS_PLAIN},
    [FIGURE_STATUS_WRITES] = {"tulle_status_writes_total", NULL, "Statuses written to objects.",
                              STATS_COUNTER, STATS_PLAIN},
    [FIGURE_UPTIME_S] = {"istiod_uptime_seconds", NULL, "Seconds since tulled began.", STATS_GAUGE,
                         STATS_PLAIN},
    [FIGURE_ROOT_EXPIRY] = {"citadel_server_root_cert_expiry_timestamp", NULL,
                            "When the root certificate ends, Unix time.", STATS_GAUGE, STATS_PLAIN},
    [FIGURE_CHAIN_EXPIRY] = {"citadel_server_cert_chain_expiry_timestamp", NULL,
                             "When the intermediate certificate ends, Unix time.", STATS_GAUGE,
                             STATS_PLAIN},
    [FIGURE_SERVICES] = {"pilot_services", NULL, "Services that are known.", STATS_GAUGE,
                         STATS_PLAIN},
    [FIGURE_VIRTUAL_SERVICES] = {"pilot_virt_services", NULL, "VirtualServices that are known.",
                                 STATS_GAUGE, STATS_PLAIN},
    [FIGURE_WITH_FINDINGS] = {"tulle_objects_with_findings", NULL,
                              "Objects whose status tells a problem.", STATS_GAUGE, STATS_PLAIN},
    [FIGURE_STORE_DEGRADED] = {"tulle_store_degraded", NULL,
                               "1 while the store does not answer, so that what is known is old.",
                               STATS_GAUGE, STATS_PLAIN},
    [FIGURE_SLOWEST_TURN_US] = {"tulle_loop_slowest_turn_microseconds", NULL,
                                "The longest turn of the event loop so far.", STATS_GAUGE,
                                STATS_PLAIN},
};
static const struct stats_metric
    info = {"pilot_info", NULL, "The version of tulled.", STATS_GAUGE, STATS_PLAIN},
    build = {"istio_build", NULL, "The version of tulled.", STATS_GAUGE, STATS_PLAIN},
    passed = {"galley_validation_passed", NULL, "Objects that were admitted.", STATS_COUNTER,
              STATS_PLAIN},
    failed = {"galley_validation_failed", NULL, "Objects that were refused.", STATS_COUNTER,
              STATS_PLAIN},
    configuration = {"pilot_k8s_cfg_events", NULL, "Changes of configuration.", STATS_COUNTER,
                     STATS_PLAIN},
    registry_events = {"pilot_k8s_reg_events", NULL, "Changes of services and workloads.",
                       STATS_COUNTER, STATS_PLAIN},
    updates = {"pilot_inbound_updates", NULL, "Changes by what they concern.", STATS_COUNTER,
               STATS_PLAIN};

enum event { EVENT_ADD, EVENT_UPDATE, EVENT_DELETE, EVENTS };
static const char *const event_names[EVENTS] = {"add", "update", "delete"};
enum update { UPDATE_CONFIG, UPDATE_ENDPOINTS, UPDATE_SERVICE, UPDATE_SERVICE_GONE, UPDATES };
static const char *const update_names[UPDATES] = {"config", "eds", "svc", "svcdelete"};

struct figures {
    struct stats_registry *registry;
    struct stats_set *set;
    struct model *model;
    uint32_t slots[FIGURES], info, build;
    uint32_t events[KINDS][EVENTS], updates[UPDATES], passed[KINDS], failed[KINDS];
    int64_t objects[KINDS];
};

static uint32_t resolve(struct figures *f, const struct stats_metric *metric,
                        const struct stats_label *names, const char *const *texts, size_t count)
{
    struct slice values[4];
    for (size_t i = 0; i < count; i++)
        values[i] = slice_str(texts[i]);
    struct stats_labels *labels = stats_labels_hold(f->registry, names, values, count);
    uint32_t slot = stats_resolve(f->registry, metric, labels);
    stats_labels_release(f->registry, labels);
    return slot;
}

/* Services and who stands behind them are the registry's; all else is configuration. */
static bool is_registry(enum kind kind)
{
    return kind == KIND_NAMESPACE || kind == KIND_SERVICE || kind == KIND_WORKLOAD_ENTRY;
}

static void resolve_kind(struct figures *f, enum kind kind)
{
    static const struct stats_label event[] = {{"type", false}, {"event", false}};
    static const struct stats_label verdict[] = {
        {"group", false}, {"version", false}, {"resource", false}, {"reason", false}};
    const struct pb_kind *schema = kind_schema(kind);
    for (unsigned i = 0; i < EVENTS; i++)
        f->events[kind][i] = resolve(f, is_registry(kind) ? &registry_events : &configuration,
                                     event, (const char *[]){schema->kind, event_names[i]}, 2);
    const char *texts[] = {schema->group, schema->versions[0], schema->plural, "invalid_resource"};
    f->passed[kind] = resolve(f, &passed, verdict, texts, 3);
    f->failed[kind] = resolve(f, &failed, verdict, texts, 4);
}

static uint32_t resolve_one(struct figures *f, const struct stats_metric *metric,
                            const struct stats_label *names, const char *const *texts, size_t count)
{
    uint32_t slot = resolve(f, metric, names, texts, count);
    gauge_set(f->set, slot, 1);
    return slot;
}

/* --- what happens ------------------------------------------------------------------------------------------------------ */

static enum update update_of(enum kind kind, bool gone)
{
    if (kind == KIND_WORKLOAD_ENTRY)
        return UPDATE_ENDPOINTS;
    if (kind == KIND_SERVICE || kind == KIND_SERVICE_ENTRY)
        return gone ? UPDATE_SERVICE_GONE : UPDATE_SERVICE;
    return UPDATE_CONFIG;
}

static void on_change(void *owner, const struct object *before, const struct object *now)
{
    struct figures *f = owner;
    enum kind kind = (now ? now : before)->kind;
    enum event event = !before ? EVENT_ADD : now ? EVENT_UPDATE : EVENT_DELETE;
    f->objects[kind] += !before;
    f->objects[kind] -= !now;
    counter_increment(f->set, f->events[kind][event]);
    counter_increment(f->set, f->updates[update_of(kind, !now)]);
    figures_set(f, FIGURE_SERVICES, f->objects[KIND_SERVICE] + f->objects[KIND_SERVICE_ENTRY]);
    figures_set(f, FIGURE_VIRTUAL_SERVICES, f->objects[KIND_VIRTUAL_SERVICE]);
}

void figures_count(struct figures *f, enum figure figure)
{
    if (f)
        counter_increment(f->set, f->slots[figure]);
}

void figures_set(struct figures *f, enum figure figure, int64_t value)
{
    if (f)
        gauge_set(f->set, f->slots[figure], value);
}

void figures_judged(struct figures *f, enum kind kind, bool is_admitted)
{
    if (f)
        counter_increment(f->set, is_admitted ? f->passed[kind] : f->failed[kind]);
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

struct figures *figures_create(struct stats_registry *registry, struct model *model,
                               const char *version)
{
    static const struct stats_label type = {"type", false}, version_label = {"version", false};
    static const struct stats_label build_labels[] = {{"component", false}, {"tag", false}};
    struct figures *f = mem_new(struct figures);
    f->registry = registry;
    f->set = stats_set_create(registry);
    f->model = model;
    for (unsigned i = 0; i < FIGURES; i++)
        f->slots[i] = stats_resolve(registry, &metrics[i], NULL);
    for (enum kind kind = 0; kind < KINDS; kind++)
        resolve_kind(f, kind);
    for (unsigned i = 0; i < UPDATES; i++)
        f->updates[i] = resolve(f, &updates, &type, &update_names[i], 1);
    f->info = resolve_one(f, &info, &version_label, &version, 1);
    f->build = resolve_one(f, &build, build_labels, (const char *[]){"pilot", version}, 2);
    if (model)
        model_listen(model, on_change, f);
    return f;
}

void figures_destroy(struct figures *f)
{
    if (!f)
        return;
    if (f->model)
        model_unlisten(f->model, f);
    stats_release_all(f->registry, f->slots, FIGURES);
    stats_release_all(f->registry, f->updates, UPDATES);
    stats_release_all(f->registry, f->passed, KINDS);
    stats_release_all(f->registry, f->failed, KINDS);
    for (enum kind kind = 0; kind < KINDS; kind++)
        stats_release_all(f->registry, f->events[kind], EVENTS);
    stats_release(f->registry, f->info);
    stats_release(f->registry, f->build);
    stats_set_destroy(f->set);
    mem_free(f);
}
