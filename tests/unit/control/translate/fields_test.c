/*
 * docs/reference/fields.md says which fields act. Here each line of it is held to its word: a field that acts changes what some
 * proxy gets, or has one value that it may have; a field that does not is refused with its place.
 */
#include "base/buffer.h"
#include "base/memory.h"
#include "control/model/validate.h"
#include "control/translate/translate.h"
#include "xds/blob.h"

#include "test.h"

/* --- what each acting field changes ---------------------------------------------------------- */

#define RULE(more) "{\"host\":\"product\"" more "}"
#define SUBSET(more)                                                                               \
    RULE(",\"subsets\":[{\"name\":\"v1\",\"labels\":{\"version\":\"v1\"}" more "}]")
#define POLICY(more) ",\"trafficPolicy\":{" more "}"
#define RANDOM "\"loadBalancer\":{\"simple\":\"RANDOM\"}"
#define CONNECT "\"connectionPool\":{\"tcp\":{\"connectTimeout\":\"3s\"}}"
#define PLAIN "\"tls\":{\"mode\":\"DISABLE\"}"
#define PORT(more) "{\"selector\":{\"app\":\"product\"},\"ports\":[{\"port\":9000" more "}]}"
#define ENTRY(more)                                                                                \
    "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"http\"}]" more "}"
#define ENDPOINT(more)                                                                             \
    ENTRY(",\"resolution\":\"STATIC\",\"endpoints\":[{\"address\":\"10.9.0.1\"" more "}]")
#define TO "\"route\":[{\"destination\":{\"host\":\"product\"}}]"
#define HTTP(rule) "{\"hosts\":[\"product\"],\"http\":[{" rule "}]}"
#define MATCH(match) HTTP("\"match\":[{" match "}]," TO)
#define ROUTE(more) HTTP("\"route\":[{\"destination\":{\"host\":\"product\"}" more "}]")
#define DESTINATION(more) HTTP("\"route\":[{\"destination\":{\"host\":\"product\"" more "}}]")
#define HEADERS(what, how) "\"headers\":{\"" what "\":{" how "}}"
#define REDIRECT(more) HTTP("\"redirect\":{" more "}")
#define ANSWER(more) HTTP("\"directResponse\":{\"status\":418" more "}")
#define WORKLOAD(more)                                                                             \
    "{\"address\":\"10.0.0.9\",\"labels\":{\"app\":\"product\",\"security.istio.io/tlsMode\":"     \
    "\"istio\"}" more "}"

static const struct {
    const char *kind, *path, *with, *without;
} rows[] = {
    {"DestinationRule", "spec.host", SUBSET(""),
     "{\"host\":\"other\",\"subsets\":[{\"name\":\"v1\"}]}"},
    {"DestinationRule", "spec.trafficPolicy.loadBalancer.simple", RULE(POLICY(RANDOM)), RULE("")},
    {"DestinationRule", "spec.trafficPolicy.connectionPool.tcp.connectTimeout",
     RULE(POLICY(CONNECT)), RULE("")},
    {"DestinationRule", "spec.trafficPolicy.tls.mode", RULE(POLICY(PLAIN)), RULE("")},
    {"DestinationRule", "spec.subsets[].name", SUBSET(""), RULE("")},
    {"DestinationRule", "spec.subsets[].labels{}", SUBSET(""),
     RULE(",\"subsets\":[{\"name\":\"v1\"}]")},
    {"DestinationRule", "spec.subsets[].trafficPolicy.loadBalancer.simple", SUBSET(POLICY(RANDOM)),
     SUBSET("")},
    {"DestinationRule", "spec.subsets[].trafficPolicy.connectionPool.tcp.connectTimeout",
     SUBSET(POLICY(CONNECT)), SUBSET("")},
    {"DestinationRule", "spec.subsets[].trafficPolicy.tls.mode", SUBSET(POLICY(PLAIN)), SUBSET("")},

    {"Service", "spec.ports[].name", PORT(",\"name\":\"http\""), PORT("")},
    {"Service", "spec.ports[].protocol", PORT(",\"protocol\":\"UDP\""), PORT("")},
    {"Service", "spec.ports[].port", "{\"ports\":[{\"port\":9001}]}",
     "{\"ports\":[{\"port\":9000}]}"},
    {"Service", "spec.ports[].targetPort", PORT(",\"targetPort\":8080"), PORT("")},
    {"Service", "spec.ports[].appProtocol", PORT(",\"appProtocol\":\"http2\""), PORT("")},
    {"Service", "spec.selector{}", PORT(""), "{\"ports\":[{\"port\":9000}]}"},
    {"Service", "spec.clusterIP", "{\"ports\":[{\"port\":9000}],\"clusterIP\":\"10.96.0.9\"}",
     "{\"ports\":[{\"port\":9000}]}"},
    {"Service", "spec.clusterIPs[]", "{\"ports\":[{\"port\":9000}],\"clusterIPs\":[\"10.96.0.9\"]}",
     "{\"ports\":[{\"port\":9000}]}"},

    {"ServiceEntry", "spec.hosts[]", ENTRY(""),
     "{\"hosts\":[\"f.example.com\"],\"ports\":[{\"number\":80,\"name\":\"http\"}]}"},
    {"ServiceEntry", "spec.addresses[]", ENTRY(",\"addresses\":[\"10.8.0.1\"]"), ENTRY("")},
    {"ServiceEntry", "spec.ports[].number", ENTRY(""),
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":81,\"name\":\"http\"}]}"},
    {"ServiceEntry", "spec.ports[].protocol",
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"x\",\"protocol\":"
     "\"HTTP\"}]}",
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"x\",\"protocol\":\"TCP\"}"
     "]}"},
    {"ServiceEntry", "spec.ports[].protocol",
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"x\",\"protocol\":"
     "\"UDP\"}]}",
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"x\",\"protocol\":\"TCP\"}"
     "]}"},
    {"ServiceEntry", "spec.ports[].name",
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"udp-x\"}]}",
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"x\"}]}"},
    {"ServiceEntry", "spec.ports[].name", ENTRY(""),
     "{\"hosts\":[\"e.example.com\"],\"ports\":[{\"number\":80,\"name\":\"tcp\"}]}"},
    {"ServiceEntry", "spec.ports[].targetPort",
     "{\"hosts\":[\"e.example.com\"],\"resolution\":\"STATIC\",\"endpoints\":[{\"address\":\"10.9."
     "0.1\"}],\"ports\":[{\"number\":80,\"name\":\"http\",\"targetPort\":81}]}",
     ENDPOINT("")},
    {"ServiceEntry", "spec.location", ENTRY(",\"location\":\"MESH_INTERNAL\""), ENTRY("")},
    {"ServiceEntry", "spec.resolution", ENTRY(",\"resolution\":\"DNS\""), ENTRY("")},
    {"ServiceEntry", "spec.endpoints[].address", ENDPOINT(""), ENTRY(",\"resolution\":\"STATIC\"")},
    {"ServiceEntry", "spec.endpoints[].ports{}", ENDPOINT(",\"ports\":{\"http\":81}"),
     ENDPOINT("")},
    {"ServiceEntry", "spec.endpoints[].labels{}",
     ENDPOINT(",\"labels\":{\"security.istio.io/tlsMode\":\"istio\"}"), ENDPOINT("")},
    {"ServiceEntry", "spec.endpoints[].weight", ENDPOINT(",\"weight\":5"), ENDPOINT("")},
    {"ServiceEntry", "spec.endpoints[].serviceAccount",
     ENDPOINT(",\"labels\":{\"security.istio.io/tlsMode\":\"istio\"},\"serviceAccount\":\"a\""),
     ENDPOINT(",\"labels\":{\"security.istio.io/tlsMode\":\"istio\"},\"serviceAccount\":\"b\"")},
    {"ServiceEntry", "spec.workloadSelector.labels{}",
     ENTRY(",\"resolution\":\"STATIC\",\"workloadSelector\":{\"labels\":{\"app\":\"product\"}}"),
     ENTRY(",\"resolution\":\"STATIC\"")},

    {"VirtualService", "spec.hosts[]", ANSWER(""),
     "{\"hosts\":[\"other\"],\"http\":[{\"directResponse\":{\"status\":418}}]}"},
    {"VirtualService", "spec.http[].match[].uri.exact", MATCH("\"uri\":{\"exact\":\"/a\"}"),
     HTTP(TO)},
    {"VirtualService", "spec.http[].match[].uri.prefix", MATCH("\"uri\":{\"prefix\":\"/a\"}"),
     HTTP(TO)},
    {"VirtualService", "spec.http[].match[].uri.regex", MATCH("\"uri\":{\"regex\":\"/a+\"}"),
     HTTP(TO)},
    {"VirtualService", "spec.http[].match[].headers{}.exact",
     MATCH("\"headers\":{\"h\":{\"exact\":\"a\"}}"), HTTP(TO)},
    {"VirtualService", "spec.http[].match[].headers{}.prefix",
     MATCH("\"headers\":{\"h\":{\"prefix\":\"a\"}}"), HTTP(TO)},
    {"VirtualService", "spec.http[].match[].headers{}.regex",
     MATCH("\"headers\":{\"h\":{\"regex\":\"a\"}}"), HTTP(TO)},
    {"VirtualService", "spec.http[].match[].name", MATCH("\"name\":\"n\""),
     MATCH("\"name\":\"m\"")},
    {"VirtualService", "spec.http[].route[].destination.host", HTTP(TO),
     HTTP("\"route\":[{\"destination\":{\"host\":\"web\"}}]")},
    {"VirtualService", "spec.http[].route[].destination.subset", DESTINATION(",\"subset\":\"v1\""),
     DESTINATION("")},
    {"VirtualService", "spec.http[].route[].destination.port.number",
     DESTINATION(",\"port\":{\"number\":9001}"), DESTINATION("")},
    {"VirtualService", "spec.http[].route[].weight",
     HTTP("\"route\":[{\"weight\":1,\"destination\":{\"host\":\"product\"}},{\"weight\":2,"
          "\"destination\":{\"host\":\"web\"}}]"),
     HTTP("\"route\":[{\"weight\":1,\"destination\":{\"host\":\"product\"}},{\"weight\":1,"
          "\"destination\":{\"host\":\"web\"}}]")},
#define OPERATIONS(prefix, make, plain)                                                            \
    {"VirtualService", prefix ".headers.request.set{}",                                            \
     make(HEADERS("request", "\"set\":{\"a\":\"1\"}")), plain},                                    \
        {"VirtualService", prefix ".headers.request.add{}",                                        \
         make(HEADERS("request", "\"add\":{\"a\":\"1\"}")), plain},                                \
        {"VirtualService", prefix ".headers.request.remove[]",                                     \
         make(HEADERS("request", "\"remove\":[\"a\"]")), plain},                                   \
        {"VirtualService", prefix ".headers.response.set{}",                                       \
         make(HEADERS("response", "\"set\":{\"a\":\"1\"}")), plain},                               \
        {"VirtualService", prefix ".headers.response.add{}",                                       \
         make(HEADERS("response", "\"add\":{\"a\":\"1\"}")), plain},                               \
    {                                                                                              \
        "VirtualService", prefix ".headers.response.remove[]",                                     \
            make(HEADERS("response", "\"remove\":[\"a\"]")), plain                                 \
    }
#define OF_ROUTE(more) ROUTE("," more)
#define OF_RULE(more) HTTP(more "," TO)
    OPERATIONS("spec.http[].route[]", OF_ROUTE, HTTP(TO)),
    OPERATIONS("spec.http[]", OF_RULE, HTTP(TO)),
    {"VirtualService", "spec.http[].redirect.uri", REDIRECT("\"uri\":\"/a\""),
     REDIRECT("\"uri\":\"/b\"")},
    {"VirtualService", "spec.http[].redirect.authority", REDIRECT("\"authority\":\"a\""),
     REDIRECT("\"uri\":\"/a\"")},
    {"VirtualService", "spec.http[].redirect.redirectCode",
     REDIRECT("\"uri\":\"/a\",\"redirectCode\":308"), REDIRECT("\"uri\":\"/a\"")},
    {"VirtualService", "spec.http[].redirect.port", REDIRECT("\"uri\":\"/a\",\"port\":81"),
     REDIRECT("\"uri\":\"/a\"")},
    {"VirtualService", "spec.http[].redirect.scheme",
     REDIRECT("\"uri\":\"/a\",\"scheme\":\"https\""), REDIRECT("\"uri\":\"/a\"")},
    {"VirtualService", "spec.http[].rewrite.uri", HTTP("\"rewrite\":{\"uri\":\"/a\"}," TO),
     HTTP(TO)},
    {"VirtualService", "spec.http[].rewrite.authority",
     HTTP("\"rewrite\":{\"authority\":\"a\"}," TO), HTTP(TO)},
    {"VirtualService", "spec.http[].timeout", HTTP("\"timeout\":\"3s\"," TO), HTTP(TO)},
    {"VirtualService", "spec.http[].name", HTTP("\"name\":\"n\"," TO), HTTP(TO)},
    {"VirtualService", "spec.http[].directResponse.status", ANSWER(""),
     HTTP("\"directResponse\":{\"status\":419}")},
    {"VirtualService", "spec.http[].directResponse.body.string",
     ANSWER(",\"body\":{\"string\":\"a\"}"), ANSWER("")},
    {"VirtualService", "spec.http[].directResponse.body.bytes",
     ANSWER(",\"body\":{\"bytes\":\"YQ==\"}"), ANSWER("")},

    {"WorkloadEntry", "spec.address", WORKLOAD(""),
     "{\"address\":\"10.0.0.8\",\"labels\":{\"app\":\"product\"}}"},
    {"WorkloadEntry", "spec.ports{}", WORKLOAD(",\"ports\":{\"http\":81}"), WORKLOAD("")},
    {"WorkloadEntry", "spec.labels{}", WORKLOAD(""), "{\"address\":\"10.0.0.9\"}"},
    {"WorkloadEntry", "spec.weight", WORKLOAD(",\"weight\":5"), WORKLOAD("")},
    {"WorkloadEntry", "spec.serviceAccount", WORKLOAD(",\"serviceAccount\":\"a\""), WORKLOAD("")},
};

/* Kubernetes writes it into every Namespace, and kubectl gives it back: it is taken and has no meaning here. */
static const char *const meaningless[] = {"Namespace spec.finalizers[]"};

/* --- a mesh to change ------------------------------------------------------------------------ */

struct mesh {
    struct model *model;
    struct registry *registry;
    struct translate *translate;
    struct arena arena;
};

static const char *version_of(const char *kind)
{
    return strcmp(kind, "Service") == 0 || strcmp(kind, "Namespace") == 0
               ? "v1"
               : "networking.istio.io/v1";
}

static void put(struct mesh *m, const char *kind, const char *name, const char *spec)
{
    struct error error = {0};
    struct value *document;
    struct admitted admitted;
    struct problems problems = {.arena = &m->arena};
    struct slice text =
        slice_str(arena_format(&m->arena,
                               "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%"
                               "s\",\"namespace\":\"shop\"},"
                               "\"spec\":%s}",
                               version_of(kind), kind, name, spec));
    CHECK(document_read_json(text, kind, NULL, &m->arena, &document, &error), "%s: %s", text.data,
          error.what);
    CHECK(object_admit(document, SLICE_NONE, &problems, &admitted), "%s: %s %s", text.data,
          problems.items[0].path, problems.items[0].what);
    owned(object) object = NULL;
    CHECK(object_load(admitted.key, text, 1, &object, &error), "%s", error.what);
    model_put(m->model, object);
}

static void begin(struct mesh *m)
{
    static const struct mesh_settings settings = {.trust_domain = "cluster.local"};
    *m = (struct mesh){.model = model_create()};
    m->registry = registry_create(m->model);
    m->translate = translate_create(m->model, m->registry, &settings);
    put(m, "Service", "product",
        "{\"selector\":{\"app\":\"product\"},\"ports\":[{\"name\":\"http\",\"port\":9000}]}");
    put(m, "Service", "web", "{\"ports\":[{\"name\":\"http\",\"port\":80}]}");
    put(m, "WorkloadEntry", "one",
        "{\"address\":\"10.0.0.1\",\"labels\":{\"app\":\"product\",\"version\":\"v1\"}}");
    put(m, "WorkloadEntry", "two",
        "{\"address\":\"10.0.0.2\",\"labels\":{\"app\":\"product\",\"version\":\"v2\"}}");
}

static void end(struct mesh *m)
{
    translate_destroy(m->translate);
    registry_destroy(m->registry);
    model_destroy(m->model);
    arena_fini(&m->arena);
}

/* Of everything that a client and a replica of product get. */
static struct hash128 version_of_all(struct mesh *m)
{
    static const char *const keys[] = {"sidecar\nmtls\nshop\nweb\n10.0.1.1\n\napp=web\n",
                                       "sidecar\nmtls\nshop\np\n10.0.0.1\n\napp=product\n"};
    struct hash128 sum = {0};
    translate_settle(m->translate, NULL, NULL);
    EACH (key, keys) {
        const struct view *view = translate_view(m->translate, slice_str(*key));
        for (enum resource_type type = 0; type < RESOURCE_TYPES; type++) {
            if (view_table(view, type))
                version_add(&sum, blob_table_version(view_table(view, type)));
        }
    }
    return sum;
}

/* --- the reference --------------------------------------------------------------------------- */

struct line {
    char kind[64], path[256], type[128], limits[256];
    bool acts;
};

/* "| `PATH` | TYPE | yes | LIMITS | MEANING |" */
static bool read_line(struct slice text, struct line *line)
{
    struct slice cell, rest = text;
    if (!slice_starts_with(text, SLICE("| `")) || !slice_cut(rest, '|', &cell, &rest))
        return false;
    char *const cells[] = {line->path, line->type, NULL, line->limits};
    for (unsigned i = 0; i < 4; i++) {
        CHECK(slice_cut(rest, '|', &cell, &rest));
        cell = slice_trim(cell);
        if (i == 0)
            cell = slice_of(cell.data + 1, cell.size - 2);
        if (i == 2)
            line->acts = slice_equals_str(cell, "yes");
        else
            snprintf(cells[i], 128, "%.*s", SLICE_ARG(cell));
    }
    return true;
}

/* Calls visit for every field of every kind; returns how many there are. */
static size_t each_line(void (*visit)(const struct line *line, const struct slice all),
                        size_t *acting)
{
    owned_buffer text = {0};
    CHECK(buffer_read_file(&text, "docs/reference/fields.md", 1 << 20) == 0);
    struct slice row, rest = buffer_slice(&text);
    struct line line = {0};
    size_t count = 0;
    while (slice_cut(rest, '\n', &row, &rest)) {
        if (slice_starts_with(row, SLICE("## ")))
            snprintf(line.kind, sizeof(line.kind), "%.*s", SLICE_ARG(slice_from(row, 3)));
        if (!read_line(row, &line))
            continue;
        visit(&line, buffer_slice(&text));
        *acting += line.acts;
        count++;
    }
    return count;
}

static bool has_one_value(const struct line *line)
{
    const char *only = strstr(line->limits, "only ");
    return only && !strchr(only, ',');
}

/* Something below it is in the reference: that is what acts. */
static bool is_parent(const struct line *line, struct slice all)
{
    char below[300];
    snprintf(below, sizeof(below), "| `%s.", line->path);
    return slice_find(all, slice_str(below)) != SIZE_MAX;
}

static bool has_row(const struct line *line)
{
    owned_str whole = str_format("%s %s", line->kind, line->path);
    EACH (word, meaningless) {
        if (strcmp(*word, whole) == 0)
            return true;
    }
    EACH (row, rows) {
        if (strcmp(row->kind, line->kind) == 0 && strcmp(row->path, line->path) == 0)
            return true;
    }
    return false;
}

static void check_acting(const struct line *line, struct slice all)
{
    if (line->acts && !has_one_value(line) && !is_parent(line, all))
        CHECK(has_row(line), "nothing shows that %s %s acts", line->kind, line->path);
}

TEST(every_field_that_is_said_to_act_is_shown_to_act)
{
    size_t acting = 0, count = each_line(check_acting, &acting);
    CHECK(count > 200 && acting > 80, "%zu fields, %zu act", count, acting);
}

TEST(fields_that_act_change_what_proxies_get)
{
    EACH (row, rows) {
        struct mesh m;
        begin(&m);
        const char *name = strcmp(row->kind, "Service") == 0 ? "product" : "changed";
        put(&m, row->kind, name, row->without);
        struct hash128 before = version_of_all(&m);
        put(&m, row->kind, name, row->with);
        CHECK(!hash128_equals(before, version_of_all(&m)), "%s %s changes nothing", row->kind,
              row->path);
        put(&m, row->kind, name, row->without);
        CHECK(hash128_equals(before, version_of_all(&m)), "%s %s leaves something behind",
              row->kind, row->path);
        end(&m);
    }
}

/* --- refusals -------------------------------------------------------------------------------- */

/* Any value of the type. */
static struct value *sample(const char *type, struct arena *arena)
{
    if (strncmp(type, "[]", 2) == 0) {
        struct value *list = value_new(arena, VALUE_LIST);
        value_append(list, sample(type + 2, arena));
        return list;
    }
    if (strncmp(type, "map<", 4) == 0) {
        struct value *map = value_new(arena, VALUE_OBJECT);
        char inner[128];
        snprintf(inner, sizeof(inner), "%s", strchr(type, ',') + 2);
        inner[strlen(inner) - 1] = '\0';
        value_put(arena, map, SLICE("k"), sample(inner, arena));
        return map;
    }
    if (strcmp(type, "boolean") == 0)
        return value_new_bool(arena, true);
    if (strcmp(type, "duration") == 0)
        return value_new_string(arena, SLICE("1s"));
    if (strstr(type, "int") == type || strstr(type, "uint") == type ||
        strcmp(type, "number") == 0 || strcmp(type, "double") == 0)
        return value_new_i64(arena, 1);
    if (type[0] >= 'A' && type[0] <= 'Z')
        return value_new(arena, VALUE_OBJECT);
    return value_new_string(arena, SLICE("a"));
}

/* {"http": [{"retries": ...}]} for http[].retries; `place` becomes http[0].retries. */
static struct value *nest(struct slice path, struct value *leaf, struct buffer *place,
                          struct arena *arena)
{
    struct slice step, rest;
    bool more = slice_cut(path, '.', &step, &rest);
    bool list = slice_ends_with(step, SLICE("[]")), map = slice_ends_with(step, SLICE("{}"));
    struct slice name = slice_first(step, step.size - (list || map ? 2 : 0));
    buffer_format(place, "%s%.*s", place->size ? "." : "", SLICE_ARG(name));
    struct value *child = leaf;
    if (more) {
        if (list || map)
            buffer_append_str(place, list ? "[0]" : "[\"k\"]");
        child = nest(rest, leaf, place, arena);
        struct value *holder = value_new(arena, list ? VALUE_LIST : VALUE_OBJECT);
        if (list)
            value_append(holder, child);
        else if (map)
            value_put(arena, holder, SLICE("k"), child);
        child = list || map ? holder : child;
    }
    struct value *object = value_new(arena, VALUE_OBJECT);
    value_put(arena, object, name, child);
    return object;
}

/* The path may be one of an enum, whose value is a text although its type has a name like a message's. */
static bool is_refused(const struct line *line, struct value *(*make)(const char *, struct arena *),
                       struct buffer *said)
{
    struct arena arena = {0};
    owned_buffer place = {0};
    struct problems problems = {.arena = &arena};
    struct admitted admitted;
    struct value *document = nest(slice_str(line->path), make(line->type, &arena), &place, &arena);
    value_put(&arena, document, SLICE("apiVersion"),
              value_new_string(&arena, slice_str(version_of(line->kind))));
    value_put(&arena, document, SLICE("kind"), value_new_string(&arena, slice_str(line->kind)));
    CHECK(!object_admit(document, SLICE_NONE, &problems, &admitted), "%s %s is admitted",
          line->kind, line->path);
    bool found = false;
    for (size_t i = 0; i < MIN(problems.count, (size_t)PROBLEMS_MAX); i++) {
        const struct problem *problem = &problems.items[i];
        found = found || (problem->kind == PROBLEM_REFUSED && problem->fix && problem->what[0] &&
                          strncmp(problem->path, place.data, place.size) == 0);
    }
    buffer_format(said, "%s: %s; ", problems.items[0].path, problems.items[0].what);
    arena_fini(&arena);
    return found;
}

static struct value *sample_text(const char *type, struct arena *arena)
{
    return strncmp(type, "[]", 2) == 0 ? sample("[]string", arena)
                                       : value_new_string(arena, SLICE("a"));
}

static struct value *sample_number(const char *type, struct arena *arena)
{
    (void)type;
    return value_new_i64(arena, 1);
}

static void check_refused(const struct line *line, struct slice all)
{
    (void)all;
    owned_buffer said = {0};
    if (!line->acts)
        CHECK(is_refused(line, sample, &said) || is_refused(line, sample_text, &said) ||
                  is_refused(line, sample_number, &said),
              "%s %s is not refused: %s", line->kind, line->path, said.data);
}

TEST(fields_that_do_not_act_are_refused_with_their_place)
{
    size_t acting = 0, count = each_line(check_refused, &acting);
    CHECK(count - acting > 80, "%zu of %zu", acting, count);
}
