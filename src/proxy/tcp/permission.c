#include "proxy/tcp/permission.h"

#include "build/listener.h"
#include "match/rbac.h"
#include "proxy/route/view.h"
#include "proxy/tcp/tunnel.h"

static const struct rbac *rules_of(const struct filter_chain *chain, uint32_t i)
{
    return chain->filters[i].kind == NETWORK_RBAC ? chain->filters[i].rules : NULL;
}

static void find_ends(const struct tunnel *tunnel, struct match_connection *connection)
{
    const struct record *record = &tunnel->record;
    const struct transport *transport = tunnel->downstream.transport;
    struct address direct = conn_peer_address(transport_conn(transport));
    struct address local = conn_local_address(transport_conn(transport));
    const struct address *to = address_is_set(&record->original_destination)
                                   ? &record->original_destination
                               : record->destination ? record->destination
                                                     : &local;
    const struct address *from = record->source ? record->source : &direct;
    view_ends(connection, transport, &direct, from, to);
}

bool tunnel_is_allowed(const struct tunnel *tunnel)
{
    const struct filter_chain *chain = tunnel->chain;
    if (chain->filter_count == 0)
        return true;
    struct match_connection connection;
    bool lost = false;
    struct match_request request = {.connection = &connection, .lost = &lost};
    find_ends(tunnel, &connection);
    for (uint32_t i = 0; i < chain->filter_count; i++) {
        const struct rbac *rules = rules_of(chain, i);
        if (rules && !rbac_judge(rules, &request).allowed)
            return false;
    }
    return true;
}
