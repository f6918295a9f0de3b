#include "pb/type.h"

#include "pb/tables_internal.h"

#include <pthread.h>

/* From descriptor to row: open addressing on the address, filled once. The registry has a few hundred types. */
enum { SLOTS = 2048 };
static const struct pb_type *slots[SLOTS];
static pthread_once_t slots_filled = PTHREAD_ONCE_INIT;

static size_t slot_of(const ProtobufCMessageDescriptor *descriptor)
{
    return (size_t)(((uintptr_t)descriptor >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 53) % SLOTS;
}

static void fill_slots(void)
{
    for (size_t i = 0; i < pb_type_row_count; i++) {
        size_t slot = slot_of(pb_type_rows[i].descriptor);
        while (slots[slot])
            slot = (slot + 1) % SLOTS;
        slots[slot] = &pb_type_rows[i];
    }
}

const struct pb_type *pb_type_of(const ProtobufCMessageDescriptor *descriptor)
{
    pthread_once(&slots_filled, fill_slots);
    for (size_t slot = slot_of(descriptor); slots[slot]; slot = (slot + 1) % SLOTS)
        if (slots[slot]->descriptor == descriptor)
            return slots[slot];
    return NULL;
}

const struct pb_type *pb_type_by_name(struct slice name)
{
    size_t low = 0, high = pb_type_row_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(name, slice_str(pb_type_rows[middle].descriptor->name));
        if (order == 0)
            return &pb_type_rows[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct pb_type *pb_type_by_url(struct slice url)
{
    size_t name = url.size;
    while (name > 0 && url.data[name - 1] != '/')
        name--;
    return name == 0 ? NULL : pb_type_by_name(slice_from(url, name));
}

const struct pb_type *pb_types(size_t *count)
{
    *count = pb_type_row_count;
    return pb_type_rows;
}

static bool is_one_of(struct slice name, const char *const *names)
{
    for (; *names; names++)
        if (slice_equals_nocase(name, slice_str(*names)))
            return true;
    return false;
}

const struct pb_kind *pb_kind_by_name(struct slice name)
{
    for (size_t i = 0; i < pb_kind_row_count; i++) {
        const struct pb_kind *kind = &pb_kind_rows[i];
        if (slice_equals_nocase(name, slice_str(kind->kind)) ||
            slice_equals_nocase(name, slice_str(kind->plural)) ||
            slice_equals_nocase(name, slice_str(kind->singular)) ||
            is_one_of(name, kind->short_names))
            return kind;
    }
    return NULL;
}

const struct pb_kind *pb_kind_find(struct slice api_version, struct slice kind)
{
    struct slice group, version;
    if (!slice_cut(api_version, '/', &group, &version)) {
        version = api_version; /* the core group has none: "v1" */
        group = SLICE("");
    }
    for (size_t i = 0; i < pb_kind_row_count; i++) {
        const struct pb_kind *row = &pb_kind_rows[i];
        if (!slice_equals_str(group, row->group) || !slice_equals_str(kind, row->kind))
            continue;
        for (const char *const *served = row->versions; *served; served++)
            if (slice_equals_str(version, *served))
                return row;
    }
    return NULL;
}

const struct pb_kind *pb_kinds(size_t *count)
{
    *count = pb_kind_row_count;
    return pb_kind_rows;
}

int pb_field_find(const struct pb_type *type, struct slice name)
{
    /* Both names of a field begin with the same letter, which settles most. */
    for (unsigned i = 0; name.size > 0 && i < type->descriptor->n_fields; i++) {
        const char *original = type->descriptor->fields[i].name;
        if (original[0] == name.data[0] && (slice_equals_str(name, original) ||
                                            slice_equals_str(name, pb_field_json_name(type, i))))
            return (int)i;
    }
    return -1;
}

const char *pb_text(uint32_t offset)
{
    return pb_table_texts + offset;
}

const struct pb_rules *pb_field_rules(const struct pb_field *field)
{
    return field->rules ? &pb_rules_rows[field->rules] : NULL;
}

const char *pb_only(const struct pb_rules *rules, size_t index)
{
    return pb_text(pb_only_rows[rules->only + index]);
}
