#include "proxy/observe/record.h"

#include "io/conn.h"
#include "net/transport.h"

struct address record_downstream_local(const struct record *record)
{
    if (record->downstream_local)
        return address_unpack(record->downstream_local);
    return record->downstream ? conn_local_address(transport_conn(record->downstream))
                              : (struct address){0};
}

struct address record_downstream_peer(const struct record *record)
{
    if (record->downstream_peer)
        return address_unpack(record->downstream_peer);
    return record->downstream ? conn_peer_address(transport_conn(record->downstream))
                              : (struct address){0};
}

struct address record_source(const struct record *record)
{
    return record->source ? *record->source : record_downstream_peer(record);
}

struct address record_destination(const struct record *record)
{
    if (record->destination)
        return *record->destination;
    return address_is_set(&record->original_destination) ? record->original_destination
                                                         : record_downstream_local(record);
}
