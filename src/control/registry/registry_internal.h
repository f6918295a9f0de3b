/*
 * registry: what its files share. registry.c keeps the tables, services.c reads services out of objects, endpoints.c finds
 * who stands behind them.
 */
#pragma once

#include "base/buffer.h"
#include "base/map.h"
#include "base/vector.h"
#include "control/registry/registry.h"

/* A service as one object describes it. */
struct offer {
    struct service service;
    bool has_own_address; /* written in its object, perhaps as "None" */
    struct arena arena;
};

/* Everybody who offers one host: the first acts. */
struct offers {
    VECTOR(struct offer *) list;
};

struct workloads {
    VECTOR(const struct object *) list; /* WorkloadEntries of one namespace, in no order */
};

struct registry {
    struct model *model;
    struct facts *facts;
    struct map *hosts;      /* host: struct offers */
    struct map *by_object;  /* key of a Service or ServiceEntry: struct offers, what it offers */
    struct map *workloads;  /* namespace: struct workloads */
    struct map *selectors;  /* namespace: struct offers, those that select workloads */
    struct map *ports;      /* "8080": struct offers that act and have the port */
    struct map *by_address; /* virtual address: struct offers that act and have it */
    struct map *addresses;  /* host: char * */
};

/* What the object offers, appended; each is the caller's. */
void offers_of_object(const struct object *object, struct offers *out);
void offer_destroy(struct offer *offer);

bool labels_match(const struct label_pairs *selector,
                  const Istio__Networking__V1alpha3__WorkloadEntry *entry);
