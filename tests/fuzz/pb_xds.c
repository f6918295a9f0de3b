/* Resources as a peer sends them, in an Any: decoded, copied, compared, printed and read again. */
#include "base/arena.h"
#include "base/buffer.h"
#include "pb/any.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "pb/text_in.h"
#include "pb/text_out.h"

#include "envoy/service/discovery/v3/discovery.pb-c.h"

#include <stdlib.h>

#define RESPONSE &envoy__service__discovery__v3__delta_discovery_response__descriptor

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const ProtobufCMessage *message, struct arena *arena)
{
    ProtobufCMessage *copy = pb_copy(message, arena);
    struct hash128 hash = pb_hash(message);
    if (!pb_equal(message, copy) || !hash128_equals(hash, pb_hash(copy)))
        abort();
    /* The same bytes may hide a difference only where a map's entry lacks what its twin has. */
    pb_diff(message, copy, NULL, NULL);
    struct text_style style = {
        .original_names = hash.low & 1, .show_secrets = hash.low & 2, .one_line = hash.low & 4};
    owned_buffer json = {0}, yaml = {0};
    text_write_json(message, &style, &json);
    text_write_yaml(message, &style, &yaml);
    owned_error error = {0};
    (void)!text_read_yaml(buffer_slice(&yaml), "fuzz", message->descriptor, TEXT_LENIENT, arena,
                          &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *response =
        pb_decode(RESPONSE, slice_of(data, size), &arena, NULL, &error);
    if (response)
        use(&response->base, &arena);
    for (size_t i = 0; response && i < response->n_resources && i < 16; i++) {
        owned_error wrong = {0};
        ProtobufCMessage *resource =
            pb_any_unpack(response->resources[i]->resource, NULL, &arena, NULL, &wrong);
        if (resource)
            use(resource, &arena);
    }
    arena_fini(&arena);
    return 0;
}
