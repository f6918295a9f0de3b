/* `tulle explain KIND.field.path`. */
#include "base/memory.h"
#include "pb/explain.h"

enum { TEXT_WIDTH = 80, MAX_LEVELS = 12 };

/* Words wrapped at TEXT_WIDTH, each line after `indent` blanks. A newline in the text parts paragraphs. */
static void write_wrapped(struct slice text, size_t indent, struct buffer *out)
{
    struct slice paragraph, word;
    while (text.size > 0) {
        slice_cut(text, '\n', &paragraph, &text);
        for (size_t column = 0; paragraph.size > 0; column += word.size + 1) {
            slice_cut(paragraph, ' ', &word, &paragraph);
            if (column > 0 && indent + column + word.size > TEXT_WIDTH) {
                buffer_append_byte(out, '\n');
                column = 0;
            }
            buffer_format(out, "%*s%.*s", column ? 1 : (int)indent, "", SLICE_ARG(word));
        }
        buffer_append_byte(out, '\n');
    }
}

static void write_title(const char *title, const char *text, struct buffer *out)
{
    if (text && *text)
        buffer_format(out, "%-9s%s\n", title, text);
}

static void write_field_line(const struct pb_type *type, size_t field, size_t level,
                             struct buffer *out)
{
    owned_buffer limits = {0};
    buffer_format(out, "%*s%s\t<", (int)(2 * level), "", pb_field_json_name(type, field));
    explain_type_name(type, field, out);
    buffer_append_byte(out, '>');
    explain_limits(type, field, &limits);
    if (limits.size)
        buffer_format(out, " (%s)", limits.data);
    if (!explain_acts(type, field))
        buffer_append_str(out, " - does not act yet");
    buffer_append_byte(out, '\n');
}

/* Only names and types when everything below is shown, as kubectl does. `above` are the types that hold this one. */
static void write_tree(const struct pb_type *type, const struct pb_type **above, size_t level,
                       struct buffer *out)
{
    above[level] = type;
    for (size_t i = 0; i < type->descriptor->n_fields; i++) {
        write_field_line(type, i, level + 1, out);
        const struct pb_type *held = explain_field_type(type, i);
        bool again = level + 1 >= MAX_LEVELS;
        for (size_t j = 0; j <= level; j++)
            again |= above[j] == held;
        if (held && !again)
            write_tree(held, above, level + 1, out);
    }
}

static void write_fields(const struct pb_type *type, bool recursive, struct buffer *out)
{
    buffer_append_str(out, "\nFIELDS:\n");
    if (recursive) {
        const struct pb_type *above[MAX_LEVELS + 1];
        write_tree(type, above, 0, out);
        return;
    }
    for (size_t i = 0; i < type->descriptor->n_fields; i++) {
        write_field_line(type, i, 1, out);
        const char *doc = pb_field_doc(type, i);
        if (doc)
            write_wrapped(slice_str(doc), 4, out);
        buffer_append_byte(out, '\n');
    }
}

static void write_values(const ProtobufCEnumDescriptor *type, struct buffer *out)
{
    buffer_append_str(out, "\nVALUES:\n");
    for (unsigned i = 0; i < type->n_values; i++)
        buffer_format(out, "  %s\n", type->values[i].name);
}

static bool no_such_field(const struct pb_type *type, struct slice name, struct slice where,
                          struct error *error)
{
    size_t count = type->descriptor->n_fields;
    const char **names = mem_calloc(count + 1, sizeof(*names));
    for (size_t i = 0; i < count; i++)
        names[i] = pb_field_json_name(type, i);
    const char *nearest = nearest_word(name, names, count);
    error_set(error, "TUL0014", "there is no field \"%.*s\" in %.*s", SLICE_ARG(name),
              SLICE_ARG(where));
    if (nearest)
        error_fix(error, "did you mean \"%s\"?", nearest);
    mem_free(names);
    return false;
}

/* "http[0]" names the same field as "http". */
static struct slice without_index(struct slice name)
{
    struct slice head, tail;
    slice_cut(name, '[', &head, &tail);
    return head;
}

static void write_heading(const struct pb_kind *kind, struct buffer *out)
{
    write_title("KIND:", kind->kind, out);
    owned_buffer version = {0};
    buffer_format(&version, "%s%s%s", kind->group, *kind->group ? "/" : "", kind->versions[0]);
    write_title("VERSION:", version.data, out);
}

static void write_field_heading(const struct pb_type *type, size_t field, struct buffer *out)
{
    owned_buffer name = {0}, limits = {0};
    buffer_format(&name, "%s <", pb_field_json_name(type, field));
    explain_type_name(type, field, &name);
    buffer_append_byte(&name, '>');
    write_title("FIELD:", name.data, out);
    explain_limits(type, field, &limits);
    write_title("LIMITS:", limits.size ? limits.data : NULL, out);
    write_title(
        "ACTS:", explain_acts(type, field) ? "yes" : "not yet; an object that sets it is refused",
        out);
}

bool explain_path(struct slice path, bool recursive, struct buffer *out, struct error *error)
{
    struct slice name, rest, whole = path;
    slice_cut(path, '.', &name, &rest);
    const struct pb_kind *kind = pb_kind_by_name(name);
    if (!kind) {
        error_set(error, "TUL0014", "there is no kind \"%.*s\"", SLICE_ARG(name));
        error_fix(error, "tulle explain lists the kinds");
        return false;
    }
    const struct pb_type *type = kind->type, *holder = NULL;
    size_t field = 0;
    struct slice where = name;
    while (rest.size > 0) {
        slice_cut(rest, '.', &name, &rest);
        int index = type ? pb_field_find(type, without_index(name)) : -1;
        if (index < 0 && type)
            return no_such_field(type, name, where, error);
        if (index < 0)
            return error_set(error, "TUL0014", "%.*s has no fields", SLICE_ARG(where));
        holder = type;
        field = (size_t)index;
        type = explain_field_type(holder, field);
        where = slice_of(whole.data, (size_t)(name.data + name.size - whole.data));
    }
    write_heading(kind, out);
    if (holder)
        write_field_heading(holder, field, out);
    const char *doc = holder ? pb_field_doc(holder, field) : pb_type_doc(type);
    buffer_append_str(out, "\nDESCRIPTION:\n");
    if (doc)
        write_wrapped(slice_str(doc), 4, out);
    if (holder && type && pb_type_doc(type))
        write_wrapped(slice_str(pb_type_doc(type)), 4, out);
    if (type)
        write_fields(type, recursive, out);
    else if (holder && pb_field_wire(holder, field)->type == PROTOBUF_C_TYPE_ENUM)
        write_values(pb_field_wire(holder, field)->descriptor, out);
    return true;
}
