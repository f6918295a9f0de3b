#include "pb/codec.h"

#include "pb/pack_internal.h"

/*
 * Sizes that a repeated field's array can have are rounded up to a power of two, so that a decoded message may be appended to
 * like one that was built: pb_grow makes room only at powers of two.
 */
static void *arena_adapter_alloc(void *arena, size_t size)
{
    if (size > 1 && size % 4 == 0)
        size = (size_t)1 << (64 - __builtin_clzll(size - 1));
    return arena_try_alloc(arena, size);
}

static void arena_adapter_free(void *arena, void *memory)
{
    (void)arena, (void)memory; /* the arena is freed whole */
}

void *pb_decode(const ProtobufCMessageDescriptor *type, struct slice bytes, struct arena *arena,
                const struct pb_limits *limits, struct error *error)
{
    if (!pb_guard(type, bytes, limits ? limits : &PB_LIMITS, error))
        return NULL;
    ProtobufCAllocator allocator = {arena_adapter_alloc, arena_adapter_free, arena};
    const uint8_t *data = bytes.size ? (const uint8_t *)bytes.data : (const uint8_t *)"";
    void *message = protobuf_c_message_unpack(type, &allocator, bytes.size, data);
    if (!message)
        error_set(error, "TUL0020", "%s cannot be decoded", type->name);
    return message;
}

/* Packs and returns what was written, which lies in the packer's bytes. */
static struct slice pack(struct packer *packer, const ProtobufCMessage *message)
{
    pack_message(packer, message);
    return packer->bytes ? slice_of(packer->bytes + packer->start, packer->size - packer->start)
                         : SLICE("");
}

void pb_pack(const ProtobufCMessage *message, struct buffer *out)
{
    struct packer packer = {0};
    buffer_append_slice(out, pack(&packer, message));
    mem_free(packer.bytes);
}

struct slice pb_pack_to(const ProtobufCMessage *message, struct arena *arena)
{
    struct packer packer = {0};
    struct slice packed = pack(&packer, message);
    packed.data = arena_copy(arena, packed);
    mem_free(packer.bytes);
    return packed;
}

struct hash128 pb_hash(const ProtobufCMessage *message)
{
    struct packer packer = {0};
    struct hash128 hash = hash128(pack(&packer, message));
    mem_free(packer.bytes);
    return hash;
}
