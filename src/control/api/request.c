#include "control/api/request.h"

#include "control/model/validate.h"

#include <inttypes.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool request_unescape(struct slice text, bool plus_is_space, struct arena *arena, struct slice *out)
{
    char *to = arena_copy(arena, text);
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        to[size++] = c;
    }
    to[size] = '\0';
    *out = slice_of(to, size);
    return true;
}

/* --- the path ---------------------------------------------------------------------------------------------------- */

enum { SEGMENTS_MAX = 8 };
struct segments {
    struct slice items[SEGMENTS_MAX];
    size_t count;
};

static bool split(struct slice path, struct arena *arena, struct segments *out)
{
    struct slice segment;
    bool more = path.size > 1;
    path = path.size > 0 ? slice_from(path, 1) : path;
    for (out->count = 0; more; out->count++) {
        more = slice_cut(path, '/', &segment, &path);
        if (out->count == SEGMENTS_MAX ||
            !request_unescape(segment, false, arena, &out->items[out->count]))
            return false;
    }
    return true;
}

static bool is(const struct segments *path, size_t index, const char *text)
{
    return index < path->count && slice_equals_str(path->items[index], text);
}

static bool find_resource(struct slice group, struct slice version, struct slice plural,
                          struct request *out)
{
    for (enum kind k = 0; k < KINDS; k++) {
        const struct pb_kind *kind = kind_schema(k);
        if (!slice_equals_str(group, kind->group) || !slice_equals_str(plural, kind->plural))
            continue;
        for (size_t i = 0; kind->versions[i]; i++) {
            if (slice_equals_str(version, kind->versions[i])) {
                *out = (struct request){.target = TARGET_OBJECTS,
                                        .kind = k,
                                        .version = kind->versions[i],
                                        .resource = kind->plural};
                return true;
            }
        }
    }
    return false;
}

/* After /api/v1 or /apis/GROUP/VERSION: [namespaces/NS/]RESOURCE[/NAME[/status]]. */
static bool parse_objects(const struct segments *path, size_t at, struct slice group,
                          struct request *out, bool *watches)
{
    struct slice version = path->items[at - 1], name_space = SLICE_NONE;
    *watches = is(path, at, "watch"); /* the old form, /watch/ before the rest */
    at += *watches;
    if (is(path, at, "namespaces") && path->count > at + 2 && !is(path, at + 2, "status")) {
        name_space = path->items[at + 1];
        at += 2;
        if (name_space.size == 0) /* somebody's empty variable, and not every namespace */
            return false;
    }
    if (at >= path->count || !find_resource(group, version, path->items[at], out))
        return false;
    out->name_space = name_space;
    if (at + 1 < path->count)
        out->name = path->items[at + 1];
    out->status = is(path, at + 2, "status");
    bool cluster_scoped = kind_schema(out->kind)->cluster_scoped;
    if (path->count > at + 2 + out->status || (out->name.size == 0 && path->count > at + 1) ||
        (cluster_scoped && name_space.size > 0))
        return false;
    return cluster_scoped || name_space.size > 0 || out->name.size == 0;
}

/* After /apis/tulle.dev/v1. */
static bool parse_own(const struct segments *path, struct request *out)
{
    if (is(path, 3, "leases") && path->count <= 5)
        *out = (struct request){.target = TARGET_LEASES,
                                .resource = "leases",
                                .name = path->count == 5 ? path->items[4] : SLICE_NONE};
    else if (is(path, 3, "proxies") && path->count == 4)
        *out = (struct request){.target = TARGET_PROXIES, .resource = "proxies"};
    else if (is(path, 3, "namespaces") && is(path, 5, "tokens") && path->count == 6)
        *out = (struct request){
            .target = TARGET_TOKENS, .resource = "tokens", .name_space = path->items[4]};
    else
        return false;
    return true;
}

/* --- the query --------------------------------------------------------------------------------------------------- */

const char *request_continuation(uint64_t revision, struct slice last_key, struct arena *arena)
{
    return arena_format(arena, "%" PRIu64 ":%.*s", revision, SLICE_ARG(last_key));
}

static bool read_continuation(struct slice text, struct arena *arena, struct request *out)
{
    struct slice revision;
    if (!slice_cut(text, ':', &revision, &out->after) ||
        !slice_to_u64(revision, INT64_MAX, &out->revision) || out->revision == 0)
        return false;
    out->exact = true;
    struct slice prefix = object_key_prefix(out->kind, out->name_space, arena);
    return slice_starts_with(out->after, prefix);
}

static bool is_true(struct slice value)
{
    return value.size == 0 || slice_equals_str(value, "true") || slice_equals_str(value, "1");
}

struct query_reader {
    struct request *out;
    struct arena *arena;
    struct failure *failure;
    struct slice continuation, labels, fields;
    bool watch;
};

static bool read_number(struct query_reader *reader, struct slice name, struct slice value,
                        uint64_t *out)
{
    if (value.size == 0 || slice_to_u64(value, INT64_MAX, out))
        return true;
    return fail(reader->failure, reader->arena, 400, "%.*s=%.*s is no number", SLICE_ARG(name),
                SLICE_ARG(value));
}

static bool read_field_validation(struct query_reader *reader, struct slice value)
{
    static const char *const names[] = {"Strict", "Warn", "Ignore"};
    for (unsigned i = 0; i < COUNT(names); i++) {
        if (slice_equals_str(value, names[i])) {
            reader->out->unknown = (enum unknown_fields)i;
            return true;
        }
    }
    return value.size == 0 ||
           fail(reader->failure, reader->arena, 400,
                "fieldValidation is Strict, Warn or Ignore, not \"%.*s\"", SLICE_ARG(value));
}

static bool read_parameter(struct query_reader *reader, struct slice name, struct slice value)
{
    struct request *out = reader->out;
    if (slice_equals_str(name, "limit"))
        return read_number(reader, name, value, &out->limit);
    if (slice_equals_str(name, "timeoutSeconds"))
        return read_number(reader, name, value, &out->timeout_s);
    if (slice_equals_str(name, "resourceVersion")) {
        bool good = read_number(reader, name, value, &out->revision);
        out->has_revision = good && out->revision > 0;
        return good;
    }
    if (slice_equals_str(name, "resourceVersionMatch"))
        out->exact = slice_equals_str(value, "Exact");
    else if (slice_equals_str(name, "continue"))
        reader->continuation = value;
    else if (slice_equals_str(name, "labelSelector"))
        reader->labels = value;
    else if (slice_equals_str(name, "fieldSelector"))
        reader->fields = value;
    else if (slice_equals_str(name, "watch"))
        reader->watch = is_true(value);
    else if (slice_equals_str(name, "allowWatchBookmarks"))
        out->bookmarks = is_true(value);
    else if (slice_equals_str(name, "sendInitialEvents"))
        out->initial_events = is_true(value);
    else if (slice_equals_str(name, "includeObject"))
        out->include_object = value.data;
    else if (slice_equals_str(name, "fieldValidation"))
        return read_field_validation(reader, value);
    else if (slice_equals_str(name, "dryRun") && value.size > 0) {
        out->dry_run = slice_equals_str(value, "All");
        return out->dry_run || fail(reader->failure, reader->arena, 400,
                                    "dryRun is All, not \"%.*s\"", SLICE_ARG(value));
    } else if (slice_equals_str(name, "fieldManager") && value.size > FIELD_MANAGER_BYTES_MAX)
        return fail(reader->failure, reader->arena, 400, "fieldManager is longer than %d bytes",
                    FIELD_MANAGER_BYTES_MAX);
    return true; /* pretty, force and the like change nothing here */
}

static bool read_query(struct query_reader *reader, struct slice query)
{
    struct slice one, name, value;
    bool more = query.size > 0;
    if (query.size > QUERY_BYTES_MAX)
        return fail(reader->failure, reader->arena, 400, "the query is longer than %d bytes",
                    QUERY_BYTES_MAX);
    while (more) {
        more = slice_cut(query, '&', &one, &query);
        (void)slice_cut(one, '=', &name, &value);
        if (!request_unescape(name, true, reader->arena, &name) ||
            !request_unescape(value, true, reader->arena, &value))
            return fail(reader->failure, reader->arena, 400, "an escape in the query is broken");
        if (!read_parameter(reader, name, value))
            return false;
    }
    return true;
}

static bool read_selectors(struct query_reader *reader)
{
    struct request *out = reader->out;
    owned_error error = {0};
    if (!selector_read_labels(&out->selector, reader->labels, reader->arena, &error) ||
        !selector_read_fields(&out->selector, reader->fields, reader->arena, &error))
        return fail(reader->failure, reader->arena, 400, "%s", error.what);
    if (reader->continuation.size > 0 &&
        !read_continuation(reader->continuation, reader->arena, out))
        return fail(reader->failure, reader->arena, 400, "the continue token is not one of ours");
    return true;
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static bool choose_verb(struct slice method, bool watch, struct request *out)
{
    bool one = out->name.size > 0;
    /* As in Kubernetes, a collection of every namespace is read, and changed by nobody. */
    bool everywhere = out->target == TARGET_OBJECTS && out->name_space.size == 0 &&
                      !kind_schema(out->kind)->cluster_scoped;
    if (slice_equals_str(method, "GET") || slice_equals_str(method, "HEAD"))
        out->verb = watch ? VERB_WATCH : one ? VERB_GET : VERB_LIST;
    else if (slice_equals_str(method, "POST") && !one)
        out->verb = VERB_CREATE;
    else if (slice_equals_str(method, "PUT") && one)
        out->verb = VERB_UPDATE;
    else if (slice_equals_str(method, "PATCH") && one)
        out->verb = VERB_PATCH;
    else if (slice_equals_str(method, "DELETE") && !out->status && !everywhere)
        out->verb = one ? VERB_DELETE : VERB_DELETE_COLLECTION;
    else
        return false;
    return true;
}

bool request_parse(struct slice method, struct slice path, struct slice query, struct arena *arena,
                   struct request *out, struct failure *failure)
{
    struct segments segments;
    *out = (struct request){.target = TARGET_DISCOVERY, .verb = VERB_GET, .resource = ""};
    if (path.size > 1 && path.data[path.size - 1] == '/')
        path.size--;
    if (!split(path, arena, &segments))
        return fail(failure, arena, 404, "nothing is served at %.*s", SLICE_ARG(path));
    bool watches = false, found = true;
    if (is(&segments, 0, "api") && segments.count > 2)
        found = parse_objects(&segments, 2, SLICE(""), out, &watches);
    else if (is(&segments, 0, "apis") && is(&segments, 1, "tulle.dev") && segments.count > 3)
        found = is(&segments, 2, "v1") && parse_own(&segments, out);
    else if (is(&segments, 0, "apis") && segments.count > 3)
        found = parse_objects(&segments, 3, segments.items[1], out, &watches);
    if (!found)
        return fail(failure, arena, 404, "the server could not find the requested resource");
    struct query_reader reader = {.out = out, .arena = arena, .failure = failure, .watch = watches};
    if (!read_query(&reader, query))
        return false;
    if (out->target == TARGET_OBJECTS && !read_selectors(&reader))
        return false;
    if (!choose_verb(method, reader.watch, out))
        return fail(failure, arena, 405, "%.*s is not possible here", SLICE_ARG(method));
    if (out->verb == VERB_WATCH && out->name.size > 0 && out->target == TARGET_OBJECTS) {
        /* A watch of one object is a watch of the collection, by name. */
        const char *field = arena_format(arena, "metadata.name=%.*s", SLICE_ARG(out->name));
        owned_error error = {0};
        if (!selector_read_fields(&out->selector, slice_str(field), arena, &error))
            return fail(failure, arena, 400, "%s", error.what);
        out->name = SLICE_NONE;
    }
    return true;
}
