#include "build/chain_table.h"

#include "base/buffer.h"
#include "base/map.h"
#include "base/memory.h"
#include "build/values_internal.h"
#include "match/cidr_set.h"
#include "match/domain_table.h"
#include "match/table_memory.h"

#include <stdlib.h>

/*
 * The criteria form a tree: each level branches on one of them, and a branch for "any" stands beside the others. While the table
 * is made, a map finds the child of (node, key); then each node gets the look-up that suits its level. A node whose only
 * branch is "any" is left out.
 */
enum chain_level {
    LEVEL_PORT,
    LEVEL_DESTINATION,
    LEVEL_NAME,
    LEVEL_TRANSPORT,
    LEVEL_PROTOCOL,
    LEVEL_DIRECT_SOURCE,
    LEVEL_SOURCE_TYPE,
    LEVEL_SOURCE,
    LEVEL_SOURCE_PORT,
    LEVEL_CHAIN, /* a leaf */
};

enum { NODE_NONE = -1 };

struct keyed {
    struct slice key;
    int32_t node;
};

struct chain_node {
    enum chain_level level : 8;
    int32_t any;   /* node; NODE_NONE */
    int32_t chain; /* LEVEL_CHAIN */
    uint32_t count;
    const struct keyed
        *branches; /* PORT, SOURCE_PORT (2 bytes), TRANSPORT, SOURCE_TYPE (1 byte), PROTOCOL */
    union {
        struct cidr_set prefixes;
        struct domain_table names;
    };
};

struct chain_table {
    const struct chain_node *nodes;
    int32_t root;
    bool needs_detection;
};

struct branch {
    struct slice key;
    uint32_t node;
};
struct growing_node {
    enum chain_level level;
    int32_t chain;
    VECTOR(struct branch) branches;
};

struct chain_builder {
    VECTOR(struct growing_node) nodes;
    struct map *children; /* node number and key -> node number + 1 */
    size_t criteria;
    struct arena scratch;
    struct table_memory *memory;
    struct error *error;
    const FilterChainMessage *const *chains;
    bool needs_detection;
    int32_t *places; /* of the nodes that are kept, in the table */
};

static uint32_t add_node(struct chain_builder *c, enum chain_level level)
{
    vector_push(&c->nodes, (struct growing_node){.level = level, .chain = CHAIN_NONE});
    return (uint32_t)c->nodes.count - 1;
}

static uint32_t child_of(struct chain_builder *c, uint32_t node, struct slice key)
{
    owned_buffer name = {0};
    buffer_append(&name, &node, sizeof(node));
    buffer_append_slice(&name, key);
    uintptr_t known = (uintptr_t)map_get(c->children, buffer_slice(&name));
    if (known)
        return (uint32_t)known - 1;
    uint32_t child = add_node(c, c->nodes.items[node].level + 1);
    struct slice kept = slice_of(arena_copy(&c->scratch, key), key.size);
    vector_push(&c->nodes.items[node].branches, (struct branch){kept, child});
    map_put(c->children, buffer_slice(&name), (void *)((uintptr_t)child + 1));
    return child;
}

/* The keys of one chain, level by level; no key is "any". */
struct criteria {
    struct slice *keys[LEVEL_CHAIN];
    size_t counts[LEVEL_CHAIN];
};

static struct slice *add_keys(struct chain_builder *c, struct criteria *criteria,
                              enum chain_level level, size_t count)
{
    criteria->counts[level] = count;
    criteria->keys[level] = arena_calloc(&c->scratch, count + 1, sizeof(struct slice));
    return criteria->keys[level];
}

static struct slice port_key(struct chain_builder *c, uint32_t port)
{
    uint16_t bytes = (uint16_t)port;
    return slice_of(arena_copy(&c->scratch, slice_of(&bytes, sizeof(bytes))), sizeof(bytes));
}

static struct slice byte_key(struct chain_builder *c, uint8_t byte)
{
    return slice_of(arena_copy(&c->scratch, slice_of(&byte, 1)), 1);
}

static bool add_prefixes(struct chain_builder *c, struct criteria *criteria, enum chain_level level,
                         const char *field, CidrRangeMessage *const *ranges, size_t count)
{
    struct slice *keys = add_keys(c, criteria, level, count);
    for (size_t i = 0; i < count; i++) {
        struct ip ip;
        struct ip_prefix *prefix = arena_new(&c->scratch, struct ip_prefix);
        if (!ip_parse(slice_str(pb_str(ranges[i]->address_prefix)), &ip) ||
            !ip_prefix_make(&ip, pb_u32(ranges[i]->prefix_len, 0), prefix))
            return error_set(c->error, NULL, "%s[%zu]: '%.64s/%u' is no range of addresses", field,
                             i, pb_str(ranges[i]->address_prefix),
                             pb_u32(ranges[i]->prefix_len, 0));
        keys[i] = slice_of(prefix, sizeof(*prefix));
    }
    return true;
}

static bool add_names(struct chain_builder *c, struct criteria *criteria,
                      const FilterChainMatchMessage *match)
{
    struct slice *keys = add_keys(c, criteria, LEVEL_NAME, match->n_server_names);
    for (size_t i = 0; i < match->n_server_names; i++) {
        struct slice name = slice_str(match->server_names[i]);
        size_t star = slice_find_byte(name, '*');
        bool is_wildcard = name.size > 2 && name.data[0] == '*' && name.data[1] == '.';
        if (name.size == 0 || name.size > DOMAIN_MAX_BYTES || (star < name.size && !is_wildcard))
            return error_set(c->error, NULL,
                             "server_names[%zu]: '%.64s' is no name and no '*.NAME'", i,
                             match->server_names[i]);
        char *copy = arena_copy(&c->scratch, name);
        for (size_t at = 0; at < name.size; at++)
            copy[at] = (char)(copy[at] >= 'A' && copy[at] <= 'Z' ? copy[at] | 0x20 : copy[at]);
        keys[i] = slice_of(copy, name.size);
    }
    return true;
}

static bool add_ports(struct chain_builder *c, struct criteria *criteria,
                      const FilterChainMatchMessage *match)
{
    uint32_t port = pb_u32(match->destination_port, 0);
    if (match->destination_port && (port == 0 || port > UINT16_MAX))
        return error_set(c->error, NULL, "destination_port: %u is no port", port);
    if (match->destination_port)
        add_keys(c, criteria, LEVEL_PORT, 1)[0] = port_key(c, port);
    struct slice *keys = add_keys(c, criteria, LEVEL_SOURCE_PORT, match->n_source_ports);
    for (size_t i = 0; i < match->n_source_ports; i++) {
        if (match->source_ports[i] == 0 || match->source_ports[i] > UINT16_MAX)
            return error_set(c->error, NULL, "source_ports[%zu]: %u is no port", i,
                             match->source_ports[i]);
        keys[i] = port_key(c, match->source_ports[i]);
    }
    return true;
}

static bool add_transport(struct chain_builder *c, struct criteria *criteria,
                          const FilterChainMatchMessage *match)
{
    const char *transport = pb_str(match->transport_protocol);
    if (!*transport)
        return true;
    bool is_tls = strcmp(transport, "tls") == 0;
    if (!is_tls && strcmp(transport, "raw_buffer") != 0)
        return error_set(c->error, NULL,
                         "transport_protocol: '%.64s' is neither tls nor raw_buffer", transport);
    add_keys(c, criteria, LEVEL_TRANSPORT, 1)[0] = byte_key(c, is_tls ? CHAIN_TLS : CHAIN_RAW);
    return true;
}

static bool add_source_type(struct chain_builder *c, struct criteria *criteria,
                            const FilterChainMatchMessage *match)
{
    uint32_t type = (uint32_t)PB_GET(match, source_type, 0);
    if (type > ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__EXTERNAL)
        return error_set(c->error, NULL, "source_type: %u is no type", type);
    if (type != 0)
        add_keys(c, criteria, LEVEL_SOURCE_TYPE, 1)[0] = byte_key(c, (uint8_t)type);
    return true;
}

static bool add_protocols(struct chain_builder *c, struct criteria *criteria,
                          const FilterChainMatchMessage *match)
{
    struct slice *keys = add_keys(c, criteria, LEVEL_PROTOCOL, match->n_application_protocols);
    for (size_t i = 0; i < match->n_application_protocols; i++) {
        keys[i] = slice_str(match->application_protocols[i]);
        if (keys[i].size == 0 || keys[i].size > 255)
            return error_set(c->error, NULL,
                             "application_protocols[%zu]: a protocol has 1 to 255 bytes", i);
    }
    return true;
}

static bool read_criteria(struct chain_builder *c, const FilterChainMatchMessage *match,
                          struct criteria *criteria)
{
    *criteria = (struct criteria){0};
    if (!match)
        return true;
    if (!add_ports(c, criteria, match) ||
        !add_prefixes(c, criteria, LEVEL_DESTINATION, "prefix_ranges", match->prefix_ranges,
                      match->n_prefix_ranges) ||
        !add_names(c, criteria, match) || !add_transport(c, criteria, match) ||
        !add_protocols(c, criteria, match) ||
        !add_prefixes(c, criteria, LEVEL_DIRECT_SOURCE, "direct_source_prefix_ranges",
                      match->direct_source_prefix_ranges, match->n_direct_source_prefix_ranges) ||
        !add_source_type(c, criteria, match) ||
        !add_prefixes(c, criteria, LEVEL_SOURCE, "source_prefix_ranges",
                      match->source_prefix_ranges, match->n_source_prefix_ranges))
        return false;
    c->needs_detection = c->needs_detection || criteria->counts[LEVEL_NAME] ||
                         criteria->counts[LEVEL_TRANSPORT] || criteria->counts[LEVEL_PROTOCOL];
    return true;
}

static bool add_leaf(struct chain_builder *c, uint32_t node, int32_t chain)
{
    struct growing_node *leaf = &c->nodes.items[node];
    if (leaf->chain == chain)
        return true; /* a criterion that is written twice */
    if (leaf->chain != CHAIN_NONE)
        return error_set(c->error, NULL, "chains %d ('%s') and %d ('%s') match the same",
                         leaf->chain, pb_str(c->chains[leaf->chain]->name), chain,
                         pb_str(c->chains[chain]->name));
    leaf->chain = chain;
    return true;
}

/* Every combination of the criteria is a path through the tree. Recurses once a level. */
static bool add_paths(struct chain_builder *c, const struct criteria *criteria,
                      enum chain_level level, uint32_t node, int32_t chain)
{
    if (level == LEVEL_CHAIN)
        return add_leaf(c, node, chain);
    if (++c->criteria > CHAIN_CRITERIA_MAX)
        return error_set(c->error, NULL, "there are more than %d combinations of criteria",
                         CHAIN_CRITERIA_MAX);
    if (criteria->counts[level] == 0)
        return add_paths(c, criteria, level + 1, child_of(c, node, SLICE("")), chain);
    for (size_t i = 0; i < criteria->counts[level]; i++) {
        if (!add_paths(c, criteria, level + 1, child_of(c, node, criteria->keys[level][i]), chain))
            return false;
    }
    return true;
}

static uint32_t skip_any(const struct chain_builder *c, uint32_t node)
{
    const struct growing_node *at = &c->nodes.items[node];
    while (at->level != LEVEL_CHAIN && at->branches.count == 1 &&
           at->branches.items[0].key.size == 0) {
        node = at->branches.items[0].node;
        at = &c->nodes.items[node];
    }
    return node;
}

/* Where a branch leads, in the table. */
static int32_t target_of(const struct chain_builder *c, const struct branch *branch)
{
    return c->places[skip_any(c, branch->node)];
}

static void freeze_prefixes(struct chain_builder *c, const struct growing_node *from,
                            struct chain_node *to)
{
    struct cidr_entry *entries = arena_calloc(&c->scratch, from->branches.count, sizeof(*entries));
    size_t count = 0;
    for (size_t i = 0; i < from->branches.count; i++) {
        const struct branch *branch = &from->branches.items[i];
        if (branch->key.size == 0)
            continue;
        memcpy(&entries[count].prefix, branch->key.data, sizeof(entries[count].prefix));
        entries[count++].value = target_of(c, branch);
    }
    cidr_set_build(&to->prefixes, entries, count, c->memory);
}

static bool freeze_names(struct chain_builder *c, const struct growing_node *from,
                         struct chain_node *to)
{
    struct domain_entry *entries =
        arena_calloc(&c->scratch, from->branches.count, sizeof(*entries));
    size_t count = 0;
    for (size_t i = 0; i < from->branches.count; i++) {
        const struct branch *branch = &from->branches.items[i];
        if (branch->key.size > 0)
            entries[count++] = (struct domain_entry){branch->key, target_of(c, branch)};
    }
    return domain_table_build(&to->names, entries, count, c->memory, c->error);
}

static int by_key(const void *a, const void *b)
{
    return slice_compare(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

static void freeze_branches(struct chain_builder *c, const struct growing_node *from,
                            struct chain_node *to)
{
    struct keyed *branches =
        arena_calloc(&c->memory->arena, from->branches.count, sizeof(*branches));
    for (size_t i = 0; i < from->branches.count; i++) {
        const struct branch *branch = &from->branches.items[i];
        if (branch->key.size > 0)
            branches[to->count++] =
                (struct keyed){table_memory_copy(c->memory, branch->key), target_of(c, branch)};
    }
    if (to->count > 0)
        qsort(branches, to->count, sizeof(*branches), by_key);
    to->branches = branches;
}

static bool freeze_node(struct chain_builder *c, const struct growing_node *from,
                        struct chain_node *to)
{
    *to = (struct chain_node){.level = from->level, .any = NODE_NONE, .chain = from->chain};
    for (size_t i = 0; i < from->branches.count; i++) {
        if (from->branches.items[i].key.size == 0)
            to->any = target_of(c, &from->branches.items[i]);
    }
    switch (from->level) {
    case LEVEL_DESTINATION:
    case LEVEL_DIRECT_SOURCE:
    case LEVEL_SOURCE: freeze_prefixes(c, from, to); break;
    case LEVEL_NAME: return freeze_names(c, from, to);
    case LEVEL_PORT:
    case LEVEL_TRANSPORT:
    case LEVEL_PROTOCOL:
    case LEVEL_SOURCE_TYPE:
    case LEVEL_SOURCE_PORT: freeze_branches(c, from, to); break;
    case LEVEL_CHAIN: break;
    }
    return true;
}

static bool freeze(struct chain_builder *c, struct chain_table *table)
{
    int32_t count = 0;
    c->places = arena_calloc(&c->scratch, c->nodes.count, sizeof(*c->places));
    for (size_t i = 0; i < c->nodes.count; i++)
        c->places[i] = skip_any(c, (uint32_t)i) == i ? count++ : NODE_NONE;
    struct chain_node *nodes = arena_calloc(&c->memory->arena, (size_t)count, sizeof(*nodes));
    for (size_t i = 0; i < c->nodes.count; i++) {
        if (c->places[i] != NODE_NONE && !freeze_node(c, &c->nodes.items[i], &nodes[c->places[i]]))
            return false;
    }
    table->nodes = nodes;
    table->root = c->places[skip_any(c, 0)];
    table->needs_detection = c->needs_detection;
    return true;
}

static bool add_chains(struct chain_builder *c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct criteria criteria;
        if (read_criteria(c, c->chains[i]->filter_chain_match, &criteria) &&
            add_paths(c, &criteria, LEVEL_PORT, 0, (int32_t)i))
            continue;
        error_prefix(c->error, "filter_chains[%zu].filter_chain_match", i);
        return false;
    }
    return true;
}

bool chain_table_build(const struct chain_table **out, const FilterChainMessage *const *chains,
                       size_t count, struct table_memory *memory, struct error *error)
{
    if (count > CHAINS_MAX)
        return error_set(error, NULL, "filter_chains: there are %zu, and the limit is %d", count,
                         CHAINS_MAX);
    struct chain_table *table = arena_new(&memory->arena, struct chain_table);
    struct chain_builder c = {
        .children = map_create(), .memory = memory, .error = error, .chains = chains};
    arena_init(&c.scratch, NULL);
    table->root = NODE_NONE;
    add_node(&c, LEVEL_PORT);
    bool ok = add_chains(&c, count) && (count == 0 || freeze(&c, table));
    VECTOR_EACH(node, &c.nodes)
    vector_fini(&node->branches);
    vector_fini(&c.nodes);
    map_destroy(c.children);
    arena_fini(&c.scratch);
    *out = table;
    return ok;
}

static int32_t find_key(const struct chain_node *node, struct slice key)
{
    uint32_t low = 0, high = node->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = slice_compare(node->branches[middle].key, key);
        if (order == 0)
            return node->branches[middle].node;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NODE_NONE;
}

static int32_t find_protocol(const struct chain_node *node, const struct chain_facts *facts)
{
    for (size_t i = 0; i < facts->alpn_count; i++) {
        int32_t found = find_key(node, facts->alpn[i]);
        if (found != NODE_NONE)
            return found;
    }
    return NODE_NONE;
}

static int32_t find_port(const struct chain_node *node, const struct chain_facts *facts,
                         uint16_t port)
{
    return facts->has_ip ? find_key(node, slice_of(&port, sizeof(port))) : NODE_NONE;
}

static int32_t find_address(const struct chain_node *node, const struct chain_facts *facts,
                            const struct ip *ip)
{
    return facts->has_ip ? cidr_set_find(&node->prefixes, ip) : NODE_NONE;
}

static int32_t find_source_type(const struct chain_node *node, const struct chain_facts *facts)
{
    bool is_local = !facts->has_ip || ip_equals(&facts->source, &facts->destination) ||
                    ip_is_loopback(&facts->source);
    uint8_t type =
        is_local
            ? ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__SAME_IP_OR_LOOPBACK
            : ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__EXTERNAL;
    return find_key(node, slice_of(&type, 1));
}

static int32_t find_branch(const struct chain_node *node, const struct chain_facts *facts)
{
    uint8_t transport = (uint8_t)facts->transport;
    switch (node->level) {
    case LEVEL_PORT: return find_port(node, facts, facts->destination_port);
    case LEVEL_DESTINATION: return find_address(node, facts, &facts->destination);
    case LEVEL_NAME:
        return facts->server_name.size > 0 ? domain_table_find(&node->names, facts->server_name)
                                           : NODE_NONE;
    case LEVEL_TRANSPORT: return find_key(node, slice_of(&transport, 1));
    case LEVEL_PROTOCOL: return find_protocol(node, facts);
    case LEVEL_DIRECT_SOURCE: return find_address(node, facts, &facts->direct_source);
    case LEVEL_SOURCE_TYPE: return find_source_type(node, facts);
    case LEVEL_SOURCE: return find_address(node, facts, &facts->source);
    case LEVEL_SOURCE_PORT: return find_port(node, facts, facts->source_port);
    case LEVEL_CHAIN: break;
    }
    return NODE_NONE;
}

int32_t chain_table_find(const struct chain_table *table, const struct chain_facts *facts)
{
    int32_t at = table->root;
    while (at != NODE_NONE) {
        const struct chain_node *node = &table->nodes[at];
        if (node->level == LEVEL_CHAIN)
            return node->chain;
        int32_t next = find_branch(node, facts);
        at = next != NODE_NONE ? next : node->any;
    }
    return CHAIN_NONE;
}

bool chain_table_needs_detection(const struct chain_table *table)
{
    return table->needs_detection;
}
