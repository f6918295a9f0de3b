#include "test.h"

#include "base/memory.h"

#include "build/istio.h"
#include "build/listener.h"
#include "build/route_table.h"
#include "build/yaml.h"

static struct arena arena;

static const Envoy__Config__Listener__V3__Listener *message(const char *text)
{
    return from_yaml(&arena, &envoy__config__listener__v3__listener__descriptor, text);
}

static struct listener *built(const char *text)
{
    struct listener *listener = NULL;
    struct error error = {0};
    CHECK_TAKEN(listener_build(message(text), &here, &listener, &error), &error, text);
    return listener;
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    CHECK(ip_parse(slice_str(text), &ip), "%s", text);
    return ip;
}

static const struct slice http11 = {"http/1.1", 8},
                          istio_alpn[] = {{"istio-http/1.1", 14}, {"istio", 5}};

static const struct filter_chain *chain_for(const struct listener *listener, uint16_t port,
                                            enum chain_transport transport,
                                            const struct slice *alpn, size_t alpn_count)
{
    struct chain_facts facts = {.destination = ip_of("10.0.0.1"),
                                .source = ip_of("10.0.0.9"),
                                .direct_source = ip_of("10.0.0.9"),
                                .destination_port = port,
                                .has_ip = true,
                                .transport = transport,
                                .server_name = SLICE("x"),
                                .alpn = alpn,
                                .alpn_count = alpn_count};
    return listener_chain(listener, &facts);
}

TEST(listener_of_istio_outbound)
{
    owned(listener) l = built(ISTIO_OUTBOUND);
    CHECK(!l->binds && l->direction == LISTENER_OUTBOUND && l->detection_ms == 0 &&
          l->continue_on_timeout);
    CHECK(l->tls_inspector.on && l->http_inspector.on && chain_table_needs_detection(l->table));
    CHECK(l->routes.count == 1 && slice_equals_str(l->routes.items[0].text, "9080") &&
          l->secrets.count == 0);
    const struct filter_chain *http = chain_for(l, 9080, CHAIN_RAW, &http11, 1);
    const struct filter_chain *tcp = chain_for(l, 9080, CHAIN_RAW, NULL, 0);
    CHECK(http && http->http && !http->tls && tcp == l->default_chain && tcp->tcp);
    CHECK(chain_for(l, 9080, CHAIN_TLS, &http11, 1) == tcp);
    CHECK(slice_equals_str(tcp->tcp->targets[0].cluster.text, "PassthroughCluster") &&
          tcp->tcp->logs.count == 1);
    CHECK(tcp->filter_count == 1 && tcp->filters[0].kind == NETWORK_STATS);

    const struct hcm *hcm = http->http;
    CHECK(slice_equals_str(hcm->route_name.text, "9080") && hcm->route_wait_ms == 0 &&
          !hcm->routes);
    CHECK(hcm->normalize_path && hcm->stream_idle_ms == 0 && hcm->generate_request_id &&
          hcm->max_head_kb == 60);
    static const enum http_filter_kind kinds[] = {HTTP_FILTER_PEER_METADATA, HTTP_FILTER_GRPC_STATS,
                                                  HTTP_FILTER_ALPN, HTTP_FILTER_STATS,
                                                  HTTP_FILTER_ROUTER};
    CHECK(hcm->filter_count == COUNT(kinds), "idle filters are left out: %u", hcm->filter_count);
    for (size_t i = 0; i < COUNT(kinds); i++)
        CHECK(hcm->filters[i].kind == kinds[i], "filter %zu", i);
    CHECK(hcm->filters[2].alpn.http11_count == 3 &&
          slice_equals_str(hcm->filters[2].alpn.http2[0], "istio-h2"));
    CHECK(hcm->upgrade_count == 1 && slice_equals_str(hcm->upgrades[0].kind, "websocket"));
    CHECK(hcm->logs.count == 1 && hcm->logs.items[0].sink == ACCESS_LOG_STDOUT);
    arena_fini(&arena);
}

TEST(listener_of_istio_virtual_outbound)
{
    owned(listener) l = built(ISTIO_VIRTUAL_OUTBOUND);
    CHECK(l->binds && l->use_original_dst && l->accepts == 1 &&
          !chain_table_needs_detection(l->table));
    CHECK(slice_equals_str(chain_for(l, 15001, CHAIN_RAW, NULL, 0)->name,
                           "virtualOutbound-blackhole"));
    CHECK(slice_equals_str(chain_for(l, 443, CHAIN_RAW, NULL, 0)->name,
                           "virtualOutbound-catchall-tcp"));
    arena_fini(&arena);
}

TEST(listener_of_istio_virtual_inbound)
{
    owned(listener) l = built(ISTIO_VIRTUAL_INBOUND);
    CHECK(l->original_dst && l->direction == LISTENER_INBOUND && l->secrets.count == 2 &&
          l->table_count == 3);
    CHECK(!listener_detects(&l->tls_inspector, 3306) && listener_detects(&l->tls_inspector, 9080));
    CHECK(!listener_detects(&l->http_inspector, 9080) && listener_detects(&l->http_inspector, 80));
    const struct filter_chain *meshed = chain_for(l, 9080, CHAIN_TLS, istio_alpn, 2);
    const struct filter_chain *plain = chain_for(l, 9080, CHAIN_RAW, &http11, 1);
    CHECK(meshed && meshed->tls && meshed->http->routes && plain && !plain->tls && plain->http);
    CHECK(!chain_for(l, 9080, CHAIN_TLS, &http11, 1), "no way back to the chains without a port");
    CHECK(slice_equals_str(chain_for(l, 81, CHAIN_TLS, istio_alpn, 1)->name,
                           "virtualInbound-catchall-http"));
    CHECK(slice_equals_str(chain_for(l, 81, CHAIN_RAW, NULL, 0)->name, "virtualInbound"));

    CHECK(!hash128_equals(meshed->key, plain->key), "same name, other criteria");
    CHECK(listener_chain_by_key(l, meshed->key) == meshed &&
          listener_chain_by_key(l, plain->key) == plain);
    CHECK(!listener_chain_by_key(l, (struct hash128){1, 2}));
    CHECK(plain->tls_demands.low == 0 && meshed->tls_demands.low != 0);
    CHECK(hash128_equals(meshed->tls_demands, l->chains[1].tls_demands));

    const struct tls_spec *tls = meshed->tls;
    CHECK(tls->role == TLS_SERVER && tls->peer_certificate == TLS_PEER_REQUIRED &&
          tls->alpn_count == 2);
    CHECK(tls->expected_count == 1 && tls->expected[0].how == SAN_MATCH_PREFIX && tls->ciphers);
    const struct hcm *hcm = meshed->http;
    CHECK(hcm->client_cert == HCM_CERT_APPEND && hcm->cert_uri && hcm->cert_subject &&
          hcm->cert_dns);
    CHECK(hcm->routes->host_count == 1);
    arena_fini(&arena);
}

#define LISTENER(chains)                                                                           \
    "{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 80}}, " chains "}"
#define TO(cluster)                                                                                \
    "filters: [{name: t, typed_config: {'@type': "                                                 \
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, " \
    "cluster: " cluster "}}]"

TEST(listener_keys_outlive_what_a_chain_does)
{
    owned(listener) a = built(LISTENER(
        "filter_chains: [{name: web, filter_chain_match: {server_names: [x]}, " TO("a") "}]"));
    owned(listener) b =
        built(LISTENER("filter_chains: [{filter_chain_match: {server_names: [z]}, " TO(
            "a") "}, {name: web, filter_chain_match: {server_names: [x]}, " TO("b") "}]"));
    CHECK(listener_chain_by_key(b, a->chains[0].key) == &b->chains[1]);
    CHECK(!listener_chain_by_key(b, (struct hash128){0}));
    owned(listener) c = built(LISTENER("default_filter_chain: {name: web, " TO("a") "}"));
    CHECK(!listener_chain_by_key(c, a->chains[0].key) &&
          listener_chain_by_key(c, c->default_chain->key));
    arena_fini(&arena);
}

TEST(listener_serves_addresses)
{
    owned(listener) v4 = built(
        "{name: l, address: {socket_address: {address: 0.0.0.0, port_value: 80}}, "
        "additional_addresses: [{address: {socket_address: {address: 10.0.0.1, port_value: 81}}}], "
        "default_filter_chain: {" TO("a") "}}");
    owned(listener) v6 =
        built("{name: l, address: {socket_address: {address: '::', port_value: 80}}, "
              "default_filter_chain: {" TO("a") "}}");
    struct ip four = ip_of("10.0.0.1"), six = ip_of("fd00::1");
    CHECK(listener_serves(v4, &four, 80) == 1 && listener_serves(v4, &four, 81) == 2);
    CHECK(listener_serves(v4, &six, 80) == 0 && listener_serves(v4, &four, 82) == 0);
    CHECK(listener_serves(v6, &six, 80) == 1 && listener_serves(v6, &four, 80) == 1);
    arena_fini(&arena);
}

#define TUNNELING(config)                                                                          \
    "default_filter_chain: {filters: [{name: t, typed_config: {'@type': "                          \
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, " \
    "cluster: up, tunneling_config: " config "}}]}"

TEST(listener_carries_tcp_by_connect)
{
    owned(listener) l = built(LISTENER(TUNNELING("{hostname: 'a.test:443'}")));
    CHECK(l->default_chain->tcp->tunnel_to);
    arena_fini(&arena);
}

TEST(listener_refuses_what_it_does_not_do)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "name: this is required"},
        {"{name: l}", "address: this is required"},
        {LISTENER(""), "filter_chains: a listener needs a chain"},
        {LISTENER("filter_chains: [{}]"), "filter_chains[0].filters: a chain has 1 to"},
        {LISTENER("api_listener: {}, default_filter_chain: {" TO("a") "}"),
         "api_listener: this does not act"},
        {LISTENER("socket_options: [{level: 1, name: 2, int_value: 3}], default_filter_chain: {" TO(
             "a") "}"),
         "socket_options: "},
        {LISTENER("filter_chains: [{" TO("a") "}, {name: second, " TO("b") "}]"),
         "chains 0 ('') and 1 ('second') match"},
        {LISTENER("filter_chains: [{filter_chain_match: {address_suffix: x}, " TO("a") "}]"),
         "address_suffix: "},
        {LISTENER("filter_chains: [{filter_chain_match: {server_names: ['*x.com']}, " TO("a") "}]"),
         "filter_chains[0].filter_chain_match: server_names[0]: "},
        {LISTENER("filter_chains: [{filter_chain_match: {destination_port: 70000}, " TO("a") "}]"),
         "destination_port: "},
        {LISTENER("filter_chains: [{filter_chain_match: {transport_protocol: quic}, " TO("a") "}]"),
         "transport_protocol: "},
        {LISTENER("filter_chains: [{filter_chain_match: {prefix_ranges: [{address_prefix: "
                  "10.0.0.0, prefix_len: 33}]}, " TO("a") "}]"),
         "prefix_ranges[0]: "},
        {LISTENER("default_filter_chain: {filters: [{name: x}]}"),
         "default_filter_chain.filters[0].typed_config: "},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_STATS "]}"),
         "the last filter, and only the last"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_TCP("a") ", " ISTIO_TCP("b") "]}"),
         "the last filter"},
        {LISTENER("default_filter_chain: {filters: [{name: x, typed_config: {'@type': "
                  "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}"),
         "no network filter"},
        {LISTENER(TUNNELING("{}")), "tunneling_config.hostname: this is required"},
        {LISTENER(TUNNELING("{hostname: '%NONE%'}")), "tunneling_config.hostname: "},
        {LISTENER("default_filter_chain: {filters: [{name: x, config_discovery: {}}]}"),
         "config_discovery: "},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM("codecType: AUTO") "]}"),
         "say where routes are"},
        {LISTENER(
             "default_filter_chain: {filters: [" ISTIO_HCM("codecType: HTTP3, " ISTIO_RDS) "]}"),
         "codec_type: "},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM("rds: {routeConfigName: x}") "]}"),
         "typed_config<HttpConnectionManager>.rds.config_source: this is required"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "localReplyConfig: {}, " ISTIO_RDS) "]}"),
         "local_reply_config: this does not act"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "xffNumTrustedHops: 1, " ISTIO_RDS) "]}"),
         "xff_num_trusted_hops: this does not act"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM("via: x, " ISTIO_RDS) "]}"),
         "via: this does not act"},
        {LISTENER(
             "default_filter_chain: {filters: [" ISTIO_HCM("addUserAgent: true, " ISTIO_RDS) "]}"),
         "add_user_agent: this does not act"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "appendXForwardedPort: true, " ISTIO_RDS) "]}"),
         "append_x_forwarded_port: this does not act"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "setCurrentClientCertDetails: {cert: true}, " ISTIO_RDS) "]}"),
         "set_current_client_cert_details.cert: this does"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "schemeHeaderTransformation: {schemeToOverwrite: https}, " ISTIO_RDS) "]}"),
         "scheme_to_overwrite: this does"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "commonHttpProtocolOptions: {headersWithUnderscoresAction: "
             "DROP_HEADER}, " ISTIO_RDS) "]}"),
         "headers_with_underscores_action: only ALLOW and REJECT"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "httpProtocolOptions: {allowAbsoluteUrl: false}, " ISTIO_RDS) "]}"),
         "allow_absolute_url: "},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "httpProtocolOptions: {headerKeyFormat: {properCaseWords: {}}}, " ISTIO_RDS) "]}"),
         "header_key_format: proper_case_words"},
        {LISTENER("default_filter_chain: {filters: [" ISTIO_HCM(
             "routeConfig: {virtualHosts: [{name: h}]}") "]}"),
         "route_config: virtual_hosts[0].domains"},
        {LISTENER("listener_filters: [{name: x}], default_filter_chain: {" TO("a") "}"),
         "listener_filters[0].typed_config"},
        {LISTENER("listener_filters: [{name: x, typed_config: {'@type': "
                  "type.googleapis.com/google.protobuf.Empty}}], "
                  "default_filter_chain: {" TO("a") "}"),
         "no listener filter"},
        {LISTENER("listener_filters: [{name: x, typed_config: {'@type': type.googleapis.com/"
                  "envoy.extensions.filters.listener.original_src.v3.OriginalSrc}}], "
                  "default_filter_chain: {" TO("a") "}"),
         "no listener filter"},
        {LISTENER("default_filter_chain: {filters: [{name: x, typed_config: {'@type': "
                  "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: "
                  "x, enforcement_type: CONTINUOUS}}, " ISTIO_TCP("a") "]}"),
         "enforcement_type: only"},
        {LISTENER("default_filter_chain: {transport_socket: {name: x, typed_config: {'@type': "
                  "type.googleapis.com/"
                  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_sni: "
                  "true}}, " TO("a") "}"),
         "require_sni: this does not act"},
        {LISTENER("traffic_direction: OUTBOUND, default_filter_chain: {" TO("''") "}"),
         "cluster: this is required"},
        {LISTENER("default_filter_chain: {filters: [{name: t, typed_config: {'@type': "
                  "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, "
                  "weighted_clusters: "
                  "{clusters: [{name: a, weight: 0}]}}}]}"),
         "clusters[0].weight: "},
        {LISTENER("default_filter_chain: {transport_socket: {name: x, typed_config: {'@type': "
                  "type.googleapis.com/"
                  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, "
                  "common_tls_context: {}}}, " TO("a") "}"),
         "a server needs a certificate"},
        {LISTENER("default_filter_chain: {transport_socket: {name: x, typed_config: {'@type': "
                  "type.googleapis.com/"
                  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, "
                  "require_client_certificate: true, "
                  "common_tls_context: {tls_certificate_sds_secret_configs: [{name: a}]}}}, " TO(
                      "a") "}"),
         "require_client_certificate: "},
    };
    EACH (row, cases) {
        struct listener *listener = NULL;
        struct error error = {0};
        bool ok = listener_build(message(row->text), &here, &listener, &error);
        CHECK_REFUSED(ok, &error, row->says, row->text);
        arena_fini(&arena);
    }
}

static struct listener *with_filters(const char *filters, struct error *error)
{
    owned_str text =
        str_format(LISTENER("default_filter_chain: {filters: [{name: h, typed_config: {'@type': "
                            "type.googleapis.com/"
                            "envoy.extensions.filters.network.http_connection_manager.v3."
                            "HttpConnectionManager, " ISTIO_RDS ", httpFilters: [%s]}}]}"),
                   filters);
    struct listener *listener = NULL;
    return listener_build(message(text), &here, &listener, error) ? listener : NULL;
}

#define ROUTER                                                                                     \
    "{name: r, typed_config: {'@type': "                                                           \
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}"
#define RBAC(rules)                                                                                \
    "{name: b, typed_config: {'@type': "                                                           \
    "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, rules: " rules "}}"

TEST(listener_takes_http_filters_that_act)
{
    static const struct {
        const char *filters, *says; /* says NULL: taken, with `kept` filters */
        uint32_t kept;
    } cases[] = {
        {ROUTER, NULL, 1},
        {"", "a router is required", 0},
        {ROUTER ", " ROUTER, "the router is the last", 0},
        {RBAC("{}"), "the router is the last", 0},
        {RBAC(
             "{policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}}") ","
                                                                                         " " ROUTER,
         NULL, 2},
        {RBAC("{policies: {p: {permissions: [], principals: [{any: true}]}}}") ", " ROUTER,
         "rules.policies.p.permissions: the list is empty", 0},
        {RBAC(
             "{policies: {p: {permissions: [{any: false}], principals: [{any: true}]}}}") ","
                                                                                          " " ROUTER,
         "any: ", 0},
        {RBAC("{policies: {p: {permissions: [{}], principals: [{any: true}]}}}") ", " ROUTER,
         "kind of permission", 0},
        {RBAC("{policies: {p: {permissions: [{and_rules: {rules: [{url_path: {path: {prefix: "
              "/a}}}, {not_rule: {header: "
              "{name: x}}}]}}], principals: [{or_ids: {ids: [{authenticated: {principal_name: "
              "{exact: 'spiffe://a/b'}}}, "
              "{direct_remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}}]}}}") ", " ROUTER,
         NULL, 2},
        {RBAC("{policies: {p: {permissions: [{any: true}], principals: [{metadata: {filter: "
              "x}}]}}}") ", " ROUTER,
         "metadata: this does not act", 0},
        {RBAC("{policies: {p: {permissions: [{destination_port_range: {start: 5, end: 5}}], "
              "principals: [{any: true}]}}}") ", " ROUTER,
         "no range of ports", 0},
        {"{name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}, " ROUTER,
         "no HTTP filter", 0},
        {"{name: x, is_optional: true, typed_config: {'@type': "
         "type.googleapis.com/google.protobuf.Empty}}, " ROUTER,
         NULL, 1},
        {"{name: x, config_discovery: {}}, " ROUTER, "config_discovery: ", 0},
        {"{name: x, is_optional: true, config_discovery: {}}, " ROUTER, NULL, 1},
    };
    EACH (row, cases) {
        struct error error = {0};
        struct listener *listener = with_filters(row->filters, &error);
        if (row->says) {
            CHECK_REFUSED(listener, &error, row->says, row->filters);
        } else {
            CHECK(listener, "%s: %s", row->filters, error.what);
            CHECK(listener->default_chain->http->filter_count == row->kept, "%s", row->filters);
            listener_unref(listener);
        }
        arena_fini(&arena);
    }
}
