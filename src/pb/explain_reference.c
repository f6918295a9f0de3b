/* docs/reference/fields.md, from the same comments and options. */
#include "pb/explain.h"

enum { MAX_LEVELS = 16 };

struct reference {
    struct buffer *out;
    struct buffer path;
    const struct pb_type *above[MAX_LEVELS];
    size_t level;
    size_t fields, acting; /* of the current kind */
};

/* Text in a table's cell: no bar, no line end. */
static void write_cell(struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '|')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, text.data[i] == '\n' ? ' ' : text.data[i]);
    }
}

static void write_row(struct reference *r, const struct pb_type *type, size_t field)
{
    owned_buffer name = {0}, limits = {0};
    explain_type_name(type, field, &name);
    explain_limits(type, field, &limits);
    const char *doc = pb_field_doc(type, field);
    bool acts = explain_acts(type, field);
    r->fields++;
    r->acting += acts;
    buffer_format(r->out, "| `%s` | ", r->path.data);
    write_cell(buffer_slice(&name), r->out);
    buffer_format(r->out, " | %s | ", acts ? "yes" : "no");
    write_cell(buffer_slice(&limits), r->out);
    buffer_append_str(r->out, " | ");
    write_cell(slice_str(doc ? doc : ""), r->out);
    buffer_append_str(r->out, " |\n");
}

static bool is_above(const struct reference *r, const struct pb_type *type)
{
    for (size_t i = 0; i < r->level; i++)
        if (r->above[i] == type)
            return true;
    return r->level == MAX_LEVELS;
}

static void write_fields(struct reference *r, const struct pb_type *type)
{
    r->above[r->level++] = type;
    for (size_t i = 0; i < type->descriptor->n_fields; i++) {
        size_t size = r->path.size;
        bool list = pb_field_wire(type, i)->label == PROTOBUF_C_LABEL_REPEATED;
        bool map = type->fields[i].flags & FIELD_MAP;
        buffer_format(&r->path, "%s%s%s", size ? "." : "", pb_field_json_name(type, i),
                      map    ? "{}"
                      : list ? "[]"
                             : "");
        write_row(r, type, i);
        const struct pb_type *held = explain_field_type(type, i);
        /* What does not act is named, and what is in it goes without saying. */
        if (held && explain_acts(type, i) && !is_above(r, held))
            write_fields(r, held);
        r->path.size = size;
        if (r->path.data)
            r->path.data[size] = '\0';
    }
    r->level--;
}

static void write_kind(const struct pb_kind *kind, struct buffer *out)
{
    struct reference r = {.out = out};
    buffer_format(out, "\n## %s\n\n%s\n\n`%s%s", kind->kind, pb_type_doc(kind->type), kind->group,
                  *kind->group ? "/" : "");
    for (const char *const *version = kind->versions; *version; version++)
        buffer_format(out, "%s%s", version == kind->versions ? "" : "`, `", *version);
    buffer_format(out, "`; `%s`, `%s`", kind->plural, kind->singular);
    for (const char *const *name = kind->short_names; *name; name++)
        buffer_format(out, ", `%s`", *name);
    buffer_append_str(out,
                      "\n\n| field | type | acts | limits | meaning |\n|---|---|---|---|---|\n");
    int spec = pb_field_find(kind->type, SLICE("spec"));
    const struct pb_type *type = explain_field_type(kind->type, (size_t)spec);
    buffer_append_str(&r.path, "spec");
    write_fields(&r, type);
    buffer_fini(&r.path);
    buffer_format(out, "\n%zu of %zu fields act.\n", r.acting, r.fields);
}

void explain_reference(struct buffer *out)
{
    buffer_append_str(out, "# Every field of the kinds that Tulle serves\n\n"
                           "Made from `proto/` by `make docs`; do not edit. A field that does not "
                           "act is refused when an object is "
                           "applied, with its place, so that\nnothing is promised silently. Fields "
                           "within one that does not act are "
                           "not listed.\n");
    size_t count;
    const struct pb_kind *kinds = pb_kinds(&count);
    for (size_t i = 0; i < count; i++)
        write_kind(&kinds[i], out);
}
