#include "test.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "pb/type.h"

/* One row of public_numbers.txt. */
struct row {
    struct slice message, name, type, oneof;
    uint64_t number;
    bool repeated;
    bool used;
};

static struct row rows[4096];
static size_t row_count;
static struct buffer file;

static struct slice take_word(struct slice *line)
{
    struct slice word;
    slice_cut(*line, ' ', &word, line);
    return word;
}

static void read_rows(void)
{
    if (row_count)
        return;
    CHECK(buffer_read_file(&file, "tests/unit/pb/public_numbers.txt", 1 << 20) == 0, "the table");
    struct slice rest = buffer_slice(&file), line, message = SLICE_NONE;
    while (rest.size > 0) {
        slice_cut(rest, '\n', &line, &rest);
        if (line.size == 0 || line.data[0] == '#')
            continue;
        if (line.data[0] != ' ') {
            message = line;
            continue;
        }
        struct row row = {.message = message};
        line = slice_trim(line);
        CHECK(slice_to_u64(take_word(&line), UINT32_MAX, &row.number), "a number");
        row.name = take_word(&line);
        row.type = take_word(&line);
        row.repeated = slice_equals_str(row.type, "repeated");
        if (row.repeated)
            row.type = take_word(&line);
        if (slice_equals_str(take_word(&line), "oneof"))
            row.oneof = line;
        CHECK(row_count < COUNT(rows), "too many rows");
        rows[row_count++] = row;
    }
}

static struct row *find_row(const char *message, uint32_t number)
{
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].number == number && slice_equals_str(rows[i].message, message))
            return &rows[i];
    return NULL;
}

static const char *type_name(const ProtobufCFieldDescriptor *field)
{
    static const char *const scalars[] = {
        [PROTOBUF_C_TYPE_INT32] = "int32",       [PROTOBUF_C_TYPE_SINT32] = "sint32",
        [PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
        [PROTOBUF_C_TYPE_SINT64] = "sint64",     [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
        [PROTOBUF_C_TYPE_UINT32] = "uint32",     [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
        [PROTOBUF_C_TYPE_UINT64] = "uint64",     [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
        [PROTOBUF_C_TYPE_FLOAT] = "float",       [PROTOBUF_C_TYPE_DOUBLE] = "double",
        [PROTOBUF_C_TYPE_BOOL] = "bool",         [PROTOBUF_C_TYPE_STRING] = "string",
        [PROTOBUF_C_TYPE_BYTES] = "bytes",
    };
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return ((const ProtobufCMessageDescriptor *)field->descriptor)->name;
    if (field->type == PROTOBUF_C_TYPE_ENUM)
        return ((const ProtobufCEnumDescriptor *)field->descriptor)->name;
    return scalars[field->type];
}

static void check_type(const struct row *row, const ProtobufCFieldDescriptor *field, bool map)
{
    owned_buffer type = {0};
    if (map) {
        const ProtobufCMessageDescriptor *entry = field->descriptor;
        buffer_format(&type, "map<%s,%s>", type_name(&entry->fields[0]),
                      type_name(&entry->fields[1]));
    } else {
        buffer_append_str(&type, type_name(field));
    }
    CHECK(slice_equals_str(row->type, "?") || slice_equals(row->type, buffer_slice(&type)),
          "%.*s.%s is %s, not %.*s", SLICE_ARG(row->message), field->name, type.data,
          SLICE_ARG(row->type));
}

static bool is_number(ProtobufCType type)
{
    return type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES &&
           type != PROTOBUF_C_TYPE_MESSAGE;
}

static bool is_ours(const char *name)
{
    return strncmp(name, "tulle.", 6) == 0 || strncmp(name, "google.protobuf.", 16) == 0;
}

TEST(public_numbers_are_those_of_the_public_protocols)
{
    read_rows();
    size_t count, fields = 0;
    const struct pb_type *types = pb_types(&count);
    for (size_t i = 0; i < count; i++) {
        const ProtobufCMessageDescriptor *type = types[i].descriptor;
        const char *short_name = strrchr(type->name, '.');
        bool entry =
            strlen(short_name) > 5 && strcmp(short_name + strlen(short_name) - 5, "Entry") == 0;
        for (unsigned j = 0; j < type->n_fields && !is_ours(type->name) && !entry; j++, fields++) {
            const ProtobufCFieldDescriptor *field = &type->fields[j];
            struct row *row = find_row(type->name, field->id);
            CHECK(row, "%s.%s = %u: no such number", type->name, field->name, field->id);
            CHECK(slice_equals_str(row->name, field->name), "%s: %u is %.*s, not %s", type->name,
                  field->id, SLICE_ARG(row->name), field->name);
            bool map = types[i].fields[j].flags & FIELD_MAP;
            bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
            CHECK((repeated && !map) == row->repeated, "%s.%s is repeated, or not", type->name,
                  field->name);
            CHECK(!repeated || !is_number(field->type) ||
                      field->flags & PROTOBUF_C_FIELD_FLAG_PACKED,
                  "%s.%s is packed", type->name, field->name);
            CHECK(slice_equals_str(row->oneof, pb_text(types[i].fields[j].oneof)),
                  "%s.%s is in oneof \"%.*s\"", type->name, field->name, SLICE_ARG(row->oneof));
            check_type(row, field, map);
        }
    }
    CHECK(fields > 1200, "%zu fields", fields);
    buffer_fini(&file);
}
