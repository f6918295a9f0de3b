#include "test.h"

#include "base/memory.h"
#include "base/random.h"
#include "match/cidr_set.h"
#include "match/table_memory.h"

static int32_t find(const struct cidr_set *set, const char *text)
{
    struct ip ip;
    CHECK(ip_parse(slice_str(text), &ip), "%s", text);
    return cidr_set_find(set, &ip);
}

TEST(cidr_set_takes_the_longest_prefix)
{
    static const char *const texts[] = {"0.0.0.0/0",         "10.0.0.0/8",      "10.1.0.0/16",
                                        "10.1.0.0/16",       "10.1.255.255/32", "fd00::/8",
                                        "255.255.255.255/32"};
    struct cidr_entry entries[COUNT(texts)];
    for (size_t i = 0; i < COUNT(texts); i++) {
        CHECK(ip_prefix_parse(slice_str(texts[i]), &entries[i].prefix));
        entries[i].value = (int32_t)i;
    }
    struct table_memory memory;
    struct cidr_set set;
    table_memory_init(&memory);
    cidr_set_build(&set, entries, COUNT(entries), &memory);
    CHECK(find(&set, "9.255.255.255") == 0);
    CHECK(find(&set, "10.0.0.0") == 1);
    CHECK(find(&set, "10.1.0.0") == 2, "the first of two equal prefixes");
    CHECK(find(&set, "10.1.255.254") == 2);
    CHECK(find(&set, "10.1.255.255") == 4);
    CHECK(find(&set, "10.2.0.0") == 1);
    CHECK(find(&set, "11.0.0.0") == 0);
    CHECK(find(&set, "255.255.255.255") == 6);
    CHECK(find(&set, "fd12::1") == 5);
    CHECK(find(&set, "fe00::1") == CIDR_NONE);
    CHECK(find(&set, "::1") == CIDR_NONE);
    table_memory_fini(&memory);
}

TEST(cidr_set_of_nothing_holds_nothing)
{
    struct table_memory memory;
    struct cidr_set set;
    table_memory_init(&memory);
    cidr_set_build(&set, NULL, 0, &memory);
    CHECK(find(&set, "10.0.0.1") == CIDR_NONE);
    table_memory_fini(&memory);
}

static int32_t find_slowly(const struct cidr_entry *entries, size_t count, const struct ip *ip)
{
    int32_t best = CIDR_NONE;
    int bits = -1;
    for (size_t i = 0; i < count; i++) {
        if (ip_prefix_holds(&entries[i].prefix, ip) && entries[i].prefix.bits > bits) {
            best = entries[i].value;
            bits = entries[i].prefix.bits;
        }
    }
    return best;
}

/* Few distinct bits, so that prefixes nest and touch. */
static struct ip random_ip(struct random *random)
{
    struct ip ip = {{0}};
    for (size_t i = 0; i < 16; i++)
        ip.bytes[i] = (uint8_t)(random_below(random, 4) * 0x55);
    return ip;
}

TEST(cidr_set_equals_the_slow_search)
{
    struct random random;
    random_seed(&random, 7);
    for (int round = 0; round < 200; round++) {
        struct cidr_entry entries[40];
        size_t count = random_below(&random, COUNT(entries) + 1);
        for (size_t i = 0; i < count; i++) {
            struct ip ip = random_ip(&random);
            CHECK(ip_prefix_make(&ip, (uint32_t)random_below(&random, ip_is_v4(&ip) ? 33 : 129),
                                 &entries[i].prefix));
            entries[i].value = (int32_t)i;
        }
        struct table_memory memory;
        struct cidr_set set;
        table_memory_init(&memory);
        cidr_set_build(&set, entries, count, &memory);
        for (int probe = 0; probe < 100; probe++) {
            struct ip ip = random_ip(&random);
            if (count > 0 && probe % 2) /* near an edge */
                ip = entries[random_below(&random, count)].prefix.ip;
            CHECK(cidr_set_find(&set, &ip) == find_slowly(entries, count, &ip), "round %d", round);
        }
        table_memory_fini(&memory);
    }
}
