/* Domains and a host: the table's answer is that of the plain rules, written again here. */
#include "base/error.h"
#include "match/domain_table.h"
#include "match/table_memory.h"

#include <stdlib.h>

enum { DOMAINS = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fits(struct slice domain, struct slice host, int kind)
{
    struct slice fixed = domain;
    switch (kind) {
    case 0: return slice_find_byte(domain, '*') == domain.size && slice_equals_nocase(domain, host);
    case 1:
        if (domain.size < 2 || domain.data[0] != '*')
            return false;
        fixed = slice_from(domain, 1);
        return host.size > fixed.size &&
               slice_equals_nocase(slice_from(host, host.size - fixed.size), fixed);
    case 2:
        if (domain.size < 2 || domain.data[domain.size - 1] != '*')
            return false;
        fixed = slice_first(domain, domain.size - 1);
        return host.size > fixed.size && slice_equals_nocase(slice_first(host, fixed.size), fixed);
    default: return slice_equals(domain, SLICE("*"));
    }
}

static int32_t best(const struct domain_entry *entries, size_t count, struct slice host, int kind)
{
    int32_t value = DOMAIN_NONE;
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        if (fits(entries[i].domain, host, kind) && entries[i].domain.size > length) {
            value = entries[i].value;
            length = entries[i].domain.size;
        }
    }
    return value;
}

static int32_t slowly(const struct domain_entry *entries, size_t count, struct slice host)
{
    struct slice plain = host;
    int32_t value = DOMAIN_NONE;
    if (host.size > 1 && host.data[host.size - 1] == '.')
        plain.size--;
    if (host.size == 0 || host.size > DOMAIN_MAX_BYTES + 1)
        return best(entries, count, SLICE("x"), 3);
    for (int kind = 0; kind < 2 && value == DOMAIN_NONE; kind++) {
        value = best(entries, count, host, kind);
        if (value == DOMAIN_NONE)
            value = best(entries, count, plain, kind);
    }
    if (value == DOMAIN_NONE)
        value = best(entries, count, plain, 2);
    return value != DOMAIN_NONE ? value : best(entries, count, host, 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), host;
    struct domain_entry entries[DOMAINS];
    size_t count = 0;
    if (!slice_cut(rest, '\n', &host, &rest))
        return 0;
    while (rest.size > 0 && count < DOMAINS) {
        slice_cut(rest, '\n', &entries[count].domain, &rest);
        entries[count].value = (int32_t)count;
        count++;
    }
    struct table_memory memory;
    struct domain_table table;
    owned_error error = {0};
    table_memory_init(&memory);
    if (domain_table_build(&table, entries, count, &memory, &error)) {
        if (domain_table_find(&table, host) != slowly(entries, count, host))
            abort();
    } else if (!error.what) {
        abort();
    }
    table_memory_fini(&memory);
    struct slice without = host_without_port(host);
    if (without.size > host.size || (host.size > 0 && without.data != host.data))
        abort();
    return 0;
}
