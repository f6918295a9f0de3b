/*
 * intake: takes resources from the bootstrap file, from ADS and from the proxy itself, builds and warms them, and publishes.
 *
 * Main thread. Each resource is taken or refused by itself: what cannot be built leaves the old one in force and gives the
 * reason. What can be built may have to wait: a cluster for its endpoints and secrets, a listener for its routes and
 * secrets; until then the old one serves. Nothing is published before intake_commit.
 *
 * Endpoints, routes and secrets are taken only when something names them; intake_interest says what to ask for.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "build/options.h"
#include "proxy/snapshot/resource.h"

struct intake;
struct publisher;
struct tls_ticket_keys;

struct intake_limits {
    size_t max_resources; /* all kinds together; 0 = 200,000 */
    size_t max_body;      /* bytes of one message; 0 = 16 MiB */
};

/* The publisher, empty as yet, must outlive it, and gets an empty snapshot at once. The options are copied, and their now_s
 * is renewed by intake_tick. */
struct intake *intake_create(struct publisher *publisher, const struct build_options *options,
                             const struct intake_limits *limits);
void intake_destroy(struct intake *intake);
OWNED(intake, intake_destroy)

/* A packed message of the kind's type (Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, Secret). False leaves
 * everything as it was; the error says which resource, where in it, and why. `name` is the resource's name as the
 * server gave it, and must be the message's own. */
struct intake_update {
    enum resource_kind kind;
    struct slice name, version, body;
    bool is_static;
};
MUST_USE bool intake_put(struct intake *intake, const struct intake_update *update,
                         struct error *error);
/* Of one response, removals come first. Clusters and listeners go with the next commit. Endpoints, routes and secrets that
 * something still names stay as they are until nothing does. Unknown names are fine; static ones stay. */
void intake_remove(struct intake *intake, enum resource_kind kind, struct slice name);
/* A secret that the proxy made itself (its SVID, its bundles). Takes the caller's reference. */
MUST_USE bool intake_put_secret(struct intake *intake, struct secret *secret, struct error *error);
/* What DNS says now about a STRICT_DNS cluster. Takes the caller's reference. False when there is no such cluster any more. */
bool intake_put_addresses(struct intake *intake, const struct name *cluster,
                          struct endpoints *endpoints);
/* The newest one of that name, active or not; NULL when there is none. Borrowed until the next call. For resolving its names:
 * cluster->endpoints are the templates. */
const struct cluster *intake_cluster(const struct intake *intake, const struct name *name);
/* Publishes what is ready, if anything changed. Returns true when a snapshot was published. */
bool intake_commit(struct intake *intake);

/* Time: gives up waiting where a configuration says so. Returns the ms until it should be called again, or UINT64_MAX. */
uint64_t intake_tick(struct intake *intake, uint64_t now_ms, int64_t wall_s);

/* Changes of what is to be asked for, since the last call: visits (kind, name, wanted). KIND_ENDPOINTS: EDS; KIND_ROUTE: RDS;
 * KIND_SECRET: SDS; KIND_CLUSTER: STRICT_DNS clusters to resolve, told again when one changes. */
void intake_interest(struct intake *intake,
                     void (*visit)(void *to, enum resource_kind kind, const struct name *name,
                                   bool wanted),
                     void *to);

/* For /config_dump, /init_dump and `tulle why`. */
enum intake_state { INTAKE_ACTIVE, INTAKE_WARMING, INTAKE_REFUSED };
struct intake_entry {
    enum intake_state state;
    const struct resource *resource; /* NULL when REFUSED */
    struct slice name, version, body;
    const char *reason; /* REFUSED: why; WARMING: what it waits for */
    int64_t when_us;
};
/* Active ones, then warming, then the last refusal of each name that has not been mended since. */
void intake_each(const struct intake *intake, enum resource_kind kind,
                 void (*visit)(void *to, const struct intake_entry *entry), void *to);
size_t intake_warming(const struct intake *intake, enum resource_kind kind);
