#include "proxy/observe/record.h"

#include "io/conn.h"
#include "net/transport.h"

void record_ends(const struct record *record, struct address *source, struct address *destination)
{
    const struct conn *conn = transport_conn(record->downstream);
    *source = record->source ? *record->source : conn_peer_address(conn);
    if (record->destination)
        *destination = *record->destination;
    else if (address_is_set(&record->original_destination))
        *destination = record->original_destination;
    else
        *destination = conn_local_address(conn);
}
