#include "base/buffer.h"
#include "pb/codec.h"
#include "pb/field_internal.h"
#include "pb/message.h"
#include "pb/pack_internal.h"
#include "pb/type.h"

struct diff {
    struct buffer path;
    void (*visit)(const struct pb_difference *, void *);
    void *to;
    size_t count;
};

static void diff_messages(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b);

static void report(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                   const ProtobufCFieldDescriptor *field, enum pb_change change)
{
    d->count++;
    if (d->visit)
        d->visit(&(struct pb_difference){d->path.data, a, b, field, change}, d->to);
}

static bool same_value(const void *a, const void *b, ProtobufCType type)
{
    if (type == PROTOBUF_C_TYPE_STRING)
        return strcmp(pb_str(*(const char *const *)a), pb_str(*(const char *const *)b)) == 0;
    if (type == PROTOBUF_C_TYPE_BYTES)
        return slice_equals(pb_bytes(*(const ProtobufCBinaryData *)a),
                            pb_bytes(*(const ProtobufCBinaryData *)b));
    return memcmp(a, b, field_size(type)) == 0;
}

/* Two present values of a field: a message is walked into, anything else is changed or not. */
static void diff_values(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                        const ProtobufCFieldDescriptor *field, const void *x, const void *y)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        if (!same_value(x, y, field->type))
            report(d, a, b, field, PB_CHANGED);
        return;
    }
    const ProtobufCMessage *left = *(const ProtobufCMessage *const *)x,
                           *right = *(const ProtobufCMessage *const *)y;
    if (left && right)
        diff_messages(d, left, right);
    else if (left || right)
        report(d, a, b, field, left ? PB_REMOVED : PB_ADDED);
}

static void cut_path(struct diff *d, size_t size)
{
    d->path.size = size;
    d->path.data[size] = '\0';
}

static void diff_list(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                      const ProtobufCFieldDescriptor *field)
{
    size_t left = field_count(a, field), right = field_count(b, field),
           size = field_size(field->type);
    const char *x = *(const char *const *)field_member(a, field),
               *y = *(const char *const *)field_member(b, field);
    for (size_t i = 0, path = d->path.size; i < MAX(left, right); i++) {
        buffer_format(&d->path, "[%zu]", i);
        if (i >= left || i >= right)
            report(d, a, b, field, i >= left ? PB_ADDED : PB_REMOVED);
        else
            diff_values(d, a, b, field, x + i * size, y + i * size);
        cut_path(d, path);
    }
}

static void append_key(struct buffer *path, const ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    const void *member = field_member(entry, key);
    if (key->type == PROTOBUF_C_TYPE_STRING)
        buffer_format(path, "[\"%s\"]", pb_str(*(const char *const *)member));
    else if (field_size(key->type) == 4)
        buffer_format(path, "[%d]", *(const int32_t *)member);
    else
        buffer_format(path, "[%lld]", (long long)*(const int64_t *)member);
}

static void diff_map(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                     const ProtobufCFieldDescriptor *field)
{
    size_t left = field_count(a, field), right = field_count(b, field);
    const ProtobufCMessage **entries = mem_calloc(left + right + 1, sizeof(*entries)),
                           **others = entries + left;
    if (left)
        memcpy(entries, *(void *const *)field_member(a, field), left * sizeof(*entries));
    if (right)
        memcpy(others, *(void *const *)field_member(b, field), right * sizeof(*others));
    left = pack_sort_map(entries, left);
    right = pack_sort_map(others, right);
    const ProtobufCFieldDescriptor *value =
        &((const ProtobufCMessageDescriptor *)field->descriptor)->fields[1];
    for (size_t i = 0, j = 0, path = d->path.size; i < left || j < right;) {
        int order = i == left ? 1 : j == right ? -1 : pack_compare_keys(entries[i], others[j]);
        append_key(&d->path, order <= 0 ? entries[i] : others[j]);
        if (order == 0)
            diff_values(d, a, b, value, field_member(entries[i], value),
                        field_member(others[j], value));
        else
            report(d, a, b, field, order < 0 ? PB_REMOVED : PB_ADDED);
        i += order <= 0;
        j += order >= 0;
        cut_path(d, path);
    }
    mem_free(entries);
}

static void diff_field(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                       const ProtobufCFieldDescriptor *field, unsigned flags)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        (flags & FIELD_MAP ? diff_map : diff_list)(d, a, b, field);
        return;
    }
    bool left = field_is_set(a, field, flags & FIELD_IMPLICIT),
         right = field_is_set(b, field, flags & FIELD_IMPLICIT);
    if (left && right)
        diff_values(d, a, b, field, field_member(a, field), field_member(b, field));
    else if (left || right)
        report(d, a, b, field, left ? PB_REMOVED : PB_ADDED);
}

static void diff_messages(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    const struct pb_type *type = pb_type_of(a->descriptor);
    for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
        size_t path = d->path.size;
        buffer_format(&d->path, "%s%s", path ? "." : "", a->descriptor->fields[i].name);
        diff_field(d, a, b, &a->descriptor->fields[i], type->fields[i].flags);
        cut_path(d, path);
    }
}

size_t pb_diff(const ProtobufCMessage *a, const ProtobufCMessage *b,
               void (*visit)(const struct pb_difference *difference, void *to), void *to)
{
    struct diff d = {.visit = visit, .to = to};
    diff_messages(&d, a, b);
    buffer_fini(&d.path);
    return d.count;
}
