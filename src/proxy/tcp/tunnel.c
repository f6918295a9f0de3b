#include "proxy/tcp/tunnel.h"

#include "base/clock.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "build/listener.h"
#include "build/tcp_proxy.h"
#include "io/conn.h"
#include "io/sockmap.h"
#include "match/rbac.h"
#include "proxy/listen/server_first.h"
#include "proxy/observe/format_writer.h"
#include "proxy/observe/observer.h"
#include "proxy/tcp/permission.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

#include <string.h>

enum { AUTHORITY_MAX = 512 };

static void dial(struct tunnel *tunnel);
static void dial_again(struct tunnel *tunnel, enum pool_failure failure);
static void tunnel_end(struct tunnel *tunnel, enum conn_close how);
static void await_idle(struct tunnel *tunnel);

/* --- the end -------------------------------------------------------------------------------------------------- */

static void leave_host(struct tunnel *tunnel, bool has_failed)
{
    if (!tunnel->host)
        return;
    host_count(tunnel->host->counters, HOST_RQ_ACTIVE, -1);
    if (tunnel->series) {
        host_count(tunnel->host->counters, HOST_CX_ACTIVE, -1);
        if (has_failed)
            host_count(tunnel->host->counters, HOST_CX_CONNECT_FAIL, 1);
        observe_upstream_closed(tunnel->worker->observer, tunnel->series, has_failed);
        tunnel->series = NULL;
    }
    tunnel->host->balance.active--;
    host_unref(tunnel->host);
    tunnel->host = NULL;
}

static void give_limit(struct tunnel *tunnel)
{
    if (tunnel->limits)
        limits_give_connection(give(tunnel->limits), tunnel->limit);
}

/* What was closed in this turn has left: the limit holds for the host, too. */
static void on_reap(struct task *task)
{
    struct tunnel *tunnel = CONTAINER_OF(task, struct tunnel, reap);
    give_limit(tunnel);
    mem_free(tunnel);
}

static void tunnel_dissolve(struct tunnel *tunnel, enum conn_close how)
{
    struct worker *worker = tunnel->worker;
    loop_timer_stop(worker->loop, &tunnel->idle);
    loop_timer_stop(worker->loop, &tunnel->age);
    if (tunnel->is_dialing)
        dialing_cancel(&tunnel->dialing);
    carrier_close(&tunnel->carrier);
    transport_close(tunnel->downstream.transport, how);
    transport_close(tunnel->upstream.transport, how);
    chain_fini(&tunnel->downstream.waiting);
    chain_fini(&tunnel->upstream.waiting);
    leave_host(tunnel, false);
    host_unref(tunnel->record.host);
    if (tunnel->cluster)
        reader_unpin(worker->reader, tunnel->cluster);
    reader_unpin(worker->reader, tunnel->listener);
    list_remove(&tunnel->node);
    worker_count_open(worker, false);
    mem_free(tunnel->ends);
    mem_free(tunnel->hand_back);
    task_init(&tunnel->reap, on_reap);
    loop_reap_later(worker->loop, &tunnel->reap);
}

static struct spliced spliced(const struct tunnel_side *side)
{
    return side->transport ? transport_spliced(side->transport) : (struct spliced){0};
}

static void note_bytes(struct tunnel *tunnel)
{
    tunnel->record.bytes_received =
        tunnel->downstream.received + spliced(&tunnel->downstream).bytes;
    tunnel->record.bytes_sent = tunnel->downstream.sent + spliced(&tunnel->upstream).bytes;
}

void tunnels_tell(struct worker *worker)
{
    LIST_EACH(node, &worker->tunnels)
    {
        struct tunnel *tunnel = LIST_ENTRY(node, struct tunnel, node);
        if (!tunnel->counted.series || !tunnel->upstream.transport)
            continue;
        note_bytes(tunnel);
        observe_tunnel_progress(worker->observer, tunnel);
    }
}

static void tunnel_end(struct tunnel *tunnel, enum conn_close how)
{
    tunnel->record.end_us = loop_now_us(tunnel->worker->loop);
    note_bytes(tunnel);
    observe_tunnel(tunnel->worker->observer, tunnel);
    tunnel_dissolve(tunnel, how);
}

void tunnel_close(struct tunnel *tunnel)
{
    tunnel_end(tunnel, CONN_ABORT);
}

/* --- who speaks first ----------------------------------------------------------------------------------------- */

/* Detection goes on with the client's connection; of the tunnel nothing is told. */
static void hand_back(struct tunnel *tunnel, struct chain *bytes)
{
    struct tunnel_hand_back back = *tunnel->hand_back;
    struct conn *conn = transport_take_conn(tunnel->downstream.transport, bytes);
    if (!conn) { /* its end is on the way already */
        chain_fini(bytes);
        tunnel_end(tunnel, CONN_CLOSE);
        return;
    }
    tunnel->downstream.transport = NULL;
    give_limit(tunnel); /* at once: it is for the same client's next */
    reader_pin(back.worker->reader, back.listener);
    tunnel_dissolve(tunnel, CONN_ABORT);
    back.call(&back, conn, bytes);
    reader_unpin(back.worker->reader, back.listener);
}

static void on_undecided(struct timer *timer)
{
    struct chain none = {0};
    hand_back(CONTAINER_OF(timer, struct tunnel, idle), &none);
}

/* Now it is known that the bytes belong here. */
static void decide(struct tunnel *tunnel)
{
    if (!tunnel->is_tentative)
        return;
    tunnel->is_tentative = false;
    await_idle(tunnel);
    observe_tunnel_opened(tunnel->worker->observer, tunnel);
}

static void note_server_first(struct tunnel *tunnel)
{
    struct address local = conn_local_address(transport_conn(tunnel->downstream.transport));
    const struct address *to = &tunnel->record.original_destination;
    server_first_remember(tunnel->worker, address_port(address_is_set(to) ? to : &local));
    observe_server_first(tunnel->worker->observer);
    decide(tunnel);
}

static void fail(struct tunnel *tunnel, enum access_log_flag flag, const char *details,
                 struct slice why)
{
    if (tunnel->is_tentative) {
        struct chain none = {0};
        hand_back(tunnel, &none);
        return;
    }
    record_flag(&tunnel->record, flag);
    tunnel->record.details = details;
    tunnel->record.why = why;
    tunnel_end(tunnel, CONN_CLOSE);
}

/* --- bytes ---------------------------------------------------------------------------------------------------- */

static struct tunnel_side *other(struct tunnel_side *side)
{
    struct tunnel *tunnel = side->tunnel;
    return side == &tunnel->downstream ? &tunnel->upstream : &tunnel->downstream;
}

/* The side that a CONNECT stream stands for. */
static struct carrier *carrier_of(const struct tunnel_side *side)
{
    struct tunnel *tunnel = side->tunnel;
    return side == &tunnel->upstream && tunnel->carrier.carried ? &tunnel->carrier : NULL;
}

static bool is_open(const struct tunnel_side *side)
{
    const struct carrier *carrier = carrier_of(side);
    if (carrier)
        return carrier->is_open;
    return side->transport && transport_is_open(side->transport);
}

static size_t backlog(const struct tunnel_side *side)
{
    const struct carrier *carrier = carrier_of(side);
    if (carrier)
        return side->waiting.size + carrier_backlog(carrier);
    return side->waiting.size + (side->transport ? transport_backlog(side->transport) : 0);
}

/* Reads from `side` only while the other one has room. */
static void pace(struct tunnel_side *side)
{
    if (!side->transport || side->has_ended)
        return;
    size_t waiting = backlog(other(side));
    bool has_room = waiting < TUNNEL_BACKLOG_MAX;
    if (has_room)
        transport_read_room(side->transport, TUNNEL_BACKLOG_MAX - waiting);
    if (has_room && !transport_is_reading(side->transport))
        transport_read_start(side->transport);
    else if (!has_room && transport_is_reading(side->transport))
        transport_read_stop(side->transport);
}

/* What waited for this side, and the other's FIN when it has sent everything. */
static void flush_carrier(struct tunnel_side *side, struct carrier *carrier)
{
    bool ends = other(side)->has_ended && !side->was_ended;
    if (side->waiting.size == 0 && !ends)
        return;
    side->sent += side->waiting.size;
    side->was_ended |= ends;
    carrier_send(carrier, &side->waiting, ends);
}

static void flush(struct tunnel_side *side)
{
    if (!is_open(side))
        return;
    struct carrier *carrier = carrier_of(side);
    if (carrier) {
        flush_carrier(side, carrier);
        return;
    }
    if (side->waiting.size > 0) {
        side->sent += side->waiting.size;
        transport_write(side->transport, &side->waiting);
    }
    if (other(side)->has_ended && !side->was_ended) {
        side->was_ended = true;
        transport_write_end(side->transport);
    }
}

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct tunnel_side *side = owner, *to = other(side);
    struct chain bytes = {0};
    chain_append_block(&bytes, block, data, size);
    if (UNLIKELY(side->tunnel->is_tentative) && side == &side->tunnel->downstream) {
        hand_back(side->tunnel, &bytes);
        return;
    }
    if (UNLIKELY(side->tunnel->is_tentative))
        note_server_first(side->tunnel);
    side->received += size;
    side->tunnel->moved_ms = loop_now_ms(side->tunnel->worker->loop);
    chain_gather(&to->waiting, &bytes);
    flush(to);
    pace(side);
}

static void on_written(void *owner, size_t size)
{
    struct tunnel_side *side = owner;
    side->tunnel->moved_ms = loop_now_ms(side->tunnel->worker->loop);
    if (carrier_of(other(side)))
        carrier_consumed(&side->tunnel->carrier, size);
    pace(other(side));
}

static void end_if_done(struct tunnel *tunnel)
{
    if (tunnel->downstream.has_ended && tunnel->upstream.has_ended &&
        backlog(&tunnel->downstream) == 0 && backlog(&tunnel->upstream) == 0 &&
        tunnel->downstream.was_ended && tunnel->upstream.was_ended)
        tunnel_end(tunnel, CONN_CLOSE);
}

static void on_read_end(void *owner, bool truncated)
{
    struct tunnel_side *side = owner;
    struct tunnel *tunnel = side->tunnel;
    decide(tunnel);
    if (truncated && !tunnel->record.termination)
        tunnel->record.termination = "tls_truncated";
    side->has_ended = true;
    flush(other(side));
    end_if_done(tunnel);
}

static void on_write_end(void *owner, int error)
{
    struct tunnel_side *side = owner;
    struct tunnel *tunnel = side->tunnel;
    if (error && !side->was_ended) {
        /* It takes no more; what it sent before may still be read. */
        side->was_ended = true;
        chain_fini(&side->waiting);
    }
    end_if_done(tunnel);
}

static void on_error(void *owner, const struct transport_failure *failure)
{
    struct tunnel_side *side = owner;
    struct tunnel *tunnel = side->tunnel;
    bool is_downstream = side == &tunnel->downstream;
    if (failure->kind != TRANSPORT_SOCKET && !is_downstream)
        tunnel->record.upstream_failure = slice_str("TLS with the upstream failed");
    tunnel->record.termination = is_downstream ? "downstream_reset" : "upstream_reset";
    record_flag(&tunnel->record, is_downstream ? FLAG_DC : FLAG_UF);
    tunnel_end(tunnel, CONN_ABORT);
}

/* splice(2) does not see what comes by the short cut. */
static void splice_both(struct transport *one, struct transport *two, const struct sockmap *sockmap)
{
    if (sockmap && (sockmap_holds(sockmap, conn_fd(transport_conn(one))) ||
                    sockmap_holds(sockmap, conn_fd(transport_conn(two)))))
        return;
    transport_splice(one, two);
    transport_splice(two, one);
}

static void on_upstream_open(void *owner)
{
    struct tunnel_side *side = owner;
    if (side->tunnel->counted.series)
        observe_tunnel_progress(side->tunnel->worker->observer, side->tunnel);
    flush(side);
    splice_both(side->transport, other(side)->transport, side->tunnel->worker->shared->sockmap);
    pace(side);
    pace(other(side));
}

static void on_downstream_open(void *owner)
{
    struct tunnel_side *side = owner;
    struct tunnel *tunnel = side->tunnel;
    if (tunnel->is_tentative)
        transport_read_start(side->transport); /* whoever speaks first */
    else
        observe_tunnel_opened(tunnel->worker->observer, tunnel);
    if (tunnel_is_allowed(tunnel))
        dial(tunnel);
    else
        fail(tunnel, FLAG_UAEX, "rbac_access_denied_matched_policy", SLICE("RBAC: access denied"));
}

static const struct transport_events upstream_events = {.on_open = on_upstream_open,
                                                        .on_bytes = on_bytes,
                                                        .on_written = on_written,
                                                        .on_read_end = on_read_end,
                                                        .on_write_end = on_write_end,
                                                        .on_error = on_error};
static const struct transport_events downstream_events = {.on_open = on_downstream_open,
                                                          .on_bytes = on_bytes,
                                                          .on_written = on_written,
                                                          .on_read_end = on_read_end,
                                                          .on_write_end = on_write_end,
                                                          .on_error = on_error};

/* --- the way up by CONNECT ------------------------------------------------------------------------------------ */

static struct tunnel *tunnel_of(struct carrier *carrier)
{
    return CONTAINER_OF(carrier, struct tunnel, carrier);
}

static void on_carrier_open(struct carrier *carrier)
{
    struct tunnel *tunnel = tunnel_of(carrier);
    tunnel->record.upstream = carrier_transport(carrier);
    tunnel->record.upstream_head_us = loop_now_us(tunnel->worker->loop);
    flush(&tunnel->upstream);
    pace(&tunnel->downstream);
}

static void on_carrier_failed(struct carrier *carrier, enum pool_failure failure, const char *text)
{
    (void)text;
    dial_again(tunnel_of(carrier), failure);
}

static void on_carrier_bytes(struct carrier *carrier, struct chain *bytes, bool end)
{
    struct tunnel *tunnel = tunnel_of(carrier);
    if (UNLIKELY(tunnel->is_tentative) && bytes->size > 0)
        note_server_first(tunnel);
    tunnel->upstream.received += bytes->size;
    tunnel->moved_ms = loop_now_ms(tunnel->worker->loop);
    chain_move(&tunnel->downstream.waiting, bytes);
    tunnel->upstream.has_ended |= end;
    if (end)
        decide(tunnel);
    flush(&tunnel->downstream);
    if (end)
        end_if_done(tunnel);
}

static void on_carrier_sent(struct carrier *carrier)
{
    struct tunnel *tunnel = tunnel_of(carrier);
    tunnel->moved_ms = loop_now_ms(tunnel->worker->loop);
    pace(&tunnel->downstream);
    end_if_done(tunnel);
}

/* The proxy behind has said everything and hears no more: what is on its way to the client still arrives. */
static void finish_downstream(struct tunnel *tunnel)
{
    tunnel->upstream.was_ended = true;
    chain_fini(&tunnel->upstream.waiting);
    tunnel->downstream.has_ended = true;
    if (transport_is_reading(tunnel->downstream.transport))
        transport_read_stop(tunnel->downstream.transport);
    end_if_done(tunnel);
}

static void on_carrier_reset(struct carrier *carrier)
{
    struct tunnel *tunnel = tunnel_of(carrier);
    tunnel->record.upstream = NULL;
    if (tunnel->upstream.has_ended) {
        finish_downstream(tunnel);
        return;
    }
    tunnel->record.termination = "upstream_reset";
    record_flag(&tunnel->record, FLAG_UC);
    tunnel_end(tunnel, CONN_ABORT);
}

static const struct carrier_events carrier_events = {.on_open = on_carrier_open,
                                                     .on_failed = on_carrier_failed,
                                                     .on_bytes = on_carrier_bytes,
                                                     .on_sent = on_carrier_sent,
                                                     .on_reset = on_carrier_reset};

/* False when a limit of the cluster refuses. */
static bool carry(struct tunnel *tunnel)
{
    char text[AUTHORITY_MAX];
    struct clock_text clock = {0};
    struct line line = {text, text, text + sizeof(text), &clock, false};
    format_render(tunnel->chain->tcp->tunnel_to, &tunnel->record, &line);
    return carrier_start(&tunnel->carrier, tunnel->host,
                         slice_of(text, (size_t)(line.at - line.start)), &carrier_events);
}

/* --- the way up ----------------------------------------------------------------------------------------------- */

static void on_dialed(struct dialing *dialing, struct transport *transport)
{
    struct tunnel *tunnel = CONTAINER_OF(dialing, struct tunnel, dialing);
    tunnel->is_dialing = false;
    tunnel->upstream.transport = transport;
    tunnel->record.upstream = transport;
    tunnel->record.upstream_head_us = loop_now_us(tunnel->worker->loop);
    transport_set_owner(transport, &upstream_events, &tunnel->upstream);
    if (transport_is_open(transport))
        on_upstream_open(&tunnel->upstream);
}

static void dial_again(struct tunnel *tunnel, enum pool_failure failure)
{
    leave_host(tunnel, true);
    give_limit(tunnel);
    if (failure == POOL_GONE)
        tunnel->attempts--; /* the endpoint left while we dialled: another one will do */
    if (tunnel->attempts < MAX(tunnel->chain->tcp->connect_attempts, 1u)) {
        dial(tunnel);
        return;
    }
    fail(tunnel, FLAG_UF, "upstream_connect_failed",
         SLICE("no connection to the upstream could be made"));
}

static void on_dial_failed(struct dialing *dialing, enum pool_failure failure, const char *text)
{
    struct tunnel *tunnel = CONTAINER_OF(dialing, struct tunnel, dialing);
    tunnel->is_dialing = false;
    (void)text;
    dial_again(tunnel, failure);
}

static const struct address *original_of(const struct tunnel *tunnel)
{
    return address_is_set(&tunnel->record.original_destination)
               ? &tunnel->record.original_destination
               : NULL;
}

static void find_ends(const struct dialing *dialing, struct address *source,
                      struct address *destination)
{
    const struct record *record = &CONTAINER_OF(dialing, const struct tunnel, dialing)->record;
    *source = record_source(record);
    *destination = record_destination(record);
}

static void overflow(struct tunnel *tunnel)
{
    fail(tunnel, FLAG_UO, "overflow", SLICE("the circuit breaker of the cluster is open"));
}

/* One connection for each tunnel: who finds the limit reached is refused, for nobody gives up a tunnel. */
static MUST_USE bool take_limit(struct tunnel *tunnel, const struct upstream *upstream)
{
    tunnel->limit = upstream->cluster->limits[0].connections;
    if (!limits_take_connection(upstream->limits, tunnel->limit))
        return false;
    tunnel->limits = upstream->limits;
    return true;
}

static void dial(struct tunnel *tunnel)
{
    struct worker *worker = tunnel->worker;
    const struct tcp_target *target =
        tcp_target_pick(tunnel->chain->tcp, random_u64(loop_random(worker->loop)));
    struct upstream *upstream = upstream_find(worker, &target->cluster);
    if (!upstream) {
        fail(tunnel, FLAG_NC, "cluster_not_found",
             SLICE("the cluster of this connection does not exist"));
        return;
    }
    if (tunnel->cluster != upstream->resource) {
        reader_pin(worker->reader, upstream->resource);
        if (tunnel->cluster)
            reader_unpin(worker->reader, tunnel->cluster);
        tunnel->cluster = upstream->resource;
        tunnel->record.cluster = upstream->cluster;
    }
    if (!tunnel->chain->tcp->tunnel_to && !take_limit(tunnel, upstream)) {
        overflow(tunnel);
        return;
    }
    switch (upstream_pick(upstream, NULL, original_of(tunnel), &tunnel->host)) {
    case UPSTREAM_PICKED: break;
    case UPSTREAM_NO_HOST:
        fail(tunnel, FLAG_UH, "no_healthy_upstream", SLICE("the cluster has no healthy endpoint"));
        return;
    case UPSTREAM_NO_DESTINATION:
        fail(tunnel, FLAG_UH, "no_healthy_upstream",
             SLICE("the connection's destination is unknown"));
        return;
    case UPSTREAM_SELF:
        fail(tunnel, FLAG_UH, "proxy_loop", SLICE("the destination is this proxy itself"));
        return;
    }
    tunnel->host->balance.active++;
    host_count(tunnel->host->counters, HOST_RQ_TOTAL, 1);
    host_count(tunnel->host->counters, HOST_RQ_ACTIVE, 1);
    tunnel->attempts++;
    tunnel->record.attempts++;
    tunnel->record.upstream_address = &tunnel->host->address;
    host_unref(tunnel->record.host);
    tunnel->record.host = host_ref(tunnel->host);
    if (tunnel->chain->tcp->tunnel_to) { /* its pool counts connections */
        if (!carry(tunnel))
            overflow(tunnel);
        return;
    }
    host_count(tunnel->host->counters, HOST_CX_TOTAL, 1);
    host_count(tunnel->host->counters, HOST_CX_ACTIVE, 1);
    tunnel->series = observe_upstream_opened(worker->observer, upstream->cluster);
    tunnel->is_dialing = true;
    dialing_start(&tunnel->dialing, tunnel->host, HTTP_POOLS, on_dialed, on_dial_failed);
    tunnel->dialing.ends = find_ends;
}

/* --- the beginning -------------------------------------------------------------------------------------------- */

static void on_idle(struct timer *timer)
{
    struct tunnel *tunnel = CONTAINER_OF(timer, struct tunnel, idle);
    struct loop *loop = tunnel->worker->loop;
    uint64_t spliced_ms =
        MAX(spliced(&tunnel->downstream).last_ms, spliced(&tunnel->upstream).last_ms);
    uint64_t due_ms = MAX(tunnel->moved_ms, spliced_ms) + tunnel->chain->tcp->idle_ms;
    if (due_ms > loop_now_ms(loop)) {
        loop_timer_start(loop, &tunnel->idle, due_ms - loop_now_ms(loop), on_idle);
        return;
    }
    tunnel->record.termination = "idle_timeout";
    tunnel_end(tunnel, CONN_CLOSE);
}

static void await_idle(struct tunnel *tunnel)
{
    loop_timer_stop(tunnel->worker->loop, &tunnel->idle);
    if (tunnel->chain->tcp->idle_ms)
        loop_timer_start(tunnel->worker->loop, &tunnel->idle, tunnel->chain->tcp->idle_ms, on_idle);
}

static void on_age(struct timer *timer)
{
    struct tunnel *tunnel = CONTAINER_OF(timer, struct tunnel, age);
    tunnel->record.termination = "max_duration";
    tunnel_end(tunnel, CONN_CLOSE);
}

void tunnel_create(struct worker *worker, struct conn *conn, struct chain *input,
                   const struct transport_options *options, const struct tunnel_origin *origin)
{
    struct tunnel *tunnel = mem_new(struct tunnel);
    tunnel->worker = worker;
    tunnel->listener = origin->listener;
    tunnel->chain = origin->chain;
    tunnel->downstream.tunnel = tunnel->upstream.tunnel = tunnel;
    tunnel->downstream.has_ended = origin->has_ended;
    tunnel->moved_ms = loop_now_ms(worker->loop);
    tunnel->record = (struct record){.is_tunnel = true,
                                     .start_us = loop_now_us(worker->loop),
                                     .start_wall_us = loop_wall_us(worker->loop),
                                     .original_destination = origin->original_destination};
    if (address_is_set(&origin->source)) {
        tunnel->ends = mem_calloc(2, sizeof(*tunnel->ends));
        tunnel->ends[0] = origin->source;
        tunnel->ends[1] = origin->destination;
        tunnel->record.source = &tunnel->ends[0];
        tunnel->record.destination = &tunnel->ends[1];
    }
    if (origin->hand_back) {
        tunnel->is_tentative = true;
        tunnel->hand_back = mem_new(struct tunnel_hand_back);
        *tunnel->hand_back = *origin->hand_back;
    }
    reader_pin(worker->reader, origin->listener);
    list_push_back(&worker->tunnels, &tunnel->node);
    worker_count_open(worker, true);
    tunnel->downstream.transport =
        transport_create(conn, input, options, &downstream_events, &tunnel->downstream);
    tunnel->record.downstream = tunnel->downstream.transport;
    if (!tunnel->downstream.transport) {
        tunnel_end(tunnel, CONN_ABORT);
        return;
    }
    const struct tcp_proxy *tcp = tunnel->chain->tcp;
    uint64_t left_ms = origin->hand_back ? origin->hand_back->left_ms : 0;
    if (left_ms && (!tcp->idle_ms || left_ms < tcp->idle_ms))
        loop_timer_start(worker->loop, &tunnel->idle, left_ms, on_undecided);
    else
        await_idle(tunnel);
    if (tcp->max_connection_ms)
        loop_timer_start(worker->loop, &tunnel->age, tcp->max_connection_ms, on_age);
}
