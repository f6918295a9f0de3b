#include "proxy/upstream/dialing.h"

#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/tls_spec.h"
#include "io/interfaces.h"
#include "net/dialer.h"
#include "net/transport.h"
#include "proxy/listen/proxy_header.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

#include <stdio.h>
#include <string.h>

static void fail(struct dialing *dialing, enum pool_failure failure, const char *format,
                 const char *detail)
{
    char text[256], address[ADDRESS_TEXT];
    address_format(&dialing->host->address, address);
    snprintf(text, sizeof(text), format, address, detail);
    dialing->on_failed(dialing, failure, text);
}

static void fail_dial(struct dialing *dialing, const struct dial_result *result)
{
    switch (result->status) {
    case DIAL_OK: break;
    case DIAL_FAILED:
        fail(dialing, POOL_CONNECT_FAILED, "connecting to %s failed: %s", strerror(result->error));
        break;
    case DIAL_TIMED_OUT:
        fail(dialing, POOL_TIMED_OUT, "%s did not answer within the connect timeout%s", "");
        break;
    case DIAL_SELF: fail(dialing, POOL_SELF, "%s is this proxy itself%s", ""); break;
    case DIAL_NO_MEMORY:
        fail(dialing, POOL_NO_MEMORY, "no memory or descriptor is left to connect to %s%s", "");
        break;
    }
}

/* The handshake's own part; empty without TLS. */
static bool tls_of(struct dialing *dialing, const struct tls_spec *tls,
                   struct tls_session_spec *session)
{
    static const struct slice both[] = {{"h2", 2}, {"http/1.1", 8}};
    struct worker *worker = dialing->worker;
    session->context = snapshot_tls(worker_snapshot(worker), tls);
    if (!session->context)
        return false;
    session->server_name = tls->server_name;
    session->expected = tls->expected;
    session->expected_count = tls->expected_count;
    session->alpn = tls->alpn;
    session->alpn_count = tls->alpn_count;
    if (tls->alpn_count == 0 && dialing->which != HTTP_POOLS) {
        session->alpn = dialing->which == HTTP_POOL_1 ? &both[1] : both;
        session->alpn_count = dialing->which == HTTP_POOL_AUTO ? 2 : 1;
    }
    session->peer_key =
        dialing->host->hash ? dialing->host->hash : address_hash(&dialing->host->address);
    return true;
}

/* Before everything else, TLS too. False when memory is refused. */
static bool send_header(struct dialing *dialing, struct conn *conn, uint8_t version)
{
    struct address source = {.size = 0}, destination = {.size = 0};
    char text[PROXY_V1_BYTES_MAX + 1];
    struct chain bytes = {0};
    if (dialing->ends)
        dialing->ends(dialing, &source, &destination);
    size_t size = proxy_header_write(version, &source, &destination, text);
    if (!chain_append_copy(&bytes, loop_blocks(dialing->worker->loop), slice_of(text, size)))
        return false;
    conn_write(conn, &bytes);
    return true;
}

static void on_dialed(void *owner, const struct dial_result *result)
{
    struct dialing *dialing = owner;
    struct upstream *upstream = dialing->host->upstream;
    dialing->dial = 0;
    if (result->status != DIAL_OK) {
        fail_dial(dialing, result);
        return;
    }
    if (!upstream || dialing->host->is_removed) {
        conn_close(result->conn, CONN_CLOSE);
        dialing->on_failed(dialing, POOL_GONE, "the endpoint was removed");
        return;
    }
    const struct upstream_socket *socket = host_socket(dialing->host);
    struct tls_session_spec session = {0};
    if (socket->tls && !tls_of(dialing, socket->tls, &session)) {
        conn_close(result->conn, CONN_CLOSE);
        fail(dialing, POOL_CONNECT_FAILED,
             "TLS to %s: its certificate or trust bundle has not arrived yet%s", "");
        return;
    }
    if (socket->proxy_protocol && !send_header(dialing, result->conn, socket->proxy_protocol)) {
        conn_close(result->conn, CONN_ABORT);
        fail(dialing, POOL_NO_MEMORY, "no memory is left to connect to %s%s", "");
        return;
    }
    struct transport_options options = {.engine = upstream->worker->engine,
                                        .tls = socket->tls ? &session : NULL,
                                        .handshake_timeout_ms =
                                            upstream->cluster->connect_timeout_ms};
    struct transport *transport =
        transport_create(result->conn, NULL, &options, &transport_events_none, NULL);
    if (transport)
        dialing->on_dialed(dialing, transport);
    else
        fail(dialing, POOL_NO_MEMORY, "no memory is left to connect to %s%s", "");
}

/* Where the endpoint may be an application beside us; behind TLS on this host are other proxies. */
static struct sockmap *short_cut_to(const struct host *host)
{
    struct sockmap *sockmap = host->worker->shared->sockmap;
    if (LIKELY(!sockmap) || !address_is_ip(&host->address) || host_socket(host)->tls)
        return NULL;
    bool is_beside_us = host->network_namespace >= 0 ||
                        interfaces_are_local(host->worker->interfaces, &host->address);
    return is_beside_us ? sockmap : NULL;
}

void dialing_start(struct dialing *dialing, struct host *host, enum http_pool which,
                   void (*when_dialed)(struct dialing *, struct transport *),
                   void (*when_failed)(struct dialing *, enum pool_failure, const char *text))
{
    struct upstream *upstream = host->upstream;
    *dialing = (struct dialing){.host = host,
                                .worker = upstream->worker,
                                .which = which,
                                .on_dialed = when_dialed,
                                .on_failed = when_failed};
    struct dial_options options = {.addresses = &host->address,
                                   .address_count = 1,
                                   .mark = upstream->worker->shared->upstream_mark,
                                   .network_namespace = host->network_namespace,
                                   .timeout_ms = upstream->cluster->connect_timeout_ms,
                                   .keepalive_s = upstream->cluster->keepalive.time_s,
                                   .keepalive_interval_s = upstream->cluster->keepalive.interval_s,
                                   .keepalive_probes = upstream->cluster->keepalive.probes,
                                   .sockmap = short_cut_to(host)};
    const struct ip *from =
        address_is_v4(&host->address) ? &upstream->cluster->bind_v4 : &upstream->cluster->bind_v6;
    if (UNLIKELY(!ip_is_any(from)) && !address_is_unix(&host->address))
        options.from = upstream_address(from, 0);
    dialing->dial = dialer_dial(upstream->worker->dialer, &options, on_dialed, dialing);
}

void dialing_cancel(struct dialing *dialing)
{
    if (dialing->dial)
        dialer_cancel(dialing->worker->dialer, dialing->dial);
    dialing->dial = 0;
}
