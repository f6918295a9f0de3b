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
    struct slice in, out, who;
};

static size_t read_rows(const struct buffer *file, struct row *rows, size_t max)
{
    struct slice rest = buffer_slice(file), line;
    size_t count = 0;
    for (unsigned number = 1; rest.size > 0; number++) {
        slice_cut(rest, '\n', &line, &rest);
        if (line.size == 0 || line.data[0] == '#')
            continue;
        size_t first = slice_find(line, SLICE(" | "));
        CHECK(first != SIZE_MAX && count < max, "line %u", number);
        struct slice after = slice_from(line, first + 3);
        size_t second = slice_find(after, SLICE(" | "));
        CHECK(second != SIZE_MAX, "line %u", number);
        rows[count++] = (struct row){number, slice_first(line, first), slice_first(after, second),
                                     slice_from(after, second + 3)};
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
