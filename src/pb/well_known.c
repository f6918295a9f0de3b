/* google.protobuf's small types: wrappers, times, structs. */
#include "pb/message.h"

Google__Protobuf__UInt32Value *pb_u32_new(struct arena *arena, uint32_t value)
{
    Google__Protobuf__UInt32Value *wrapper =
        pb_new(arena, &google__protobuf__uint32_value__descriptor);
    wrapper->value = value;
    return wrapper;
}

Google__Protobuf__BoolValue *pb_bool_new(struct arena *arena, bool value)
{
    Google__Protobuf__BoolValue *wrapper = pb_new(arena, &google__protobuf__bool_value__descriptor);
    wrapper->value = value;
    return wrapper;
}

enum { MS_A_SECOND = 1000, NS_A_MS = 1000000, NS_A_SECOND = 1000000000 };
/* protobuf's range: 10,000 years. */
static const int64_t MAX_SECONDS = INT64_C(315576000000);

int64_t pb_duration_ms(const Google__Protobuf__Duration *duration, int64_t otherwise)
{
    if (!duration)
        return otherwise;
    if (duration->seconds > INT64_MAX / MS_A_SECOND - 1)
        return INT64_MAX;
    if (duration->seconds < -(INT64_MAX / MS_A_SECOND - 1))
        return -INT64_MAX;
    int64_t ms = duration->nanos / NS_A_MS;
    if (duration->nanos % NS_A_MS > 0)
        ms++;
    return duration->seconds * MS_A_SECOND + ms;
}

bool pb_duration_is_valid(const Google__Protobuf__Duration *duration)
{
    if (duration->seconds > MAX_SECONDS || duration->seconds < -MAX_SECONDS)
        return false;
    if (duration->nanos >= NS_A_SECOND || duration->nanos <= -NS_A_SECOND)
        return false;
    return (duration->seconds >= 0 && duration->nanos >= 0) ||
           (duration->seconds <= 0 && duration->nanos <= 0);
}

Google__Protobuf__Duration *pb_duration_new(struct arena *arena, int64_t ms)
{
    Google__Protobuf__Duration *duration = pb_new(arena, &google__protobuf__duration__descriptor);
    duration->seconds = ms / MS_A_SECOND;
    duration->nanos = (int32_t)(ms % MS_A_SECOND) * NS_A_MS;
    return duration;
}

Google__Protobuf__Timestamp *pb_timestamp_new(struct arena *arena, int64_t unix_ns)
{
    Google__Protobuf__Timestamp *timestamp =
        pb_new(arena, &google__protobuf__timestamp__descriptor);
    timestamp->seconds = unix_ns / NS_A_SECOND;
    timestamp->nanos = (int32_t)(unix_ns % NS_A_SECOND);
    if (timestamp->nanos < 0) { /* before 1970 the fraction still counts upwards */
        timestamp->nanos += NS_A_SECOND;
        timestamp->seconds--;
    }
    return timestamp;
}

const Google__Protobuf__Value *pb_struct_get(const Google__Protobuf__Struct *object,
                                             const char *key)
{
    /* The last of equal keys wins, as everywhere in protobuf's maps. */
    for (size_t i = object ? object->n_fields : 0; i-- > 0;)
        if (strcmp(pb_str(object->fields[i]->key), key) == 0)
            return object->fields[i]->value;
    return NULL;
}

const char *pb_struct_get_str(const Google__Protobuf__Struct *object, const char *key)
{
    const Google__Protobuf__Value *value = pb_struct_get(object, key);
    return value && value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE
               ? pb_str(value->string_value)
               : NULL;
}

Google__Protobuf__Struct *pb_struct_new(struct arena *arena)
{
    return pb_new(arena, &google__protobuf__struct__descriptor);
}

void pb_struct_put(struct arena *arena, Google__Protobuf__Struct *object, const char *key,
                   Google__Protobuf__Value *value)
{
    PB_PUT(arena, object, fields, &google__protobuf__struct__fields_entry__descriptor,
           arena_copy_str(arena, key), value);
}

static Google__Protobuf__Value *value_of_kind(struct arena *arena,
                                              Google__Protobuf__Value__KindCase kind)
{
    Google__Protobuf__Value *value = pb_new(arena, &google__protobuf__value__descriptor);
    value->kind_case = kind;
    return value;
}

Google__Protobuf__Value *pb_value_str(struct arena *arena, const char *text)
{
    Google__Protobuf__Value *value =
        value_of_kind(arena, GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE);
    value->string_value = arena_copy_str(arena, text);
    return value;
}

Google__Protobuf__Value *pb_value_number(struct arena *arena, double number)
{
    Google__Protobuf__Value *value =
        value_of_kind(arena, GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE);
    value->number_value = number;
    return value;
}

Google__Protobuf__Value *pb_value_bool(struct arena *arena, bool truth)
{
    Google__Protobuf__Value *value = value_of_kind(arena, GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE);
    value->bool_value = truth;
    return value;
}

Google__Protobuf__Value *pb_value_struct(struct arena *arena, Google__Protobuf__Struct *object)
{
    Google__Protobuf__Value *value =
        value_of_kind(arena, GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE);
    value->struct_value = object;
    return value;
}
