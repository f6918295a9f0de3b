#include "test.h"

#include "base/memory.h"
#include "base/random.h"
#include "build/chain_table.h"
#include "build/yaml.h"
#include "match/ip.h"
#include "match/table_memory.h"

typedef Envoy__Config__Listener__V3__FilterChain Chain;
typedef Envoy__Config__Listener__V3__FilterChainMatch Match;

struct fixture {
    struct arena arena;
    struct table_memory memory;
    const struct chain_table *table;
    const Chain *chains[64];
};

static bool make(struct fixture *f, const char *const *matches, size_t count, struct error *error)
{
    arena_init(&f->arena, NULL);
    table_memory_init(&f->memory);
    for (size_t i = 0; i < count; i++) {
        owned_str text = str_format("{name: c%zu, filter_chain_match: {%s}}", i, matches[i]);
        f->chains[i] =
            from_yaml(&f->arena, &envoy__config__listener__v3__filter_chain__descriptor, text);
    }
    return chain_table_build(&f->table, f->chains, count, &f->memory, error);
}

static void unmake(struct fixture *f)
{
    table_memory_fini(&f->memory);
    arena_fini(&f->arena);
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    CHECK(ip_parse(slice_str(text), &ip), "%s", text);
    return ip;
}

static const struct slice h2_then_istio[] = {{"h2", 2}, {"istio", 5}};

TEST(chain_table_follows_the_order_of_criteria)
{
    static const char *const matches[] = {
        "",
        "destination_port: 80",
        "destination_port: 80, prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]",
        "destination_port: 80, prefix_ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}]",
        "server_names: [a.example.com, '*.example.com']",
        "server_names: ['*.com'], transport_protocol: tls",
        "transport_protocol: tls, application_protocols: [istio]",
        "transport_protocol: tls",
        "source_type: SAME_IP_OR_LOOPBACK",
        ("source_prefix_ranges: [{address_prefix: 192.168.0.0, prefix_len: 16}], source_ports: [1, "
         "2]"),
        "direct_source_prefix_ranges: [{address_prefix: 172.16.0.0, prefix_len: 12}]",
    };
    static const struct {
        uint16_t port;
        const char *destination, *source, *direct;
        uint16_t source_port;
        enum chain_transport transport;
        const char *server_name;
        size_t alpn_count;
        int32_t chain;
    } cases[] = {
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_RAW, "", 0, 0},
        {80, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_RAW, "", 0, 1},
        {80, "10.9.0.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_RAW, "", 0, 2},
        {80, "10.1.0.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_TLS, "a.example.com", 0, 3},
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_TLS, "a.example.com", 0, 4},
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_TLS, "b.example.com", 0, 4},
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_TLS, "example.com", 0, 5},
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_RAW, "example.com", 0, CHAIN_NONE},
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_TLS, "", 2, 6},
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_TLS, "", 1, 7},
        {443, "1.1.1.1", "9.9.9.9", "9.9.9.9", 7, CHAIN_TLS, "x.org", 0, 7},
        {443, "1.1.1.1", "127.0.0.1", "9.9.9.9", 7, CHAIN_RAW, "", 0, 8},
        {443, "1.1.1.1", "1.1.1.1", "9.9.9.9", 7, CHAIN_RAW, "", 0, 8},
        {443, "1.1.1.1", "192.168.1.1", "9.9.9.9", 2, CHAIN_RAW, "", 0, 9},
        {443, "1.1.1.1", "192.168.1.1", "9.9.9.9", 3, CHAIN_RAW, "", 0, CHAIN_NONE},
        {443, "1.1.1.1", "9.9.9.9", "172.16.0.9", 7, CHAIN_RAW, "", 0, 10},
    };
    struct fixture f;
    struct error error = {0};
    CHECK(make(&f, matches, COUNT(matches), &error), "%s", error.what);
    CHECK(chain_table_needs_detection(f.table));
    EACH (row, cases) {
        struct chain_facts facts = {
            .destination = ip_of(row->destination),
            .destination_port = row->port,
            .source = ip_of(row->source),
            .direct_source = ip_of(row->direct),
            .source_port = row->source_port,
            .has_ip = true,
            .transport = row->transport,
            .server_name = slice_str(row->server_name),
            .alpn = h2_then_istio,
            .alpn_count = row->alpn_count,
        };
        CHECK(chain_table_find(f.table, &facts) == row->chain, "row %zu gives %d",
              (size_t)(row - cases), chain_table_find(f.table, &facts));
    }
    unmake(&f);
}

TEST(chain_table_without_chains_finds_none)
{
    struct fixture f;
    CHECK(make(&f, NULL, 0, NULL));
    struct chain_facts facts = {0};
    CHECK(chain_table_find(f.table, &facts) == CHAIN_NONE && !chain_table_needs_detection(f.table));
    unmake(&f);
}

TEST(chain_table_of_a_unix_socket_matches_any_address)
{
    static const char *const matches[] = {"destination_port: 80", "transport_protocol: raw_buffer"};
    struct fixture f;
    CHECK(make(&f, matches, 2, NULL));
    struct chain_facts facts = {.destination_port = 80, .transport = CHAIN_RAW};
    CHECK(chain_table_find(f.table, &facts) == 1);
    unmake(&f);
}

TEST(chain_table_refuses_equal_matches)
{
    static const char *const same[][2] = {
        {"", ""},
        {"server_names: [a, b]", "server_names: [B]"},
        {"destination_port: 80, application_protocols: [h2]",
         "application_protocols: [h2, x], destination_port: 80"},
        {"prefix_ranges: [{address_prefix: 10.0.0.1, prefix_len: 8}]",
         "prefix_ranges: [{address_prefix: 10.9.9.9, prefix_len: 8}]"},
    };
    EACH (pair, same) {
        struct fixture f;
        struct error error = {0};
        bool ok = make(&f, *pair, 2, &error);
        CHECK_REFUSED(ok, &error, "chains 0 ('c0') and 1 ('c1') match the same", (*pair)[0]);
        unmake(&f);
    }
    static const char *const one[] = {"server_names: [a, A, a]"};
    struct fixture f;
    CHECK(make(&f, one, 1, NULL), "twice in one chain is harmless");
    unmake(&f);
}

/* Envoy's rule, written without any table: at each criterion keep the most specific of what is left. */
static bool keeps_port(const Match *m, const struct chain_facts *facts, bool specific)
{
    return specific ? m->destination_port && m->destination_port->value == facts->destination_port
                    : !m->destination_port;
}

static bool keeps_transport(const Match *m, const struct chain_facts *facts, bool specific)
{
    const char *wanted = facts->transport == CHAIN_TLS ? "tls" : "raw_buffer";
    bool any = !m->transport_protocol || !*m->transport_protocol;
    return specific ? !any && strcmp(m->transport_protocol, wanted) == 0 : any;
}

static bool keeps_name(const Match *m, const struct chain_facts *facts, bool specific)
{
    if (!specific)
        return m->n_server_names == 0;
    for (size_t i = 0; i < m->n_server_names; i++) {
        if (slice_equals_str(facts->server_name, m->server_names[i]))
            return true;
    }
    return false;
}

static bool keeps_protocol(const Match *m, const struct chain_facts *facts, bool specific)
{
    if (!specific)
        return m->n_application_protocols == 0;
    for (size_t i = 0; i < m->n_application_protocols && facts->alpn_count > 0; i++) {
        if (slice_equals_str(facts->alpn[0], m->application_protocols[i]))
            return true;
    }
    return false;
}

static bool keeps_type(const Match *m, const struct chain_facts *facts, bool specific)
{
    int type = ip_is_loopback(&facts->source) ? 1 : 2;
    int wanted = m->has_source_type ? (int)m->source_type : 0;
    return specific ? wanted == type : wanted == 0;
}

static int32_t find_slowly(const struct fixture *f, size_t count, const struct chain_facts *facts)
{
    static bool (*const levels[])(const Match *, const struct chain_facts *, bool) = {
        keeps_port, keeps_name, keeps_transport, keeps_protocol, keeps_type};
    bool left[64];
    for (size_t i = 0; i < count; i++)
        left[i] = true;
    EACH (level, levels) {
        bool has_specific = false;
        for (size_t i = 0; i < count; i++)
            has_specific = has_specific ||
                           (left[i] && (*level)(f->chains[i]->filter_chain_match, facts, true));
        for (size_t i = 0; i < count; i++)
            left[i] = left[i] && (*level)(f->chains[i]->filter_chain_match, facts, has_specific);
    }
    for (size_t i = 0; i < count; i++) {
        if (left[i])
            return (int32_t)i;
    }
    return CHAIN_NONE;
}

TEST(chain_table_equals_the_rule)
{
    static const char *const ports[] = {"", "destination_port: 1, ", "destination_port: 2, "};
    static const char *const names[] = {"", "server_names: [a], ", "server_names: [b, c], "};
    static const char *const transports[] = {"", "transport_protocol: tls, ",
                                             "transport_protocol: raw_buffer, "};
    static const char *const protocols[] = {"", "application_protocols: [h2], ",
                                            "application_protocols: [x, h2c], "};
    static const char *const types[] = {"", "source_type: EXTERNAL",
                                        "source_type: SAME_IP_OR_LOOPBACK"};
    static const struct slice server_names[] = {{"", 0}, {"a", 1}, {"c", 1}, {"d", 1}},
                              alpns[] = {{"h2", 2}, {"h2c", 3}, {"y", 1}};
    struct random random;
    random_seed(&random, 21);
    for (int round = 0; round < 150; round++) {
        struct fixture f;
        char *texts[40];
        uint32_t used[40];
        size_t count = random_below(&random, COUNT(texts)), kept = 0;
        for (size_t i = 0; i < count; i++) {
            uint32_t code = (uint32_t)random_below(&random, 243);
            bool known = false;
            for (size_t k = 0; k < kept; k++)
                known = known || used[k] == code;
            if (known)
                continue;
            used[kept] = code;
            texts[kept++] =
                str_format("%s%s%s%s%s", ports[code % 3], names[code / 3 % 3],
                           transports[code / 9 % 3], protocols[code / 27 % 3], types[code / 81]);
        }
        struct error error = {0};
        CHECK(make(&f, (const char *const *)texts, kept, &error), "%s", error.what);
        for (int probe = 0; probe < 60; probe++) {
            struct chain_facts facts = {
                .destination = ip_of("10.0.0.1"),
                .destination_port = (uint16_t)random_below(&random, 4),
                .source = ip_of(random_below(&random, 2) ? "127.0.0.1" : "10.0.0.2"),
                .has_ip = true,
                .transport = random_below(&random, 2) ? CHAIN_TLS : CHAIN_RAW,
                .server_name = server_names[random_below(&random, 4)],
                .alpn = &alpns[random_below(&random, 3)],
                .alpn_count = random_below(&random, 2)};
            CHECK(chain_table_find(f.table, &facts) == find_slowly(&f, kept, &facts),
                  "round %d, probe %d", round, probe);
        }
        unmake(&f);
        for (size_t i = 0; i < kept; i++)
            mem_free(texts[i]);
    }
}
