/*
 * istio: resources as istiod sends them to a sidecar, shortened only where the same thing would stand there again.
 */
#pragma once

#define ISTIO_SDS                                                                                  \
    "{apiConfigSource: {apiType: GRPC, grpcServices: [{envoyGrpc: {clusterName: sds-grpc}}], "     \
    "setNodeOnFirstMessageOnly: true, transportApiVersion: V3}, initialFetchTimeout: 0s, "         \
    "resourceApiVersion: V3}"

#define ISTIO_UPSTREAM_TLS(sni, san)                                                               \
    "{name: envoy.transport_sockets.tls, typedConfig: {'@type': type.googleapis.com/"              \
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: " sni ", "                 \
    "commonTlsContext: {alpnProtocols: [istio-peer-exchange, istio], "                             \
    "tlsParams: {tlsMinimumProtocolVersion: TLSv1_2, tlsMaximumProtocolVersion: TLSv1_3}, "        \
    "tlsCertificateSdsSecretConfigs: [{name: default, sdsConfig: " ISTIO_SDS "}], "                \
    "combinedValidationContext: {defaultValidationContext: {matchSubjectAltNames: [{exact: " san   \
    "}]}, validationContextSdsSecretConfig: {name: ROOTCA, sdsConfig: " ISTIO_SDS "}}}}}"

#define ISTIO_CLUSTER                                                                              \
    "name: outbound|9080|v1|reviews.default.svc.cluster.local\n"                                   \
    "altStatName: outbound|9080|v1|reviews.default.svc.cluster.local;\n"                           \
    "type: EDS\n"                                                                                  \
    "edsClusterConfig: {edsConfig: {ads: {}, initialFetchTimeout: 0s, resourceApiVersion: V3}, "   \
    "serviceName: outbound|9080|v1|reviews.default.svc.cluster.local}\n"                           \
    "connectTimeout: 10s\n"                                                                        \
    "lbPolicy: LEAST_REQUEST\n"                                                                    \
    "circuitBreakers: {thresholds: [{maxConnections: 4294967295, maxPendingRequests: 4294967295, " \
    "maxRequests: 4294967295, maxRetries: 4294967295, trackRemaining: true}]}\n"                   \
    "typedExtensionProtocolOptions:\n"                                                             \
    "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"                                  \
    "    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"    \
    "    explicitHttpConfig: {httpProtocolOptions: {}}\n"                                          \
    "commonLbConfig: {}\n"                                                                         \
    "metadata: {filterMetadata: {istio: {config: "                                                 \
    "/apis/networking.istio.io/v1alpha3/namespaces/default/destination-rule/reviews, "             \
    "default_original_port: 9080, subset: v1, services: [{host: "                                  \
    "reviews.default.svc.cluster.local, name: reviews, namespace: default}]}}}\n"                  \
    "transportSocketMatches:\n"                                                                    \
    "- name: tlsMode-istio\n"                                                                      \
    "  match: {tlsMode: istio}\n"                                                                  \
    "  transportSocket: " ISTIO_UPSTREAM_TLS(                                                      \
        "outbound_.9080_.v1_.reviews.default.svc.cluster.local",                                   \
        "spiffe://cluster.local/ns/default/sa/reviews") "\n"                                       \
                                                        "- name: tlsMode-disabled\n"               \
                                                        "  match: {}\n"                            \
                                                        "  transportSocket: {name: "               \
                                                        "envoy.transport_sockets.raw_buffer, "     \
                                                        "typedConfig: {'@type': "                  \
                                                        "type.googleapis.com/"                     \
                                                        "envoy.extensions.transport_sockets.raw_"  \
                                                        "buffer.v3.RawBuffer}}\n"                  \
                                                        "filters: [{name: "                        \
                                                        "istio.metadata_exchange, typedConfig: "   \
                                                        "{'@type': "                               \
                                                        "type.googleapis.com/"                     \
                                                        "udpa.type.v1.TypedStruct, typeUrl: "      \
                                                        "type.googleapis.com/"                     \
                                                        "envoy.tcp.metadataexchange.config."       \
                                                        "MetadataExchange, value: {protocol: "     \
                                                        "istio-peer-exchange}}}]\n"

#define ISTIO_PASSTHROUGH                                                                          \
    "name: PassthroughCluster\n"                                                                   \
    "type: ORIGINAL_DST\n"                                                                         \
    "lbPolicy: CLUSTER_PROVIDED\n"                                                                 \
    "connectTimeout: 10s\n"                                                                        \
    "circuitBreakers: {thresholds: [{maxConnections: 4294967295, maxPendingRequests: 4294967295, " \
    "maxRequests: 4294967295, maxRetries: 4294967295, trackRemaining: true}]}\n"                   \
    "typedExtensionProtocolOptions:\n"                                                             \
    "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"                                  \
    "    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"    \
    "    commonHttpProtocolOptions: {idleTimeout: 300s}\n"                                         \
    "    useDownstreamProtocolConfig: {httpProtocolOptions: {}, http2ProtocolOptions: "            \
    "{maxConcurrentStreams: 1073741824}}\n"

#define ISTIO_INBOUND_CLUSTER                                                                      \
    "name: inbound|9080||\n"                                                                       \
    "type: ORIGINAL_DST\n"                                                                         \
    "lbPolicy: CLUSTER_PROVIDED\n"                                                                 \
    "connectTimeout: 10s\n"                                                                        \
    "cleanupInterval: 60s\n"                                                                       \
    "upstreamBindConfig: {sourceAddress: {address: 127.0.0.6, portValue: 0}}\n"                    \
    "metadata: {filterMetadata: {istio: {services: [{host: reviews.default.svc.cluster.local, "    \
    "name: reviews, namespace: default}]}}}\n"

#define ISTIO_ENDPOINTS                                                                            \
    "clusterName: outbound|9080|v1|reviews.default.svc.cluster.local\n"                            \
    "endpoints:\n"                                                                                 \
    "- locality: {region: eu, zone: eu-1}\n"                                                       \
    "  loadBalancingWeight: 3\n"                                                                   \
    "  lbEndpoints:\n"                                                                             \
    "  - endpoint: {address: {socketAddress: {address: 10.0.0.1, portValue: 9080}}}\n"             \
    "    loadBalancingWeight: 1\n"                                                                 \
    "    metadata: {filterMetadata: {envoy.transport_socket_match: {tlsMode: istio}, istio: "      \
    "{workload: reviews-v1;default;reviews;v1;Kubernetes}}}\n"                                     \
    "  - endpoint: {address: {socketAddress: {address: 10.0.0.2, portValue: 9080}}}\n"             \
    "    loadBalancingWeight: 2\n"                                                                 \
    "    healthStatus: UNHEALTHY\n"                                                                \
    "- locality: {region: eu, zone: eu-2}\n"                                                       \
    "  loadBalancingWeight: 1\n"                                                                   \
    "  priority: 1\n"                                                                              \
    "  lbEndpoints:\n"                                                                             \
    "  - endpoint: {address: {socketAddress: {address: 10.0.1.1, portValue: 9080}}}\n"             \
    "    loadBalancingWeight: 1\n"

#define ISTIO_ROUTE                                                                                \
    "name: '9080'\n"                                                                               \
    "validateClusters: false\n"                                                                    \
    "ignorePortInHostMatching: true\n"                                                             \
    "maxDirectResponseBodySizeBytes: 1048576\n"                                                    \
    "virtualHosts:\n"                                                                              \
    "- name: reviews.default.svc.cluster.local:9080\n"                                             \
    "  domains: [reviews.default.svc.cluster.local, reviews.default.svc.cluster.local., reviews, " \
    "reviews.default.svc, reviews.default, 10.96.0.7]\n"                                           \
    "  includeRequestAttemptCount: true\n"                                                         \
    "  routes:\n"                                                                                  \
    "  - name: canary\n"                                                                           \
    "    match: {prefix: /, caseSensitive: true, headers: [{name: end-user, stringMatch: "         \
    "{exact: jason}}]}\n"                                                                          \
    "    route: {cluster: outbound|9080|v2|reviews.default.svc.cluster.local, timeout: 0s, "       \
    "maxGrpcTimeout: 0s}\n"                                                                        \
    "  - name: main\n"                                                                             \
    "    match: {prefix: /}\n"                                                                     \
    "    route:\n"                                                                                 \
    "      weightedClusters: {clusters: [{name: outbound|9080|v1|reviews.default.svc.cluster."     \
    "local, weight: 90}, {name: outbound|9080|v2|reviews.default.svc.cluster.local, weight: "      \
    "10}], totalWeight: 100}\n"                                                                    \
    "      timeout: 0s\n"                                                                          \
    "      maxGrpcTimeout: 0s\n"                                                                   \
    "      retryPolicy: {retryOn: 'connect-failure,refused-stream,unavailable,cancelled,"          \
    "retriable-status-codes', numRetries: 2, retryHostPredicate: [{name: "                         \
    "envoy.retry_host_predicates.previous_hosts, typedConfig: {'@type': "                          \
    "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3."                           \
    "PreviousHostsPredicate}}], hostSelectionRetryMaxAttempts: '5', retriableStatusCodes: "        \
    "[503]}\n"                                                                                     \
    "    metadata: {filterMetadata: {istio: {config: "                                             \
    "/apis/networking.istio.io/v1alpha3/namespaces/default/virtual-service/reviews}}}\n"           \
    "    decorator: {operation: reviews.default.svc.cluster.local:9080/*}\n"                       \
    "- name: allow_any\n"                                                                          \
    "  domains: ['*']\n"                                                                           \
    "  includeRequestAttemptCount: true\n"                                                         \
    "  routes: [{name: allow_any, match: {prefix: /}, route: {cluster: PassthroughCluster, "       \
    "timeout: 0s, maxGrpcTimeout: 0s}}]\n"

#define ISTIO_STATS                                                                                \
    "{name: istio.stats, typedConfig: {'@type': type.googleapis.com/udpa.type.v1.TypedStruct, "    \
    "typeUrl: type.googleapis.com/stats.PluginConfig, value: {}}}"

#define ISTIO_PEER_METADATA                                                                        \
    "{name: istio.metadata_exchange, typedConfig: {'@type': "                                      \
    "type.googleapis.com/udpa.type.v1.TypedStruct, typeUrl: "                                      \
    "type.googleapis.com/io.istio.http.peer_metadata.Config, value: {upstream_discovery: "         \
    "[{istio_headers: {}}], upstream_propagation: [{istio_headers: {skip_external_clusters: "      \
    "true}}]}}}"

#define ISTIO_FILTERS                                                                              \
    "[" ISTIO_PEER_METADATA ", {name: envoy.filters.http.grpc_stats, typedConfig: {'@type': "      \
    "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig, "               \
    "emitFilterState: true, statsForAllMethods: false}}, {name: istio.alpn, typedConfig: "         \
    "{'@type': "                                                                                   \
    "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig, "              \
    "alpnOverride: [{alpnOverride: [istio-http/1.0, istio, http/1.0]}, {upstreamProtocol: "        \
    "HTTP11, alpnOverride: [istio-http/1.1, istio, http/1.1]}, {upstreamProtocol: HTTP2, "         \
    "alpnOverride: [istio-h2, istio, h2]}]}}, {name: envoy.filters.http.fault, typedConfig: "      \
    "{'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}, {name: "    \
    "envoy.filters.http.cors, typedConfig: {'@type': "                                             \
    "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}, " ISTIO_STATS               \
    ", {name: envoy.filters.http.router, typedConfig: {'@type': "                                  \
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]"

#define ISTIO_ACCESS_LOG                                                                           \
    "[{name: envoy.access_loggers.file, typedConfig: {'@type': "                                   \
    "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "            \
    "/dev/stdout, logFormat: {textFormatSource: {inlineString: '[%START_TIME%] "                   \
    "%RESPONSE_CODE%'}}}}]"

#define ISTIO_HCM(routes)                                                                          \
    "{name: envoy.filters.network.http_connection_manager, typedConfig: {'@type': "                \
    "type.googleapis.com/"                                                                         \
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, "          \
    "statPrefix: outbound_0.0.0.0_9080;, " routes ", httpFilters: " ISTIO_FILTERS                  \
    ", accessLog: " ISTIO_ACCESS_LOG ", useRemoteAddress: false, upgradeConfigs: [{upgradeType: "  \
    "websocket}], streamIdleTimeout: 0s, normalizePath: true, pathWithEscapedSlashesAction: "      \
    "KEEP_UNCHANGED, requestIdExtension: {typedConfig: {'@type': "                                 \
    "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, "                \
    "useRequestIdForTraceSampling: true}}}}"

#define ISTIO_RDS                                                                                  \
    "rds: {configSource: {ads: {}, initialFetchTimeout: 0s, resourceApiVersion: V3}, "             \
    "routeConfigName: '9080'}"

#define ISTIO_TCP(cluster)                                                                         \
    "{name: envoy.filters.network.tcp_proxy, typedConfig: {'@type': "                              \
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, "                 \
    "statPrefix: " cluster ", cluster: " cluster ", accessLog: " ISTIO_ACCESS_LOG "}}"

#define ISTIO_TCP_PASSTHROUGH ISTIO_TCP("PassthroughCluster")
#define ISTIO_TCP_BLACKHOLE ISTIO_TCP("BlackHoleCluster")
#define ISTIO_TCP_INBOUND ISTIO_TCP("InboundPassthroughCluster")
#define ISTIO_RDS_HCM ISTIO_HCM(ISTIO_RDS)
#define ISTIO_INBOUND_HCM ISTIO_HCM(ISTIO_INBOUND_ROUTES)

#define ISTIO_INSPECTORS                                                                           \
    "[{name: envoy.filters.listener.tls_inspector, typedConfig: {'@type': "                        \
    "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}, "      \
    "{name: envoy.filters.listener.http_inspector, typedConfig: {'@type': "                        \
    "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}]"

#define ISTIO_OUTBOUND                                                                             \
    "name: 0.0.0.0_9080\n"                                                                         \
    "address: {socketAddress: {address: 0.0.0.0, portValue: 9080}}\n"                              \
    "filterChains:\n"                                                                              \
    "- filterChainMatch: {transportProtocol: raw_buffer, applicationProtocols: [http/1.1, h2c]}\n" \
    "  filters: [" ISTIO_RDS_HCM "]\n"                                                             \
    "defaultFilterChain:\n"                                                                        \
    "  filterChainMatch: {}\n"                                                                     \
    "  filters: [" ISTIO_STATS ", " ISTIO_TCP_PASSTHROUGH "]\n"                                    \
    "  name: PassthroughFilterChain\n"                                                             \
    "listenerFilters: " ISTIO_INSPECTORS "\n"                                                      \
    "listenerFiltersTimeout: 0s\n"                                                                 \
    "continueOnListenerFiltersTimeout: true\n"                                                     \
    "trafficDirection: OUTBOUND\n"                                                                 \
    "bindToPort: false\n"

#define ISTIO_VIRTUAL_OUTBOUND                                                                     \
    "name: virtualOutbound\n"                                                                      \
    "address: {socketAddress: {address: 0.0.0.0, portValue: 15001}}\n"                             \
    "useOriginalDst: true\n"                                                                       \
    "trafficDirection: OUTBOUND\n"                                                                 \
    "maxConnectionsToAcceptPerSocketEvent: 1\n"                                                    \
    "filterChains:\n"                                                                              \
    "- name: virtualOutbound-blackhole\n"                                                          \
    "  filterChainMatch: {destinationPort: 15001}\n"                                               \
    "  filters: [" ISTIO_STATS ", " ISTIO_TCP_BLACKHOLE "]\n"                                      \
    "- name: virtualOutbound-catchall-tcp\n"                                                       \
    "  filters: [" ISTIO_STATS ", " ISTIO_TCP_PASSTHROUGH "]\n"

#define ISTIO_DOWNSTREAM_TLS                                                                       \
    "{name: envoy.transport_sockets.tls, typedConfig: {'@type': type.googleapis.com/"              \
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, requireClientCertificate: "   \
    "true, commonTlsContext: {alpnProtocols: [h2, http/1.1], tlsParams: "                          \
    "{tlsMinimumProtocolVersion: TLSv1_2, tlsMaximumProtocolVersion: TLSv1_3, cipherSuites: "      \
    "[ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-RSA-AES256-GCM-SHA384, "                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256, AES256-GCM-SHA384, "              \
    "AES128-GCM-SHA256]}, tlsCertificateSdsSecretConfigs: [{name: default, sdsConfig: " ISTIO_SDS  \
    "}], combinedValidationContext: {defaultValidationContext: {matchSubjectAltNames: [{prefix: "  \
    "spiffe://cluster.local/}]}, validationContextSdsSecretConfig: {name: ROOTCA, "                \
    "sdsConfig: " ISTIO_SDS "}}}}}"

#define ISTIO_INBOUND_ROUTES                                                                       \
    "routeConfig: {name: inbound|9080||, validateClusters: false, virtualHosts: [{name: "          \
    "inbound|http|9080, domains: ['*'], routes: [{name: default, match: {prefix: /}, route: "      \
    "{cluster: inbound|9080||, timeout: 0s, maxStreamDuration: {maxStreamDuration: 0s, "           \
    "grpcTimeoutHeaderMax: 0s}}, decorator: {operation: reviews.default.svc.cluster.local:9080/*}" \
    "}]}]}, forwardClientCertDetails: APPEND_FORWARD, setCurrentClientCertDetails: {subject: "     \
    "true, dns: true, uri: true}"

#define ISTIO_VIRTUAL_INBOUND                                                                      \
    "name: virtualInbound\n"                                                                       \
    "address: {socketAddress: {address: 0.0.0.0, portValue: 15006}}\n"                             \
    "trafficDirection: INBOUND\n"                                                                  \
    "listenerFiltersTimeout: 0s\n"                                                                 \
    "continueOnListenerFiltersTimeout: true\n"                                                     \
    "listenerFilters:\n"                                                                           \
    "- name: envoy.filters.listener.original_dst\n"                                                \
    "  typedConfig: {'@type': "                                                                    \
    "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}\n"         \
    "- name: envoy.filters.listener.tls_inspector\n"                                               \
    "  typedConfig: {'@type': "                                                                    \
    "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}\n"       \
    "  filterDisabled: {destinationPortRange: {start: 3306, end: 3307}}\n"                         \
    "- name: envoy.filters.listener.http_inspector\n"                                              \
    "  typedConfig: {'@type': "                                                                    \
    "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}\n"     \
    "  filterDisabled: {orMatch: {rules: [{destinationPortRange: {start: 3306, end: 3307}}, "      \
    "{destinationPortRange: {start: 9080, end: 9081}}]}}\n"                                        \
    "filterChains:\n"                                                                              \
    "- name: virtualInbound-blackhole\n"                                                           \
    "  filterChainMatch: {destinationPort: 15006}\n"                                               \
    "  filters: [" ISTIO_TCP_BLACKHOLE "]\n"                                                       \
    "- name: virtualInbound-catchall-http\n"                                                       \
    "  filterChainMatch: {transportProtocol: tls, applicationProtocols: "                          \
    "[istio-http/1.0, istio-http/1.1, istio-h2]}\n"                                                \
    "  transportSocket: " ISTIO_DOWNSTREAM_TLS "\n"                                                \
    "  filters: [" ISTIO_INBOUND_HCM "]\n"                                                         \
    "- name: virtualInbound\n"                                                                     \
    "  filterChainMatch: {transportProtocol: "                                                     \
    "raw_buffer}\n"                                                                                \
    "  filters: [" ISTIO_TCP_INBOUND "]\n"                                                         \
    "- name: 0.0.0.0_9080\n"                                                                       \
    "  filterChainMatch: {destinationPort: 9080, transportProtocol: tls, applicationProtocols: "   \
    "[istio, istio-peer-exchange, istio-http/1.0, istio-http/1.1, istio-h2]}\n"                    \
    "  transportSocket: " ISTIO_DOWNSTREAM_TLS "\n"                                                \
    "  filters: [" ISTIO_INBOUND_HCM "]\n"                                                         \
    "- name: 0.0.0.0_9080\n"                                                                       \
    "  filterChainMatch: {destinationPort: 9080, transportProtocol: raw_buffer}\n"                 \
    "  filters: [" ISTIO_INBOUND_HCM "]\n"
