/*
 * push_metrics: Istio's metrics of the control plane that pushing knows of (pilot_*), counted by one thread.
 */
#pragma once

#include "base/attributes.h"
#include "stats/set.h"
#include "xds/resource_type.h"

struct stats_labels;
struct stats_registry;

enum { PUSH_KINDS_MAX = 16 };

struct push_metrics {
    struct stats_registry *registry;
    struct stats_set *set;
    uint32_t proxies;                   /* pilot_xds */
    uint32_t debounce_time;             /* pilot_debounce_time */
    uint32_t convergence_time;          /* pilot_proxy_convergence_time */
    uint32_t queue_time;                /* pilot_proxy_queue_time */
    uint32_t send_time;                 /* pilot_xds_send_time */
    uint32_t rejects;                   /* pilot_total_xds_rejects */
    uint32_t pushes[RESOURCE_TYPES];    /* pilot_xds_pushes{type} */
    uint32_t push_time[RESOURCE_TYPES]; /* pilot_xds_push_time{type} */
    uint32_t sizes[RESOURCE_TYPES];     /* pilot_xds_config_size_bytes{type} */
    uint32_t type_rejects
        [RESOURCE_TYPES];      /* pilot_xds_cds_reject and so on, for the four that Istio has */
    uint32_t resources, bytes; /* tulle_xds_resources_total, tulle_xds_bytes_total */
    /* pilot_push_triggers{type}: one a kind, found by its text; kinds beyond the room count as "other". */
    struct {
        char kind[32];
        uint32_t slot;
    } triggers[PUSH_KINDS_MAX];
    size_t trigger_count;
    struct stats_labels *held[RESOURCE_TYPES + PUSH_KINDS_MAX];
    size_t held_count;
};

/* Makes a set, in which one thread counts. */
void push_metrics_init(struct push_metrics *metrics, struct stats_registry *registry);
void push_metrics_fini(struct push_metrics *metrics);
void push_metrics_trigger(struct push_metrics *metrics, const char *kind);
