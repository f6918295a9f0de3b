#include "xds/discovery.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/chain.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "xds/blob.h"
#include "xds/wire.h"

#include "envoy/service/discovery/v3/discovery.pb-c.h"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest delta_message;
typedef Envoy__Service__Discovery__V3__DiscoveryRequest sotw_message;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse delta_answer;
typedef Envoy__Config__Core__V3__Node node_message;

static const struct pb_limits request_limits = {
    .max_bytes = DISCOVERY_REQUEST_MAX,
    .max_depth = PB_MAX_DEPTH,
    .max_memory = DISCOVERY_REQUEST_MEMORY_MAX,
};

static const struct slice *slices_of(struct arena *arena, char *const *strings, size_t count)
{
    struct slice *slices = arena_calloc(arena, count + 1, sizeof(*slices));
    for (size_t i = 0; i < count; i++)
        slices[i] = slice_str(strings[i]);
    return slices;
}

static const struct slice *error_of(struct arena *arena, const Google__Rpc__Status *status)
{
    if (!status)
        return NULL;
    struct slice *error = arena_new(arena, struct slice);
    *error = slice_str(pb_str(status->message));
    return error;
}

/* Envoy says it in numbers, others as a text. */
static const char *user_agent_version(struct arena *arena, const node_message *message)
{
    switch (message->user_agent_version_type_case) {
    case ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION:
        return pb_str(message->user_agent_version);
    case ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_BUILD_VERSION: {
        const Envoy__Type__V3__SemanticVersion *v = message->user_agent_build_version->version;
        return v ? arena_format(arena, "%u.%u.%u", v->major_number, v->minor_number, v->patch) : "";
    }
    default: return "";
    }
}

static void read_node(struct arena *arena, const node_message *message, struct discovery_node *node)
{
    *node = (struct discovery_node){
        .id = "", .cluster = "", .user_agent = "", .user_agent_version = ""};
    if (!message)
        return;
    node->present = true;
    node->packed = pb_pack_to(&message->base, arena);
    node->id = pb_str(message->id);
    node->cluster = pb_str(message->cluster);
    node->user_agent = pb_str(message->user_agent_name);
    node->user_agent_version = user_agent_version(arena, message);
}

bool discovery_read_delta_request(struct slice bytes, struct arena *arena,
                                  struct delta_request *request, struct discovery_node *node,
                                  struct error *error)
{
    const delta_message *m =
        pb_decode(&envoy__service__discovery__v3__delta_discovery_request__descriptor, bytes, arena,
                  &request_limits, error);
    if (!m)
        return false;
    struct name_version *held =
        arena_calloc(arena, m->n_initial_resource_versions + 1, sizeof(*held));
    for (size_t i = 0; i < m->n_initial_resource_versions; i++) {
        held[i].name = slice_str(pb_str(m->initial_resource_versions[i]->key));
        held[i].version = slice_str(pb_str(m->initial_resource_versions[i]->value));
    }
    *request = (struct delta_request){
        .type_url = slice_str(pb_str(m->type_url)),
        .subscribe = slices_of(arena, m->resource_names_subscribe, m->n_resource_names_subscribe),
        .subscribe_count = m->n_resource_names_subscribe,
        .unsubscribe =
            slices_of(arena, m->resource_names_unsubscribe, m->n_resource_names_unsubscribe),
        .unsubscribe_count = m->n_resource_names_unsubscribe,
        .held = held,
        .held_count = m->n_initial_resource_versions,
        .nonce = slice_str(pb_str(m->response_nonce)),
        .error = error_of(arena, m->error_detail),
    };
    read_node(arena, m->node, node);
    return true;
}

bool discovery_read_sotw_request(struct slice bytes, struct arena *arena,
                                 struct sotw_request *request, struct discovery_node *node,
                                 struct error *error)
{
    const sotw_message *m = pb_decode(&envoy__service__discovery__v3__discovery_request__descriptor,
                                      bytes, arena, &request_limits, error);
    if (!m)
        return false;
    *request = (struct sotw_request){
        .type_url = slice_str(pb_str(m->type_url)),
        .names = slices_of(arena, m->resource_names, m->n_resource_names),
        .name_count = m->n_resource_names,
        .version = slice_str(pb_str(m->version_info)),
        .nonce = slice_str(pb_str(m->response_nonce)),
        .error = error_of(arena, m->error_detail),
    };
    read_node(arena, m->node, node);
    return true;
}

/* The server's responses. The numbers of control_plane and of what stands where differ between the variants. */

static size_t tail_size(const struct ads_response *r, struct slice identifier)
{
    size_t size = wire_field_size(strlen(r->version)) +
                  wire_field_size(strlen(resource_type_url(r->type))) +
                  wire_field_size(strlen(r->nonce));
    if (identifier.size > 0)
        size += wire_field_size(wire_field_size(identifier.size));
    return size;
}

size_t discovery_response_size(const struct ads_response *r, struct slice identifier)
{
    size_t size = tail_size(r, identifier);
    VECTOR_EACH(blob, &r->blobs)
    size += r->variant == ADS_DELTA ? wire_field_size(blob_wire(*blob).size)
                                    : blob_any_field(*blob).size;
    VECTOR_EACH(blob, &r->removed)
    size += wire_field_size((*blob)->name_size);
    return size;
}

static bool write_head(struct chain *out, struct block_pool *pool, enum wire_tag tag, size_t size)
{
    char head[16];
    char *end = wire_put_head(head, tag, size);
    return chain_append_copy(out, pool, slice_of(head, (size_t)(end - head)));
}

static bool write_field(struct chain *out, struct block_pool *pool, enum wire_tag tag,
                        struct slice bytes)
{
    return write_head(out, pool, tag, bytes.size) &&
           (bytes.size == 0 || chain_append_copy(out, pool, bytes));
}

static bool write_blob(const struct ads_response *r, const struct blob *blob, struct chain *out,
                       struct block_pool *pool)
{
    if (r->variant == ADS_DELTA)
        return write_field(out, pool, WIRE_FIELD_2, blob_wire(blob));
    return chain_append_copy(out, pool, blob_any_field(blob));
}

static bool write_tail(const struct ads_response *r, struct slice identifier, struct chain *out,
                       struct block_pool *pool)
{
    enum wire_tag control_plane = r->variant == ADS_DELTA ? WIRE_FIELD_7 : WIRE_FIELD_6;
    if (!write_field(out, pool, WIRE_FIELD_1, slice_str(r->version)) ||
        !write_field(out, pool, WIRE_FIELD_4, slice_str(resource_type_url(r->type))) ||
        !write_field(out, pool, WIRE_FIELD_5, slice_str(r->nonce)))
        return false;
    return identifier.size == 0 ||
           (write_head(out, pool, control_plane, wire_field_size(identifier.size)) &&
            write_field(out, pool, WIRE_FIELD_1, identifier));
}

bool discovery_write_response(const struct ads_response *r, struct slice identifier,
                              struct chain *out, struct block_pool *pool)
{
    VECTOR_EACH(blob, &r->blobs)
    {
        if (!write_blob(r, *blob, out, pool))
            return false;
    }
    VECTOR_EACH(blob, &r->removed)
    {
        if (!write_field(out, pool, WIRE_FIELD_6, blob_name(*blob)))
            return false;
    }
    return write_tail(r, identifier, out, pool);
}

/* The client's side. */

static void put_field(struct buffer *out, enum wire_tag tag, struct slice bytes)
{
    char head[16];
    buffer_append(out, head, (size_t)(wire_put_head(head, tag, bytes.size) - head));
    buffer_append_slice(out, bytes);
}

static void put_any(struct buffer *out, enum ads_variant variant, const struct discovery_any *any)
{
    char head[16];
    size_t size = wire_field_size(any->type_url.size) + wire_field_size(any->body.size);
    if (variant == ADS_DELTA) /* Resource {resource} around it */
        buffer_append(out, head,
                      (size_t)(wire_put_head(head, WIRE_FIELD_2, wire_field_size(size)) - head));
    buffer_append(out, head, (size_t)(wire_put_head(head, WIRE_FIELD_2, size) - head));
    put_field(out, WIRE_FIELD_1, any->type_url);
    put_field(out, WIRE_FIELD_2, any->body);
}

void discovery_write_any(enum ads_variant variant, struct slice type_url,
                         const struct discovery_any *resources, size_t count,
                         struct slice identifier, struct buffer *out)
{
    char head[16];
    for (size_t i = 0; i < count; i++)
        put_any(out, variant, &resources[i]);
    put_field(out, WIRE_FIELD_4, type_url);
    put_field(out, WIRE_FIELD_5, SLICE("0"));
    if (identifier.size == 0)
        return;
    enum wire_tag control_plane = variant == ADS_DELTA ? WIRE_FIELD_7 : WIRE_FIELD_6;
    size_t size = wire_field_size(identifier.size);
    buffer_append(out, head, (size_t)(wire_put_head(head, control_plane, size) - head));
    put_field(out, WIRE_FIELD_1, identifier);
}

static void put_held(struct buffer *out, const struct name_version *held)
{
    char head[16];
    size_t size = wire_field_size(held->name.size) + wire_field_size(held->version.size);
    buffer_append(out, head, (size_t)(wire_put_head(head, WIRE_FIELD_5, size) - head));
    put_field(out, WIRE_FIELD_1, held->name);
    put_field(out, WIRE_FIELD_2, held->version);
}

/* google.rpc.Status: code 13 (INTERNAL) and the message. */
static void put_error(struct buffer *out, struct slice reason)
{
    char head[16];
    static const char code[] = {0x08, 13};
    size_t size = sizeof(code) + wire_field_size(reason.size);
    buffer_append(out, head, (size_t)(wire_put_head(head, WIRE_FIELD_7, size) - head));
    buffer_append(out, code, sizeof(code));
    put_field(out, WIRE_FIELD_2, reason);
}

void discovery_write_delta_request(const struct delta_client_request *request, struct slice node,
                                   struct buffer *out)
{
    if (node.size > 0)
        put_field(out, WIRE_FIELD_1, node);
    put_field(out, WIRE_FIELD_2, slice_str(request->type_url));
    VECTOR_EACH(name, &request->subscribe)
    put_field(out, WIRE_FIELD_3, *name);
    VECTOR_EACH(name, &request->unsubscribe)
    put_field(out, WIRE_FIELD_4, *name);
    VECTOR_EACH(held, &request->held)
    put_held(out, held);
    if (request->nonce.size > 0)
        put_field(out, WIRE_FIELD_6, request->nonce);
    if (request->error.data)
        put_error(out, request->error);
}

static struct delta_resource resource_of(const Envoy__Service__Discovery__V3__Resource *m)
{
    struct delta_resource resource = {.name = slice_str(pb_str(m->name)),
                                      .version = slice_str(pb_str(m->version))};
    if (m->resource) {
        resource.type_url = slice_str(pb_str(m->resource->type_url));
        resource.body = pb_bytes(m->resource->value);
    }
    return resource;
}

bool discovery_read_delta_response(struct slice bytes, struct arena *arena,
                                   struct delta_response *response, struct slice *identifier,
                                   struct error *error)
{
    const delta_answer *m =
        pb_decode(&envoy__service__discovery__v3__delta_discovery_response__descriptor, bytes,
                  arena, NULL, error);
    if (!m)
        return false;
    struct delta_resource *resources = arena_calloc(arena, m->n_resources + 1, sizeof(*resources));
    for (size_t i = 0; i < m->n_resources; i++)
        resources[i] = resource_of(m->resources[i]);
    *response = (struct delta_response){
        .type_url = slice_str(pb_str(m->type_url)),
        .nonce = slice_str(pb_str(m->nonce)),
        .version = slice_str(pb_str(m->system_version_info)),
        .resources = resources,
        .resource_count = m->n_resources,
        .removed = slices_of(arena, m->removed_resources, m->n_removed_resources),
        .removed_count = m->n_removed_resources,
    };
    if (identifier)
        *identifier =
            m->control_plane ? slice_str(pb_str(m->control_plane->identifier)) : SLICE_NONE;
    return true;
}
