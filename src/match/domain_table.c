#include "match/domain_table.h"

#include "base/hash.h"
#include "base/memory.h"
#include "match/table_memory.h"

/* Names of one kind in open addressing, at most half full. */
struct domain_slot {
    struct slice name; /* data == NULL: free */
    uint32_t hash;
    int32_t value;
};
struct domain_names {
    uint32_t mask;
    struct domain_slot slots[];
};

enum domain_kind { DOMAIN_EXACT, DOMAIN_SUFFIX, DOMAIN_PREFIX, DOMAIN_ANY, DOMAIN_KINDS };

static inline uint32_t hash_of(struct slice name)
{
    return (uint32_t)hash64(name, 0);
}

static int32_t names_find(const struct domain_names *names, struct slice name)
{
    uint32_t hash = hash_of(name);
    for (uint32_t i = hash & names->mask;; i = (i + 1) & names->mask) {
        const struct domain_slot *slot = &names->slots[i];
        if (!slot->name.data)
            return DOMAIN_NONE;
        if (slot->hash == hash && slice_equals(slot->name, name))
            return slot->value;
    }
}

static struct domain_slot *names_slot(struct domain_names *names, struct slice name)
{
    uint32_t hash = hash_of(name);
    uint32_t i = hash & names->mask;
    while (names->slots[i].name.data && !slice_equals(names->slots[i].name, name))
        i = (i + 1) & names->mask;
    names->slots[i].hash = hash;
    return &names->slots[i];
}

/* What kind of pattern it is, and its fixed part. */
static bool classify(struct slice domain, enum domain_kind *kind, struct slice *fixed,
                     struct error *error)
{
    if (domain.size == 0)
        return error_set(error, NULL, "a domain is empty");
    if (domain.size > DOMAIN_MAX_BYTES)
        return error_set(error, NULL, "the domain '%.64s...' has %zu bytes, and the limit is %d",
                         domain.data, domain.size, DOMAIN_MAX_BYTES);
    size_t star = slice_find_byte(domain, '*');
    *fixed = domain;
    if (star == domain.size) {
        *kind = DOMAIN_EXACT;
        return true;
    }
    if (star == 0) {
        *fixed = slice_from(domain, 1);
        *kind = fixed->size == 0 ? DOMAIN_ANY : DOMAIN_SUFFIX;
    } else {
        *fixed = slice_first(domain, domain.size - 1);
        *kind = DOMAIN_PREFIX;
    }
    if (slice_find_byte(*fixed, '*') != fixed->size)
        return error_set(error, NULL, "the domain '%.*s' has a '*' that is neither first nor last",
                         SLICE_ARG(domain));
    return true;
}

struct table_builder {
    struct domain_names *names[DOMAIN_KINDS];
    uint8_t lengths[DOMAIN_KINDS][DOMAIN_MAX_LENGTHS];
    uint8_t length_counts[DOMAIN_KINDS];
    struct table_memory *memory;
    struct error *error;
};

static bool add_length(struct table_builder *b, enum domain_kind kind, size_t length)
{
    uint8_t *lengths = b->lengths[kind];
    uint8_t count = b->length_counts[kind], at = 0;
    while (at < count && lengths[at] > length)
        at++;
    if (at < count && lengths[at] == length)
        return true;
    if (count == DOMAIN_MAX_LENGTHS)
        return error_set(b->error, NULL, "wildcard domains have more than %d different lengths",
                         DOMAIN_MAX_LENGTHS);
    memmove(lengths + at + 1, lengths + at, (size_t)(count - at));
    lengths[at] = (uint8_t)length;
    b->length_counts[kind]++;
    return true;
}

static bool add(struct table_builder *b, struct domain_table *table,
                const struct domain_entry *entry)
{
    enum domain_kind kind;
    struct slice fixed;
    if (!classify(entry->domain, &kind, &fixed, b->error))
        return false;
    int32_t *value = &table->any;
    if (kind != DOMAIN_ANY) {
        if (kind != DOMAIN_EXACT && !add_length(b, kind, fixed.size))
            return false;
        struct slice name = table_memory_copy_lower(b->memory, fixed);
        struct domain_slot *slot = names_slot(b->names[kind], name);
        if (!slot->name.data)
            *slot = (struct domain_slot){name, slot->hash, DOMAIN_NONE};
        value = &slot->value;
    }
    if (*value != DOMAIN_NONE)
        return error_set(b->error, NULL, "the domain '%.*s' occurs twice",
                         SLICE_ARG(entry->domain));
    *value = entry->value;
    return true;
}

static void make_names(struct table_builder *b, const struct domain_entry *entries, size_t count)
{
    size_t counts[DOMAIN_KINDS] = {0};
    for (size_t i = 0; i < count; i++) {
        enum domain_kind kind;
        struct slice fixed;
        if (classify(entries[i].domain, &kind, &fixed, NULL))
            counts[kind]++;
    }
    for (int kind = DOMAIN_EXACT; kind < DOMAIN_ANY; kind++) {
        if (counts[kind] == 0)
            continue;
        uint32_t size = 4;
        while (size < 2 * counts[kind])
            size *= 2;
        struct domain_names *names =
            arena_calloc(&b->memory->arena, 1, sizeof(*names) + size * sizeof(struct domain_slot));
        names->mask = size - 1;
        b->names[kind] = names;
    }
}

static const uint8_t *keep_lengths(struct table_builder *b, enum domain_kind kind, uint8_t *count)
{
    *count = b->length_counts[kind];
    if (*count == 0)
        return NULL;
    uint8_t *kept = arena_calloc(&b->memory->arena, *count, 1);
    memcpy(kept, b->lengths[kind], *count);
    return kept;
}

bool domain_table_build(struct domain_table *table, const struct domain_entry *entries,
                        size_t count, struct table_memory *memory, struct error *error)
{
    struct table_builder b = {.memory = memory, .error = error};
    *table = (struct domain_table){.any = DOMAIN_NONE};
    make_names(&b, entries, count);
    for (size_t i = 0; i < count; i++) {
        if (!add(&b, table, &entries[i]))
            return false;
    }
    table->exact = b.names[DOMAIN_EXACT];
    table->suffixes = b.names[DOMAIN_SUFFIX];
    table->prefixes = b.names[DOMAIN_PREFIX];
    table->suffix_lengths = keep_lengths(&b, DOMAIN_SUFFIX, &table->suffix_length_count);
    table->prefix_lengths = keep_lengths(&b, DOMAIN_PREFIX, &table->prefix_length_count);
    return true;
}

/* Eight bytes at a time: ASCII letters to lower case, every other byte as it is. */
static inline uint64_t lower8(uint64_t bytes)
{
    uint64_t ascii = ~bytes & 0x8080808080808080u;
    uint64_t seven = bytes & 0x7f7f7f7f7f7f7f7fu;
    uint64_t from_a = seven + 0x3f3f3f3f3f3f3f3fu; /* top bit: at least 'A' */
    uint64_t past_z = seven + 0x2525252525252525u; /* top bit: beyond 'Z' */
    return bytes | (((from_a ^ past_z) & ascii) >> 2);
}

static inline void lower_8(char *to, const char *from)
{
    uint64_t bytes;
    memcpy(&bytes, from, sizeof(bytes));
    bytes = lower8(bytes);
    memcpy(to, &bytes, sizeof(bytes));
}

/* The compiler makes vector instructions of it. */
static inline void lower_16(char *to, const char *from)
{
    uint8_t bytes[16];
    memcpy(bytes, from, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] |= (uint8_t)((uint8_t)(bytes[i] - 'A') < 26 ? 0x20 : 0);
    memcpy(to, bytes, sizeof(bytes));
}

/* The last step overlaps what is done already, so that no length needs a loop over single bytes but the shortest. */
static inline void copy_lower(char *to, struct slice from)
{
    size_t i = 0;
    if (LIKELY(from.size >= 16)) {
        for (; i + 16 < from.size; i += 16)
            lower_16(to + i, from.data + i);
        lower_16(to + from.size - 16, from.data + from.size - 16);
    } else if (from.size >= 8) {
        lower_8(to, from.data);
        lower_8(to + from.size - 8, from.data + from.size - 8);
    } else {
        for (; i < from.size; i++)
            to[i] = (char)(from.data[i] >= 'A' && from.data[i] <= 'Z' ? from.data[i] | 0x20
                                                                      : from.data[i]);
    }
}

static int32_t find_exact(const struct domain_table *table, struct slice host)
{
    return table->exact ? names_find(table->exact, host) : DOMAIN_NONE;
}

static int32_t find_suffix(const struct domain_table *table, struct slice host)
{
    for (uint8_t i = 0; i < table->suffix_length_count; i++) {
        size_t length = table->suffix_lengths[i];
        if (length >= host.size)
            continue;
        int32_t value = names_find(table->suffixes, slice_from(host, host.size - length));
        if (value != DOMAIN_NONE)
            return value;
    }
    return DOMAIN_NONE;
}

static int32_t find_prefix(const struct domain_table *table, struct slice host)
{
    for (uint8_t i = 0; i < table->prefix_length_count; i++) {
        size_t length = table->prefix_lengths[i];
        if (length >= host.size)
            continue;
        int32_t value = names_find(table->prefixes, slice_first(host, length));
        if (value != DOMAIN_NONE)
            return value;
    }
    return DOMAIN_NONE;
}

__attribute__((noinline)) static int32_t find_host(const struct domain_table *table,
                                                   struct slice host)
{
    char lower[DOMAIN_MAX_BYTES + 1];
    copy_lower(lower, host);
    struct slice full = slice_of(lower, host.size), plain = full;
    bool has_dot = full.size > 1 && full.data[full.size - 1] == '.';
    plain.size -= has_dot;

    int32_t value = find_exact(table, full);
    if (value == DOMAIN_NONE && has_dot)
        value = find_exact(table, plain);
    if (value == DOMAIN_NONE)
        value = find_suffix(table, full);
    if (value == DOMAIN_NONE && has_dot)
        value = find_suffix(table, plain);
    if (value == DOMAIN_NONE)
        value = find_prefix(table, plain);
    return value != DOMAIN_NONE ? value : table->any;
}

int32_t domain_table_find(const struct domain_table *table, struct slice host)
{
    bool has_names = table->exact || table->suffix_length_count || table->prefix_length_count;
    if (!has_names || host.size == 0 || host.size > DOMAIN_MAX_BYTES + 1)
        return table->any;
    return find_host(table, host);
}

struct slice host_without_port(struct slice host)
{
    size_t at = host.size;
    while (at > 0 && (unsigned char)(host.data[at - 1] - '0') < 10)
        at--;
    if (LIKELY(at == 0 || host.data[at - 1] != ':'))
        return host;
    struct slice name = slice_first(host, at - 1);
    /* Without brackets, an IPv6 address is all colons, and its last group is no port. */
    if (name.size > 0 && name.data[0] != '[' && memchr(name.data, ':', name.size))
        return host;
    return name;
}
