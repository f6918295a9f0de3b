#include "control/api/table.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "control/api/present.h"
#include "control/api/tree.h"

#include <inttypes.h>

/* A column shows the text, or the list of texts, at a path; AGE and a few others are computed. */
enum cell { CELL_TEXT, CELL_LIST, CELL_AGE, CELL_PORTS, CELL_LABELS, CELL_PROBLEM };
struct column {
    const char *name, *path;
    enum cell cell;
    bool wide;             /* only with -o wide */
    const char *otherwise; /* NULL: an empty cell */
};
enum { COLUMNS_MAX = 8 };

static const struct column columns[KINDS][COLUMNS_MAX] = {
    [KIND_NAMESPACE] = {{"Name", "metadata.name", CELL_TEXT, false, NULL},
                        {"Status", "status.phase", CELL_TEXT, false, "Active"},
                        {"Age", "metadata.creationTimestamp", CELL_AGE, false, NULL}},
    [KIND_SERVICE] = {{"Name", "metadata.name", CELL_TEXT, false, NULL},
                      {"Type", "spec.type", CELL_TEXT, false, "ClusterIP"},
                      {"Cluster-IP", "spec.clusterIP", CELL_TEXT, false, "<none>"},
                      {"External-IP", "spec.externalName", CELL_TEXT, false, "<none>"},
                      {"Port(s)", "spec.ports", CELL_PORTS, false, "<none>"},
                      {"Age", "metadata.creationTimestamp", CELL_AGE, false, NULL},
                      {"Selector", "spec.selector", CELL_LABELS, true, "<none>"}},
    [KIND_VIRTUAL_SERVICE] = {{"Name", "metadata.name", CELL_TEXT, false, NULL},
                              {"Gateways", "spec.gateways", CELL_LIST, false, NULL},
                              {"Hosts", "spec.hosts", CELL_LIST, false, NULL},
                              {"Age", "metadata.creationTimestamp", CELL_AGE, false, NULL},
                              {"Problem", "status.conditions", CELL_PROBLEM, true, "<none>"}},
    [KIND_DESTINATION_RULE] = {{"Name", "metadata.name", CELL_TEXT, false, NULL},
                               {"Host", "spec.host", CELL_TEXT, false, NULL},
                               {"Age", "metadata.creationTimestamp", CELL_AGE, false, NULL},
                               {"Problem", "status.conditions", CELL_PROBLEM, true, "<none>"}},
    [KIND_SERVICE_ENTRY] = {{"Name", "metadata.name", CELL_TEXT, false, NULL},
                            {"Hosts", "spec.hosts", CELL_LIST, false, NULL},
                            {"Location", "spec.location", CELL_TEXT, false, NULL},
                            {"Resolution", "spec.resolution", CELL_TEXT, false, NULL},
                            {"Age", "metadata.creationTimestamp", CELL_AGE, false, NULL},
                            {"Problem", "status.conditions", CELL_PROBLEM, true, "<none>"}},
    [KIND_WORKLOAD_ENTRY] = {{"Name", "metadata.name", CELL_TEXT, false, NULL},
                             {"Age", "metadata.creationTimestamp", CELL_AGE, false, NULL},
                             {"Address", "spec.address", CELL_TEXT, false, NULL}},
};

const char *age_text(int64_t seconds, struct arena *arena)
{
    int64_t s = seconds < 0 ? 0 : seconds, m = s / 60, h = m / 60, d = h / 24;
    if (s < 120)
        return arena_format(arena, "%" PRId64 "s", s);
    if (m < 10)
        return s % 60 ? arena_format(arena, "%" PRId64 "m%" PRId64 "s", m, s % 60)
                      : arena_format(arena, "%" PRId64 "m", m);
    if (m < 180)
        return arena_format(arena, "%" PRId64 "m", m);
    if (h < 8)
        return m % 60 ? arena_format(arena, "%" PRId64 "h%" PRId64 "m", h, m % 60)
                      : arena_format(arena, "%" PRId64 "h", h);
    if (h < 48)
        return arena_format(arena, "%" PRId64 "h", h);
    if (d < 8)
        return h % 24 ? arena_format(arena, "%" PRId64 "d%" PRId64 "h", d, h % 24)
                      : arena_format(arena, "%" PRId64 "d", d);
    if (d < 730)
        return arena_format(arena, "%" PRId64 "d", d);
    return arena_format(arena, "%" PRId64 "y", d / 365);
}

static void list_text(const struct value *list, struct buffer *out)
{
    if (list)
        value_write_json(list, false, out);
}

static void ports_text(const struct value *ports, struct buffer *out)
{
    VALUE_EACH(port, ports)
    {
        struct slice protocol = tree_text(port, "protocol");
        buffer_format(out, "%s%.*s/%.*s", out->size ? "," : "", SLICE_ARG(tree_text(port, "port")),
                      SLICE_ARG(protocol.size ? protocol : SLICE("TCP")));
    }
}

static void labels_text(const struct value *labels, struct buffer *out)
{
    VALUE_EACH(label, labels)
    buffer_format(out, "%s%.*s=%.*s", out->size ? "," : "", SLICE_ARG(label->key),
                  SLICE_ARG(label->text));
}

/* Why the object is not as it should be. */
static void problem_text(const struct value *conditions, struct buffer *out)
{
    VALUE_EACH(condition, conditions)
    {
        if (slice_equals_str(tree_text(condition, "type"), "Reconciled") &&
            slice_equals_str(tree_text(condition, "status"), "False"))
            buffer_append_slice(out, tree_text(condition, "reason"));
    }
}

static void cell_text(const struct column *column, const struct value *object, int64_t now_s,
                      struct buffer *out, struct arena *arena)
{
    const struct value *at = tree_at(object, column->path);
    int64_t wall_us;
    switch (column->cell) {
    case CELL_TEXT: buffer_append_slice(out, tree_text(object, column->path)); break;
    case CELL_LIST: list_text(at, out); break;
    case CELL_AGE:
        if (clock_parse(value_str(at, ""), &wall_us))
            buffer_append_str(out, age_text(now_s - wall_us / 1000000, arena));
        else
            buffer_append_str(out, "<unknown>");
        break;
    case CELL_PORTS: ports_text(at, out); break;
    case CELL_LABELS: labels_text(at, out); break;
    case CELL_PROBLEM: problem_text(at, out); break;
    }
    if (out->size == 0 && column->otherwise)
        buffer_append_str(out, column->otherwise);
}

static struct value *column_definition(const struct column *column, struct arena *arena)
{
    struct value *definition = value_new(arena, VALUE_OBJECT);
    bool is_name = strcmp(column->name, "Name") == 0;
    tree_put_str(definition, "name", column->name, arena);
    tree_put_str(definition, "type", "string", arena);
    tree_put_str(definition, "format", is_name ? "name" : "", arena);
    tree_put_str(definition, "description", column->path, arena);
    tree_put_i64(definition, "priority", column->wide, arena);
    return definition;
}

struct value *table_begin(enum kind kind, uint64_t revision, const char *continuation,
                          struct arena *arena, struct value **rows)
{
    struct value *table = value_new(arena, VALUE_OBJECT);
    tree_put_str(table, "kind", "Table", arena);
    tree_put_str(table, "apiVersion", "meta.k8s.io/v1", arena);
    struct value *metadata = tree_put_object(table, "metadata", arena);
    tree_put_str(metadata, "resourceVersion", arena_format(arena, "%" PRIu64, revision), arena);
    if (continuation)
        tree_put_str(metadata, "continue", continuation, arena);
    struct value *definitions = tree_put_list(table, "columnDefinitions", arena);
    for (const struct column *column = columns[kind]; column->name; column++)
        value_append(definitions, column_definition(column, arena));
    *rows = tree_put_list(table, "rows", arena);
    return table;
}

struct value *table_row(enum kind kind, const struct value *object, const char *include,
                        int64_t now_s, struct arena *arena)
{
    struct value *row = value_new(arena, VALUE_OBJECT);
    struct value *cells = tree_put_list(row, "cells", arena);
    for (const struct column *column = columns[kind]; column->name; column++) {
        owned_buffer text = {0};
        cell_text(column, object, now_s, &text, arena);
        value_append(cells, value_new_string(arena, buffer_slice(&text)));
    }
    if (include && strcmp(include, "Object") == 0)
        tree_put(row, "object", tree_share(object, arena), arena);
    else if (!include || strcmp(include, "None") != 0)
        tree_put(row, "object", present_metadata(object, arena), arena);
    return row;
}
