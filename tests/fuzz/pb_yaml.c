/* YAML as people write it: read, decoded, admitted, and written so that it reads back the same. */
#include "base/arena.h"
#include "base/buffer.h"
#include "pb/admit.h"
#include "pb/text_in.h"
#include "pb/text_out.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "tulle/every_type.pb-c.h"
#include "tulle/kinds.pb-c.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const struct value *value, struct arena *arena)
{
    owned_buffer yaml = {0}, before = {0}, after = {0};
    owned_error error = {0};
    struct documents documents;
    value_write_yaml(value, &yaml);
    value_write_json(value, false, &before);
    if (!document_read_yaml(buffer_slice(&yaml), "again", NULL, arena, &documents, &error))
        abort();
    if (documents.count == 0) /* nothing at all: a plain null */
        return;
    value_write_json(documents.items[0], false, &after);
    if (documents.count != 1 || !slice_equals(buffer_slice(&before), buffer_slice(&after)))
        abort();
}

static void decode(const struct value *value, const ProtobufCMessageDescriptor *type,
                   struct arena *arena)
{
    for (int lenient = 0; lenient < 2; lenient++) {
        struct problems problems = {.arena = arena, .name = "fuzz"};
        enum text_mode mode = lenient ? TEXT_LENIENT : TEXT_STRICT;
        ProtobufCMessage *message = text_decode(value, type, mode, &problems);
        admit_check(value, type, mode, &problems);
        owned_error error = {0};
        if (problems_are_none(&problems, &error) && !message)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &tulle__every_type__descriptor, &tulle__kinds__virtual_service__descriptor,
        &tulle__kinds__destination_rule__descriptor, &tulle__kinds__service__descriptor,
        &envoy__config__bootstrap__v3__bootstrap__descriptor};
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    struct text_limits limits = TEXT_LIMITS;
    limits.max_alias_values = size & 1 ? 100 : 0;
    struct documents documents;
    if (document_read_yaml(slice_of(data, size), "fuzz", &limits, &arena, &documents, &error)) {
        for (size_t i = 0; i < documents.count && i < 4; i++) {
            write_and_read(documents.items[i], &arena);
            for (size_t t = 0; t < COUNT(types); t++)
                decode(documents.items[i], types[t], &arena);
        }
    } else if (!error.what || !error.where) {
        abort();
    }
    arena_fini(&arena);
    return 0;
}
