#include "proxy/balance/balancer.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "proxy/balance/least_request.h"
#include "proxy/balance/random_choice.h"
#include "proxy/balance/round_robin.h"

#include <assert.h>

/* Hosts that are chosen among by the policy alone. */
struct group {
    struct balance_host **hosts;
    uint32_t count;
    union {
        struct round_robin robin;
        struct random_choice choice;
        struct least_request least;
    };
};

/* The hosts of one priority that may be used now: in one group, or one a locality, chosen by weight. */
struct tier {
    struct group *groups;
    uint64_t *ends; /* cumulative weights of the groups; NULL: one group */
    uint32_t count;
    bool panic;
};

struct balancer {
    const struct cluster *cluster;
    const struct endpoints *set;
    struct balance_host *const *hosts;
    struct random *random;
    bool is_stale; /* a host's health changed */
    uint32_t priority_count;
    uint32_t *loads;    /* share of each priority in 100: of healthy hosts, then of degraded ones */
    struct tier *tiers; /* of healthy hosts (all, in panic), then of degraded ones */
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

/* --- groups ------------------------------------------------------------------------------------------------------ */

static void group_init(struct balancer *b, struct group *group)
{
    switch (b->cluster->policy) {
    case CLUSTER_ROUND_ROBIN:
        round_robin_init(&group->robin, group->hosts, group->count, b->random);
        break;
    case CLUSTER_LEAST_REQUEST:
        least_request_init(&group->least, group->hosts, group->count, b->cluster->choices);
        break;
    case CLUSTER_RANDOM:
    case CLUSTER_PROVIDED: random_choice_init(&group->choice, group->hosts, group->count); break;
    }
}

static void group_fini(const struct balancer *b, struct group *group)
{
    switch (b->cluster->policy) {
    case CLUSTER_ROUND_ROBIN: round_robin_fini(&group->robin); break;
    case CLUSTER_LEAST_REQUEST: least_request_fini(&group->least); break;
    case CLUSTER_RANDOM:
    case CLUSTER_PROVIDED: random_choice_fini(&group->choice); break;
    }
    mem_free(group->hosts);
}

static struct balance_host *group_pick(struct balancer *b, struct group *group)
{
    switch (b->cluster->policy) {
    case CLUSTER_ROUND_ROBIN: return round_robin_pick(&group->robin);
    case CLUSTER_LEAST_REQUEST: return least_request_pick(&group->least, b->random);
    case CLUSTER_RANDOM:
    case CLUSTER_PROVIDED: break;
    }
    return random_choice_pick(&group->choice, b->random);
}

/* --- tiers ------------------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct balance_host *host, enum balance_health health, bool panic)
{
    return panic || host->health == health;
}

/* The hosts [first, first + count) that are wanted. */
static void fill_group(struct balancer *b, struct group *group, uint32_t first, uint32_t count,
                       enum balance_health health, bool panic)
{
    *group = (struct group){.hosts = mem_calloc(count + 1u, sizeof(*group->hosts))};
    for (uint32_t i = first; i < first + count; i++) {
        if (is_wanted(b->hosts[i], health, panic))
            group->hosts[group->count++] = b->hosts[i];
    }
}

static uint32_t percent(uint64_t part, uint64_t of)
{
    return of > 0 ? (uint32_t)(part * 100 / of) : 0;
}

/* Envoy's effective weight: a locality whose healthy share, over-provisioned, is below 100 % gives up weight in proportion. */
static uint64_t effective_weight(const struct balancer *b, const struct endpoint_locality *locality,
                                 uint32_t available)
{
    uint64_t share = MIN(
        100u, percent((uint64_t)available * b->set->overprovisioning, 100ull * locality->count));
    return locality->weight * share;
}

static void fill_localities(struct balancer *b, struct tier *tier,
                            const struct endpoint_priority *priority, enum balance_health health)
{
    uint64_t end = 0;
    tier->groups = mem_calloc(priority->locality_count + 1u, sizeof(*tier->groups));
    tier->ends = mem_calloc(priority->locality_count + 1u, sizeof(*tier->ends));
    for (uint32_t i = 0; i < priority->locality_count; i++) {
        const struct endpoint_locality *locality =
            &b->set->localities[priority->first_locality + i];
        struct group *group = &tier->groups[tier->count];
        fill_group(b, group, locality->first, locality->count, health, tier->panic);
        uint64_t weight = effective_weight(b, locality, group->count);
        if (weight == 0) {
            mem_free(group->hosts);
            continue;
        }
        group_init(b, group);
        tier->ends[tier->count++] = end += weight;
    }
}

static bool has_locality_weights(const struct balancer *b, const struct endpoint_priority *priority)
{
    for (uint32_t i = 0; b->cluster->locality_weighted && i < priority->locality_count; i++) {
        if (b->set->localities[priority->first_locality + i].weight > 0)
            return true;
    }
    return false;
}

static void fill_tier(struct balancer *b, struct tier *tier, uint32_t index,
                      enum balance_health health, bool panic)
{
    const struct endpoint_priority *priority = &b->set->priorities[index];
    *tier = (struct tier){.panic = panic};
    if (has_locality_weights(b, priority)) {
        fill_localities(b, tier, priority, health);
        return;
    }
    tier->groups = mem_calloc(1, sizeof(*tier->groups));
    fill_group(b, &tier->groups[0], priority->first, priority->count, health, panic);
    if (tier->groups[0].count > 0) {
        group_init(b, &tier->groups[0]);
        tier->count = 1;
    } else {
        mem_free(tier->groups[0].hosts);
    }
}

static void tier_fini(const struct balancer *b, struct tier *tier)
{
    for (uint32_t i = 0; i < tier->count; i++)
        group_fini(b, &tier->groups[i]);
    mem_free(tier->groups);
    mem_free(tier->ends);
}

static struct balance_host *tier_pick(struct balancer *b, struct tier *tier)
{
    if (tier->count == 0)
        return NULL;
    uint32_t at = 0;
    if (tier->ends && tier->count > 1) {
        uint64_t point = random_below(b->random, tier->ends[tier->count - 1]);
        while (tier->ends[at] <= point)
            at++;
    }
    return group_pick(b, &tier->groups[at]);
}

/* --- priorities --------------------------------------------------------------------------------------------------- */

struct counts {
    uint32_t healthy, degraded, hosts;
};

static struct counts count_hosts(const struct balancer *b, uint32_t index)
{
    const struct endpoint_priority *priority = &b->set->priorities[index];
    struct counts counts = {.hosts = priority->count};
    for (uint32_t i = priority->first; i < priority->first + priority->count; i++) {
        counts.healthy += b->hosts[i]->health == BALANCE_HEALTHY;
        counts.degraded += b->hosts[i]->health == BALANCE_DEGRADED;
    }
    return counts;
}

/* Over-provisioned availability in percent, at most 100. */
static uint32_t availability(const struct balancer *b, uint32_t available, uint32_t hosts)
{
    return MIN(100u, percent((uint64_t)available * b->set->overprovisioning, 100ull * hosts));
}

/*
 * Envoy's shares: healthy hosts of each priority in turn, then degraded ones, take what their availability allows of what is
 * left of 100, scaled up when all of them together have less. What rounding leaves goes to the first that has any.
 */
static void share_loads(struct balancer *b, const uint32_t *available)
{
    uint32_t count = 2 * b->priority_count, total = 0, left = 100, first = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++)
        total += available[i];
    total = MIN(total, 100u);
    for (uint32_t i = 0; i < count; i++) {
        b->loads[i] = total > 0 ? MIN(left, available[i] * 100 / total) : 0;
        left -= b->loads[i];
        if (b->loads[i] > 0 && first == UINT32_MAX)
            first = i;
    }
    if (first != UINT32_MAX)
        b->loads[first] += left;
}

/* Nobody is available anywhere: each priority gets its share of hosts, and all of them are used. */
static void share_by_hosts(struct balancer *b)
{
    uint32_t left = 100, first = UINT32_MAX;
    for (uint32_t p = 0; p < b->priority_count; p++) {
        b->loads[p] = percent(b->set->priorities[p].count, b->set->count);
        left -= b->loads[p];
        if (b->set->priorities[p].count > 0 && first == UINT32_MAX)
            first = p;
    }
    if (first != UINT32_MAX)
        b->loads[first] += left;
}

static bool is_in_panic(const struct balancer *b, const struct counts *counts)
{
    double threshold = b->cluster->panic_percent;
    double share =
        counts->hosts > 0 ? 100.0 * (counts->healthy + counts->degraded) / counts->hosts : 100;
    return share < threshold;
}

static void clear(struct balancer *b)
{
    for (uint32_t i = 0; i < 2 * b->priority_count; i++)
        tier_fini(b, &b->tiers[i]);
}

static void fill(struct balancer *b)
{
    uint32_t available[2 * ENDPOINT_PRIORITIES_MAX] = {0}, sum = 0;
    struct counts counts[ENDPOINT_PRIORITIES_MAX];
    for (uint32_t p = 0; p < b->priority_count; p++) {
        counts[p] = count_hosts(b, p);
        available[p] = availability(b, counts[p].healthy, counts[p].hosts);
        available[b->priority_count + p] = availability(b, counts[p].degraded, counts[p].hosts);
        sum += available[p] + available[b->priority_count + p];
    }
    share_loads(b, available);
    /* Priorities panic only when all of them together cannot take the load. */
    bool short_of_hosts = sum < 100, any_panic = false;
    for (uint32_t p = 0; p < b->priority_count; p++) {
        bool panic = short_of_hosts && is_in_panic(b, &counts[p]);
        any_panic = any_panic || panic;
        fill_tier(b, &b->tiers[p], p, BALANCE_HEALTHY, panic);
        fill_tier(b, &b->tiers[b->priority_count + p], p, BALANCE_DEGRADED, false);
    }
    if (sum == 0 && any_panic)
        share_by_hosts(b);
    b->is_stale = false;
}

/* --- the balancer ------------------------------------------------------------------------------------------------- */

struct balancer *balancer_create(const struct cluster *cluster, const struct endpoints *set,
                                 struct balance_host *const *hosts, struct random *random)
{
    struct balancer *b = mem_new(struct balancer);
    *b = (struct balancer){.cluster = cluster,
                           .set = set,
                           .hosts = hosts,
                           .random = random,
                           .priority_count = set->priority_count};
    assert(b->priority_count <= ENDPOINT_PRIORITIES_MAX);
    b->loads = mem_calloc(2 * b->priority_count + 1u, sizeof(*b->loads));
    b->tiers = mem_calloc(2 * b->priority_count + 1u, sizeof(*b->tiers));
    fill(b);
    return b;
}

void balancer_destroy(struct balancer *b)
{
    if (!b)
        return;
    clear(b);
    mem_free(b->loads);
    mem_free(b->tiers);
    mem_free(b);
}

void balancer_set_health(struct balancer *b, struct balance_host *host, enum balance_health health)
{
    b->is_stale = b->is_stale || host->health != health;
    host->health = health;
}

static void refresh(struct balancer *b)
{
    if (LIKELY(!b->is_stale))
        return;
    clear(b);
    fill(b);
}

static uint32_t pick_tier(struct balancer *b)
{
    uint32_t last = 2 * b->priority_count - 1, point;
    if (b->loads[0] >= 100)
        return 0;
    point = (uint32_t)random_below(b->random, 100);
    for (uint32_t i = 0; i < last; i++) {
        if (point < b->loads[i])
            return i;
        point -= b->loads[i];
    }
    return last;
}

/* The first tier that is not to be avoided and has hosts, healthy ones first. */
static struct tier *other_tier(struct balancer *b, uint32_t avoided)
{
    for (uint32_t i = 0; i < 2 * b->priority_count; i++) {
        if (!(avoided >> (i % b->priority_count) & 1) && b->tiers[i].count > 0 &&
            !b->tiers[i].panic)
            return &b->tiers[i];
    }
    return NULL;
}

static struct tier *choose_tier(struct balancer *b, const struct balance_avoid *avoid)
{
    uint32_t index = pick_tier(b);
    struct tier *other = NULL;
    if (avoid && avoid->priorities >> (index % b->priority_count) & 1)
        other = other_tier(b, avoid->priorities);
    return other ? other : &b->tiers[index];
}

static bool was_tried(const struct balance_avoid *avoid, const struct balance_host *host)
{
    for (uint32_t i = 0; avoid && i < avoid->host_count; i++) {
        if (avoid->hosts[i] == host)
            return true;
    }
    return false;
}

struct balance_host *balancer_pick(struct balancer *b, const struct balance_avoid *avoid)
{
    if (b->priority_count == 0)
        return NULL;
    refresh(b);
    struct tier *tier = choose_tier(b, avoid);
    struct balance_host *host = tier_pick(b, tier);
    for (uint32_t i = 0; host && avoid && i < avoid->attempts && was_tried(avoid, host); i++)
        host = tier_pick(b, tier);
    return host;
}

uint32_t balancer_priority_load(struct balancer *b, uint32_t priority, bool *panic)
{
    refresh(b);
    *panic = b->tiers[priority].panic;
    return b->loads[priority] + b->loads[b->priority_count + priority];
}
