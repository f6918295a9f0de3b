#include "control/registry/addresses.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "control/store/store.h"
#include "io/loop.h"

#define HOST_PREFIX ADDRESSES_PREFIX "es//"
#define OWNER_PREFIX ADDRESSES_PREFIX "owners//"

enum { FIRST = 1, LAST = 65534, RETRY_MS = 1000, SWEEP_MS = 60000 };

struct held {
    char *address;
    uint64_t gone_since_ms; /* 0: its service is there */
};

struct addresses {
    struct loop *loop;
    struct store *store;
    struct registry *registry;
    struct map *hosts;  /* host: struct held */
    struct map *owners; /* address: marks that it is taken */
    uint64_t ticket;    /* a write under way */
    bool again;         /* look once more when it is done */
    struct task check;
    struct timer retry, sweep;
};

static void run_check(struct task *task);
static void on_sweep(struct timer *timer);

struct addresses *addresses_create(struct loop *loop, struct store *store,
                                   struct registry *registry)
{
    struct addresses *addresses = mem_new(struct addresses);
    *addresses = (struct addresses){.loop = loop,
                                    .store = store,
                                    .registry = registry,
                                    .hosts = map_create(),
                                    .owners = map_create()};
    task_init(&addresses->check, run_check);
    loop_timer_start(loop, &addresses->sweep, SWEEP_MS, on_sweep);
    return addresses;
}

static void held_destroy(struct held *held)
{
    if (!held)
        return;
    mem_free(held->address);
    mem_free(held);
}

void addresses_destroy(struct addresses *addresses)
{
    if (!addresses)
        return;
    store_cancel(addresses->store, addresses->ticket);
    loop_task_cancel(&addresses->check);
    loop_timer_stop(addresses->loop, &addresses->retry);
    loop_timer_stop(addresses->loop, &addresses->sweep);
    struct map_iterator it = {0};
    while (map_next(addresses->hosts, &it))
        held_destroy(it.value);
    map_destroy(addresses->hosts);
    map_destroy(addresses->owners);
    mem_free(addresses);
}

bool addresses_see(struct addresses *addresses, struct slice key, struct slice value)
{
    if (slice_starts_with(key, SLICE(OWNER_PREFIX))) {
        struct slice address = slice_from(key, strlen(OWNER_PREFIX));
        if (value.data)
            map_put(addresses->owners, address, addresses);
        else
            map_remove(addresses->owners, address);
        return false;
    }
    if (!slice_starts_with(key, SLICE(HOST_PREFIX)))
        return false;
    struct slice host = slice_from(key, strlen(HOST_PREFIX));
    struct slice address = value.size > 2 ? slice_of(value.data + 1, value.size - 2) : SLICE_NONE;
    struct held *held = NULL;
    if (value.data) {
        held = mem_new(struct held);
        held->address = slice_to_str(address);
        held_destroy(map_put(addresses->hosts, host, held));
    } else {
        held_destroy(map_remove(addresses->hosts, host));
    }
    registry_set_address(addresses->registry, host, address);
    return true;
}

void addresses_check(struct addresses *addresses)
{
    loop_run_later(addresses->loop, &addresses->check);
}

/* --- allocating ------------------------------------------------------------------------------------------------------ */

struct batch {
    struct addresses *addresses;
    struct arena arena;
    struct store_compare compares[STORE_TXN_MAX];
    struct store_put puts[STORE_TXN_MAX];
    size_t count;
    bool more;
};

/* People may have given it to a service themselves. */
static bool is_written_somewhere(struct batch *batch, struct slice address)
{
    return registry_services_at(batch->addresses->registry, NULL, address, &batch->arena).count > 0;
}

/* The same first choice on every replica; then the next that is free. */
static const char *choose(struct batch *batch, struct slice host)
{
    uint64_t start = hash64(host, 0) % (LAST - FIRST + 1);
    for (uint64_t i = 0; i <= LAST - FIRST; i++) {
        unsigned number = (unsigned)((start + i) % (LAST - FIRST + 1)) + FIRST;
        char *address = arena_format(&batch->arena, "240.240.%u.%u", number >> 8, number & 255);
        if (!map_get(batch->addresses->owners, slice_str(address)) &&
            !is_written_somewhere(batch, slice_str(address)))
            return address;
    }
    return NULL;
}

static void allocate(struct slice host, void *to)
{
    struct batch *batch = to;
    /* An address that is held and not seen by the registry yet needs no second one. */
    if (map_get(batch->addresses->hosts, host))
        return;
    if (batch->count + 2 > STORE_TXN_MAX) {
        batch->more = true;
        return;
    }
    const char *address = choose(batch, host);
    if (!address) {
        log_error("registry", "no virtual address is left for %.*s", SLICE_ARG(host));
        return;
    }
    map_put(batch->addresses->owners, slice_str(address), batch->addresses);
    struct arena *arena = &batch->arena;
    struct slice keys[] = {slice_str(arena_format(arena, HOST_PREFIX "%.*s", SLICE_ARG(host))),
                           slice_str(arena_format(arena, OWNER_PREFIX "%s", address))};
    struct slice values[] = {slice_str(arena_format(arena, "\"%s\"", address)),
                             slice_str(arena_format(arena, "\"%.*s\"", SLICE_ARG(host)))};
    for (size_t i = 0; i < 2; i++) {
        batch->compares[batch->count] = (struct store_compare){.key = keys[i], .revision = 0};
        batch->puts[batch->count++] = (struct store_put){.key = keys[i], .value = values[i]};
    }
}

static void on_retry(struct timer *timer)
{
    addresses_check(CONTAINER_OF(timer, struct addresses, retry));
}

static void on_written(void *owner, const struct store_written *written)
{
    struct addresses *addresses = owner;
    addresses->ticket = 0;
    if (written->status == STORE_OK) {
        if (addresses->again)
            addresses_check(addresses);
        return;
    }
    /* Somebody else was first: the watch tells, and then there is another try. */
    if (written->status != STORE_CONFLICT)
        log_warning("registry", "virtual addresses cannot be written: %s", written->reason);
    loop_timer_start(addresses->loop, &addresses->retry, RETRY_MS, on_retry);
}

static void run_check(struct task *task)
{
    struct addresses *addresses = CONTAINER_OF(task, struct addresses, check);
    addresses->again = addresses->ticket != 0;
    if (addresses->ticket)
        return;
    struct batch *batch = mem_new(struct batch);
    batch->addresses = addresses;
    registry_each_without_address(addresses->registry, allocate, batch);
    addresses->again = batch->more;
    if (batch->count > 0)
        addresses->ticket = store_txn(addresses->store,
                                      &(struct store_txn){.compares = batch->compares,
                                                          .compare_count = batch->count,
                                                          .puts = batch->puts,
                                                          .put_count = batch->count},
                                      on_written, addresses);
    arena_fini(&batch->arena);
    mem_free(batch);
}

/* --- giving back ------------------------------------------------------------------------------------------------------ */

static void on_released(void *owner, const struct store_written *written)
{
    struct addresses *addresses = owner;
    addresses->ticket = 0;
    if (written->status != STORE_OK)
        log_warning("registry", "a virtual address cannot be given back: %s", written->reason);
}

static void on_sweep(struct timer *timer)
{
    struct addresses *addresses = CONTAINER_OF(timer, struct addresses, sweep);
    loop_timer_start(addresses->loop, &addresses->sweep, SWEEP_MS, on_sweep);
    struct arena arena = {0};
    struct slice deletes[STORE_TXN_MAX];
    size_t count = 0;
    uint64_t now = loop_now_ms(addresses->loop);
    struct map_iterator it = {0};
    while (map_next(addresses->hosts, &it)) {
        struct held *held = it.value;
        if (registry_service(addresses->registry, NULL, it.key))
            held->gone_since_ms = 0;
        else if (held->gone_since_ms == 0)
            held->gone_since_ms = MAX(now, (uint64_t)1);
        else if (now - held->gone_since_ms >= ADDRESS_KEEP_MS && count + 2 <= STORE_TXN_MAX) {
            deletes[count++] =
                slice_str(arena_format(&arena, HOST_PREFIX "%.*s", SLICE_ARG(it.key)));
            deletes[count++] = slice_str(arena_format(&arena, OWNER_PREFIX "%s", held->address));
        }
    }
    if (count > 0 && !addresses->ticket)
        addresses->ticket = store_txn(
            addresses->store, &(struct store_txn){.deletes = deletes, .delete_count = count},
            on_released, addresses);
    arena_fini(&arena);
}
