/*
 * chain_table: which filter chain serves a connection, by Envoy's rules.
 *
 * The criteria are looked at in a fixed order: destination port, destination address, server name, transport, application
 * protocol, direct source address, kind of source, source address, source port. At each the most specific entry is taken,
 * and there is no way back: if nothing matches further down, the default chain serves, or none.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "match/ip.h"

#include "envoy/config/listener/v3/listener.pb-c.h"

struct table_memory;

enum { CHAIN_NONE = -1, CHAINS_MAX = 10000, CHAIN_CRITERIA_MAX = 100000, CHAIN_ALPN_MAX = 16 };

enum chain_transport { CHAIN_RAW, CHAIN_TLS };

/* What was learned of a connection before the choice. */
struct chain_facts {
    struct ip destination; /* the original one where it is known */
    uint16_t destination_port;
    struct ip direct_source; /* of the socket */
    struct ip source;        /* after PROXY protocol */
    uint16_t source_port;
    bool has_ip; /* false: Unix sockets; criteria on addresses and ports then match only "any" */
    enum chain_transport transport;
    struct slice server_name; /* lower case; empty: none */
    const struct slice
        *alpn; /* offered by the client, or found by looking at the bytes ("http/1.1", "h2c") */
    size_t alpn_count;
};

struct chain_table;

/* messages[i] describes chain i; chains without a match are matched by anything. Two chains that match the same are an error. */
MUST_USE bool chain_table_build(const struct chain_table **out,
                                const Envoy__Config__Listener__V3__FilterChain *const *chains,
                                size_t count, struct table_memory *memory, struct error *error);
/* The chain's index, or CHAIN_NONE. */
int32_t chain_table_find(const struct chain_table *table, const struct chain_facts *facts);
/* Does any chain look at server names, protocols or transport? Otherwise nothing has to be awaited. */
bool chain_table_needs_detection(const struct chain_table *table);
