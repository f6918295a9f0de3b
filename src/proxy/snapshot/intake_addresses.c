#include "proxy/snapshot/intake_internal.h"

#include "build/endpoints.h"
#include "build/listener.h"

/* Whether it binds, then address and port, or the path. */
enum { CLAIM_MAX = 1 + 128 };

static struct slice claim_of(const struct listener *listener,
                             const struct endpoint_address *address, char claim[CLAIM_MAX])
{
    claim[0] = listener->binds ? 'b' : 'n';
    if (address->kind == ENDPOINT_IP) {
        resource_address_name(&address->ip, address->port, address->is_udp, claim + 1);
        return slice_of(claim, 1 + RESOURCE_ADDRESS_KEY);
    }
    size_t size = MIN(address->text.size, (size_t)CLAIM_MAX - 1);
    memcpy(claim + 1, address->text.data, size);
    return slice_of(claim, 1 + size);
}

bool intake_check_addresses(struct intake *intake, const struct entry *entry,
                            const struct listener *listener, struct error *error)
{
    for (uint32_t i = 0; i < listener->address_count; i++) {
        char claim[CLAIM_MAX], text[ENDPOINT_TEXT];
        const struct endpoint_address *address = &listener->addresses[i];
        const struct entry *holder = map_get(intake->addresses, claim_of(listener, address, claim));
        bool is_free_port = address->kind == ENDPOINT_IP && address->port == 0;
        /* Who goes with the same commit gives its addresses to who comes. */
        if (!holder || holder == entry || holder->is_removed || is_free_port)
            continue;
        endpoint_address_format(address, text);
        return error_set(error, "TUL0033", "listener %s has the address %s already",
                         holder->name.text.data, text);
    }
    return true;
}

static bool has_claim(const struct listener *listener, struct slice claim)
{
    for (uint32_t i = 0; listener && i < listener->address_count; i++) {
        char other[CLAIM_MAX];
        if (slice_equals(claim_of(listener, &listener->addresses[i], other), claim))
            return true;
    }
    return false;
}

struct entry *intake_heir(const struct intake *intake, const struct entry *entry, uint32_t address)
{
    const struct listener *listener = entry->active->listener;
    char claim[CLAIM_MAX];
    struct slice claimed = claim_of(listener, &listener->addresses[address], claim);
    struct entry *holder = map_get(intake->addresses, claimed);
    bool serves = holder && holder->active && has_claim(holder->active->listener, claimed);
    return holder == entry || serves ? NULL : holder;
}

static void plant_alias(struct intake *intake, const struct name *name,
                        const struct listener *listener)
{
    struct listener *object = listener_ref((struct listener *)(uintptr_t)listener);
    struct resource *alias = resource_create(KIND_ADDRESS, name, object, SLICE(""), SLICE(""));
    intake_plant(intake, alias);
    intake_drop(intake, &alias);
}

void intake_claim_addresses(struct intake *intake, struct entry *entry,
                            const struct listener *listener)
{
    for (uint32_t i = 0; i < listener->address_count; i++) {
        char claim[CLAIM_MAX], key[RESOURCE_ADDRESS_KEY];
        const struct endpoint_address *address = &listener->addresses[i];
        map_put(intake->addresses, claim_of(listener, address, claim), entry);
        if (listener->binds || address->kind != ENDPOINT_IP || entry->active == NULL ||
            entry->active->listener != listener)
            continue;
        struct name name = resource_address_name(&address->ip, address->port, address->is_udp, key);
        plant_alias(intake, &name, listener);
    }
}

void intake_release_addresses(struct intake *intake, const struct entry *entry,
                              const struct listener *listener, const struct listener *kept)
{
    for (uint32_t i = 0; i < listener->address_count; i++) {
        char claim[CLAIM_MAX], key[RESOURCE_ADDRESS_KEY];
        const struct endpoint_address *address = &listener->addresses[i];
        struct slice claimed = claim_of(listener, address, claim);
        if (has_claim(kept, claimed) || map_get(intake->addresses, claimed) != entry)
            continue;
        map_remove(intake->addresses, claimed);
        if (listener->binds || address->kind != ENDPOINT_IP)
            continue;
        struct name name = resource_address_name(&address->ip, address->port, address->is_udp, key);
        intake_uproot(intake, KIND_ADDRESS, &name);
    }
}
