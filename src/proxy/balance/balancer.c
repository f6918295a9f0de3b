#include "proxy/balance/balancer.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "proxy/balance/least_request.h"
#include "proxy/balance/random_choice.h"
#include "proxy/balance/round_robin.h"

/* Hosts among which a policy chooses. */
struct group {
    struct balance_host **hosts;
    uint32_t count;
    bool is_made; /* the policy stands */
    union {
        struct round_robin robin;
        struct least_request least;
        struct random_choice random;
    };
};

/* The hosts of one priority that may be used, whole or by locality. */
struct tier {
    struct group all;
    struct group *localities; /* NULL: not weighted */
    uint32_t *ends;           /* cumulative weights of the localities */
    uint32_t locality_count;
};

enum tier_kind { TIER_HEALTHY, TIER_DEGRADED, TIERS };

struct priority {
    struct tier tiers[TIERS];
    uint32_t load[TIERS]; /* percent of all requests */
    bool is_panicking;
};

struct balancer {
    const struct cluster *cluster;
    const struct endpoints *set;
    struct balance_host *const *hosts;
    struct random *random;
    bool is_stale;
    uint32_t priority_count;
    struct priority *priorities;
};

enum balance_health balance_health_of(const struct endpoint *endpoint)
{
    switch (endpoint->health) {
    case ENDPOINT_HEALTHY: return BALANCE_HEALTHY;
    case ENDPOINT_DEGRADED: return BALANCE_DEGRADED;
    case ENDPOINT_DRAINING:
    case ENDPOINT_UNHEALTHY: break;
    }
    return BALANCE_EXCLUDED;
}

/* --- groups --------------------------------------------------------------------------------------------------- */

static void group_make(const struct balancer *balancer, struct group *group)
{
    group->is_made = group->count > 0;
    if (!group->is_made)
        return;
    switch (balancer->cluster->policy) {
    case CLUSTER_LEAST_REQUEST:
        least_request_init(&group->least, group->hosts, group->count, balancer->cluster->choices);
        return;
    case CLUSTER_RANDOM: random_choice_init(&group->random, group->hosts, group->count); return;
    case CLUSTER_ROUND_ROBIN:
    case CLUSTER_PROVIDED: break;
    }
    round_robin_init(&group->robin, group->hosts, group->count, balancer->random);
}

static void group_fini(const struct balancer *balancer, struct group *group)
{
    if (group->is_made) {
        switch (balancer->cluster->policy) {
        case CLUSTER_LEAST_REQUEST: least_request_fini(&group->least); break;
        case CLUSTER_RANDOM: random_choice_fini(&group->random); break;
        case CLUSTER_ROUND_ROBIN:
        case CLUSTER_PROVIDED: round_robin_fini(&group->robin); break;
        }
    }
    mem_free(group->hosts);
}

static struct balance_host *group_pick(const struct balancer *balancer, struct group *group)
{
    if (!group->is_made)
        return NULL;
    switch (balancer->cluster->policy) {
    case CLUSTER_LEAST_REQUEST: return least_request_pick(&group->least, balancer->random);
    case CLUSTER_RANDOM: return random_choice_pick(&group->random, balancer->random);
    case CLUSTER_ROUND_ROBIN:
    case CLUSTER_PROVIDED: break;
    }
    return round_robin_pick(&group->robin);
}

static void group_fill(struct balancer *balancer, struct group *group, uint32_t first, uint32_t count,
                       enum tier_kind kind, bool takes_all)
{
    group->hosts = mem_calloc(count ? count : 1, sizeof(*group->hosts));
    for (uint32_t i = first; i < first + count; i++) {
        struct balance_host *host = balancer->hosts[i];
        bool fits = kind == TIER_HEALTHY ? host->health == BALANCE_HEALTHY : host->health == BALANCE_DEGRADED;
        if (takes_all || fits)
            group->hosts[group->count++] = host;
    }
    group_make(balancer, group);
}

/* --- tiers ---------------------------------------------------------------------------------------------------- */

/* Localities share by their weight, less as their hosts fail beyond what over-provisioning forgives. */
static void tier_weigh(struct balancer *balancer, struct tier *tier, const struct endpoint_priority *run,
                       enum tier_kind kind, bool takes_all)
{
    uint32_t end = 0;
    tier->localities = mem_calloc(run->locality_count, sizeof(*tier->localities));
    tier->ends = mem_calloc(run->locality_count, sizeof(*tier->ends));
    tier->locality_count = run->locality_count;
    for (uint32_t i = 0; i < run->locality_count; i++) {
        const struct endpoint_locality *locality = &balancer->set->localities[run->first_locality + i];
        struct group *group = &tier->localities[i];
        group_fill(balancer, group, locality->first, locality->count, kind, takes_all);
        uint64_t available = locality->count ? (uint64_t)group->count * balancer->set->overprovisioning / locality->count : 0;
        end += (uint32_t)((uint64_t)locality->weight * MIN(available, (uint64_t)100));
        tier->ends[i] = end;
    }
    if (end > 0)
        return;
    for (uint32_t i = 0; i < tier->locality_count; i++)
        group_fini(balancer, &tier->localities[i]);
    mem_free(tier->localities);
    mem_free(tier->ends);
    tier->localities = NULL;
    tier->ends = NULL;
}

static void tier_fini(const struct balancer *balancer, struct tier *tier)
{
    group_fini(balancer, &tier->all);
    for (uint32_t i = 0; tier->localities && i < tier->locality_count; i++)
        group_fini(balancer, &tier->localities[i]);
    mem_free(tier->localities);
    mem_free(tier->ends);
    *tier = (struct tier){.locality_count = 0};
}

static struct balance_host *tier_pick(struct balancer *balancer, struct tier *tier)
{
    if (!tier->localities)
        return group_pick(balancer, &tier->all);
    uint32_t drawn = (uint32_t)random_below(balancer->random, tier->ends[tier->locality_count - 1]);
    uint32_t at = 0;
    while (tier->ends[at] <= drawn)
        at++;
    return group_pick(balancer, &tier->localities[at]);
}

/* --- priorities ----------------------------------------------------------------------------------------------- */

struct head_count {
    uint32_t total, usable[TIERS];
};

static struct head_count count_hosts(const struct balancer *balancer, const struct endpoint_priority *run)
{
    struct head_count heads = {.total = run->count};
    for (uint32_t i = run->first; i < run->first + run->count; i++) {
        heads.usable[TIER_HEALTHY] += balancer->hosts[i]->health == BALANCE_HEALTHY;
        heads.usable[TIER_DEGRADED] += balancer->hosts[i]->health == BALANCE_DEGRADED;
    }
    return heads;
}

/* Percent of a priority that may serve, with over-provisioning; at most 100. */
static uint32_t availability(const struct balancer *balancer, const struct head_count *heads, enum tier_kind kind)
{
    if (heads->total == 0)
        return 0;
    uint64_t percent = (uint64_t)heads->usable[kind] * balancer->set->overprovisioning / heads->total;
    return (uint32_t)MIN(percent, (uint64_t)100);
}

/*
 * Envoy's rule: priorities take load in order, each at most its availability; what healthy hosts cannot take goes to
 * degraded ones in the same order. When all of them together have less than 100, shares are scaled up.
 */
static void share_load(struct balancer *balancer, const struct head_count *heads)
{
    uint32_t total = 0;
    for (uint32_t p = 0; p < balancer->priority_count; p++)
        for (int kind = 0; kind < TIERS; kind++)
            total += availability(balancer, &heads[p], (enum tier_kind)kind);
    uint32_t scale = MIN(total, 100u), left = 100;
    struct priority *last = NULL;
    int last_kind = 0;
    for (int kind = 0; kind < TIERS && scale > 0; kind++) {
        for (uint32_t p = 0; p < balancer->priority_count; p++) {
            uint32_t wanted = availability(balancer, &heads[p], (enum tier_kind)kind) * 100 / scale;
            uint32_t given = MIN(wanted, left);
            balancer->priorities[p].load[kind] = given;
            left -= given;
            if (given) {
                last = &balancer->priorities[p];
                last_kind = kind;
            }
        }
    }
    if (last) {
        last->load[last_kind] += left; /* rounding */
        return;
    }
    /* Nobody is well: every priority panics, in proportion to its hosts. */
    uint32_t all = 0;
    for (uint32_t p = 0; p < balancer->priority_count; p++)
        all += heads[p].total;
    for (uint32_t p = 0; p < balancer->priority_count && all > 0; p++)
        balancer->priorities[p].load[TIER_HEALTHY] = heads[p].total * 100 / all;
}

static bool panics(const struct balancer *balancer, const struct head_count *heads)
{
    double usable = (double)(heads->usable[TIER_HEALTHY] + heads->usable[TIER_DEGRADED]);
    return heads->total > 0 && usable * 100 / heads->total < balancer->cluster->panic_percent;
}

static void forget(struct balancer *balancer)
{
    for (uint32_t p = 0; p < balancer->priority_count; p++)
        for (int kind = 0; kind < TIERS; kind++)
            tier_fini(balancer, &balancer->priorities[p].tiers[kind]);
}

static void make_tier(struct balancer *balancer, struct priority *priority, const struct endpoint_priority *run,
                      enum tier_kind kind)
{
    bool takes_all = priority->is_panicking && kind == TIER_HEALTHY;
    struct tier *tier = &priority->tiers[kind];
    group_fill(balancer, &tier->all, run->first, run->count, kind, takes_all);
    if (balancer->cluster->locality_weighted && run->locality_count > 0)
        tier_weigh(balancer, tier, run, kind, takes_all);
}

static void refresh(struct balancer *balancer)
{
    struct head_count heads[ENDPOINT_PRIORITIES_MAX] = {{0}};
    forget(balancer);
    for (uint32_t p = 0; p < balancer->priority_count; p++) {
        struct priority *priority = &balancer->priorities[p];
        *priority = (struct priority){.is_panicking = false};
        heads[p] = count_hosts(balancer, &balancer->set->priorities[p]);
        priority->is_panicking = panics(balancer, &heads[p]);
    }
    share_load(balancer, heads);
    for (uint32_t p = 0; p < balancer->priority_count; p++)
        for (int kind = 0; kind < TIERS; kind++)
            make_tier(balancer, &balancer->priorities[p], &balancer->set->priorities[p], (enum tier_kind)kind);
    balancer->is_stale = false;
}

/* --- the balancer --------------------------------------------------------------------------------------------- */

struct balancer *balancer_create(const struct cluster *cluster, const struct endpoints *set,
                                 struct balance_host *const *hosts, struct random *random)
{
    struct balancer *balancer = mem_new(struct balancer);
    *balancer = (struct balancer){.cluster = cluster,
                                  .set = set,
                                  .hosts = hosts,
                                  .random = random,
                                  .is_stale = true,
                                  .priority_count = MIN(set->priority_count, (uint32_t)ENDPOINT_PRIORITIES_MAX)};
    balancer->priorities = mem_calloc(balancer->priority_count ? balancer->priority_count : 1, sizeof(struct priority));
    return balancer;
}

void balancer_destroy(struct balancer *balancer)
{
    if (!balancer)
        return;
    forget(balancer);
    mem_free(balancer->priorities);
    mem_free(balancer);
}

void balancer_set_health(struct balancer *balancer, struct balance_host *host, enum balance_health health)
{
    balancer->is_stale = balancer->is_stale || host->health != health;
    host->health = health;
}

static struct balance_host *pick_once(struct balancer *balancer, uint32_t leave_out)
{
    uint32_t total = 0;
    for (uint32_t p = 0; p < balancer->priority_count; p++)
        if (!(leave_out >> p & 1))
            total += balancer->priorities[p].load[TIER_HEALTHY] + balancer->priorities[p].load[TIER_DEGRADED];
    if (total == 0)
        return leave_out ? pick_once(balancer, 0) : NULL;
    const struct priority *first = &balancer->priorities[0];
    bool is_plain = balancer->priority_count == 1 && first->load[TIER_DEGRADED] == 0;
    uint32_t drawn = is_plain ? 0 : (uint32_t)random_below(balancer->random, total);
    for (int kind = 0; kind < TIERS; kind++) {
        for (uint32_t p = 0; p < balancer->priority_count; p++) {
            uint32_t load = leave_out >> p & 1 ? 0 : balancer->priorities[p].load[kind];
            if (drawn < load)
                return tier_pick(balancer, &balancer->priorities[p].tiers[kind]);
            drawn -= load;
        }
    }
    return NULL;
}

static bool was_tried(const struct balance_avoid *avoid, const struct balance_host *host)
{
    for (uint32_t i = 0; i < avoid->host_count; i++)
        if (avoid->hosts[i] == host)
            return true;
    return false;
}

struct balance_host *balancer_pick(struct balancer *balancer, const struct balance_avoid *avoid)
{
    if (UNLIKELY(balancer->is_stale))
        refresh(balancer);
    struct balance_host *host = pick_once(balancer, avoid ? avoid->priorities : 0);
    for (uint32_t i = 0; avoid && host && i < avoid->attempts && was_tried(avoid, host); i++)
        host = pick_once(balancer, avoid->priorities);
    return host;
}

uint32_t balancer_priority_load(struct balancer *balancer, uint32_t priority, bool *panic)
{
    if (balancer->is_stale)
        refresh(balancer);
    if (priority >= balancer->priority_count)
        return 0;
    if (panic)
        *panic = balancer->priorities[priority].is_panicking;
    return balancer->priorities[priority].load[TIER_HEALTHY] + balancer->priorities[priority].load[TIER_DEGRADED];
}
