#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/codec.h"
#include "pb/text_in.h"
#include "pb/text_out.h"

#include "tulle/every_type.pb-c.h"

#define EVERY_TYPE &tulle__every_type__descriptor

/* The forms table, cut into its columns. */
struct row {
    unsigned line;
    struct slice in, out, who, wire;
};

static void take_column(struct slice *line, struct slice *column)
{
    size_t end = slice_find(*line, SLICE(" | "));
    *column = end == SIZE_MAX ? *line : slice_first(*line, end);
    *line = end == SIZE_MAX ? SLICE_NONE : slice_from(*line, end + 3);
}

static size_t read_rows(const struct buffer *file, struct row *rows, size_t max)
{
    struct slice rest = buffer_slice(file), line;
    size_t count = 0;
    for (unsigned number = 1; rest.size > 0; number++) {
        slice_cut(rest, '\n', &line, &rest);
        if (line.size == 0 || line.data[0] == '#')
            continue;
        CHECK(count < max, "line %u", number);
        struct row *row = &rows[count++];
        *row = (struct row){.line = number};
        take_column(&line, &row->in);
        take_column(&line, &row->out);
        take_column(&line, &row->who);
        row->wire = line;
        CHECK(row->who.size > 0, "line %u", number);
    }
    return count;
}

/* The message as JSON on one line, or "error". */
static char *through(struct slice text, bool yaml, struct arena *arena, ProtobufCMessage **message)
{
    owned_error error = {0};
    *message = yaml ? text_read_yaml(text, "t", EVERY_TYPE, TEXT_STRICT, arena, &error)
                    : text_read_json(text, "t", EVERY_TYPE, TEXT_STRICT, arena, &error);
    if (!*message) {
        CHECK(error.what && error.where, "an error says what and where");
        return str_copy("error");
    }
    struct buffer out = {0};
    text_write_json(*message, &(struct text_style){.one_line = true}, &out);
    return buffer_take(&out);
}

TEST(text_reads_and_writes_every_form_as_the_table_says)
{
    owned_buffer file = {0};
    CHECK(buffer_read_file(&file, "tests/unit/pb/json_forms.txt", 1 << 20) == 0, "the table");
    static struct row rows[512];
    size_t count = read_rows(&file, rows, 512);
    CHECK(count > 150, "%zu rows", count);
    for (size_t i = 0; i < count; i++)
        for (int yaml = 0; yaml < 2; yaml++) {
            struct arena arena;
            arena_init(&arena, NULL);
            ProtobufCMessage *message;
            char *out = through(rows[i].in, yaml, &arena, &message);
            CHECK(slice_equals_str(rows[i].out, out), "line %u, %s: %s", rows[i].line,
                  yaml ? "YAML" : "JSON", out);
            mem_free(out);
            arena_fini(&arena);
        }
}

TEST(text_survives_bytes_json_and_yaml_and_stays_the_same)
{
    owned_buffer file = {0};
    CHECK(buffer_read_file(&file, "tests/unit/pb/json_forms.txt", 1 << 20) == 0, "the table");
    static struct row rows[512];
    size_t count = read_rows(&file, rows, 512);
    for (size_t i = 0; i < count; i++) {
        if (slice_equals_str(rows[i].out, "error"))
            continue;
        struct arena arena;
        arena_init(&arena, NULL);
        ProtobufCMessage *message;
        mem_free(through(rows[i].in, false, &arena, &message));
        owned_error error = {0};
        struct slice bytes = pb_pack_to(message, &arena);
        ProtobufCMessage *decoded = pb_decode(EVERY_TYPE, bytes, &arena, NULL, &error);
        CHECK(decoded, "line %u: %s", rows[i].line, error.what);
        for (int original = 0; original < 2; original++) {
            struct text_style style = {.original_names = original, .show_secrets = true};
            owned_buffer yaml = {0};
            text_write_yaml(decoded, &style, &yaml);
            ProtobufCMessage *again =
                text_read_yaml(buffer_slice(&yaml), "t", EVERY_TYPE, TEXT_STRICT, &arena, &error);
            CHECK(again, "line %u: %s\n%s", rows[i].line, error.what, yaml.data);
            CHECK(slice_equals(pb_pack_to(again, &arena), bytes), "line %u:\n%s", rows[i].line,
                  yaml.data);
        }
        arena_fini(&arena);
    }
}

/* Python's protobuf wrote the bytes, with its map entries sorted as ours are. */
TEST(text_packs_to_the_bytes_that_python_writes)
{
    owned_buffer file = {0};
    CHECK(buffer_read_file(&file, "tests/unit/pb/json_forms.txt", 1 << 20) == 0, "the table");
    static struct row rows[512];
    size_t count = read_rows(&file, rows, 512), checked = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].wire.size == 0)
            continue;
        struct arena arena;
        arena_init(&arena, NULL);
        ProtobufCMessage *message;
        mem_free(through(rows[i].in, false, &arena, &message));
        struct slice bytes = pb_pack_to(message, &arena);
        owned_buffer hex = {0};
        buffer_append_str(&hex, bytes.size ? "" : "-");
        for (size_t j = 0; j < bytes.size; j++)
            buffer_format(&hex, "%02x", (unsigned char)bytes.data[j]);
        CHECK(slice_equals(rows[i].wire, buffer_slice(&hex)), "line %u: %s", rows[i].line,
              hex.data);
        checked++;
        arena_fini(&arena);
    }
    CHECK(checked > 80, "%zu rows", checked);
}
