/*
 * resource: one built object with its name and version, as snapshots hold it.
 *
 * Made, counted and freed on the main thread. Workers see it through their snapshot and keep it beyond that by pins
 * (reader.h), never by counting. The packed message stays with it, for /config_dump and the snapshot on disk.
 */
#pragma once

#include "base/attributes.h"
#include "base/hash.h"
#include "build/name.h"

struct cluster;
struct endpoints;
struct listener;
struct route_table;
struct secret;
struct tls_context;

enum resource_kind {
    KIND_CLUSTER,
    KIND_ENDPOINTS,
    KIND_LISTENER,
    KIND_ROUTE,
    KIND_SECRET,
    KIND_TLS, /* a context made of a tls_spec and the secrets of this snapshot; named by tls_spec.context */
    KIND_ADDRESS, /* a listener that does not bind, by an address and port that it serves (resource_address_name) */
    RESOURCE_KINDS
};
struct ip;
/* "cluster"; static. */
const char *resource_kind_name(enum resource_kind kind);

struct resource {
    struct name name;
    enum resource_kind kind : 8;
    bool is_static;         /* from the bootstrap file or made here: xDS may not touch it */
    _Atomic bool retired;   /* no longer in the newest snapshot; written by main, read by workers */
    uint32_t references;    /* main thread only */
    uint32_t slot;          /* among the workers' pins */
    uint32_t waiting;       /* publisher: its index among those that wait for pins, + 1 */
    struct slice version;   /* as the server gave it */
    struct slice body;      /* the packed message; empty for what was made here */
    struct hash128 content; /* of the body, or of what it was made of */
    int64_t updated_us;     /* wall clock */
    union {
        struct cluster *cluster;
        struct endpoints *endpoints;
        struct listener *listener; /* KIND_ADDRESS too */
        struct route_table *route;
        struct secret *secret;
        struct tls_context *tls;
        void *object;
    };
};

/* Takes the object over and copies the texts. One reference, the caller's; slot as given. */
struct resource *resource_create(enum resource_kind kind, const struct name *name, void *object,
                                 struct slice version, struct slice body);
struct resource *resource_ref(struct resource *resource);
/* True when it was the last reference; then resource_free is due as soon as no worker pins it. */
MUST_USE bool resource_drop(struct resource *resource);
void resource_free(struct resource *resource);

/* The name of KIND_ADDRESS: address and port in network order, and whether of UDP. Borrows `key`. */
enum { RESOURCE_ADDRESS_KEY = 19 };
struct name resource_address_name(const struct ip *ip, uint16_t port, bool is_udp,
                                  char key[RESOURCE_ADDRESS_KEY]);
