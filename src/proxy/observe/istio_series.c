#include "proxy/observe/istio_series.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "net/transport.h"
#include "proxy/observe/record.h"
#include "proxy/snapshot/resource.h"
#include "proxy/upstream/upstream.h"
#include "stats/counter.h"
#include "stats/histogram.h"

#include <stdio.h>
#include <string.h>

enum { SERIES_MAX = 10000 };

enum istio_metric {
    ISTIO_REQUESTS,
    ISTIO_DURATION,
    ISTIO_REQUEST_BYTES,
    ISTIO_RESPONSE_BYTES,
    ISTIO_METRICS
};
enum istio_tcp { ISTIO_OPENED, ISTIO_CLOSED, ISTIO_SENT, ISTIO_RECEIVED, ISTIO_TCP };
enum istio_messages { ISTIO_ASKED, ISTIO_ANSWERED, ISTIO_MESSAGES };

/* What a series is found by, without a string. */
struct series_key {
    uint64_t cluster, peer, route_host;
    uint64_t flags;
    uint16_t status;
    uint8_t protocol, reporter;
    uint32_t grpc_status;
};

struct series {
    uint32_t slots[ISTIO_METRICS];     /* or ISTIO_TCP, which are as many */
    uint32_t messages[ISTIO_MESSAGES]; /* of gRPC */
};

_Static_assert((int)ISTIO_METRICS == (int)ISTIO_TCP, "the slots serve both");

struct istio_series {
    const struct own_workload *own;
    struct stats_registry *registry;
    struct map *series; /* struct series_key -> struct series; the last one is kept at hand */
    struct series_key last_key;
    struct series *last;
};

/* --- what there is -------------------------------------------------------------------------------------------- */

static const struct stats_metric istio_metrics[ISTIO_METRICS] = {
    [ISTIO_REQUESTS] = {"istio_requests_total", NULL, "requests", STATS_COUNTER, STATS_PLAIN},
    [ISTIO_DURATION] = {"istio_request_duration_milliseconds", NULL, "time of requests",
                        STATS_HISTOGRAM, STATS_MICROSECONDS},
    [ISTIO_REQUEST_BYTES] = {"istio_request_bytes", NULL, "bytes of request bodies",
                             STATS_HISTOGRAM, STATS_PLAIN},
    [ISTIO_RESPONSE_BYTES] = {"istio_response_bytes", NULL, "bytes of response bodies",
                              STATS_HISTOGRAM, STATS_PLAIN},
};
static const struct stats_metric istio_message_metrics[ISTIO_MESSAGES] = {
    [ISTIO_ASKED] = {"istio_request_messages_total", NULL, "gRPC messages of requests",
                     STATS_COUNTER, STATS_PLAIN},
    [ISTIO_ANSWERED] = {"istio_response_messages_total", NULL, "gRPC messages of responses",
                        STATS_COUNTER, STATS_PLAIN},
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
    MESSAGE_LABELS, /* the counters of messages have those above */
    L_REQUEST_PROTOCOL = MESSAGE_LABELS,
    L_RESPONSE_FLAGS,
    L_CONNECTION_SECURITY_POLICY,
    TCP_LABELS, /* those of TCP these */
    L_RESPONSE_CODE = TCP_LABELS,
    L_GRPC_RESPONSE_STATUS,
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

/* Our end, as the certificate that the connection was made with names it. */
static void set_own_principal(const struct transport *transport, struct slice *principal)
{
    const struct tls_session *session = transport ? transport_session(transport) : NULL;
    struct slice id = session ? tls_session_own_id(session) : SLICE_NONE;
    if (id.size > 0)
        *principal = id;
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

static void fill_labels(const struct own_workload *own, const struct record *record,
                        const struct series_key *key, struct slice values[ISTIO_LABELS],
                        struct label_texts *texts)
{
    bool is_source = key->reporter == ISTIO_SOURCE;
    for (int i = 0; i < ISTIO_LABELS; i++)
        values[i] = SLICE("unknown");
    values[L_REPORTER] = is_source ? SLICE("source") : SLICE("destination");
    if (is_source) {
        set_own(own, values, L_SOURCE_WORKLOAD, L_SOURCE_CANONICAL_SERVICE);
        set_endpoint(record->host, values);
        set_peer(peer_of(record->upstream), values, L_DESTINATION_WORKLOAD);
        set_own_principal(record->upstream, &values[L_SOURCE_PRINCIPAL]);
    } else {
        set_own(own, values, L_DESTINATION_WORKLOAD, L_DESTINATION_CANONICAL_SERVICE);
        set_peer(peer_of(record->downstream), values, L_SOURCE_WORKLOAD);
        set_own_principal(record->downstream, &values[L_DESTINATION_PRINCIPAL]);
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

uint32_t record_grpc_status(const struct record *record)
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

static struct series_key key_of(const struct record *record, enum istio_reporter reporter)
{
    struct series_key key;
    memset(&key, 0, sizeof(key)); /* also the padding: it is hashed and compared */
    key.cluster = record->cluster ? record->cluster->name.hash : 0;
    key.peer =
        peer_number(peer_of(reporter == ISTIO_SOURCE ? record->upstream : record->downstream));
    key.route_host = reporter == ISTIO_SOURCE && record->host ? record->host->hash : 0;
    key.flags = record->flags;
    key.status = record->status;
    key.protocol = !record->request ? 2 : record->is_grpc;
    key.reporter = (uint8_t)reporter;
    key.grpc_status = record->is_grpc ? record_grpc_status(record) | 0x10000 : 0;
    return key;
}

static struct series *make_series(struct istio_series *all, const struct record *record,
                                  const struct series_key *key)
{
    struct slice values[ISTIO_LABELS];
    struct label_texts texts;
    struct series *series = mem_new(struct series);
    fill_labels(all->own, record, key, values, &texts);
    size_t count = record->request ? ISTIO_LABELS : TCP_LABELS;
    struct stats_labels *labels = stats_labels_hold(all->registry, istio_labels, values, count);
    if (record->request)
        stats_resolve_all(all->registry, istio_metrics, ISTIO_METRICS, labels, series->slots);
    else
        stats_resolve_all(all->registry, istio_tcp_metrics, ISTIO_TCP, labels, series->slots);
    stats_labels_release(all->registry, labels);
    if (!record->is_grpc)
        return series;
    labels = stats_labels_hold(all->registry, istio_labels, values, MESSAGE_LABELS);
    stats_resolve_all(all->registry, istio_message_metrics, ISTIO_MESSAGES, labels,
                      series->messages);
    stats_labels_release(all->registry, labels);
    return series;
}

/* NULL when there are too many. */
static struct series *find_series(struct istio_series *all, const struct record *record,
                                  enum istio_reporter reporter)
{
    struct series_key key = key_of(record, reporter);
    if (LIKELY(all->last && memcmp(&key, &all->last_key, sizeof(key)) == 0))
        return all->last;
    struct slice name = slice_of(&key, sizeof(key));
    struct series *series = map_get(all->series, name);
    if (!series) {
        if (map_count(all->series) >= SERIES_MAX)
            return NULL;
        series = make_series(all, record, &key);
        map_put(all->series, name, series);
    }
    all->last_key = key;
    all->last = series;
    return series;
}

/* --- counting ------------------------------------------------------------------------------------------------- */

void istio_series_request(struct istio_series *all, struct stats_set *set,
                          const struct record *record, enum istio_reporter reporter, uint64_t asked,
                          uint64_t answered)
{
    const struct series *series = find_series(all, record, reporter);
    if (!series)
        return;
    counter_increment(set, series->slots[ISTIO_REQUESTS]);
    histogram_record(set, series->slots[ISTIO_DURATION], record->end_us - record->start_us);
    histogram_record(set, series->slots[ISTIO_REQUEST_BYTES], record->bytes_received);
    histogram_record(set, series->slots[ISTIO_RESPONSE_BYTES], record->bytes_sent);
    if (record->is_grpc) {
        counter_add(set, series->messages[ISTIO_ASKED], asked);
        counter_add(set, series->messages[ISTIO_ANSWERED], answered);
    }
}

void istio_series_tunnel(struct istio_series *all, struct stats_set *set,
                         const struct record *record, enum istio_reporter reporter,
                         const struct tunnel_news *news)
{
    const struct series *series = find_series(all, record, reporter);
    if (!series)
        return;
    counter_add(set, series->slots[ISTIO_OPENED], news->has_opened);
    counter_add(set, series->slots[ISTIO_CLOSED], news->has_ended);
    counter_add(set, series->slots[ISTIO_SENT], news->sent);
    counter_add(set, series->slots[ISTIO_RECEIVED], news->received);
}

/* --- life ----------------------------------------------------------------------------------------------------- */

struct istio_series *istio_series_create(struct stats_registry *registry,
                                         const struct own_workload *own)
{
    struct istio_series *all = mem_new(struct istio_series);
    *all = (struct istio_series){.own = own, .registry = registry, .series = map_create()};
    return all;
}

void istio_series_destroy(struct istio_series *all)
{
    struct map_iterator each = {0};
    if (!all)
        return;
    while (map_next(all->series, &each)) {
        struct series *series = each.value;
        stats_release_all(all->registry, series->slots, ISTIO_METRICS);
        stats_release_all(all->registry, series->messages, ISTIO_MESSAGES);
        mem_free(series);
    }
    map_destroy(all->series);
    mem_free(all);
}
