#include "xds/discovery.h"

#include "base/arena.h"
#include "base/chain.h"
#include "base/error.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "xds/peer.h"

#include "envoy/service/discovery/v3/discovery.pb-c.h"

static const struct slice identifier = {"tulled", 6};

/* The response's bytes, gathered; the caller frees them. */
static struct buffer encode(const struct ads_response *response)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct chain chain = {0};
    struct buffer bytes = {0};
    CHECK(discovery_write_response(response, identifier, &chain, pool));
    CHECK(chain.size == discovery_response_size(response, identifier));
    bytes.size = chain_copy_out(&chain, 0, buffer_reserve(&bytes, chain.size), chain.size);
    chain_fini(&chain);
    block_pool_destroy(pool);
    return bytes;
}

TEST(discovery_delta_response_reads_back)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    struct arena arena;
    struct slice who;
    arena_init(&arena, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1 b=2");
    publish(&p);
    delta_say(&p, RESOURCE_ENDPOINTS, "a b nowhere", NULL, NULL);
    HEARS(&p, "EDS a=1 b=2 -nowhere");

    struct buffer bytes = encode(&p.response);
    struct delta_response response;
    CHECK(discovery_read_delta_response(buffer_slice(&bytes), &arena, &response, &who, NULL));
    CHECK(slice_equals_str(who, "tulled") && slice_equals_str(response.nonce, p.response.nonce));
    CHECK(slice_equals_str(response.type_url, resource_type_url(RESOURCE_ENDPOINTS)));
    CHECK(response.resource_count == 2 && response.removed_count == 1);
    CHECK(slice_equals_str(response.removed[0], "nowhere"));
    CHECK(slice_equals_str(response.resources[1].name, "b") &&
          slice_equals_str(response.resources[1].body, "2"));
    CHECK(slice_equals_str(response.resources[1].version, version_of(&p, RESOURCE_ENDPOINTS, "b")));
    CHECK(slice_equals(response.resources[1].type_url, response.type_url));
    buffer_fini(&bytes);
    arena_fini(&arena);
    peer_close(&p);
}

TEST(discovery_sotw_response_reads_back)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    struct arena arena;
    arena_init(&arena, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=2");
    publish(&p);
    sotw_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1 b=2");

    struct buffer bytes = encode(&p.response);
    const Envoy__Service__Discovery__V3__DiscoveryResponse *m =
        pb_decode(&envoy__service__discovery__v3__discovery_response__descriptor,
                  buffer_slice(&bytes), &arena, NULL, NULL);
    CHECK(m && m->n_resources == 2 && strcmp(m->version_info, p.response.version) == 0);
    CHECK(strcmp(m->nonce, p.response.nonce) == 0 &&
          strcmp(m->control_plane->identifier, "tulled") == 0);
    CHECK(strcmp(m->resources[1]->type_url, resource_type_url(RESOURCE_CLUSTER)) == 0);
    CHECK(slice_equals_str(pb_bytes(m->resources[1]->value), "2"));
    buffer_fini(&bytes);
    arena_fini(&arena);
    peer_close(&p);
}

TEST(discovery_request_of_the_client_is_what_the_server_reads)
{
    struct delta_client *client = delta_client_create(&delta_client_default_limits);
    struct arena arena;
    struct buffer bytes = {0};
    const struct delta_client_request *asked;
    struct delta_request request;
    struct discovery_node node;
    arena_init(&arena, NULL);
    Envoy__Config__Core__V3__Node *us = pb_new(&arena, &envoy__config__core__v3__node__descriptor);
    us->id = "sidecar~10.0.0.1~a.default~default.svc.cluster.local";
    us->user_agent_name = "tulle-proxy";
    struct slice packed = pb_pack_to(&us->base, &arena);

    delta_client_watch_all(client, RESOURCE_CLUSTER);
    delta_client_hold(client, RESOURCE_CLUSTER, SLICE("a"), SLICE("7"));
    delta_client_begin(client);
    CHECK(delta_client_next(client, &asked));
    discovery_write_delta_request(asked, packed, &bytes);
    CHECK(discovery_read_delta_request(buffer_slice(&bytes), &arena, &request, &node, NULL));
    CHECK(node.present && strcmp(node.id, us->id) == 0 &&
          strcmp(node.user_agent, "tulle-proxy") == 0);
    CHECK(strcmp(node.cluster, "") == 0 && slice_equals(node.packed, packed));
    CHECK(slice_equals_str(request.type_url, resource_type_url(RESOURCE_CLUSTER)));
    CHECK(request.subscribe_count == 0 && request.held_count == 1 && !request.error &&
          request.nonce.size == 0);
    CHECK(slice_equals_str(request.held[0].name, "a") &&
          slice_equals_str(request.held[0].version, "7"));

    struct delta_response strange = {.type_url = SLICE("x"), .nonce = SLICE("n1")};
    struct delta_update update;
    CHECK(!delta_client_read(client, &strange, &update) && delta_client_next(client, &asked));
    buffer_reset(&bytes);
    discovery_write_delta_request(asked, SLICE_NONE, &bytes);
    CHECK(discovery_read_delta_request(buffer_slice(&bytes), &arena, &request, &node, NULL));
    CHECK(!node.present && request.error &&
          slice_equals_str(*request.error, "type x was not asked for"));
    CHECK(slice_equals_str(request.nonce, "n1"));
    buffer_fini(&bytes);
    arena_fini(&arena);
    delta_client_destroy(client);
}

static const struct {
    const char *name;
    struct slice bytes;
} malformed[] = {
    {"truncated varint", SLICE("\x12\x80")},
    {"varint of 11 bytes", SLICE("\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
    {"longer than what is left", SLICE("\x12\x05"
                                       "ab")},
    {"field 0", SLICE("\x02\x01"
                      "a")},
    {"wrong wire type", SLICE("\x10\x01")},
    {"end of a group", SLICE("\x14")},
    {"NUL in a string", SLICE("\x12\x02"
                              "a\0")},
};

TEST(discovery_refuses_malformed_messages)
{
    EACH (m, malformed) {
        struct arena arena;
        struct delta_request delta;
        struct sotw_request sotw;
        struct delta_response response;
        struct discovery_node node;
        struct slice who;
        arena_init(&arena, NULL);
        owned_error error = {0};
        CHECK(!discovery_read_delta_request(m->bytes, &arena, &delta, &node, &error) &&
                  error_is_set(&error),
              "%s", m->name);
        CHECK(!discovery_read_sotw_request(m->bytes, &arena, &sotw, &node, NULL) ||
                  m->bytes.data[0] == 0x12,
              "%s", m->name);
        CHECK(!discovery_read_delta_response(m->bytes, &arena, &response, &who, NULL), "%s",
              m->name);
        arena_fini(&arena);
    }
}

TEST(discovery_refuses_a_request_one_byte_too_long)
{
    struct arena arena;
    struct delta_request request;
    struct discovery_node node;
    char *bytes = mem_calloc(1, DISCOVERY_REQUEST_MAX + 1);
    /* One string field that fills the message. */
    for (size_t total = DISCOVERY_REQUEST_MAX; total <= DISCOVERY_REQUEST_MAX + 1; total++) {
        size_t length = total - 5;
        char head[] = {0x12, (char)(length | 0x80), (char)(length >> 7 | 0x80),
                       (char)(length >> 14 | 0x80), (char)(length >> 21)};
        memset(bytes, 'x', total);
        memcpy(bytes, head, sizeof(head));
        arena_init(&arena, NULL);
        bool read =
            discovery_read_delta_request(slice_of(bytes, total), &arena, &request, &node, NULL);
        CHECK(read == (total == DISCOVERY_REQUEST_MAX), "%zu", total);
        arena_fini(&arena);
    }
    mem_free(bytes);
}

TEST(discovery_reads_either_form_of_a_program_version)
{
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    Envoy__Config__Core__V3__BuildVersion build = ENVOY__CONFIG__CORE__V3__BUILD_VERSION__INIT;
    Envoy__Type__V3__SemanticVersion version = ENVOY__TYPE__V3__SEMANTIC_VERSION__INIT;
    Envoy__Service__Discovery__V3__DeltaDiscoveryRequest request =
        ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
    char text[] = "0.1.0";
    PB_SET(&version, major_number, 1);
    PB_SET(&version, minor_number, 40);
    PB_SET(&version, patch, 2);
    build.version = &version;
    request.node = &node;
    for (int form = 0; form < 2; form++) {
        struct arena arena;
        arena_init(&arena, NULL);
        struct discovery_node read;
        struct delta_request delta;
        if (form == 0) {
            node.user_agent_version_type_case =
                ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION;
            node.user_agent_version = text;
        } else {
            node.user_agent_version_type_case =
                ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_BUILD_VERSION;
            node.user_agent_build_version = &build;
        }
        CHECK(discovery_read_delta_request(pb_pack_to(&request.base, &arena), &arena, &delta, &read,
                                           NULL));
        CHECK(strcmp(read.user_agent_version, form == 0 ? "0.1.0" : "1.40.2") == 0);
        arena_fini(&arena);
    }
}
