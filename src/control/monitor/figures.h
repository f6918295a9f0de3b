/*
 * figures: what tulled counts and shows of itself, beside what pushing counts (push_metrics).
 *
 * One thread's: the model's. Who counts does it as it happens; gauges that others know are read off by `monitor` when somebody
 * looks. Every function accepts NULL for the figures: nothing is counted.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "control/model/kind.h"

struct figures;
struct model;
struct stats_registry;

enum figure {
    /* Counters. */
    FIGURE_CSR,                 /* citadel_server_csr_count */
    FIGURE_CSR_ISSUED,          /* citadel_server_success_cert_issuance_count */
    FIGURE_CSR_UNAUTHENTICATED, /* citadel_server_authentication_failure_count */
    FIGURE_CSR_UNREADABLE,      /* citadel_server_csr_parsing_err_count */
    FIGURE_CSR_UNSIGNED,        /* citadel_server_csr_sign_err_count */
    FIGURE_UNITS_RUN,           /* tulle_translate_units_run_total */
    FIGURE_RESOURCES_CHANGED,   /* tulle_translate_resources_changed_total */
    FIGURE_RESOURCES_REFUSED,   /* pilot_total_rejected_configs */
    FIGURE_STATUS_WRITES,       /* tulle_status_writes_total */
    /* Gauges. */
    FIGURE_UPTIME_S,         /* istiod_uptime_seconds */
    FIGURE_ROOT_EXPIRY,      /* citadel_server_root_cert_expiry_timestamp */
    FIGURE_CHAIN_EXPIRY,     /* citadel_server_cert_chain_expiry_timestamp */
    FIGURE_SERVICES,         /* pilot_services */
    FIGURE_VIRTUAL_SERVICES, /* pilot_virt_services */
    FIGURE_WITH_FINDINGS,    /* tulle_objects_with_findings */
    FIGURE_STORE_DEGRADED,   /* tulle_store_degraded */
    FIGURE_SLOWEST_TURN_US,  /* tulle_loop_slowest_turn_microseconds */
    FIGURES
};

/* Listens to the model (NULL: to none). Both must outlive it; the version is copied. */
struct figures *figures_create(struct stats_registry *registry, struct model *model,
                               const char *version);
void figures_destroy(struct figures *figures);
OWNED(figures, figures_destroy)

void figures_count(struct figures *figures, enum figure figure);
/* A gauge, or a counter that somebody else keeps. */
void figures_set(struct figures *figures, enum figure figure, int64_t value);
/* Somebody's object was admitted or refused: galley_validation_passed, galley_validation_failed. */
void figures_judged(struct figures *figures, enum kind kind, bool is_admitted);
