#include "test.h"

#include "base/memory.h"
#include "base/random.h"
#include "build/istio.h"
#include "build/route_table.h"
#include "build/yaml.h"
#include "match/fake_request.h"

static struct arena arena;

static const Envoy__Config__Route__V3__RouteConfiguration *message(const char *text)
{
    return from_yaml(&arena, &envoy__config__route__v3__route_configuration__descriptor, text);
}

static struct route_table *built(const char *text)
{
    struct route_table *table = NULL;
    struct error error = {0};
    CHECK_TAKEN(route_table_build(message(text), &here, &table, &error), &error, text);
    return table;
}

static const struct route *find(const struct route_table *table, const char *host,
                                const char *target, const struct fake_field *fields)
{
    struct match_request request = fake_request(target, fields);
    request.authority = slice_str(host);
    return route_table_find(table, &request);
}

TEST(route_table_of_istio)
{
    static const struct fake_field jason[] = {{"end-user", "jason"}, {0}};
    owned(route_table) t = built(ISTIO_ROUTE);
    CHECK(t->host_count == 2 && t->ignore_port && t->clusters.count == 3);
    static const char *const hosts[] = {"reviews", "reviews:9080", "REVIEWS.default",
                                        "reviews.default.svc.cluster.local.", "10.96.0.7:9080"};
    EACH (host, hosts) {
        const struct route *route = find(t, *host, "/x", NULL);
        CHECK(route && slice_equals_str(route->name, "main"), "%s", *host);
        CHECK(slice_equals_str(find(t, *host, "/x", jason)->name, "canary"), "%s", *host);
    }
    CHECK(slice_equals_str(find(t, "other.com", "/", NULL)->name, "allow_any"));

    const struct route *main_route = find(t, "reviews", "/", NULL);
    CHECK(main_route->action == ROUTE_FORWARD && main_route->timeout_ms == 0 &&
          main_route->missing_cluster_status == 503);
    CHECK(main_route->has_grpc_timeout && main_route->grpc_timeout_max_ms == 0);
    CHECK(main_route->host->attempt_count_to_upstream);
    CHECK(slice_equals_str(main_route->operation, "reviews.default.svc.cluster.local:9080/*"));
    CHECK(slice_starts_with(main_route->istio_config, SLICE("/apis/networking.istio.io")));
    const struct retry_policy *retry = main_route->retry;
    CHECK(retry && retry->retries == 2 && retry->other_hosts && retry->host_attempts == 5);
    CHECK(retry->on == (RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM | RETRY_GRPC_UNAVAILABLE |
                        RETRY_GRPC_CANCELLED | RETRY_STATUS_CODES));
    CHECK(retry->status_code_count == 1 && retry->status_codes[0] == 503 &&
          retry->back_off_max_ms == 250);
    struct random random;
    uint32_t canary = 0;
    random_seed(&random, 4);
    for (int i = 0; i < 100000; i++)
        canary += slice_equals_str(route_target_pick(main_route, random_u64(&random))->cluster.text,
                                   "outbound|9080|v2|reviews.default.svc.cluster.local");
    CHECK(canary > 9600 && canary < 10400, "%u of 100000", canary);
    arena_fini(&arena);
}

#define TABLE(routes) "{name: t, virtual_hosts: [{name: h, domains: ['*'], routes: [" routes "]}]}"

TEST(route_table_actions)
{
    owned(route_table) t = built(TABLE(
        "{match: {path: /r}, redirect: {host_redirect: new.example.com, path_redirect: '/n?q=1', "
        "response_code: "
        "PERMANENT_REDIRECT, https_redirect: true, port_redirect: 8443, strip_query: true}}, "
        "{match: {path: /d}, direct_response: {status: 418, body: {inline_string: short and "
        "stout}}}, "
        "{match: {path: /h}, route: {cluster_header: X-Cluster, host_rewrite_header: x-host}}, "
        "{match: {prefix: /api}, route: {cluster: c, prefix_rewrite: /v2, host_rewrite_literal: "
        "up.example.com, "
        "timeout: 1.5s, idle_timeout: 2s, max_stream_duration: {max_stream_duration: 3s}, "
        "priority: HIGH, "
        "cluster_not_found_response_code: NOT_FOUND, append_x_forwarded_host: true, "
        "upgrade_configs: [{upgrade_type: "
        "WebSocket, enabled: false}, {upgrade_type: CONNECT, connect_config: "
        "{proxy_protocol_config: {version: V2}}}]}}, "
        "{match: {safe_regex: {regex: '/s/(.*)'}}, route: {cluster: c, regex_rewrite: {pattern: "
        "{regex: '/s/(.*)'}, "
        "substitution: '/\\1'}, auto_host_rewrite: true}}, "
        "{match: {path: /p}, route: {cluster: c, host_rewrite_path_regex: {pattern: {regex: "
        "'^/(.*)'}, substitution: '\\1'}}}, "
        "{match: {prefix: /}, non_forwarding_action: {}}"));
    const struct route *r = find(t, "x", "/r", NULL);
    CHECK(r->action == ROUTE_REDIRECT && r->redirect->status == 308 && r->redirect->https &&
          r->redirect->port == 8443);
    CHECK(slice_equals_str(r->redirect->path, "/n?q=1") && r->redirect->strip_query);
    r = find(t, "x", "/d", NULL);
    CHECK(r->action == ROUTE_RESPOND && r->response->status == 418);
    CHECK(slice_equals_str(r->response->body, "short and stout"));
    r = find(t, "x", "/h", NULL);
    CHECK(!r->targets && slice_equals_str(r->cluster_header->name, "x-cluster") &&
          r->timeout_ms == 15000);
    CHECK(r->host_how == ROUTE_HOST_HEADER && slice_equals_str(r->host_header->name, "x-host"));
    r = find(t, "x", "/api/x", NULL);
    CHECK(r->rewrite.has_prefix && slice_equals_str(r->rewrite.prefix, "/v2") &&
          r->host_how == ROUTE_HOST_LITERAL);
    CHECK(r->timeout_ms == 1500 && r->has_idle_timeout && r->idle_timeout_ms == 2000 &&
          r->max_stream_ms == 3000);
    CHECK(r->high_priority && r->missing_cluster_status == 404 && r->append_forwarded_host);
    CHECK(r->upgrade_count == 2 && slice_equals_str(r->upgrades[0].kind, "websocket") &&
          !r->upgrades[0].enabled && !r->upgrades[0].ends_here);
    CHECK(slice_equals_str(r->upgrades[1].kind, "connect") && r->upgrades[1].enabled &&
          r->upgrades[1].ends_here && r->upgrades[1].proxy_protocol == 2);
    r = find(t, "x", "/s/a", NULL);
    CHECK(r->rewrite.regex && slice_equals_str(r->rewrite.substitution, "/\\1") &&
          r->host_how == ROUTE_HOST_AUTO);
    r = find(t, "x", "/p", NULL);
    CHECK(r->host_how == ROUTE_HOST_PATH && r->host_regex &&
          slice_equals_str(r->host_literal, "\\1"));
    CHECK(find(t, "x", "/other", NULL)->action == ROUTE_REFUSE);
    arena_fini(&arena);
}

static const struct header_edit *edit(const struct header_edits *edits, size_t i)
{
    CHECK(edits && i < edits->count);
    return &edits->items[i];
}

TEST(route_table_orders_header_edits)
{
    static const char *const text =
        "{name: t, most_specific_header_mutations_wins: %s, "
        "request_headers_to_add: [{header: {key: X-T, value: table}}], response_headers_to_remove: "
        "[Server], "
        "virtual_hosts: [{name: h, domains: ['*'], request_headers_to_add: [{header: {key: x-h, "
        "value: '%%HOSTNAME%%'}, "
        "append_action: OVERWRITE_IF_EXISTS_OR_ADD}], routes: [{match: {prefix: /}, "
        "request_headers_to_remove: [x-gone], "
        "request_headers_to_add: [{header: {key: x-r, value: 'a %%REQ(:path)%% b'}, append: "
        "false}], "
        "route: {weighted_clusters: {clusters: [{name: a, weight: 1, request_headers_to_add: "
        "[{header: {key: x-w, "
        "value: ''}, keep_empty_value: true, append_action: ADD_IF_ABSENT}], host_rewrite_literal: "
        "a.example}]}}}]}]}";
    owned_str most_general_last = str_format(text, "false");
    owned(route_table) t = built(most_general_last);
    const struct route *r = find(t, "x", "/", NULL);
    CHECK(r->request_edits[0]->count == 2 &&
          edit(r->request_edits[0], 0)->kind == HEADER_EDIT_REMOVE);
    const struct header_edit *formatted = edit(r->request_edits[0], 1);
    CHECK(formatted->kind == HEADER_EDIT_SET && formatted->format && formatted->format->count == 3);
    CHECK(slice_equals_str(edit(r->request_edits[1], 0)->value, "proxy-1"));
    CHECK(edit(r->request_edits[1], 0)->kind == HEADER_EDIT_SET);
    CHECK(slice_equals_str(edit(r->request_edits[2], 0)->name, "X-T") &&
          slice_equals_str(edit(r->request_edits[2], 0)->key.name, "x-t"));
    CHECK(edit(r->request_edits[2], 0)->kind == HEADER_EDIT_APPEND);
    CHECK(r->response_edits[0]->count == 1 && !r->response_edits[1] && !r->edits_before_target);
    CHECK(edit(r->response_edits[0], 0)->key.id != 0, "a well-known name has its number");
    const struct route_target *target = &r->targets[0];
    CHECK(slice_equals_str(target->host, "a.example") && target->request_edits.count == 1);
    CHECK(edit(&target->request_edits, 0)->keep_empty &&
          edit(&target->request_edits, 0)->kind == HEADER_EDIT_ADD_IF_ABSENT);

    owned_str most_specific_last = str_format(text, "true");
    owned(route_table) reversed = built(most_specific_last);
    r = find(reversed, "x", "/", NULL);
    CHECK(slice_equals_str(edit(r->request_edits[0], 0)->value, "table") && r->edits_before_target);
    arena_fini(&arena);
}

TEST(route_table_refuses_what_it_does_not_do)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{name: t, virtual_hosts: [{name: h}]}", "virtual_hosts[0].domains: this is required"},
        {"{name: t, virtual_hosts: [{domains: [a]}]}", "virtual_hosts[0].name: this is required"},
        {"{name: t, virtual_hosts: [{name: a, domains: [x]}, {name: b, domains: [X]}]}",
         "the domain 'X' occurs twice"},
        {TABLE("{route: {cluster: c}}"), "virtual_hosts[0].routes[0].match: this is required"},
        {TABLE("{match: {prefix: /}}"), "say what to do"},
        {TABLE("{match: {}, route: {cluster: c}}"), "say which path"},
        {TABLE("{match: {safe_regex: {regex: '('}}, route: {cluster: c}}"),
         "match.safe_regex: '(' is no regular"},
        {TABLE("{match: {prefix: /}, route: {}}"), "say where to"},
        {TABLE("{match: {prefix: /}, route: {cluster: ''}}"), "route.cluster: this is required"},
        {TABLE("{match: {prefix: /}, route: {weighted_clusters: {clusters: []}}}"),
         "weighted_clusters: "},
        {TABLE("{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: "
               "0}]}}}"),
         "add up to 0"},
        {TABLE("{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 1}], "
               "total_weight: 2}}}"),
         "total_weight says 2"},
        {TABLE("{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: "
               "4294967295}, {name: b, "
               "weight: 1}]}}}"),
         "more than 4294967295"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, timeout: -1s}}"),
         "route.timeout: a duration must not"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, prefix_rewrite: /a, regex_rewrite: "
               "{pattern: {regex: a}}}}"),
         "exclude each other"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, regex_rewrite: {pattern: {regex: a}, "
               "substitution: '\\1'}}}"),
         "regex_rewrite.substitution: "},
        {TABLE("{match: {prefix: /}, route: {cluster: c, prefix_rewrite: \"/a\\r\\nx\"}}"),
         "no part of a path"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, host_rewrite_literal: 'a b'}}"),
         "host_rewrite_literal: "},
        {TABLE("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: '5xx,foo'}}}"),
         "retry_policy.retry_on: 'foo' is no reason"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, retry_policy: {num_retries: 26}}}"),
         "num_retries: 26"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_priority: {name: "
               "x}}}}"),
         "retry_priority: this does not act"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_back_off: "
               "{base_interval: 1s, "
               "max_interval: 0.5s}}}}"),
         "max_interval: "},
        {TABLE("{match: {prefix: /}, route: {cluster: c, upgrade_configs: [{upgrade_type: "
               "websocket, connect_config: {}}]}}"),
         "upgrade_configs[0].connect_config: this is for the upgrade_type CONNECT only"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, upgrade_configs: [{upgrade_type: "
               "CONNECT, connect_config: {allow_post: true}}]}}"),
         "connect_config.allow_post: this does not act"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, upgrade_configs: [{upgrade_type: "
               "CONNECT, connect_config: {proxy_protocol_config: {pass_through_tlvs: {}}}}]}}"),
         "proxy_protocol_config.pass_through_tlvs: this does not act"},
        {"{name: t, virtual_hosts: [{name: h, domains: [x], require_tls: EXTERNAL_ONLY}]}",
         "require_tls: EXTERNAL_ONLY"},
        {"{name: t, internal_only_headers: [x-a]}", "internal_only_headers: this does not act"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, retry_policy: {retriable_headers: [{name: "
               "a}]}}}"),
         "retriable_headers: this does not act"},
        {TABLE("{match: {prefix: /}, route: {cluster: c, retry_policy: {retriable_request_headers: "
               "[{name: a}]}}}"),
         "retriable_request_headers: this does not act"},
        {TABLE("{match: {prefix: /}, redirect: {host_redirect: \"a\\nb\"}}"), "host_redirect: "},
        {TABLE("{match: {prefix: /}, redirect: {scheme_redirect: 'ht tp'}}"), "scheme_redirect: "},
        {TABLE("{match: {prefix: /}, redirect: {port_redirect: 65536}}"), "port_redirect: 65536"},
        {TABLE("{match: {prefix: /}, direct_response: {status: 100}}"),
         "direct_response.status: 100"},
        {TABLE("{match: {prefix: /}, direct_response: {status: 200, body: {filename: "
               "/no/such/file}}}"),
         "body.filename: /no/such/file: "},
        {TABLE("{match: {prefix: /, headers: [{name: 'a b'}]}, route: {cluster: c}}"),
         "headers[0].name: "},
        {TABLE("{match: {prefix: /, headers: [{name: a, range_match: {start: 5, end: 5}}]}, route: "
               "{cluster: c}}"),
         "headers[0].range_match: the range is empty"},
        {TABLE("{match: {prefix: /, headers: [{name: a, string_match: {}}]}, route: {cluster: c}}"),
         "headers[0].string_match: say what"},
        {TABLE("{match: {prefix: /, headers: [{name: a, string_match: {prefix: ''}}]}, route: "
               "{cluster: c}}"),
         "matches everything"},
        {TABLE("{match: {prefix: /, query_parameters: [{name: ''}]}, route: {cluster: c}}"),
         "query_parameters[0].name"},
        {TABLE("{match: {prefix: /, runtime_fraction: {}}, route: {cluster: c}}"),
         "default_value is missing"},
        {TABLE("{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [{header: {key: "
               "Host, value: x}}]}"),
         "request_headers_to_add[0].header.key: 'Host' cannot be edited"},
        {TABLE("{match: {prefix: /}, route: {cluster: c}, request_headers_to_remove: [':path']}"),
         "cannot be edited"},
        {TABLE("{match: {prefix: /}, route: {cluster: c}, response_headers_to_add: [{header: {key: "
               "a, value: "
               "\"x\\r\\ny: z\"}}]}"),
         "no control characters"},
        {TABLE("{match: {prefix: /}, route: {cluster: c}, response_headers_to_add: [{header: {key: "
               "a, value: '%X%'}}]}"),
         "header.value: %X% is no operator"},
        {TABLE("{match: {prefix: /}, route: {cluster: c}, response_headers_to_add: [{}]}"),
         "[0].header: this is required"},
    };
    EACH (row, cases) {
        struct route_table *table = NULL;
        struct error error = {0};
        bool ok = route_table_build(message(row->text), &here, &table, &error);
        CHECK_REFUSED(ok, &error, row->says, row->text);
        arena_fini(&arena);
    }
}

/* tulled dry-builds: a file of the proxy's host is checked for form only. */
TEST(route_table_reads_no_files_elsewhere)
{
    struct route_table *table = NULL;
    const char *text = TABLE(
        "{match: {prefix: /}, direct_response: {status: 200, body: {filename: /no/such/file}}}");
    CHECK(route_table_build(message(text), &elsewhere, &table, NULL));
    route_table_unref(table);
    arena_fini(&arena);
}

TEST(route_table_limits_bodies)
{
    owned_str body = str_format(
        TABLE(
            "{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: '%0*d'}}}"),
        4097, 0);
    struct route_table *table = NULL;
    struct error error = {0};
    bool ok = route_table_build(message(body), &here, &table, &error);
    CHECK_REFUSED(ok, &error, "there are 4097 bytes, and the limit is 4096", "one byte more");
    arena_fini(&arena);
}

TEST(retry_on_knows_its_words)
{
    uint32_t mask = 0;
    CHECK(retry_on_parse(SLICE(""), &mask, NULL) && mask == 0);
    CHECK(retry_on_parse(SLICE(" 5xx , reset,"), &mask, NULL) && mask == (RETRY_5XX | RETRY_RESET));
    CHECK(!retry_on_parse(SLICE("5xx reset"), &mask, NULL));
}
