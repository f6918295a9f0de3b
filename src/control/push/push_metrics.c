#include "control/push/push_metrics.h"

#include "stats/counter.h"
#include "stats/registry.h"

#include <stdio.h>

/* Istio's, in seconds. */
static const double bounds[] = {0.001, 0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30};

static const struct stats_metric single[] = {
    {"pilot_xds", NULL, "Proxies that are connected by xDS.", STATS_GAUGE, STATS_PLAIN},
    {"pilot_debounce_time", NULL, "Seconds from the first change of a push to its beginning.",
     STATS_HISTOGRAM, STATS_SECONDS},
    {"pilot_proxy_convergence_time", NULL,
     "Seconds from the beginning of a push to a proxy having acknowledged all of it.",
     STATS_HISTOGRAM, STATS_SECONDS},
    {"pilot_proxy_queue_time", NULL, "Seconds that a proxy waits for its turn.", STATS_HISTOGRAM,
     STATS_SECONDS},
    {"pilot_xds_send_time", NULL, "Seconds that writing a response takes.", STATS_HISTOGRAM,
     STATS_SECONDS},
    {"pilot_total_xds_rejects", NULL, "Responses that proxies refused.", STATS_COUNTER,
     STATS_PLAIN},
    {"tulle_xds_resources_total", NULL, "Resources sent to proxies.", STATS_COUNTER, STATS_PLAIN},
    {"tulle_xds_bytes_total", NULL, "Bytes of resources sent to proxies.", STATS_COUNTER,
     STATS_PLAIN},
};
static const struct stats_metric pushes = {"pilot_xds_pushes", NULL, "Responses sent to proxies.",
                                           STATS_COUNTER, STATS_PLAIN};
static const struct stats_metric push_time = {
    "pilot_xds_push_time", NULL, "Seconds that composing and writing a response takes.",
    STATS_HISTOGRAM, STATS_SECONDS};
static const struct stats_metric sizes = {"pilot_xds_config_size_bytes", NULL,
                                          "Bytes of the resources of a response.", STATS_HISTOGRAM,
                                          STATS_PLAIN};
static const double size_bounds[] = {1, 10000, 1000000, 4000000, 10000000, 40000000};
static const struct stats_metric triggers = {
    "pilot_push_triggers", NULL, "Changes that led to a push.", STATS_COUNTER, STATS_PLAIN};
static const struct stats_label type_label[] = {{"type", false}};

static struct stats_labels *hold(struct push_metrics *m, const char *value)
{
    struct slice text = slice_str(value);
    struct stats_labels *labels = stats_labels_hold(m->registry, type_label, &text, 1);
    m->held[m->held_count++] = labels;
    return labels;
}

/* Istio has these for four types. */
static uint32_t resolve_type_rejects(struct push_metrics *m, enum resource_type type)
{
    char name[64];
    if (type > RESOURCE_ROUTE)
        return STATS_NOWHERE;
    snprintf(name, sizeof(name), "pilot_xds_%s_reject", resource_type_metric(type));
    struct stats_metric metric = {name, NULL, "Responses of this type that proxies refused.",
                                  STATS_COUNTER, STATS_PLAIN};
    return stats_resolve(m->registry, &metric, NULL);
}

static void resolve_types(struct push_metrics *m)
{
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        struct stats_labels *labels = hold(m, resource_type_metric((enum resource_type)i));
        m->pushes[i] = stats_resolve(m->registry, &pushes, labels);
        m->push_time[i] = stats_resolve(m->registry, &push_time, labels);
        m->sizes[i] = stats_resolve(m->registry, &sizes, labels);
        m->type_rejects[i] = resolve_type_rejects(m, (enum resource_type)i);
    }
}

static uint32_t *const *single_slots(struct push_metrics *m, uint32_t *slots[COUNT(single)])
{
    uint32_t *order[COUNT(single)] = {&m->proxies,    &m->debounce_time, &m->convergence_time,
                                      &m->queue_time, &m->send_time,     &m->rejects,
                                      &m->resources,  &m->bytes};
    memcpy(slots, order, sizeof(order));
    return slots;
}

void push_metrics_init(struct push_metrics *m, struct stats_registry *registry)
{
    uint32_t *slots[COUNT(single)];
    *m = (struct push_metrics){.registry = registry, .set = stats_set_create(registry)};
    stats_set_bounds(registry, "pilot_", bounds, COUNT(bounds));
    stats_set_bounds(registry, sizes.name, size_bounds, COUNT(size_bounds));
    single_slots(m, slots);
    for (size_t i = 0; i < COUNT(single); i++)
        *slots[i] = stats_resolve(registry, &single[i], NULL);
    resolve_types(m);
}

void push_metrics_fini(struct push_metrics *m)
{
    uint32_t *slots[COUNT(single)];
    single_slots(m, slots);
    for (size_t i = 0; i < COUNT(single); i++)
        stats_release(m->registry, *slots[i]);
    stats_release_all(m->registry, m->pushes, RESOURCE_TYPES);
    stats_release_all(m->registry, m->push_time, RESOURCE_TYPES);
    stats_release_all(m->registry, m->sizes, RESOURCE_TYPES);
    stats_release_all(m->registry, m->type_rejects, RESOURCE_TYPES);
    for (size_t i = 0; i < m->trigger_count; i++)
        stats_release(m->registry, m->triggers[i].slot);
    for (size_t i = 0; i < m->held_count; i++)
        stats_labels_release(m->registry, m->held[i]);
    stats_set_destroy(m->set);
}

static size_t find_trigger(const struct push_metrics *m, const char *kind)
{
    size_t at = 0;
    while (at < m->trigger_count && strcmp(m->triggers[at].kind, kind) != 0)
        at++;
    return at;
}

void push_metrics_trigger(struct push_metrics *m, const char *kind)
{
    size_t at = find_trigger(m, kind);
    if (at == m->trigger_count && m->trigger_count >= PUSH_KINDS_MAX - 1) {
        kind = "other"; /* which has the last place */
        at = find_trigger(m, kind);
    }
    if (at == m->trigger_count) {
        snprintf(m->triggers[at].kind, sizeof(m->triggers[at].kind), "%s", kind);
        m->triggers[at].slot = stats_resolve(m->registry, &triggers, hold(m, kind));
        m->trigger_count++;
    }
    counter_increment(m->set, m->triggers[at].slot);
}
