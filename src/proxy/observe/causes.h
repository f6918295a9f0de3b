/*
 * causes: how often each limit, timeout and refusal acted, by its name: every one that acts is to be seen in /stats.
 */
#pragma once

#include "base/attributes.h"

struct causes;
struct stats_registry;
struct stats_set;

enum cause_kind {
    CAUSE_REFUSED, /* a request that broke a rule or a limit of its protocol: http_refusal_name */
    CAUSE_CLOSED,  /* why an HTTP connection ended: http_closed_text */
    CAUSE_REPLIED, /* why we answered ourselves, or gave up: RESPONSE_CODE_DETAILS */
    CAUSE_TUNNEL,  /* why a tunnel failed or was ended */
    CAUSE_ARRIVAL, /* why a connection was refused before its filter chain was known */
    CAUSE_SESSION, /* why a UDP session was refused, failed or was ended */
    CAUSE_KINDS
};

struct causes *causes_create(void);
void causes_destroy(struct causes *causes, struct stats_registry *registry);
/* text is one of a fixed set of names; NULL counts nothing. */
void causes_count(struct causes *causes, struct stats_registry *registry, struct stats_set *set,
                  enum cause_kind kind, const char *text);
