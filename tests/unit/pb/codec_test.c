#include "test.h"

#include "base/memory.h"
#include "pb/any.h"
#include "pb/codec.h"
#include "pb/message.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/core/v3/core.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "istio/nds.pb-c.h"

#define CLUSTER &envoy__config__cluster__v3__cluster__descriptor
typedef Envoy__Config__Cluster__V3__Cluster Cluster;
typedef Istio__Networking__Nds__V1__NameTable NameTable;
#define NAME_TABLE &istio__networking__nds__v1__name_table__descriptor
#define NAME_ENTRY &istio__networking__nds__v1__name_table__table_entry__descriptor
#define NAME_INFO &istio__networking__nds__v1__name_table__name_info__descriptor

static char *hex(struct slice bytes)
{
    char *text = mem_alloc(2 * bytes.size + 1);
    for (size_t i = 0; i < bytes.size; i++)
        sprintf(text + 2 * i, "%02x", (unsigned char)bytes.data[i]);
    text[2 * bytes.size] = '\0';
    return text;
}

TEST(codec_reads_back_what_it_wrote)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Cluster *cluster = pb_new(&arena, CLUSTER);
    cluster->name = (char *)"outbound|80||cart";
    cluster->connect_timeout = pb_duration_new(&arena, 250);
    cluster->cluster_discovery_type_case =
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    cluster->type = ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC;
    struct slice bytes = pb_pack_to(&cluster->base, &arena);
    owned_error error = {0};
    Cluster *read = pb_decode(CLUSTER, bytes, &arena, NULL, &error);
    CHECK(read, "%s", error.what);
    CHECK(strcmp(read->name, cluster->name) == 0, "%s", read->name);
    CHECK(pb_duration_ms(read->connect_timeout, 0) == 250, "timeout");
    /* STATIC is zero, but a oneof's member is there all the same. */
    CHECK(read->cluster_discovery_type_case ==
              ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE,
          "type");
    CHECK(pb_equal(&read->base, &cluster->base), "equal");
    arena_fini(&arena);
}

TEST(codec_packs_as_protobuf_c_does_when_nothing_needs_sorting)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Envoy__Config__Route__V3__RouteAction *action =
        pb_new(&arena, &envoy__config__route__v3__route_action__descriptor);
    action->cluster_specifier_case =
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
    action->cluster = (char *)"cart";
    action->timeout = pb_duration_new(&arena, -1500);
    Envoy__Config__Route__V3__RetryPolicy *retry =
        pb_new(&arena, &envoy__config__route__v3__retry_policy__descriptor);
    retry->num_retries = pb_u32_new(&arena, 4294967295u);
    PB_SET(retry, host_selection_retry_max_attempts, -5);
    for (uint32_t code = 500; code < 505; code++)
        PB_APPEND(&arena, retry, retriable_status_codes, code);
    action->retry_policy = retry;
    struct slice ours = pb_pack_to(&action->base, &arena);
    size_t size = protobuf_c_message_get_packed_size(&action->base);
    uint8_t *theirs = arena_calloc(&arena, 1, size);
    protobuf_c_message_pack(&action->base, theirs);
    CHECK(slice_equals(ours, slice_of(theirs, size)), "%s", hex(ours));
    arena_fini(&arena);
}

static void put_name(struct arena *arena, NameTable *table, const char *key, const char *registry)
{
    Istio__Networking__Nds__V1__NameTable__NameInfo *info = pb_new(arena, NAME_INFO);
    info->registry = (char *)(uintptr_t)registry;
    PB_PUT(arena, table, table, NAME_ENTRY, (char *)(uintptr_t)key, info);
}

TEST(codec_sorts_maps_and_keeps_the_last_of_equal_keys)
{
    struct arena arena;
    arena_init(&arena, NULL);
    NameTable *one = pb_new(&arena, NAME_TABLE), *other = pb_new(&arena, NAME_TABLE);
    put_name(&arena, one, "b", "old");
    put_name(&arena, one, "c", "x");
    put_name(&arena, one, "a", "y");
    put_name(&arena, one, "b", "new");
    put_name(&arena, other, "a", "y");
    put_name(&arena, other, "b", "new");
    put_name(&arena, other, "c", "x");
    CHECK(pb_equal(&one->base, &other->base), "equal");
    CHECK(hash128_equals(pb_hash(&one->base), pb_hash(&other->base)), "same hash");
    owned_error error = {0};
    NameTable *read = pb_decode(NAME_TABLE, pb_pack_to(&one->base, &arena), &arena, NULL, &error);
    CHECK(read && read->n_table == 3, "three are left");
    CHECK(strcmp(read->table[1]->key, "b") == 0 &&
              strcmp(read->table[1]->value->registry, "new") == 0,
          "in order");
    arena_fini(&arena);
}

TEST(codec_writes_the_key_and_value_of_an_entry_even_when_empty)
{
    struct arena arena;
    arena_init(&arena, NULL);
    NameTable *table = pb_new(&arena, NAME_TABLE);
    PB_PUT(&arena, table, table, NAME_ENTRY, NULL, NULL);
    char *text = hex(pb_pack_to(&table->base, &arena));
    CHECK(strcmp(text, "0a040a001200") == 0, "%s", text);
    mem_free(text);
    arena_fini(&arena);
}

TEST(codec_drops_zeros_without_presence_and_keeps_those_with)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Envoy__Config__Core__V3__SocketAddress *address =
        pb_new(&arena, &envoy__config__core__v3__socket_address__descriptor);
    PB_SET(address, protocol, ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PROTOCOL__TCP);
    address->address = (char *)"";
    CHECK(pb_pack_to(&address->base, &arena).size == 0, "implicit zeros");
    address->port_specifier_case =
        ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
    address->port_value = 0;
    char *text = hex(pb_pack_to(&address->base, &arena));
    CHECK(strcmp(text, "1800") == 0, "a oneof's zero: %s", text);
    mem_free(text);
    arena_fini(&arena);
}

TEST(codec_keeps_unknown_fields_and_writes_them_last)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct slice bytes = SLICE("\xfa\x7f\x02hi\x0a\x01"
                               "n\xf8\x7f\x05");
    owned_error error = {0};
    Cluster *cluster = pb_decode(CLUSTER, bytes, &arena, NULL, &error);
    CHECK(cluster && cluster->base.n_unknown_fields == 2, "kept");
    char *text = hex(pb_pack_to(&cluster->base, &arena));
    CHECK(strcmp(text, "0a016efa7f026869f87f05") == 0, "%s", text);
    mem_free(text);
    arena_fini(&arena);
}

TEST(codec_packs_an_empty_message_to_nothing)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Cluster *cluster = pb_new(&arena, CLUSTER);
    struct buffer out = {0};
    pb_pack(&cluster->base, &out);
    CHECK(out.size == 0, "%zu", out.size);
    CHECK(pb_pack_to(&cluster->base, &arena).size == 0, "in an arena");
    owned_error error = {0};
    CHECK(pb_decode(CLUSTER, SLICE_NONE, &arena, NULL, &error), "and back");
    buffer_fini(&out);
    arena_fini(&arena);
}

TEST(codec_lets_a_decoded_list_grow)
{
    struct arena arena;
    arena_init(&arena, NULL);
    for (size_t count = 0; count < 20; count++) {
        Envoy__Config__Route__V3__VirtualHost *host =
            pb_new(&arena, &envoy__config__route__v3__virtual_host__descriptor);
        for (size_t i = 0; i < count; i++)
            PB_APPEND(&arena, host, domains, arena_format(&arena, "d%zu", i));
        owned_error error = {0};
        host = pb_decode(&envoy__config__route__v3__virtual_host__descriptor,
                         pb_pack_to(&host->base, &arena), &arena, NULL, &error);
        char *after = arena_format(&arena, "after");
        PB_APPEND(&arena, host, domains, arena_format(&arena, "last"));
        CHECK(strcmp(after, "after") == 0 && host->n_domains == count + 1, "of %zu", count);
        for (size_t i = 0; i < count; i++)
            CHECK(atoi(host->domains[i] + 1) == (int)i, "of %zu", count);
    }
    arena_fini(&arena);
}
