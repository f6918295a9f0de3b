#include "proxy/udp/udp_session.h"

#include "base/log.h"
#include "build/cluster.h"
#include "build/listener.h"
#include "proxy/observe/observer.h"
#include "proxy/udp/udp_listener.h"
#include "proxy/udp/udp_plane.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

#include <string.h>

enum {
    ANSWERS_AT_ONCE = PACKET_BATCH / 2, /* of one session in one turn */
    DRAIN_IDLE_MS = 1000,
};

static void on_answers(struct packet_socket *socket);

static const struct udp_proxy *config_of(const struct udp_session *session)
{
    return session->serving->listener->udp;
}

static void tell(const struct udp_session *session, enum udp_counter counter, int64_t n)
{
    observe_udp(session->listener->worker->observer, session->series, counter, n);
}

static void tell_upstream(const struct udp_session *session, enum udp_cluster_counter counter,
                          uint64_t n)
{
    observe_udp_upstream(session->listener->worker->observer, session->cluster_series, counter, n);
}

/* --- the end -------------------------------------------------------------------------------------------------- */

static void leave_host(struct udp_session *session)
{
    host_count(session->host->counters, HOST_CX_ACTIVE, -1);
    session->host->balance.active--;
    limits_give(session->limits, 0, LIMIT_CONNECTIONS, session->limit);
    host_unref(session->host);
}

void udp_session_end(struct udp_session *session, const char *why)
{
    struct udp_listener *listener = session->listener;
    struct worker *worker = listener->worker;
    udp_plane_forget(worker->udp, session);
    loop_timer_stop(worker->loop, &session->idle);
    session->record.termination = why;
    session->record.end_us = loop_now_us(worker->loop);
    struct address local;
    if (config_of(session)->logs.count) {
        local = packet_socket_address(&session->upstream);
        session->record.upstream_local = &local;
    }
    observe_session(worker->observer, &config_of(session)->logs, &session->record);
    tell(session, UDP_SESS_ACTIVE, -1);
    packet_socket_close(&session->upstream);
    udp_reply_give(worker->udp, session->reply);
    leave_host(session);
    reader_unpin(worker->reader, session->cluster);
    reader_unpin(worker->reader, session->serving);
    udp_listener_lose(listener, session);
    worker_count_open(worker, false);
    loop_object_free(worker->loop, session, sizeof(*session));
}

static uint64_t idle_ms(const struct udp_session *session)
{
    uint64_t idle = config_of(session)->idle_ms;
    return session->listener->is_draining ? MIN(idle, (uint64_t)DRAIN_IDLE_MS) : idle;
}

static void on_idle(struct timer *timer)
{
    struct udp_session *session = CONTAINER_OF(timer, struct udp_session, idle);
    struct loop *loop = session->listener->worker->loop;
    uint64_t due_ms = session->moved_ms + idle_ms(session);
    if (due_ms > loop_now_ms(loop)) {
        loop_timer_start(loop, &session->idle, due_ms - loop_now_ms(loop), on_idle);
        return;
    }
    tell(session, UDP_IDLE_TIMEOUT, 1);
    udp_session_end(session, "idle_timeout");
}

void udp_session_drain(struct udp_session *session)
{
    loop_timer_start(session->listener->worker->loop, &session->idle, 1, on_idle);
}

/* --- the beginning -------------------------------------------------------------------------------------------- */

static struct udp_session *refuse(struct udp_listener *listener, const char *why)
{
    observe_session_refused(listener->worker->observer, why);
    return NULL;
}

static const char *reason_of(enum upstream_pick pick)
{
    switch (pick) {
    case UPSTREAM_PICKED: break;
    case UPSTREAM_NO_HOST: return "no_healthy_upstream";
    case UPSTREAM_NO_DESTINATION: return "no_destination";
    case UPSTREAM_SELF: return "proxy_loop";
    }
    return NULL;
}

/* By which sockets: to the endpoint, and back to a client that asked an address which is not ours. */
static const char *open_sockets(struct udp_session *session)
{
    struct udp_listener *listener = session->listener;
    struct worker *worker = listener->worker;
    const struct udp_socket_options *wanted = &config_of(session)->upstream;
    struct packet_path path = {.to = session->host->address,
                               .mark = worker->shared->upstream_mark,
                               .network_namespace = session->host->network_namespace};
    struct packet_socket_options options = {.datagram_max = wanted->datagram_max,
                                            .gro = wanted->gro};
    int error = packet_socket_open(&session->upstream, worker->loop, &path, &options, on_answers);
    if (error) {
        log_debug("udp", "no socket to an endpoint: %s", strerror(-error));
        return "upstream_socket_failed";
    }
    if (!udp_listener_is_captured(listener, &session->key))
        return NULL;
    error = udp_reply_take(worker->udp, &session->key.local, &session->reply);
    if (!error)
        return NULL;
    packet_socket_close(&session->upstream);
    log_debug("udp", "nobody may answer from the address that was asked: %s", strerror(-error));
    return "reply_socket_failed";
}

static void set_record(struct udp_session *session)
{
    struct loop *loop = session->listener->worker->loop;
    session->ends[0] = packet_end_address(&session->key.peer);
    session->ends[1] = packet_end_address(&session->key.local);
    session->record = (struct record){.is_tunnel = true,
                                      .is_session = true,
                                      .start_us = loop_now_us(loop),
                                      .start_wall_us = loop_wall_us(loop),
                                      .attempts = 1,
                                      .cluster = session->cluster->cluster,
                                      .host = session->host,
                                      .upstream_address = &session->host->address,
                                      .source = &session->ends[0],
                                      .destination = &session->ends[1]};
}

/* With a host and a place among its connections; the session has neither socket nor pins yet. */
static struct udp_session *begin(struct udp_session *session, const struct upstream *upstream)
{
    struct udp_listener *listener = session->listener;
    struct worker *worker = listener->worker;
    session->host->balance.active++;
    host_count(session->host->counters, HOST_CX_TOTAL, 1);
    host_count(session->host->counters, HOST_CX_ACTIVE, 1);
    const char *failure = open_sockets(session);
    if (failure) {
        host_count(session->host->counters, HOST_CX_CONNECT_FAIL, 1);
        leave_host(session);
        loop_object_free(worker->loop, session, sizeof(*session));
        return refuse(listener, failure);
    }
    session->cluster = upstream->resource;
    reader_pin(worker->reader, session->cluster);
    reader_pin(worker->reader, session->serving);
    session->cluster_series = observe_udp_cluster(worker->observer, upstream->cluster);
    set_record(session);
    tell(session, UDP_SESS_TOTAL, 1);
    tell(session, UDP_SESS_ACTIVE, 1);
    worker_count_open(worker, true);
    worker_keep_house(worker);
    session->moved_ms = loop_now_ms(worker->loop);
    loop_timer_start(worker->loop, &session->idle, idle_ms(session), on_idle);
    return session;
}

struct udp_session *udp_session_create(struct udp_listener *listener, const struct udp_key *key,
                                       const struct resource *serving)
{
    struct worker *worker = listener->worker;
    const struct udp_proxy *proxy = serving->listener->udp;
    struct udp_proxy_series *series = observe_udp_proxy(worker->observer, proxy);
    struct upstream *upstream = upstream_find(worker, &proxy->cluster);
    if (!upstream) {
        observe_udp(worker->observer, series, UDP_SESS_NO_ROUTE, 1);
        return refuse(listener, "cluster_not_found");
    }
    if (worker_is_full(worker))
        return refuse(listener, "downstream_overflow");
    uint32_t limit = upstream->cluster->limits[0].connections;
    if (!limits_take(upstream->limits, 0, LIMIT_CONNECTIONS, limit))
        return refuse(listener, "upstream_overflow");
    struct address destination = packet_end_address(&key->local);
    bool is_captured = serving->listener->transparent;
    struct host *host = NULL;
    const char *failure =
        reason_of(upstream_pick_udp(upstream, is_captured ? &destination : NULL, &host));
    struct udp_session *session = failure ? NULL : loop_object_new(worker->loop, sizeof(*session));
    if (!session) {
        host_unref(host);
        limits_give(upstream->limits, 0, LIMIT_CONNECTIONS, limit);
        return refuse(listener, failure ? failure : "no_memory");
    }
    session->listener = listener;
    session->key = *key;
    session->serving = serving;
    session->host = host;
    session->limits = upstream->limits;
    session->limit = limit;
    session->series = series;
    return begin(session, upstream);
}

/* The endpoint should get nothing new; but where all are so, one is as good as the other. */
static bool has_better(struct udp_session *session)
{
    struct host *other = NULL;
    if (!session->host->upstream || session->host->upstream->cluster->kind == CLUSTER_ORIGINAL_DST)
        return false;
    if (upstream_pick_udp(session->host->upstream, NULL, &other) != UPSTREAM_PICKED)
        return false;
    bool is_other = other->balance.health != BALANCE_EXCLUDED;
    host_unref(other);
    return is_other;
}

/* A newer listener is followed in place, as long as it leads to the same cluster under the same name. */
bool udp_session_holds(struct udp_session *session, const struct resource *serving)
{
    struct worker *worker = session->listener->worker;
    if (UNLIKELY(session->host->is_removed))
        return false;
    if (UNLIKELY(session->host->balance.health == BALANCE_EXCLUDED) && has_better(session))
        return false;
    if (LIKELY(serving == session->serving))
        return true;
    const struct udp_proxy *now = serving->listener->udp, *before = config_of(session);
    if (!name_equals(&now->cluster, &before->cluster) ||
        !slice_equals(now->stat_prefix, before->stat_prefix))
        return false;
    reader_pin(worker->reader, serving);
    reader_unpin(worker->reader, session->serving);
    session->serving = serving;
    return true;
}

/* --- datagrams ------------------------------------------------------------------------------------------------ */

static void moved(struct udp_session *session)
{
    uint64_t now_ms = loop_now_ms(session->listener->worker->loop);
    session->moved_ms = now_ms;
    session->listener->worker->udp->moved_ms = now_ms;
}

void udp_session_send(struct udp_session *session, struct packet *const *packets, unsigned count)
{
    uint64_t bytes = 0, datagrams = 0, sent = 0, lost = 0;
    for (unsigned i = 0; i < count; i++) {
        packets[i]->peer = packets[i]->local = (union packet_end){.v6 = {0}};
        bytes += packets[i]->size;
        datagrams += packet_datagrams(packets[i]);
    }
    packets_send(&session->upstream, packets, count);
    for (unsigned i = 0; i < count; i++)
        *(packets[i]->error ? &lost : &sent) += packet_datagrams(packets[i]);
    session->record.bytes_received += bytes;
    if (!session->record.upstream_start_us)
        session->record.upstream_start_us = loop_now_us(session->listener->worker->loop);
    tell(session, UDP_RX_BYTES, (int64_t)bytes);
    tell(session, UDP_RX_DATAGRAMS, (int64_t)datagrams);
    tell_upstream(session, UDP_CLUSTER_TX_DATAGRAMS, sent);
    if (lost)
        tell_upstream(session, UDP_CLUSTER_TX_ERRORS, lost);
    moved(session);
}

static void on_answers(struct packet_socket *socket)
{
    struct udp_session *session = CONTAINER_OF(socket, struct udp_session, upstream);
    struct udp_plane *plane = session->listener->worker->udp;
    struct packet_batch *answers = &plane->answers;
    if (answers->count == PACKET_BATCH)
        udp_plane_flush(plane);
    unsigned before = answers->count;
    int got = packets_receive(socket, answers, ANSWERS_AT_ONCE);
    if (got < 0) {
        tell_upstream(session, UDP_CLUSTER_RX_ERRORS, 1);
        return;
    }
    uint64_t datagrams = 0;
    for (unsigned i = before; i < answers->count; i++) {
        struct packet *packet = &answers->packets[i];
        packet->owner = session;
        packet->peer = session->key.peer;
        packet->local = session->listener->tells_local && !session->reply
                            ? session->key.local
                            : (union packet_end){.v6 = {0}};
        datagrams += packet_datagrams(packet);
    }
    tell_upstream(session, UDP_CLUSTER_RX_DATAGRAMS, datagrams);
    if (UNLIKELY(answers->too_long)) {
        tell_upstream(session, UDP_CLUSTER_DROPPED, answers->too_long);
        answers->too_long = 0;
    }
    if (!session->record.upstream_head_us)
        session->record.upstream_head_us = loop_now_us(session->listener->worker->loop);
    moved(session);
    plane->is_trimmed = false;
    loop_flush_later(session->listener->worker->loop, &plane->flush);
}

struct packet_socket *udp_session_way_back(const struct udp_session *session)
{
    return session->reply ? &session->reply->socket : &session->listener->socket;
}

void udp_session_answered(struct udp_session *session, const struct packet *packet)
{
    uint32_t datagrams = packet_datagrams(packet);
    if (packet->error) {
        tell(session, UDP_TX_ERRORS, datagrams);
        return;
    }
    session->record.bytes_sent += packet->size;
    tell(session, UDP_TX_BYTES, packet->size);
    tell(session, UDP_TX_DATAGRAMS, datagrams);
}
