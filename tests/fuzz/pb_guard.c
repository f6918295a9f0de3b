/* The guard over every registered type: what it passes, protobuf-c decodes, and stays itself through bytes. */
#include "base/arena.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "pb/type.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t count;
    const struct pb_type *types = pb_types(&count);
    const ProtobufCMessageDescriptor *type =
        types[((size_t)data[0] << 8 | data[1]) % count].descriptor;
    struct slice bytes = slice_of(data + 2, size - 2);
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    if (pb_guard(type, bytes, &PB_LIMITS, &error)) {
        ProtobufCMessage *message = pb_decode(type, bytes, &arena, NULL, &error);
        if (!message)
            abort(); /* the guard is at least as strict */
        struct slice packed = pb_pack_to(message, &arena);
        ProtobufCMessage *again = pb_decode(type, packed, &arena, NULL, &error);
        if (!again || !slice_equals(packed, pb_pack_to(again, &arena)))
            abort();
    } else if (!error.what) {
        abort();
    }
    arena_fini(&arena);
    return 0;
}
