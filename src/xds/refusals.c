#include "xds/refusals.h"

#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/vector.h"
#include "xds/blob.h"

struct refusal {
    struct list node; /* oldest first */
    struct hash128 version;
    bool accepted; /* by someone, since it was first refused */
    VECTOR(char *) clients;
};

struct refusals {
    struct map *by_version; /* the version covers type and name too */
    struct list oldest;
    uint64_t lifted;
};

static struct slice key_of(const struct hash128 *version)
{
    return slice_of(version, sizeof(*version));
}

struct refusals *refusals_create(void)
{
    struct refusals *refusals = mem_new(struct refusals);
    refusals->by_version = map_create();
    list_init(&refusals->oldest);
    return refusals;
}

static void forget(struct refusals *refusals, struct refusal *refusal)
{
    map_remove(refusals->by_version, key_of(&refusal->version));
    list_remove(&refusal->node);
    VECTOR_EACH(client, &refusal->clients)
    mem_free(*client);
    vector_fini(&refusal->clients);
    mem_free(refusal);
}

void refusals_destroy(struct refusals *refusals)
{
    if (!refusals)
        return;
    LIST_EACH_SAFE(node, after, &refusals->oldest)
    forget(refusals, LIST_ENTRY(node, struct refusal, node));
    map_destroy(refusals->by_version);
    mem_free(refusals);
}

static struct refusal *find(const struct refusals *refusals, const struct blob *blob)
{
    return map_get(refusals->by_version, key_of(&blob->version));
}

static size_t find_client(const struct refusal *refusal, struct slice client)
{
    for (size_t i = 0; i < refusal->clients.count; i++) {
        if (slice_equals_str(client, refusal->clients.items[i]))
            return i;
    }
    return SIZE_MAX;
}

static bool binds_class(const struct refusal *refusal)
{
    return !refusal->accepted && refusal->clients.count >= 2;
}

bool refusals_note(struct refusals *refusals, const struct blob *blob, struct slice client)
{
    struct refusal *refusal = find(refusals, blob);
    if (!refusal) {
        if (map_count(refusals->by_version) == REFUSALS_MAX)
            forget(refusals, LIST_ENTRY(refusals->oldest.next, struct refusal, node));
        refusal = mem_new(struct refusal);
        refusal->version = blob->version;
        list_push_back(&refusals->oldest, &refusal->node);
        map_put(refusals->by_version, key_of(&refusal->version), refusal);
    }
    if (find_client(refusal, client) != SIZE_MAX)
        return false;
    if (refusal->clients.count < REFUSAL_CLIENTS_MAX)
        vector_push(&refusal->clients, slice_to_str(client));
    return true;
}

bool refusals_accept(struct refusals *refusals, const struct blob *blob, struct slice client)
{
    struct refusal *refusal = find(refusals, blob);
    if (!refusal)
        return false;
    bool bound = binds_class(refusal);
    size_t at = find_client(refusal, client);
    if (at != SIZE_MAX) {
        mem_free(refusal->clients.items[at]);
        vector_remove(&refusal->clients, at);
    }
    refusal->accepted = true;
    if (refusal->clients.count == 0)
        forget(refusals, refusal);
    refusals->lifted += bound;
    return bound;
}

bool refusals_bind(const struct refusals *refusals, const struct blob *blob, struct slice client)
{
    struct refusal *refusal = find(refusals, blob);
    return refusal && (binds_class(refusal) || find_client(refusal, client) != SIZE_MAX);
}

size_t refusals_count(const struct refusals *refusals)
{
    return map_count(refusals->by_version);
}

uint64_t refusals_lifted(const struct refusals *refusals)
{
    return refusals->lifted;
}
