#include "proxy/observe/observer.h"

#include "base/log.h"
#include "base/memory.h"
#include "build/access_log.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/hcm.h"
#include "build/listener.h"
#include "build/tcp_proxy.h"
#include "net/transport.h"
#include "proxy/downstream/downstream.h"
#include "proxy/downstream/exchange.h"
#include "proxy/observe/causes.h"
#include "proxy/observe/format_writer.h"
#include "proxy/observe/observer_internal.h"
#include "proxy/observe/record.h"
#include "proxy/snapshot/resource.h"
#include "proxy/tcp/tunnel.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"
#include "stats/counter.h"
#include "stats/histogram.h"

#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 16384, SERIES_MAX = 10000 };
enum reporter { REPORTER_SOURCE, REPORTER_DESTINATION };

static void count(struct observer *observer, enum observer_counter counter, int64_t n)
{
    gauge_add(observer->set, observer->counters[counter], n);
}

static void count_cause(struct observer *observer, enum cause_kind kind, const char *text)
{
    causes_count(observer->causes, observer->telemetry->registry, observer->set, kind, text);
}

/* --- access logs ---------------------------------------------------------------------------------------------- */

/* Paths live in built listeners; a few of them are known at a time, so a short list is searched. */
static int file_of(struct observer *observer, const struct access_log *log)
{
    struct slice path = log->sink == ACCESS_LOG_FILE     ? log->path
                        : log->sink == ACCESS_LOG_STDOUT ? SLICE("/dev/stdout")
                                                         : SLICE("/dev/stderr");
    return log_sink_file(observer->telemetry->sink, path);
}

static void write_logs(struct observer *observer, const struct access_logs *logs,
                       const struct record *record)
{
    char text[LINE_MAX_BYTES];
    struct access_log_facts facts = {.status = record->status,
                                     .duration_ms = (record->end_us - record->start_us) / 1000,
                                     .flags = record->flags};
    for (size_t i = 0; i < logs->count; i++) {
        const struct access_log *log = &logs->items[i];
        if (!access_log_wants(log, &facts))
            continue;
        int file = file_of(observer, log);
        struct line line = {text, text, text + sizeof(text), &observer->clock, false};
        format_render(&log->format, record, &line);
        struct slice bytes = slice_of(line.start, (size_t)(line.at - line.start));
        if (file >= 0 && !log_ring_write(observer->ring, file, bytes))
            count(observer, LOG_DROPPED, 1);
    }
}

/* --- Istio's metrics ------------------------------------------------------------------------------------------ */

static const struct stats_metric istio_metrics[ISTIO_METRICS] = {
    [ISTIO_REQUESTS] = {"istio_requests_total", NULL, "requests", STATS_COUNTER, STATS_PLAIN},
    [ISTIO_DURATION] = {"istio_request_duration_milliseconds", NULL, "time of requests",
                        STATS_HISTOGRAM, STATS_MICROSECONDS},
    [ISTIO_REQUEST_BYTES] = {"istio_request_bytes", NULL, "bytes of request bodies",
                             STATS_HISTOGRAM, STATS_PLAIN},
    [ISTIO_RESPONSE_BYTES] = {"istio_response_bytes", NULL, "bytes of response bodies",
                              STATS_HISTOGRAM, STATS_PLAIN},
};
static const struct stats_metric istio_tcp_metrics[ISTIO_TCP] = {
    [ISTIO_OPENED] = {"istio_tcp_connections_opened_total", NULL, "TCP connections opened",
                      STATS_COUNTER, STATS_PLAIN},
    [ISTIO_CLOSED] = {"istio_tcp_connections_closed_total", NULL, "TCP connections closed",
                      STATS_COUNTER, STATS_PLAIN},
    [ISTIO_SENT] = {"istio_tcp_sent_bytes_total", NULL, "bytes sent downstream", STATS_COUNTER,
                    STATS_PLAIN},
    [ISTIO_RECEIVED] = {"istio_tcp_received_bytes_total", NULL, "bytes received from downstream",
                        STATS_COUNTER, STATS_PLAIN},
};

enum istio_label {
    L_REPORTER,
    L_SOURCE_WORKLOAD,
    L_SOURCE_WORKLOAD_NAMESPACE,
    L_SOURCE_PRINCIPAL,
    L_SOURCE_APP,
    L_SOURCE_VERSION,
    L_SOURCE_CANONICAL_SERVICE,
    L_SOURCE_CANONICAL_REVISION,
    L_SOURCE_CLUSTER,
    L_DESTINATION_WORKLOAD,
    L_DESTINATION_WORKLOAD_NAMESPACE,
    L_DESTINATION_PRINCIPAL,
    L_DESTINATION_APP,
    L_DESTINATION_VERSION,
    L_DESTINATION_SERVICE,
    L_DESTINATION_SERVICE_NAME,
    L_DESTINATION_SERVICE_NAMESPACE,
    L_DESTINATION_CANONICAL_SERVICE,
    L_DESTINATION_CANONICAL_REVISION,
    L_DESTINATION_CLUSTER,
    L_REQUEST_PROTOCOL,
    L_RESPONSE_CODE,
    L_GRPC_RESPONSE_STATUS,
    L_RESPONSE_FLAGS,
    L_CONNECTION_SECURITY_POLICY,
    ISTIO_LABELS
};
static const struct stats_label istio_labels[ISTIO_LABELS] = {
    [L_REPORTER] = {"reporter", false},
    [L_SOURCE_WORKLOAD] = {"source_workload", true},
    [L_SOURCE_WORKLOAD_NAMESPACE] = {"source_workload_namespace", true},
    [L_SOURCE_PRINCIPAL] = {"source_principal", true},
    [L_SOURCE_APP] = {"source_app", true},
    [L_SOURCE_VERSION] = {"source_version", true},
    [L_SOURCE_CANONICAL_SERVICE] = {"source_canonical_service", true},
    [L_SOURCE_CANONICAL_REVISION] = {"source_canonical_revision", true},
    [L_SOURCE_CLUSTER] = {"source_cluster", true},
    [L_DESTINATION_WORKLOAD] = {"destination_workload", true},
    [L_DESTINATION_WORKLOAD_NAMESPACE] = {"destination_workload_namespace", true},
    [L_DESTINATION_PRINCIPAL] = {"destination_principal", true},
    [L_DESTINATION_APP] = {"destination_app", true},
    [L_DESTINATION_VERSION] = {"destination_version", true},
    [L_DESTINATION_SERVICE] = {"destination_service", true},
    [L_DESTINATION_SERVICE_NAME] = {"destination_service_name", true},
    [L_DESTINATION_SERVICE_NAMESPACE] = {"destination_service_namespace", true},
    [L_DESTINATION_CANONICAL_SERVICE] = {"destination_canonical_service", true},
    [L_DESTINATION_CANONICAL_REVISION] = {"destination_canonical_revision", true},
    [L_DESTINATION_CLUSTER] = {"destination_cluster", true},
    [L_REQUEST_PROTOCOL] = {"request_protocol", false},
    [L_RESPONSE_CODE] = {"response_code", false},
    [L_GRPC_RESPONSE_STATUS] = {"grpc_response_status", false},
    [L_RESPONSE_FLAGS] = {"response_flags", false},
    [L_CONNECTION_SECURITY_POLICY] = {"connection_security_policy", false},
};

static const struct peer_identity *peer_of(const struct transport *transport)
{
    return transport ? transport_peer(transport) : NULL;
}

static void set_own(const struct own_workload *own, struct slice *values, enum istio_label first,
                    enum istio_label canonical)
{
    values[first] = own->workload;
    values[first + 1] = own->name_space;
    values[first + 3] = own->app;
    values[first + 4] = own->version;
    values[canonical] = own->canonical_service;
    values[canonical + 1] = own->canonical_revision;
    values[canonical + 2] = own->cluster;
}

/* The endpoint's workload as Istio sends it: name;namespace;canonical service;canonical revision;cluster. */
static void set_endpoint(const struct host *host, struct slice *values)
{
    const struct endpoint *endpoint = host ? host->balance.endpoint : NULL;
    struct slice rest = endpoint ? endpoint->workload : SLICE_NONE, part;
    const enum istio_label order[] = {L_DESTINATION_WORKLOAD, L_DESTINATION_WORKLOAD_NAMESPACE,
                                      L_DESTINATION_CANONICAL_SERVICE,
                                      L_DESTINATION_CANONICAL_REVISION, L_DESTINATION_CLUSTER};
    for (size_t i = 0; i < COUNT(order) && rest.size > 0; i++) {
        slice_cut(rest, ';', &part, &rest);
        if (part.size)
            values[order[i]] = part;
    }
    values[L_DESTINATION_APP] = values[L_DESTINATION_CANONICAL_SERVICE];
    values[L_DESTINATION_VERSION] = values[L_DESTINATION_CANONICAL_REVISION];
}

/* The other end as its certificate names it. */
static void set_peer(const struct peer_identity *peer, struct slice *values, enum istio_label first)
{
    if (!peer || peer->id.text.size == 0)
        return;
    values[first + 2] = peer->id.text;
    if (peer->id.name_space.size)
        values[first + 1] = peer->id.name_space;
    if (peer->id.account.size && slice_equals(values[first], SLICE("unknown")))
        values[first] = peer->id.account;
}

static void set_service(const struct record *record, struct slice *values)
{
    const struct cluster *cluster = record->cluster;
    if (!cluster)
        return;
    if (cluster->istio_host.size) {
        values[L_DESTINATION_SERVICE] = cluster->istio_host;
        values[L_DESTINATION_SERVICE_NAME] =
            cluster->istio_name.size ? cluster->istio_name : cluster->istio_host;
        if (cluster->istio_namespace.size)
            values[L_DESTINATION_SERVICE_NAMESPACE] = cluster->istio_namespace;
    } else {
        values[L_DESTINATION_SERVICE] = values[L_DESTINATION_SERVICE_NAME] = cluster->name.text;
    }
}

struct label_texts {
    char code[8], flags[128], grpc[8];
};

static struct slice flags_text(uint64_t flags, char text[128])
{
    size_t size = 0;
    for (int flag = 0; flag < ACCESS_LOG_FLAGS; flag++)
        if (flags >> flag & 1 && size < 110)
            size += (size_t)snprintf(text + size, 128 - size, "%s%s", size ? "," : "",
                                     access_log_flag_name((enum access_log_flag)flag));
    return size ? slice_of(text, size) : SLICE("-");
}

static void fill_labels(const struct observer *observer, const struct record *record,
                        const struct series_key *key, struct slice values[ISTIO_LABELS],
                        struct label_texts *texts)
{
    const struct own_workload *own = &observer->telemetry->own;
    bool is_source = key->reporter == REPORTER_SOURCE;
    for (int i = 0; i < ISTIO_LABELS; i++)
        values[i] = SLICE("unknown");
    values[L_REPORTER] = is_source ? SLICE("source") : SLICE("destination");
    if (is_source) {
        set_own(own, values, L_SOURCE_WORKLOAD, L_SOURCE_CANONICAL_SERVICE);
        set_endpoint(record->host, values);
        set_peer(peer_of(record->upstream), values, L_DESTINATION_WORKLOAD);
    } else {
        set_own(own, values, L_DESTINATION_WORKLOAD, L_DESTINATION_CANONICAL_SERVICE);
        set_peer(peer_of(record->downstream), values, L_SOURCE_WORKLOAD);
    }
    set_service(record, values);
    values[L_REQUEST_PROTOCOL] = !record->request  ? SLICE("tcp")
                                 : record->is_grpc ? SLICE("grpc")
                                                   : SLICE("http");
    values[L_RESPONSE_CODE] = slice_of(
        texts->code, (size_t)snprintf(texts->code, sizeof(texts->code), "%u", record->status));
    values[L_RESPONSE_FLAGS] = flags_text(record->flags, texts->flags);
    values[L_GRPC_RESPONSE_STATUS] =
        record->is_grpc ? slice_of(texts->grpc, (size_t)snprintf(texts->grpc, sizeof(texts->grpc),
                                                                 "%u", key->grpc_status & 0xffff))
                        : SLICE("");
    values[L_CONNECTION_SECURITY_POLICY] = is_source                     ? SLICE("unknown")
                                           : peer_of(record->downstream) ? SLICE("mutual_tls")
                                                                         : SLICE("none");
}

/* 8 bytes of a certificate's hash tell peers apart; nobody can choose them. */
static uint64_t peer_number(const struct peer_identity *peer)
{
    uint64_t number = 0;
    if (peer)
        memcpy(&number, peer->certificate_hash, sizeof(number));
    return number;
}

static uint32_t grpc_status_of(const struct record *record)
{
    struct slice text =
        record->trailers ? headers_value(record->trailers, HEADER_GRPC_STATUS) : SLICE_NONE;
    if (!text.data && record->response)
        text = headers_value(&record->response->headers, HEADER_GRPC_STATUS);
    uint64_t number = 2; /* UNKNOWN: it never said */
    if (text.data && !slice_to_u64(text, 65535, &number))
        number = 2;
    return (uint32_t)number;
}

static struct series_key key_of(const struct record *record, enum reporter reporter)
{
    struct series_key key;
    memset(&key, 0, sizeof(key)); /* also the padding: it is hashed and compared */
    key.cluster = record->cluster ? record->cluster->name.hash : 0;
    key.peer =
        peer_number(peer_of(reporter == REPORTER_SOURCE ? record->upstream : record->downstream));
    key.route_host = reporter == REPORTER_SOURCE && record->host ? record->host->hash : 0;
    key.flags = record->flags;
    key.status = record->status;
    key.protocol = !record->request ? 2 : record->is_grpc;
    key.reporter = (uint8_t)reporter;
    key.grpc_status = record->is_grpc ? grpc_status_of(record) | 0x10000 : 0;
    return key;
}

static struct series *find_series(struct observer *observer, const struct record *record,
                                  enum reporter reporter)
{
    struct series_key key = key_of(record, reporter);
    if (LIKELY(observer->last && memcmp(&key, &observer->last_key, sizeof(key)) == 0))
        return observer->last;
    struct slice name = slice_of(&key, sizeof(key));
    struct series *series = map_get(observer->series, name);
    if (!series) {
        if (map_count(observer->series) >= SERIES_MAX)
            return NULL;
        struct slice values[ISTIO_LABELS];
        struct label_texts texts;
        struct stats_registry *registry = observer->telemetry->registry;
        series = mem_new(struct series);
        fill_labels(observer, record, &key, values, &texts);
        struct stats_labels *labels =
            stats_labels_hold(registry, istio_labels, values, ISTIO_LABELS);
        if (record->request)
            stats_resolve_all(registry, istio_metrics, ISTIO_METRICS, labels, series->slots);
        else
            stats_resolve_all(registry, istio_tcp_metrics, ISTIO_TCP, labels, series->slots);
        stats_labels_release(registry, labels);
        map_put(observer->series, name, series);
    }
    observer->last_key = key;
    observer->last = series;
    return series;
}

static void count_istio(struct observer *observer, const struct record *record,
                        enum listener_direction direction)
{
    if (direction == LISTENER_UNSPECIFIED)
        return;
    const struct series *series = find_series(
        observer, record, direction == LISTENER_OUTBOUND ? REPORTER_SOURCE : REPORTER_DESTINATION);
    if (!series)
        return;
    counter_increment(observer->set, series->slots[ISTIO_REQUESTS]);
    histogram_record(observer->set, series->slots[ISTIO_DURATION],
                     record->end_us - record->start_us);
    histogram_record(observer->set, series->slots[ISTIO_REQUEST_BYTES], record->bytes_received);
    histogram_record(observer->set, series->slots[ISTIO_RESPONSE_BYTES], record->bytes_sent);
}

/* --- what happened -------------------------------------------------------------------------------------------- */

void observe_downstream_opened(struct observer *observer, struct downstream *downstream)
{
    struct http_series *series =
        http_series_of(&observer->envoy, downstream->chain->http->stat_prefix);
    downstream->series = series;
    http_series_count(series, observer->set, HTTP_CX_TOTAL, 1);
    http_series_count(series, observer->set, HTTP_CX_ACTIVE, 1);
    if (transport_session(http_connection_transport(downstream->http)))
        http_series_count(series, observer->set, HTTP_CX_SSL, 1);
}

void observe_downstream_closed(struct observer *observer, struct downstream *downstream,
                               enum http_closed reason, const struct transport_failure *failure)
{
    http_series_count(downstream->series, observer->set, HTTP_CX_ACTIVE, -1);
    http_series_count(downstream->series, observer->set, HTTP_CX_DESTROY, 1);
    if (UNLIKELY(reason != HTTP_CLOSED_DONE))
        count_cause(observer, CAUSE_CLOSED, http_closed_text(reason));
    /* What a request was refused for has been counted; these end a connection without one. */
    enum http_refusal refusal =
        downstream->http ? http_connection_refusal(downstream->http) : HTTP_REFUSAL_NONE;
    if (refusal == HTTP_REFUSAL_FLOOD || refusal == HTTP_REFUSAL_HTTP2 ||
        refusal == HTTP_REFUSAL_PREFACE)
        count_cause(observer, CAUSE_REFUSED, http_refusal_name(refusal));
    if (failure && failure->kind != TRANSPORT_SOCKET)
        log_info("tls", "a downstream connection failed (%s): %s", http_closed_text(reason),
                 failure->text);
}

/* It never became an exchange, so the log has what is known without a head. */
static void log_refused(struct observer *observer, const struct downstream *downstream,
                        enum http_refusal refusal)
{
    const struct loop *loop = downstream->worker->loop;
    const struct hcm *hcm = downstream->chain->http;
    struct record record = {.status = (uint16_t)http_refusal_status(refusal),
                            .details = http_refusal_name(refusal),
                            .why = slice_str(http_refusal_text(refusal)),
                            .start_wall_us = loop_wall_us(loop),
                            .start_us = loop_now_us(loop),
                            .end_us = loop_now_us(loop),
                            .downstream = http_connection_transport(downstream->http),
                            .original_destination =
                                address_unpack(&downstream->original_destination)};
    record_flag(&record, FLAG_DPE);
    if (hcm->logs.count)
        write_logs(observer, &hcm->logs, &record);
}

void observe_refused(struct observer *observer, struct downstream *downstream,
                     enum http_refusal refusal)
{
    char peer[ADDRESS_TEXT];
    http_series_count(downstream->series, observer->set, HTTP_CX_PROTOCOL_ERROR, 1);
    http_series_request(downstream->series, observer->set, http_refusal_status(refusal), 0);
    log_refused(observer, downstream, refusal);
    count_cause(observer, CAUSE_REFUSED, http_refusal_name(refusal));
    struct address from = address_unpack(&downstream->peer);
    address_format(&from, peer);
    log_debug("http", "a request of %s was refused: %s (%s)", peer, http_refusal_text(refusal),
              http_refusal_name(refusal));
}

struct cluster_series *observe_upstream_opened(struct observer *observer,
                                               const struct cluster *cluster)
{
    struct cluster_series *series = cluster_series_of(&observer->envoy, cluster);
    cluster_series_count(series, observer->set, CLUSTER_CX_TOTAL, 1);
    cluster_series_count(series, observer->set, CLUSTER_CX_ACTIVE, 1);
    return series;
}

void observe_upstream_closed(struct observer *observer, struct cluster_series *series,
                             bool never_opened)
{
    cluster_series_count(series, observer->set, CLUSTER_CX_ACTIVE, -1);
    if (never_opened)
        cluster_series_count(series, observer->set, CLUSTER_CX_FAIL, 1);
}

void observe_exchange(struct observer *observer, struct exchange *exchange)
{
    const struct record *record = &exchange->record;
    http_series_request(exchange->downstream->series, observer->set, record->status,
                        record->end_us - record->start_us);
    if (UNLIKELY(record->details && !record->upstream_head_us))
        count_cause(observer, CAUSE_REPLIED, record->details);
    if (record->cluster)
        cluster_series_request(&observer->envoy, observer->set, record);
    if (exchange->counts_messages)
        grpc_calls_count(observer->grpc, observer->telemetry->registry, observer->set, exchange,
                         exchange->hcm->grpc_stats == HCM_GRPC_STATS_BY_METHOD,
                         grpc_status_of(record));
    count_istio(observer, record, exchange->listener->listener->direction);
    if (exchange->hcm && exchange->hcm->logs.count)
        write_logs(observer, &exchange->hcm->logs, record);
}

void observe_detection(struct observer *observer, uint64_t us)
{
    histogram_record(observer->set, observer->counters[DETECTION_TIME], us);
}

void observe_server_first(struct observer *observer)
{
    count(observer, SERVER_FIRST, 1);
}

void observe_tunnel_opened(struct observer *observer, struct tunnel *tunnel)
{
    (void)tunnel;
    count(observer, TCP_TOTAL, 1);
    count(observer, TCP_ACTIVE, 1);
    tunnel->is_counted = true;
}

/* What is new since it was told last; the opening once. */
static void count_istio_tunnel(struct observer *observer, struct tunnel *tunnel, bool has_ended)
{
    const struct record *record = &tunnel->record;
    enum listener_direction direction = tunnel->listener->listener->direction;
    if (direction == LISTENER_UNSPECIFIED)
        return;
    const struct series *series = find_series(
        observer, record, direction == LISTENER_OUTBOUND ? REPORTER_SOURCE : REPORTER_DESTINATION);
    if (!series)
        return;
    counter_add(observer->set, series->slots[ISTIO_OPENED], !tunnel->is_told);
    counter_add(observer->set, series->slots[ISTIO_CLOSED], has_ended);
    counter_add(observer->set, series->slots[ISTIO_SENT], record->bytes_sent - tunnel->told_sent);
    counter_add(observer->set, series->slots[ISTIO_RECEIVED],
                record->bytes_received - tunnel->told_received);
    tunnel->is_told = true;
    tunnel->told_sent = record->bytes_sent;
    tunnel->told_received = record->bytes_received;
}

void observe_tunnel_progress(struct observer *observer, struct tunnel *tunnel)
{
    count_istio_tunnel(observer, tunnel, false);
}

void observe_tunnel(struct observer *observer, struct tunnel *tunnel)
{
    const struct record *record = &tunnel->record;
    if (tunnel->is_counted)
        count(observer, TCP_ACTIVE, -1);
    count_cause(observer, CAUSE_TUNNEL, record->details ? record->details : record->termination);
    count_istio_tunnel(observer, tunnel, true);
    if (tunnel->chain->tcp->logs.count)
        write_logs(observer, &tunnel->chain->tcp->logs, record);
    if (tunnel->listener->listener->logs.count)
        write_logs(observer, &tunnel->listener->listener->logs, record);
}

void observe_arrival_refused(struct observer *observer, const struct record *record)
{
    count(observer, TCP_TOTAL, 1);
    count_cause(observer, CAUSE_ARRIVAL, record->details);
    log_debug("listen", "a connection was refused: %.*s (%s)", SLICE_ARG(record->why),
              record->details);
}

struct udp_proxy_series *observe_udp_proxy(struct observer *observer, const struct udp_proxy *proxy)
{
    return udp_proxy_series_of(&observer->udp, proxy->stat_prefix);
}

struct udp_cluster_series *observe_udp_cluster(struct observer *observer,
                                               const struct cluster *cluster)
{
    return udp_cluster_series_of(&observer->udp, cluster);
}

void observe_udp(struct observer *observer, struct udp_proxy_series *series,
                 enum udp_counter counter, int64_t n)
{
    gauge_add(observer->set, series->slots[counter], n);
}

void observe_udp_upstream(struct observer *observer, struct udp_cluster_series *series,
                          enum udp_cluster_counter counter, uint64_t n)
{
    counter_add(observer->set, series->slots[counter], n);
}

void observe_session(struct observer *observer, const struct access_logs *logs,
                     const struct record *record)
{
    count_cause(observer, CAUSE_SESSION, record->termination);
    if (logs->count)
        write_logs(observer, logs, record);
}

void observe_session_refused(struct observer *observer, const char *why)
{
    count_cause(observer, CAUSE_SESSION, why);
}
