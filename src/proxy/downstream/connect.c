#include "proxy/downstream/connect.h"

#include "build/route_table.h"
#include "proxy/downstream/exchange.h"

const struct route_upgrade *connect_find(const struct exchange *exchange)
{
    struct slice kind = exchange->head->upgrade.size ? exchange->head->upgrade : SLICE("connect");
    const struct route *route = exchange->record.route;
    for (uint32_t i = 0; i < route->upgrade_count; i++)
        if (slice_equals_nocase(route->upgrades[i].kind, kind))
            return &route->upgrades[i];
    return NULL;
}

static void find_ends(const struct raw_waiter *waiter, struct address *source,
                      struct address *destination)
{
    const struct attempt *attempt = CONTAINER_OF(waiter, const struct attempt, raw);
    *source = record_source(&attempt->exchange->record);
    *destination = record_destination(&attempt->exchange->record);
}

void connect_describe(const struct exchange *exchange, struct raw_waiter *waiter)
{
    waiter->ends = find_ends;
    waiter->proxy_protocol = exchange->connect->proxy_protocol;
}
