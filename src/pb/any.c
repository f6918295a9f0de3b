#include "pb/any.h"

#include "pb/codec.h"
#include "pb/message.h"
#include "pb/type.h"

const char *pb_type_url(const ProtobufCMessageDescriptor *type, struct arena *arena)
{
    return arena_format(arena, PB_URL_PREFIX "%s", type->name);
}

Google__Protobuf__Any *pb_any_pack(const ProtobufCMessage *message, struct arena *arena)
{
    Google__Protobuf__Any *any = pb_new(arena, &google__protobuf__any__descriptor);
    struct slice packed = pb_pack_to(message, arena);
    any->type_url = arena_format(arena, PB_URL_PREFIX "%s", message->descriptor->name);
    any->value = (ProtobufCBinaryData){packed.size, (uint8_t *)(uintptr_t)packed.data};
    return any;
}

/* The full name in a type URL; the whole text when it has no slash, which names no type. */
static struct slice name_in(const char *url)
{
    const char *slash = strrchr(url, '/');
    return slash ? slice_str(slash + 1) : SLICE_NONE;
}

bool pb_any_is(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *type)
{
    return any && slice_equals_str(name_in(pb_str(any->type_url)), type->name);
}

void *pb_any_unpack(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *type,
                    struct arena *arena, const struct pb_limits *limits, struct error *error)
{
    if (!any || !any->type_url || !*any->type_url) {
        error_set(error, "TUL0021", "a typed configuration is missing its type");
        return NULL;
    }
    const struct pb_type *known = pb_type_by_url(slice_str(any->type_url));
    if (!known) {
        error_set(error, "TUL0021", "type \"%s\" is not known", any->type_url);
        return NULL;
    }
    if (type && known->descriptor != type) {
        error_set(error, "TUL0021", "type \"%s\" is not the expected %s", any->type_url,
                  type->name);
        return NULL;
    }
    return pb_decode(known->descriptor, pb_bytes(any->value), arena, limits, error);
}
