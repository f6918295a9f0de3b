#include "control/model/validate.h"

#include "control/model/object.h"
#include "control/model/revise.h"

#include "test.h"

static const char *const service =
    "apiVersion: v1\nkind: Service\nmetadata: {name: cart}\n"
    "spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}\n";

static struct value *read(const char *yaml, struct arena *arena)
{
    struct documents documents;
    struct error error = {0};
    bool ok = document_read_yaml(slice_str(yaml), "test.yaml", NULL, arena, &documents, &error);
    CHECK(ok && documents.count == 1, "%s", error.what ? error.what : "not one document");
    return documents.items[0];
}

static const char vs_head[] = "apiVersion: networking.istio.io/v1beta1\nkind: VirtualService\n"
                              "metadata: {name: cart, namespace: shop}\n";

TEST(good_objects_are_admitted_under_their_keys)
{
    static const struct {
        const char *yaml, *key;
    } rows[] = {
        {"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n", "core/namespaces//shop"},
        {"apiVersion: v1\nkind: Service\nmetadata: {name: cart}\n"
         "spec: {ports: [{port: 80}]}\n",
         "core/services/default/cart"},
        {"apiVersion: networking.istio.io/v1alpha3\nkind: WorkloadEntry\n"
         "metadata: {name: cart-1, namespace: shop}\nspec: {address: 127.0.0.9}\n",
         "networking.istio.io/workloadentries/shop/cart-1"},
    };
    EACH (row, rows) {
        struct arena arena = {0};
        struct problems problems = {.arena = &arena, .name = "test.yaml"};
        struct admitted admitted;
        CHECK(object_admit(read(row->yaml, &arena), SLICE_NONE, &problems, &admitted), "%s: %s",
              row->key, problems.items[0].what);
        CHECK(slice_equals_str(admitted.key, row->key), "%.*s", SLICE_ARG(admitted.key));
        struct object_key parts;
        CHECK(object_key_parse(admitted.key, &parts) && parts.kind == admitted.kind);
        arena_fini(&arena);
    }
}

TEST(what_is_wrong_is_told_with_its_place)
{
    static const struct {
        const char *name, *body;
        unsigned line;
        const char *says;
    } rows[] = {
        {"unknown field", "spec: {hosts: [cart], htp: []}", 4, "htp"},
        {"no action", "spec:\n  hosts: [cart]\n  http:\n  - name: x\n", 7, "what to do"},
        {"two actions",
         "spec:\n  hosts: [cart]\n  http:\n  - route: [{destination: {host: cart}}]\n"
         "    directResponse: {status: 200}\n",
         7, "more than one"},
        {"no weight",
         "spec:\n  hosts: [cart]\n  http:\n  - route: [{destination: {host: a}}, {destination: "
         "{host: b}}]\n",
         7, "sum up to 0"},
        {"bad header name",
         "spec:\n  hosts: [cart]\n  http:\n  - headers: {request: {set: {\"x y\": \"1\"}}}\n"
         "    route: [{destination: {host: a}}]\n",
         7, "no header name"},
        {"bad header value",
         "spec:\n  hosts: [cart]\n  http:\n  - route:\n    - destination: {host: a}\n"
         "      headers: {response: {add: {x: \"a \"}}}\n",
         9, "blank"},
        {"the proxy's environment in a header",
         "spec:\n  hosts: [cart]\n  http:\n  - route:\n    - destination: {host: a}\n"
         "      headers: {request: {set: {x: \"%ENVIRONMENT(KEY)%\"}}}\n",
         9, "environment"},
        {"an operator that is none",
         "spec:\n  hosts: [cart]\n  http:\n  - route:\n    - destination: {host: a}\n"
         "      headers: {request: {set: {x: \"%FILE_CONTENT(/etc/shadow)%\"}}}\n",
         9, "FILE_CONTENT"},
        {"a percent sign of its own",
         "spec:\n  hosts: [cart]\n  http:\n  - route:\n    - destination: {host: a}\n"
         "      headers: {response: {set: {x: \"100%\"}}}\n",
         9, "%"},
        {"bad header to remove",
         "spec:\n  hosts: [cart]\n  http:\n  - route:\n    - destination: {host: a}\n"
         "      headers: {response: {remove: [\"\"]}}\n",
         9, "no header name"},
        {"bad regex",
         "spec:\n  hosts: [cart]\n  http:\n  - match: [{uri: {regex: \"a(\"}}]\n"
         "    route: [{destination: {host: a}}]\n",
         7, ""},
        {"bad host", "spec:\n  hosts: [\"car t\"]\n", 5, "no host name"},
        {"fault does not act",
         "spec:\n  hosts: [cart]\n  http:\n  - fault: {abort: {httpStatus: 500}}\n"
         "    route: [{destination: {host: a}}]\n",
         7, "fault"},
    };
    EACH (row, rows) {
        struct arena arena = {0};
        struct problems problems = {.arena = &arena, .name = "test.yaml"};
        struct admitted admitted;
        char *yaml = arena_format(&arena, "%s%s", vs_head, row->body);
        CHECK(!object_admit(read(yaml, &arena), SLICE_NONE, &problems, &admitted), "%s", row->name);
        CHECK(problems.items[0].line == row->line, "%s: line %u: %s", row->name,
              problems.items[0].line, problems.items[0].what);
        CHECK(strstr(problems.items[0].what, row->says), "%s: %s", row->name,
              problems.items[0].what);
        arena_fini(&arena);
    }
}

TEST(another_namespace_than_the_request_says_is_refused)
{
    struct arena arena = {0};
    struct problems problems = {.arena = &arena};
    struct admitted admitted;
    char *yaml = arena_format(&arena, "%sspec: {hosts: [cart]}", vs_head);
    CHECK(object_admit(read(yaml, &arena), SLICE("shop"), &problems, &admitted));
    CHECK(!object_admit(read(yaml, &arena), SLICE("other"), &problems, &admitted));
    arena_fini(&arena);
}

/* Writes and reads back as the store would hold it. */
static struct value *stored_form(const struct value *document, struct arena *arena)
{
    struct buffer text = {0};
    value_write_json(document, false, &text);
    struct value *out;
    CHECK(document_read_json(buffer_slice(&text), "stored", NULL, arena, &out, NULL));
    struct value *keep = out;
    buffer_fini(&text);
    return keep;
}

static struct value *revise(const struct value *stored, const char *yaml, struct arena *arena,
                            const char *source)
{
    struct value *wanted = read(yaml, arena);
    struct problems problems = {.arena = arena};
    struct admitted admitted;
    CHECK(object_admit(wanted, SLICE_NONE, &problems, &admitted));
    struct revision_maker maker = {.now_s = 1767225600,
                                   .uid = "00000000-0000-4000-8000-000000000001",
                                   .source = slice_str(source)};
    struct value *made = object_revise(stored, wanted, &admitted, REVISE_OBJECT, &maker, arena);
    return made ? stored_form(made, arena) : NULL;
}

TEST(a_write_keeps_uid_and_raises_generation_only_with_the_spec)
{
    struct arena arena = {0};
    struct value *first = revise(NULL, service, &arena, NULL);
    const struct value *metadata = value_get(first, "metadata");
    CHECK(strcmp(value_str(value_get(metadata, "creationTimestamp"), ""), "2026-01-01T00:00:00Z") ==
          0);
    CHECK(strcmp(value_get(metadata, "generation")->text.data, "1") == 0);
    CHECK(!revise(first, service, &arena, NULL), "the same again is nothing to write");

    char *labelled = arena_format(&arena, "apiVersion: v1\nkind: Service\n"
                                          "metadata: {name: cart, labels: {a: b}, uid: mine}\n"
                                          "spec: {selector: {app: cart}, ports: [{name: http, "
                                          "port: 80}]}\n");
    struct value *second = revise(first, labelled, &arena, NULL);
    metadata = value_get(second, "metadata");
    CHECK(strcmp(value_get(metadata, "generation")->text.data, "1") == 0);
    CHECK(value_get(metadata, "uid")->text.data[0] == '0', "people do not choose uids");

    char *changed = arena_format(&arena, "apiVersion: v1\nkind: Service\nmetadata: {name: cart}\n"
                                         "spec: {ports: [{name: http, port: 81}]}\n");
    struct value *third = revise(second, changed, &arena, "dir:/etc/mesh/cart.yaml");
    metadata = value_get(third, "metadata");
    CHECK(strcmp(value_get(metadata, "generation")->text.data, "2") == 0);
    CHECK(slice_equals_str(object_source(third), "dir:/etc/mesh/cart.yaml"));
    arena_fini(&arena);
}

TEST(loading_is_lenient_and_disables_what_restricts)
{
    static const struct {
        const char *spec;
        bool disabled;
    } rows[] = {
        {"{\"hosts\":[\"a\"]}", false},
        {"{\"hosts\":[\"a\"],\"newField\":1}", false},
        {"{\"hosts\":[\"a\"],\"http\":[{\"match\":[{\"port\":80}],\"route\":[]}]}", true},
        {"{\"hosts\":[\"a\"],\"http\":[{\"mirror\":{\"host\":\"x\"},\"route\":[]}]}", false},
    };
    EACH (row, rows) {
        char text[512];
        snprintf(text, sizeof(text),
                 "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\","
                 "\"metadata\":{\"name\":\"a\",\"namespace\":\"s\",\"creationTimestamp\":"
                 "\"2026-01-01T00:00:00Z\"},\"spec\":%s}",
                 row->spec);
        struct object *object = NULL;
        struct error error = {0};
        CHECK(object_load(SLICE("networking.istio.io/virtualservices/s/a"), slice_str(text), 7,
                          &object, &error),
              "%s", error.what);
        CHECK(object->disabled == row->disabled, "%s", row->spec);
        CHECK(object->created_s == 1767225600);
        object_unref(object);
    }
    struct object *object = NULL;
    CHECK(!object_load(SLICE("core/services/x/y"), SLICE("[1]"), 1, &object, NULL));
    CHECK(!object_load(SLICE("core/nonsense/x/y"), SLICE("{}"), 1, &object, NULL));
}
