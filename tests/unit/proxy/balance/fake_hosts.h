/*
 * fake_hosts: endpoints and host objects for tests of balancers.
 */
#pragma once

#include "build/cluster.h"
#include "build/endpoints.h"
#include "proxy/balance/balancer.h"

enum { FAKE_MAX = 64 };

struct fake_hosts {
    struct endpoint endpoints[FAKE_MAX];
    struct endpoint_locality localities[FAKE_MAX];
    struct endpoint_priority priorities[ENDPOINT_PRIORITIES_MAX];
    struct balance_host hosts[FAKE_MAX];
    struct balance_host *pointers[FAKE_MAX];
    struct endpoints set;
    struct cluster cluster;
    struct random random;
    uint32_t hits[FAKE_MAX];
};

struct fake_locality {
    uint32_t priority, weight, count;
};

/* Hosts of weight 1 in localities, which are in order of priority. */
UNUSED static void fake_hosts_init(struct fake_hosts *f, enum cluster_policy policy,
                                   const struct fake_locality *localities, size_t count)
{
    uint32_t next = 0;
    *f = (struct fake_hosts){.cluster = {.policy = policy, .choices = 2, .panic_percent = 50}};
    random_seed(&f->random, 99);
    for (uint32_t l = 0; l < count; l++) {
        uint32_t p = localities[l].priority;
        f->localities[l] = (struct endpoint_locality){.weight = localities[l].weight,
                                                      .priority = (uint8_t)p,
                                                      .first = next,
                                                      .count = localities[l].count};
        if (f->priorities[p].locality_count++ == 0) {
            f->priorities[p].first = next;
            f->priorities[p].first_locality = l;
        }
        f->priorities[p].count += localities[l].count;
        f->set.priority_count = p + 1;
        for (uint32_t i = 0; i < localities[l].count; i++, next++) {
            f->endpoints[next] =
                (struct endpoint){.weight = 1, .locality = (uint16_t)l, .priority = (uint8_t)p};
            f->hosts[next].endpoint = &f->endpoints[next];
            f->pointers[next] = &f->hosts[next];
        }
    }
    f->set.items = f->endpoints;
    f->set.count = next;
    f->set.localities = f->localities;
    f->set.locality_count = (uint32_t)count;
    f->set.priorities = f->priorities;
    f->set.overprovisioning = 140;
}

UNUSED static void fake_hosts_set_weights(struct fake_hosts *f, const uint32_t *weights)
{
    for (uint32_t i = 0; i < f->set.count; i++)
        f->endpoints[i].weight = weights[i];
}

UNUSED static uint32_t fake_hosts_index(const struct fake_hosts *f, const struct balance_host *host)
{
    return (uint32_t)(host - f->hosts);
}

UNUSED static void fake_hosts_count(struct fake_hosts *f, struct balancer *balancer, uint32_t picks)
{
    memset(f->hits, 0, sizeof(f->hits));
    for (uint32_t i = 0; i < picks; i++) {
        struct balance_host *host = balancer_pick(balancer, NULL);
        if (host)
            f->hits[fake_hosts_index(f, host)]++;
    }
}

/* Chi-square of the hits against weights; hosts of weight 0 must have none. */
UNUSED static double fake_hosts_chi_square(const struct fake_hosts *f, const uint32_t *weights,
                                           uint32_t picks)
{
    double sum = 0, chi = 0;
    for (uint32_t i = 0; i < f->set.count; i++)
        sum += weights[i];
    for (uint32_t i = 0; i < f->set.count; i++) {
        double expected = (double)picks * weights[i] / sum;
        if (weights[i] == 0 && f->hits[i] > 0)
            return 1e9;
        if (weights[i] > 0)
            chi += (f->hits[i] - expected) * (f->hits[i] - expected) / expected;
    }
    return chi;
}
