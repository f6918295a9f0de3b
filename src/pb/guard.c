#include "pb/guard.h"

#include "base/buffer.h"

const struct pb_limits PB_LIMITS = {
    .max_bytes = 16 << 20,
    .max_depth = PB_MAX_DEPTH,
    .max_memory = 256 << 20,
};

enum wire { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_GROUP, WIRE_GROUP_END, WIRE_32 };

/* What protobuf-c takes for itself: while it scans one field, and for one unknown field that it keeps. */
enum { SCANNED_FIELD_BYTES = 48, UNKNOWN_FIELD_BYTES = 40 };

/* One message that is open. `seen` marks its singular message fields, to find one that comes twice. */
struct frame {
    const ProtobufCMessageDescriptor *type;
    const ProtobufCFieldDescriptor *within; /* the field that holds it; NULL for the outermost */
    const uint8_t *end;
    uint64_t seen[4];
};

struct guard {
    const struct pb_limits *limits;
    const uint8_t *at;
    size_t memory;
    size_t depth; /* frames[0 .. depth) are open */
    const char *wrong;
    const ProtobufCFieldDescriptor *wrong_field;
    struct frame frames[PB_MAX_DEPTH];
};

static bool refuse(struct guard *g, const ProtobufCFieldDescriptor *field, const char *wrong)
{
    g->wrong = wrong;
    g->wrong_field = field;
    return false;
}

static bool spend(struct guard *g, const ProtobufCFieldDescriptor *field, size_t bytes)
{
    g->memory += bytes;
    return g->memory <= g->limits->max_memory || refuse(g, field, "takes too much memory");
}

/* At most max_bytes long; a tenth byte may hold one bit only. */
static bool take_varint(struct guard *g, const uint8_t *end, unsigned max_bytes, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < max_bytes && g->at < end; i++) {
        uint8_t byte = *g->at++;
        *value |= (uint64_t)(byte & 127) << (7 * i);
        if (!(byte & 128))
            return i < 9 || byte <= 1;
    }
    return false;
}

static enum wire wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return WIRE_32;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return WIRE_BYTES;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM: return WIRE_VARINT;
    }
    return WIRE_GROUP;
}

static bool open_message(struct guard *g, const ProtobufCMessageDescriptor *type,
                         const ProtobufCFieldDescriptor *within, const uint8_t *end)
{
    if (g->depth >= g->limits->max_depth || g->depth >= PB_MAX_DEPTH)
        return refuse(g, within, "nests too deep");
    g->frames[g->depth++] = (struct frame){.type = type, .within = within, .end = end};
    return spend(g, within, type->sizeof_message + sizeof(void *));
}

/* protobuf-c merges a singular message that comes again by copying all it has: quadratic in what a peer sends. */
static bool mark_seen(struct guard *g, struct frame *frame, const ProtobufCFieldDescriptor *field)
{
    size_t index = (size_t)(field - frame->type->fields);
    if (field->label == PROTOBUF_C_LABEL_REPEATED || index >= 64 * 4)
        return true;
    uint64_t bit = UINT64_C(1) << (index % 64);
    if (frame->seen[index / 64] & bit)
        return refuse(g, field, "comes twice");
    frame->seen[index / 64] |= bit;
    return true;
}

static bool check_packed(struct guard *g, const ProtobufCFieldDescriptor *field, const uint8_t *end)
{
    size_t size = (size_t)(end - g->at);
    if (!spend(g, field, size * sizeof(uint64_t)))
        return false;
    enum wire wire = wire_of(field->type);
    if (wire == WIRE_VARINT) {
        uint64_t value;
        while (g->at < end)
            if (!take_varint(g, end, 10, &value))
                return refuse(g, field, "holds a malformed number");
        return true;
    }
    if (size % (wire == WIRE_32 ? 4 : 8))
        return refuse(g, field, "holds a number that is cut short");
    g->at = end;
    return true;
}

static bool check_bytes(struct guard *g, struct frame *frame, const ProtobufCFieldDescriptor *field)
{
    uint64_t size;
    if (!take_varint(g, frame->end, 5, &size) || size > (uint64_t)(frame->end - g->at))
        return refuse(g, field, "is longer than what holds it");
    struct slice bytes = slice_of(g->at, (size_t)size);
    const uint8_t *end = g->at + size;
    if (!field) {
        g->at = end;
        return spend(g, field, UNKNOWN_FIELD_BYTES + bytes.size);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return mark_seen(g, frame, field) && open_message(g, field->descriptor, field, end);
    if (wire_of(field->type) != WIRE_BYTES)
        return field->label == PROTOBUF_C_LABEL_REPEATED
                   ? check_packed(g, field, end)
                   : refuse(g, field, "has the wrong wire type");
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        if (memchr(bytes.data, 0, bytes.size))
            return refuse(g, field, "holds a NUL character");
        if (!slice_is_utf8(bytes))
            return refuse(g, field, "is not UTF-8");
    }
    g->at = end;
    return spend(g, field, bytes.size + sizeof(void *) + 8);
}

static bool check_field(struct guard *g)
{
    struct frame *frame = &g->frames[g->depth - 1];
    uint64_t tag, number;
    if (!take_varint(g, frame->end, 5, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return refuse(g, NULL, "holds a malformed tag");
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(frame->type, (unsigned)(tag >> 3));
    enum wire wire = (enum wire)(tag & 7);
    if (!spend(g, field, SCANNED_FIELD_BYTES))
        return false;
    if (wire == WIRE_BYTES)
        return check_bytes(g, frame, field);
    if (field && wire != wire_of(field->type))
        return refuse(g, field, "has the wrong wire type");
    if (!spend(g, field, field ? sizeof(uint64_t) : UNKNOWN_FIELD_BYTES))
        return false;
    if (wire == WIRE_VARINT)
        return take_varint(g, frame->end, 10, &number) ||
               refuse(g, field, "holds a malformed number");
    if (wire != WIRE_32 && wire != WIRE_64)
        return refuse(g, field, "is a group");
    size_t size = wire == WIRE_32 ? 4 : 8;
    if ((size_t)(frame->end - g->at) < size)
        return refuse(g, field, "is cut short");
    g->at += size;
    return true;
}

/* "envoy.config.cluster.v3.Cluster.load_assignment.endpoints": the type and the names on the way. */
static COLD bool tell(const struct guard *g, struct error *error)
{
    owned_buffer path = {0};
    buffer_append_str(&path, g->frames[0].type->name);
    for (size_t i = 1; i < g->depth; i++)
        buffer_format(&path, ".%s", g->frames[i].within->name);
    const struct frame *last = &g->frames[g->depth - 1];
    if (g->wrong_field && g->wrong_field != last->within)
        buffer_format(&path, ".%s", g->wrong_field->name);
    return error_set(error, "TUL0020", "%s %s", path.data, g->wrong);
}

bool pb_guard(const ProtobufCMessageDescriptor *type, struct slice bytes,
              const struct pb_limits *limits, struct error *error)
{
    if (bytes.size > limits->max_bytes)
        return error_set(error, "TUL0020", "%s has %zu bytes, more than the limit of %zu",
                         type->name, bytes.size, limits->max_bytes);
    if (bytes.size == 0)
        return true;
    struct guard g; /* not zeroed: frames are set as they open */
    g.limits = limits;
    g.at = (const uint8_t *)bytes.data;
    g.memory = g.depth = 0;
    if (!open_message(&g, type, NULL, g.at + bytes.size))
        return error_set(error, "TUL0020", "%s %s", type->name, g.wrong);
    while (g.depth > 0) {
        if (g.at == g.frames[g.depth - 1].end)
            g.depth--;
        else if (!check_field(&g))
            return tell(&g, error);
    }
    return true;
}
