/*
 * registry_internal: what the modules of this room share about a registry.
 *
 * Everything is guarded by the registry's lock, but for the cells. While a scrape runs, what it may still look at is
 * kept: no series expires, and a set that left is folded when the last scrape ends.
 */
#pragma once

#include "base/map.h"
#include "base/vector.h"
#include "stats/histogram.h"
#include "stats/registry.h"

#include <pthread.h>

enum { STATS_SHAPES_MAX = 512 };

/* The names that a kind of series has for its labels; kept as long as the registry. */
struct stats_shape {
    size_t count;
    char **names;
    bool *open;
};

struct stats_labels {
    struct stats_labels *next; /* of the same hash */
    const struct stats_shape *shape;
    uint64_t hash;
    size_t holds;
    size_t size;   /* of values */
    char values[]; /* each with its NUL */
};

struct stats_bounds {
    char *prefix;
    double *bounds;
    size_t count;
};

struct stats_series;
struct stats_family {
    struct stats_metric metric; /* its strings are owned */
    VECTOR(struct stats_series *) series;
    uint64_t expired; /* what expired series had counted */
    const struct stats_bounds *bounds;
};

struct stats_series {
    struct stats_family *family;
    struct stats_labels *labels; /* may be NULL */
    uint32_t slot;
    size_t holds;
    size_t place; /* in its family */
    uint64_t idle_since_ms;
    bool is_idle; /* nobody held it when stats_expire last looked */
};

/* The slots of one space. Number 0 is nowhere. */
struct stats_space {
    VECTOR(struct stats_series *) series; /* NULL: free */
    VECTOR(uint32_t) free;
    size_t max;
};

struct stats_registry {
    pthread_mutex_t lock;
    size_t series_max;
    size_t series_count;
    uint64_t folded;
    struct map *families;
    struct map *series; /* by family and labels */
    struct map *labels; /* by hash */
    VECTOR(struct stats_shape *) shapes;
    VECTOR(struct stats_bounds *) bounds;
    struct stats_space cells, histograms;
    VECTOR(struct stats_set *)
    sets; /* the first is nobody's: what left sets had counted, less what was reset */
    size_t scrapes;
    uint32_t series_slot, folded_slot; /* about the registry itself */
};

/* labels.c; the caller holds the lock. */
struct stats_labels *stats_labels_intern(struct stats_registry *registry,
                                         const struct stats_shape *shape, struct slice values);
void stats_labels_drop(struct stats_registry *registry, struct stats_labels *labels);
/* The same with "other" for each open label. */
struct stats_labels *stats_labels_fold(struct stats_registry *registry,
                                       const struct stats_labels *labels);
void stats_shapes_fini(struct stats_registry *registry);

/* set.c; the caller holds the lock. */
struct stats_set *stats_set_new(struct stats_registry *registry);
void stats_set_free(struct stats_set *set);
/* Room for slots below `count` in every set. */
void stats_sets_grow_cells(struct stats_registry *registry, size_t count);
void stats_sets_grow_histograms(struct stats_registry *registry, size_t count);
/* Zero in every set. */
void stats_sets_clear(struct stats_registry *registry, uint32_t slot);
/* Takes what the sets that left had counted into the first one. */
void stats_sets_reap(struct stats_registry *registry);
/* Needs no lock; the sets are kept by it or by a scrape, and begin with the first. */
uint64_t stats_sets_sum(struct stats_set *const *sets, size_t count, uint32_t slot);
void stats_sets_collect(struct stats_set *const *sets, size_t count, uint32_t slot,
                        struct histogram_totals *totals);
