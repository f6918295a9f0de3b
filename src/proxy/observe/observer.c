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
#include "proxy/http_profile.h"
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

enum { LINE_MAX_BYTES = 16384 };

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

/* Listeners that are no sidecar's report nothing to Istio's metrics. */
static bool reports_as(enum listener_direction direction, enum istio_reporter *reporter)
{
    *reporter = direction == LISTENER_OUTBOUND ? ISTIO_SOURCE : ISTIO_DESTINATION;
    return direction != LISTENER_UNSPECIFIED;
}

/* --- what happened -------------------------------------------------------------------------------------------- */

struct http_series *observe_http(struct observer *observer, const struct hcm *hcm)
{
    return http_series_of(&observer->envoy, hcm->stat_prefix);
}

void observe_downstream_opened(struct observer *observer, struct downstream *downstream)
{
    struct http_series *series = downstream->profile->series;
    http_series_count(series, observer->set, HTTP_CX_TOTAL, 1);
    http_series_count(series, observer->set, HTTP_CX_ACTIVE, 1);
    if (transport_session(http_connection_transport(downstream->http)))
        http_series_count(series, observer->set, HTTP_CX_SSL, 1);
}

void observe_downstream_closed(struct observer *observer, struct downstream *downstream,
                               enum http_closed reason, const struct transport_failure *failure)
{
    http_series_count(downstream->profile->series, observer->set, HTTP_CX_ACTIVE, -1);
    http_series_count(downstream->profile->series, observer->set, HTTP_CX_DESTROY, 1);
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
    http_series_count(downstream->profile->series, observer->set, HTTP_CX_PROTOCOL_ERROR, 1);
    http_series_request(downstream->profile->series, observer->set, http_refusal_status(refusal),
                        0);
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
    http_series_request(exchange->downstream->profile->series, observer->set, record->status,
                        record->end_us - record->start_us);
    if (UNLIKELY(record->details && !record->upstream_head_us))
        count_cause(observer, CAUSE_REPLIED, record->details);
    if (record->cluster)
        cluster_series_request(&observer->envoy, observer->set, record);
    if (exchange->counts_messages && exchange->hcm->grpc_stats)
        grpc_calls_count(observer->grpc, observer->telemetry->registry, observer->set, exchange,
                         exchange->hcm->grpc_stats == HCM_GRPC_STATS_BY_METHOD,
                         record_grpc_status(record));
    enum istio_reporter reporter;
    if (reports_as(exchange->listener->listener->direction, &reporter))
        istio_series_request(observer->istio, observer->set, record, reporter,
                             exchange->asked.count, exchange->answered.count);
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
    struct tcp_series *series = tcp_series_of(&observer->envoy, tunnel->chain->tcp->stat_prefix);
    tcp_series_count(series, observer->set, TCP_CX_TOTAL, 1);
    tcp_series_count(series, observer->set, TCP_CX_ACTIVE, 1);
    tunnel->counted.series = series;
}

/* What is new since the last time; the opening once. */
static void count_news(struct observer *observer, struct tunnel *tunnel, bool has_ended)
{
    const struct record *record = &tunnel->record;
    struct tunnel_counted *counted = &tunnel->counted;
    struct tunnel_news news = {.has_opened = !counted->is_opened,
                               .has_ended = has_ended,
                               .received = record->bytes_received - counted->received,
                               .sent = record->bytes_sent - counted->sent};
    enum istio_reporter reporter;
    if (reports_as(tunnel->listener->listener->direction, &reporter))
        istio_series_tunnel(observer->istio, observer->set, record, reporter, &news);
    if (counted->series) {
        tcp_series_count(counted->series, observer->set, TCP_CX_RX, (int64_t)news.received);
        tcp_series_count(counted->series, observer->set, TCP_CX_TX, (int64_t)news.sent);
    }
    counted->is_opened = true;
    counted->received = record->bytes_received;
    counted->sent = record->bytes_sent;
}

void observe_tunnel_progress(struct observer *observer, struct tunnel *tunnel)
{
    count_news(observer, tunnel, false);
}

void observe_tunnel(struct observer *observer, struct tunnel *tunnel)
{
    const struct record *record = &tunnel->record;
    struct tcp_series *series = tunnel->counted.series;
    count_news(observer, tunnel, true);
    if (series)
        tcp_series_count(series, observer->set, TCP_CX_ACTIVE, -1);
    if (series && record->flags & (UINT64_C(1) << FLAG_NC))
        tcp_series_count(series, observer->set, TCP_CX_NO_ROUTE, 1);
    count_cause(observer, CAUSE_TUNNEL, record->details ? record->details : record->termination);
    if (tunnel->chain->tcp->logs.count)
        write_logs(observer, &tunnel->chain->tcp->logs, record);
    if (tunnel->listener->listener->logs.count)
        write_logs(observer, &tunnel->listener->listener->logs, record);
}

void observe_arrival_refused(struct observer *observer, const struct record *record)
{
    count_cause(observer, CAUSE_ARRIVAL, record->details);
    log_debug("listen", "a connection was refused: %.*s (%s)", SLICE_ARG(record->why),
              record->details);
}

void observe_overflow(struct observer *observer)
{
    count_cause(observer, CAUSE_ARRIVAL, "downstream_overflow");
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
