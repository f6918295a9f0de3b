#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/admit.h"
#include "pb/type.h"

#include "tulle/kinds.pb-c.h"

/* Each problem as "code path: what ?fix", one a line. */
static char *problems_of(const char *kind, const char *spec)
{
    struct arena arena;
    arena_init(&arena, NULL);
    const struct pb_kind *served = pb_kind_by_name(slice_str(kind));
    owned_buffer yaml = {0};
    buffer_format(&yaml, "apiVersion: v1\nkind: %s\nspec:\n%s", kind, spec);
    owned_error error = {0};
    struct documents documents;
    CHECK(document_read_yaml(buffer_slice(&yaml), "t", NULL, &arena, &documents, &error), "%s",
          error.what);
    struct problems problems = {.arena = &arena};
    CHECK(text_decode(documents.items[0], served->type->descriptor, TEXT_STRICT, &problems), "%s",
          problems.items[0].what);
    admit_check(documents.items[0], served->type->descriptor, TEXT_STRICT, &problems);
    struct buffer out = {0};
    buffer_append_str(&out, "");
    for (size_t i = 0; i < problems.count; i++) {
        const struct problem *problem = &problems.items[i];
        buffer_format(&out, "%s%s%s %s%s%s", i ? "\n" : "", problem_code(problem->kind),
                      problem->restricts ? "!" : "", problem->what, problem->fix ? " ?" : "",
                      problem->fix ? problem->fix : "");
    }
    arena_fini(&arena);
    return buffer_take(&out);
}

#define LEAVE " ?leave it out; docs/reference/fields.md lists what acts"

static const struct {
    const char *name, *kind, *spec, *problems;
} cases[] = {
    {"the demo's canary", "VirtualService",
     "  hosts: [product]\n"
     "  http:\n"
     "  - match: [{uri: {prefix: /v}, headers: {x-user: {exact: me}}}]\n"
     "    route:\n"
     "    - {destination: {host: product, subset: v1, port: {number: 80}}, weight: 90}\n"
     "    - {destination: {host: product, subset: v2}, weight: 10, headers: {response: {set: {a: "
     "b}}}}\n"
     "    timeout: 1.5s\n"
     "    rewrite: {uri: /}\n"
     "  - redirect: {uri: /x, redirectCode: 302}\n"
     "  - directResponse: {status: 503, body: {string: away}}\n",
     ""},
    {"its subsets", "DestinationRule",
     "  host: product\n"
     "  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, connectionPool: {tcp: "
     "{connectTimeout: 1s}}, tls: {mode: "
     "ISTIO_MUTUAL}}\n"
     "  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, "
     "trafficPolicy: {tls: {mode: "
     "DISABLE}}}]\n",
     ""},
    {"a service", "Service",
     "  type: ClusterIP\n  selector: {app: x}\n  sessionAffinity: None\n  ports: [{port: 80, "
     "targetPort: http, protocol: TCP}]\n",
     ""},
    {"a service entry", "ServiceEntry",
     "  hosts: [a.example]\n  ports: [{number: 443, name: tls, protocol: TLS}]\n  location: "
     "MESH_EXTERNAL\n  resolution: DNS\n"
     "  endpoints: [{address: 10.0.0.1, ports: {tls: 8443}, labels: {a: b}, weight: 3}]\n",
     ""},

    {"what does not act", "VirtualService", "  hosts: [a]\n  http: [{retries: {attempts: 3}}]\n",
     "TUL0011 VirtualService.http[0].retries does not act yet" LEAVE},
    {"what asks for nothing", "VirtualService",
     "  hosts: [a]\n  tls: []\n  http: [{match: [{ignoreUriCase: false, port: 0}]}]\n", ""},
    {"a condition that does not act", "VirtualService",
     "  hosts: [a]\n  http: [{match: [{port: 80}]}]\n",
     "TUL0011! VirtualService.http[0].match[0].port does not act yet" LEAVE},
    {"deep in a condition", "VirtualService",
     "  hosts: [a]\n  http: [{match: [{uri: {regex: \"" /* 1025 bytes follow */ "%s\"}}]}]\n",
     "TUL0013! VirtualService.http[0].match[0].uri.regex has 1025 bytes, more than the limit of "
     "1024"},
    {"a gateway", "VirtualService", "  hosts: [a]\n  gateways: [mesh, in/gate]\n",
     "TUL0011! VirtualService.gateways[1] is the string \"in/gate\", which does not act yet ?use "
     "\"mesh\", or leave it out"},
    {"an enum's value", "DestinationRule",
     "  host: a\n  trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}\n",
     "TUL0011 DestinationRule.trafficPolicy.loadBalancer.simple is the string \"PASSTHROUGH\", "
     "which does not act yet ?use "
     "ROUND_ROBIN, LEAST_REQUEST or RANDOM"},
    {"an enum's value by number", "DestinationRule",
     "  host: a\n  trafficPolicy: {tls: {mode: 1}}\n",
     "TUL0011! DestinationRule.trafficPolicy.tls.mode is the number 1, which does not act yet ?use "
     "ISTIO_MUTUAL or DISABLE"},
    {"no hosts", "VirtualService", "  http: []\n", "TUL0012 VirtualService needs \"hosts\""},
    {"empty hosts", "VirtualService", "  hosts: []\n",
     "TUL0013 VirtualService.hosts has 0 entries, but should have at least 1"},
    {"no destination", "VirtualService", "  hosts: [a]\n  http: [{route: [{weight: 1}]}]\n",
     "TUL0012 VirtualService.http[0].route[0] needs \"destination\""},
    {"a negative weight", "VirtualService",
     "  hosts: [a]\n  http: [{route: [{destination: {host: a}, weight: -1}]}]\n",
     "TUL0013 VirtualService.http[0].route[0].weight is the number -1, but should be at least 0"},
    {"a port too large", "VirtualService",
     "  hosts: [a]\n  http: [{route: [{destination: {host: a, port: {number: 70000}}}]}]\n",
     "TUL0013 VirtualService.http[0].route[0].destination.port.number is the number 70000, but "
     "should be at most 65535"},
    {"a negative timeout", "VirtualService", "  hosts: [a]\n  http: [{timeout: -1s}]\n",
     "TUL0013 VirtualService.http[0].timeout is the string \"-1s\", but should be at least 0 s"},
    {"a timeout too short", "DestinationRule",
     "  host: a\n  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 500us}}}\n",
     "TUL0013 DestinationRule.trafficPolicy.connectionPool.tcp.connectTimeout is the string "
     "\"500us\", but should be at least "
     "0.001 s"},
    {"a label too long", "WorkloadEntry",
     "  labels: {a: \"1234567890123456789012345678901234567890123456789012345678901234\"}\n",
     "TUL0013 WorkloadEntry.labels[\"a\"] has 64 bytes, more than the limit of 63"},
    {"a port in a map", "WorkloadEntry", "  ports: {http: 0, tls: 65535}\n",
     "TUL0013 WorkloadEntry.ports[\"http\"] is the number 0, but should be at least 1"},
};

TEST(admit_names_what_may_not_act)
{
    char regex[1026];
    memset(regex, 'x', 1025);
    regex[1025] = '\0';
    EACH (c, cases) {
        char *spec =
            strstr(c->spec, "%s")
                ? str_format("  hosts: [a]\n  http: [{match: [{uri: {regex: \"%s\"}}]}]\n", regex)
                : str_copy(c->spec);
        char *problems = problems_of(c->kind, spec);
        CHECK(strcmp(problems, c->problems) == 0, "%s:\n%s\n    wanted\n%s", c->name, problems,
              c->problems);
        mem_free(problems);
        mem_free(spec);
    }
}

TEST(admit_leaves_what_controllers_write_alone)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct documents documents;
    owned_error error = {0};
    struct slice text = SLICE("apiVersion: v1\nkind: Service\nstatus: {loadBalancer: {ingress: "
                              "[{ip: 1.2.3.4}]}, future: 1}\n");
    CHECK(document_read_yaml(text, "t", NULL, &arena, &documents, &error), "%s", error.what);
    struct problems problems = {.arena = &arena};
    admit_check(documents.items[0], &tulle__kinds__service__descriptor, TEXT_STRICT, &problems);
    CHECK(problems.count == 0, "%s", problems.items[0].what);
    arena_fini(&arena);
}

TEST(admit_is_not_fatal_when_loading)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct documents documents;
    owned_error error = {0};
    struct slice text = SLICE("kind: VirtualService\napiVersion: x\nspec: {hosts: [a], http: "
                              "[{match: [{scheme: {exact: http}}]}]}\n");
    CHECK(document_read_yaml(text, "t", NULL, &arena, &documents, &error), "%s", error.what);
    struct problems problems = {.arena = &arena};
    admit_check(documents.items[0], &tulle__kinds__virtual_service__descriptor, TEXT_LENIENT,
                &problems);
    CHECK(problems.count == 1 && problems.fatal_count == 0, "%zu", problems.count);
    CHECK(strcmp(problems.items[0].path, "spec.http[0].match[0].scheme") == 0 &&
              problems.items[0].restricts,
          "%s", problems.items[0].path);
    CHECK(problems.items[0].line == 3 && problems.items[0].column == 37, "%u:%u",
          problems.items[0].line, problems.items[0].column);
    arena_fini(&arena);
}
