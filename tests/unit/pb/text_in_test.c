#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/text_in.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "tulle/every_type.pb-c.h"
#include "tulle/kinds.pb-c.h"

#define VIRTUAL_SERVICE &tulle__kinds__virtual_service__descriptor
#define BOOTSTRAP &envoy__config__bootstrap__v3__bootstrap__descriptor
#define EVERY_TYPE &tulle__every_type__descriptor

/* The error of a text, as `code what @where ?fix`; "fine" when there is none. */
static char *error_of(const char *text, const ProtobufCMessageDescriptor *type)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    struct buffer out = {0};
    if (text_read_yaml(slice_str(text), "cart.yaml", type, TEXT_STRICT, &arena, &error))
        buffer_append_str(&out, "fine");
    else
        buffer_format(&out, "%s %s @%s%s%s", error.code, error.what, error.where,
                      error.fix ? " ?" : "", error.fix ? error.fix : "");
    arena_fini(&arena);
    return buffer_take(&out);
}

static const struct {
    const ProtobufCMessageDescriptor *type;
    const char *yaml, *error;
} cases[] = {
    {VIRTUAL_SERVICE, "kind: VirtualService\nspec:\n  hosts: [cart]\n  http:\n  - retires: 3\n",
     "TUL0007 unknown field \"retires\" in VirtualService.http[0] @cart.yaml:5:5 ?did you mean "
     "\"retries\"?"},
    {VIRTUAL_SERVICE, "spce: {}",
     "TUL0007 unknown field \"spce\" in VirtualService @cart.yaml:1:1 ?did you mean \"spec\"?"},
    {VIRTUAL_SERVICE, "spec: {hsots: []}",
     "TUL0007 unknown field \"hsots\" in VirtualService @cart.yaml:1:8 ?did you mean \"hosts\"?"},
    {VIRTUAL_SERVICE, "spec:\n  http:\n  - timeout: 5\n",
     "TUL0008 VirtualService.http[0].timeout is the number 5, but should be a duration such as "
     "\"1m30s\" or \"250ms\" "
     "@cart.yaml:3:14"},
    {VIRTUAL_SERVICE, "spec:\n  http:\n  - timeout: 5 minutes\n",
     "TUL0009 VirtualService.http[0].timeout is the string \"5 minutes\", but should be a duration "
     "such as "
     "\"1m30s\" or \"250ms\" "
     "@cart.yaml:3:14"},
    {VIRTUAL_SERVICE, "spec:\n  http:\n    match: []\n",
     "TUL0008 VirtualService.http is an object, but should be a list @cart.yaml:3:5"},
    {VIRTUAL_SERVICE, "metadata:\n  labels:\n    version: 1.0\n",
     "TUL0008 VirtualService.metadata.labels[\"version\"] is the number 1.0, but should be a "
     "string @cart.yaml:3:14 ?put "
     "it in quotes: \"1.0\""},
    {VIRTUAL_SERVICE, "metadata:\n  labels:\n    debug: on\n",
     "TUL0008 VirtualService.metadata.labels[\"debug\"] is the boolean on, but should be a string "
     "@cart.yaml:3:12 ?put it "
     "in quotes: \"on\""},
    {VIRTUAL_SERVICE, "spec:\n  http:\n  - route:\n    - weight: 90.5\n",
     "TUL0009 VirtualService.http[0].route[0].weight is the number 90.5, "
     "which is no whole number of 32 bits @cart.yaml:4:15"},
    {VIRTUAL_SERVICE, "spec:\n  http:\n  - match:\n    - uri: {exact: /a, prefix: /b}\n",
     "TUL0010 VirtualService.http[0].match[0].uri has both \"exact\" (line 4) and \"prefix\"; only "
     "one can be set "
     "@cart.yaml:4:24"},
    {VIRTUAL_SERVICE, "spec: {exportTo: [a], export_to: [b]}",
     "TUL0010 VirtualService has both \"exportTo\" (line 1) and \"export_to\"; only one can be set "
     "@cart.yaml:1:23"},
    {VIRTUAL_SERVICE, "spec: {hosts: [a, ~]}",
     "TUL0008 VirtualService.hosts[1] is null, but should be there, or left out @cart.yaml:1:19"},
    {VIRTUAL_SERVICE, "just text",
     "TUL0008 VirtualService is the string \"just text\", but should be an object @cart.yaml:1:1"},
    {VIRTUAL_SERVICE, "", "TUL0006 there are 0 documents, but one is expected @cart.yaml"},
    {VIRTUAL_SERVICE, "a: 1\n---\nb: 1\n",
     "TUL0006 there are 2 documents, but one is expected @cart.yaml"},
    {VIRTUAL_SERVICE, "one: 1\ntwo: 2\nspec: {three: 3}",
     "TUL0007 unknown field \"one\" in VirtualService (and 2 more problems) @cart.yaml:1:1"},
    {VIRTUAL_SERVICE, "spec: {hosts: [a], gateways: null, http: ~}", "fine"},
    {BOOTSTRAP, "static_resources:\n  clusters:\n  - name: a\n    lb_policy: LEAST_REQUESTS\n",
     "TUL0009 Bootstrap.static_resources.clusters[0].lb_policy has no value \"LEAST_REQUESTS\" "
     "@cart.yaml:4:16 ?did you "
     "mean \"LEAST_REQUEST\"?"},
    {BOOTSTRAP, "static_resources:\n  clusters:\n  - nmae: a\n    conect_timeout: 1s\n",
     "TUL0007 unknown field \"nmae\" in Bootstrap.static_resources.clusters[0] (and 1 more "
     "problem) @cart.yaml:3:5 ?did "
     "you mean \"name\"?"},
    {BOOTSTRAP,
     "static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - name: h\n       "
     " typed_config: "
     "{\"@type\": "
     "type.googleapis.com/"
     "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "
     "stat_prefx: x}\n",
     "TUL0007 unknown field \"stat_prefx\" in "
     "Bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config "
     "@cart.yaml:6:136 ?did you mean \"stat_prefix\"?"},
    {BOOTSTRAP,
     "static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - typed_config: "
     "{a: 1}\n",
     "TUL0012 Bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config "
     "needs "
     "\"@type\", a type URL "
     "@cart.yaml:5:23"},
};

TEST(text_in_names_the_mistake_its_place_and_the_remedy)
{
    EACH (c, cases) {
        char *error = error_of(c->yaml, c->type);
        CHECK(strcmp(error, c->error) == 0, "%s\n    wanted %s", error, c->error);
        mem_free(error);
    }
}

TEST(text_in_lenient_skips_what_it_does_not_know_and_reports_it)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct documents documents;
    owned_error error = {0};
    struct slice text = SLICE("spec:\n"
                              "  hosts: [cart]\n"
                              "  future: {a: 1}\n"
                              "  http:\n"
                              "  - timeout: soon\n"
                              "    match:\n"
                              "    - uri: {glob: /a}\n"
                              "    route:\n"
                              "    - weight: many\n"
                              "      destination: {host: cart}\n");
    CHECK(document_read_yaml(text, "t", NULL, &arena, &documents, &error), "%s", error.what);
    struct problems problems = {.arena = &arena, .name = "t"};
    Tulle__Kinds__VirtualService *service =
        text_decode(documents.items[0], VIRTUAL_SERVICE, TEXT_LENIENT, &problems);
    CHECK(service && service->spec->n_http == 1 && service->spec->n_hosts == 1, "it loads");
    CHECK(!service->spec->http[0]->timeout, "a field that cannot be read is absent");
    CHECK(strcmp(service->spec->http[0]->route[0]->destination->host, "cart") == 0,
          "the rest is there");
    CHECK(problems.count == 4 && problems.fatal_count == 0, "%zu problems", problems.count);
    static const struct {
        const char *path;
        bool restricts;
    } wanted[] = {
        {"spec.future", false},
        {"spec.http[0].timeout", false},
        {"spec.http[0].match[0].uri.glob", true}, /* a condition that is not understood */
        {"spec.http[0].route[0].weight", false},
    };
    for (size_t i = 0; i < 4; i++) {
        CHECK(strcmp(problems.items[i].path, wanted[i].path) == 0, "%s", problems.items[i].path);
        CHECK(problems.items[i].restricts == wanted[i].restricts, "%s", problems.items[i].path);
    }
    CHECK(strcmp(problem_where(&problems, &problems.items[0]), "t:3:3") == 0, "%s",
          problem_where(&problems, &problems.items[0]));
    arena_fini(&arena);
}

TEST(text_in_counts_more_problems_than_it_keeps)
{
    struct buffer text = {0};
    for (int i = 0; i < 100000; i++)
        buffer_format(&text, "k%d: 1\n", i);
    char *error = error_of(text.data, VIRTUAL_SERVICE);
    CHECK(strcmp(error, "TUL0007 unknown field \"k0\" in VirtualService (and 99999 more problems) "
                        "@cart.yaml:1:1 ?did you "
                        "mean \"kind\"?") == 0 ||
              strstr(error, "(and 99999 more problems) @cart.yaml:1:1"),
          "%s", error);
    mem_free(error);
    buffer_fini(&text);
}

TEST(text_in_nests_as_deep_as_bytes_may_and_not_deeper)
{
    for (int depth = 60; depth < 66; depth++) {
        struct buffer text = {0};
        for (int i = 0; i < depth; i++)
            buffer_append_str(&text, "{messageValue: ");
        buffer_append_str(&text, "{}");
        for (int i = 0; i < depth; i++)
            buffer_append_str(&text, "}");
        char *error = error_of(text.data, EVERY_TYPE);
        CHECK((strcmp(error, "fine") == 0) == (depth + 1 <= 64), "%d: %s", depth, error);
        mem_free(error);
        buffer_fini(&text);
    }
    /* A struct costs three messages a level, so it ends earlier, with a reason. */
    struct buffer text = {0};
    buffer_append_str(&text, "struct: ");
    for (int i = 0; i < 30; i++)
        buffer_append_str(&text, "{a: ");
    buffer_append_str(&text, "1");
    for (int i = 0; i < 30; i++)
        buffer_append_str(&text, "}");
    char *error = error_of(text.data, EVERY_TYPE);
    CHECK(strstr(error, "TUL0013 EveryType is nested more than 64 deep"), "%s", error);
    mem_free(error);
    buffer_fini(&text);
}

TEST(text_in_tells_when_a_file_cannot_be_read)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0}, other = {0};
    CHECK(!text_read_file("/nonexistent/x.yaml", BOOTSTRAP, TEXT_STRICT, &arena, &error), "none");
    CHECK(strcmp(error.what, "cannot read /nonexistent/x.yaml: No such file or directory") == 0,
          "%s", error.what);
    CHECK(!text_read_file("/tmp", BOOTSTRAP, TEXT_STRICT, &arena, &other), "a directory");
    arena_fini(&arena);
}
