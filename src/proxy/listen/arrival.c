#include "proxy/listen/arrival.h"

#include "base/memory.h"
#include "build/listener.h"
#include "io/conn.h"
#include "io/listener.h"
#include "io/sockmap.h"
#include "net/dialer.h"
#include "net/transport.h"
#include "proxy/downstream/downstream.h"
#include "proxy/listen/detect.h"
#include "proxy/listen/proxy_header.h"
#include "proxy/listen/server_first.h"
#include "proxy/listen/sockets.h"
#include "proxy/observe/observer.h"
#include "proxy/observe/record.h"
#include "proxy/tcp/tunnel.h"
#include "proxy/worker.h"
#include "tls/client_hello.h"

#include <string.h>

enum { ALPN_OFFERED_MAX = 16 };

struct arrival {
    struct list node; /* the worker's */
    struct worker *worker;
    struct conn *conn;
    const struct resource *accepting;   /* pinned: the listener that bound the address */
    const struct resource *resource;    /* pinned: the listener that serves the destination */
    uint64_t epoch;                     /* of the snapshot that both are of; 0: not known */
    struct address_packed local, peer;  /* the socket's, asked for once */
    struct address original;            /* none when it was not redirected */
    struct address source, destination; /* what a PROXY header said; else none */
    struct chain input;
    struct timer silence; /* of detection as a whole */
    struct timer quiet;   /* until the upstream is asked */
    uint64_t begun_us;
    bool wants_header; /* a PROXY header is to come first */
    bool has_ended;    /* the client sends no more */
    bool is_decided;   /* no more bytes are awaited */
};

static void arrival_free(struct arrival *arrival)
{
    struct worker *worker = arrival->worker;
    loop_timer_stop(worker->loop, &arrival->silence);
    loop_timer_stop(worker->loop, &arrival->quiet);
    list_remove(&arrival->node);
    worker_count_open(worker, false);
    chain_fini(&arrival->input);
    address_packed_fini(&arrival->local);
    address_packed_fini(&arrival->peer);
    reader_unpin(worker->reader, arrival->resource);
    reader_unpin(worker->reader, arrival->accepting);
    mem_free(arrival);
}

void arrival_close(struct arrival *arrival)
{
    conn_close(arrival->conn, CONN_ABORT);
    arrival_free(arrival);
}

void arrivals_close(struct worker *worker)
{
    LIST_EACH_SAFE(node, after, &worker->arrivals)
    arrival_close(LIST_ENTRY(node, struct arrival, node));
}

static void refuse(struct arrival *arrival, const char *details, const char *why,
                   enum access_log_flag flag)
{
    struct record record = {.is_tunnel = true,
                            .details = details,
                            .why = slice_str(why),
                            .start_us = loop_now_us(arrival->worker->loop),
                            .start_wall_us = loop_wall_us(arrival->worker->loop),
                            .original_destination = arrival->original};
    record_flag(&record, flag);
    observe_arrival_refused(arrival->worker->observer, &record);
    arrival_close(arrival);
}

/* --- the configuration, which may change before the client speaks ----------------------------------------------- */

static void set_ip(struct ip *ip, const struct address *address)
{
    if (!ip_of_bytes(address_ip(address), ip))
        *ip = (struct ip){{0}};
}

/* The listener that serves the destination: that of the original one, if there is such, or the accepting one. */
static const struct resource *find_listener(const struct arrival *arrival)
{
    const struct snapshot *snapshot = worker_snapshot(arrival->worker);
    struct ip ip;
    if (!arrival->accepting->listener->use_original_dst || !address_is_set(&arrival->original))
        return arrival->accepting;
    set_ip(&ip, &arrival->original);
    const struct listener *listener =
        snapshot_listener_for(snapshot, &ip, address_port(&arrival->original));
    const struct resource *resource =
        listener ? snapshot_find(snapshot, KIND_LISTENER, &listener->name) : NULL;
    return resource ? resource : arrival->accepting;
}

static void hold(struct arrival *arrival, const struct resource **held, const struct resource *now)
{
    const struct resource *before = *held;
    reader_pin(arrival->worker->reader, now);
    *held = now;
    if (before)
        reader_unpin(arrival->worker->reader, before);
}

/*
 * A connection is served by the configuration of the moment when it is known what it is, however long ago it was accepted.
 * When its listener has gone and nobody has taken its address over, by the last one that it had.
 */
static void follow_configuration(struct arrival *arrival)
{
    const struct snapshot *snapshot = worker_snapshot(arrival->worker);
    if (LIKELY(arrival->epoch == snapshot->epoch))
        return;
    const struct listener *listener = arrival->accepting->listener;
    const struct resource *now = snapshot_find(snapshot, KIND_LISTENER, &listener->name);
    if (!now)
        now = sockets_heir(snapshot, listener);
    if (now)
        hold(arrival, &arrival->accepting, now);
    hold(arrival, &arrival->resource, find_listener(arrival));
    arrival->epoch = snapshot->epoch;
}

/* --- the choice ----------------------------------------------------------------------------------------------- */

struct facts {
    struct chain_facts chain;
    struct slice alpn[ALPN_OFFERED_MAX];
    struct client_hello hello;
};

static void address_facts(const struct arrival *arrival, struct facts *facts)
{
    struct address local = address_unpack(&arrival->local), peer = address_unpack(&arrival->peer);
    const struct address *to = address_is_set(&arrival->original)      ? &arrival->original
                               : address_is_set(&arrival->destination) ? &arrival->destination
                                                                       : &local;
    const struct address *from = address_is_set(&arrival->source) ? &arrival->source : &peer;
    facts->chain.has_ip = address_is_ip(&local);
    set_ip(&facts->chain.destination, to);
    facts->chain.destination_port = address_port(to);
    set_ip(&facts->chain.direct_source, &peer);
    set_ip(&facts->chain.source, from);
    facts->chain.source_port = address_port(from);
}

static void become(struct arrival *arrival, const struct filter_chain *chain)
{
    struct worker *worker = arrival->worker;
    struct tls_session_spec session = {0};
    struct transport_options options = {.engine = worker->engine,
                                        .handshake_timeout_ms = chain->handshake_ms};
    if (chain->tls) {
        session.context = snapshot_tls(worker_snapshot(worker), chain->tls);
        if (!session.context) {
            refuse(arrival, "secret_not_available",
                   "the certificate of this listener has not arrived yet", FLAG_NR);
            return;
        }
        session.expected = chain->tls->expected;
        session.expected_count = chain->tls->expected_count;
        session.alpn = chain->tls->alpn;
        session.alpn_count = chain->tls->alpn_count;
        options.tls = &session;
    }
    struct conn *conn = arrival->conn;
    if (chain->http) {
        struct transport *transport =
            transport_create(conn, &arrival->input, &options, &transport_events_none, NULL);
        struct downstream_origin origin = {.listener = arrival->resource,
                                           .chain = chain,
                                           .local = address_unpack(&arrival->local),
                                           .peer = address_unpack(&arrival->peer),
                                           .original_destination = arrival->original,
                                           .source = arrival->source,
                                           .destination = arrival->destination};
        if (transport)
            (void)!downstream_create(worker, transport,
                                     &origin); /* on failure everything is closed already */
    } else {
        struct tunnel_origin origin = {.listener = arrival->resource,
                                       .chain = chain,
                                       .original_destination = arrival->original,
                                       .has_ended = arrival->has_ended,
                                       .source = arrival->source,
                                       .destination = arrival->destination};
        tunnel_create(worker, conn, &arrival->input, &options, &origin);
    }
    arrival_free(arrival);
}

/* --- silence -------------------------------------------------------------------------------------------------- */

static void arrival_resume(const struct tunnel_hand_back *back, struct conn *conn,
                           struct chain *bytes);

/* What is left of the time for detection, at least 1; 0: it has no limit. */
static uint64_t detection_left_ms(const struct worker *worker, const struct listener *listener,
                                  uint64_t begun_us)
{
    uint64_t waited_ms = (loop_now_us(worker->loop) - begun_us) / 1000;
    if (!listener->detection_ms)
        return 0;
    return listener->detection_ms > waited_ms ? listener->detection_ms - waited_ms : 1;
}

/*
 * The client says nothing, so perhaps its server is to speak first. Only bytes that go on in plaintext can be
 * tried: what HTTP and TLS do begins with the client.
 */
static void ask_upstream(struct arrival *arrival)
{
    struct worker *worker = arrival->worker;
    struct facts facts = {0};
    follow_configuration(arrival);
    address_facts(arrival, &facts);
    const struct filter_chain *chain = listener_chain(arrival->resource->listener, &facts.chain);
    if (!chain || !chain->tcp || chain->tls)
        return;
    const struct listener *listener = arrival->resource->listener;
    struct transport_options options = {.engine = worker->engine};
    struct tunnel_hand_back back = {.call = arrival_resume,
                                    .worker = worker,
                                    .listener = arrival->resource,
                                    .original_destination = arrival->original,
                                    .source = arrival->source,
                                    .destination = arrival->destination,
                                    .begun_us = arrival->begun_us};
    if (!listener->continue_on_timeout)
        back.left_ms = detection_left_ms(worker, listener, arrival->begun_us);
    struct tunnel_origin origin = {.listener = arrival->resource,
                                   .chain = chain,
                                   .original_destination = arrival->original,
                                   .source = arrival->source,
                                   .destination = arrival->destination,
                                   .hand_back = &back};
    struct chain none = {0};
    tunnel_create(worker, arrival->conn, &none, &options, &origin);
    arrival_free(arrival);
}

static void on_quiet(struct timer *timer)
{
    struct arrival *arrival = CONTAINER_OF(timer, struct arrival, quiet);
    if (arrival->input.size == 0 && !arrival->wants_header && !arrival->is_decided)
        ask_upstream(arrival);
}

static uint16_t destination_port(const struct arrival *arrival)
{
    struct facts facts = {0};
    address_facts(arrival, &facts);
    return (uint16_t)facts.chain.destination_port;
}

/* Detection begins, or goes on after a PROXY header. */
static void await_client(struct arrival *arrival)
{
    struct worker *worker = arrival->worker;
    bool is_known = server_first_expects(worker, destination_port(arrival));
    loop_timer_start(worker->loop, &arrival->quiet, is_known ? 1 : SERVER_FIRST_SILENCE_MS,
                     on_quiet);
}

/* --- PROXY headers -------------------------------------------------------------------------------------------- */

/* True when it is clear what stands at the beginning; the header was taken off then. */
static bool take_header(struct arrival *arrival)
{
    const struct listener *listener = arrival->resource->listener;
    struct proxy_header header;
    enum proxy_header_status status = proxy_header_peek(&arrival->input, &header);
    bool is_allowed =
        header.version == 2 ? listener->proxy_protocol_v2 : listener->proxy_protocol_v1;
    if (status == PROXY_HEADER_MORE && !arrival->has_ended)
        return false;
    if (status == PROXY_HEADER_DONE && is_allowed) {
        chain_consume(&arrival->input, header.size);
        if (!header.is_local) {
            arrival->source = header.source;
            arrival->destination = header.destination;
        }
        arrival->wants_header = false;
        return true;
    }
    if (status == PROXY_HEADER_NONE && listener->proxy_protocol_optional) {
        arrival->wants_header = false;
        return true;
    }
    refuse(arrival, "proxy_protocol_error",
           status == PROXY_HEADER_BAD    ? header.why
           : status == PROXY_HEADER_DONE ? "this version of the PROXY protocol is not allowed here"
                                         : "the connection does not begin with a PROXY header",
           FLAG_DPE);
    return false;
}

static void choose(struct arrival *arrival, struct facts *facts)
{
    observe_detection(arrival->worker->observer,
                      loop_now_us(arrival->worker->loop) - arrival->begun_us);
    follow_configuration(arrival);
    const struct filter_chain *chain = listener_chain(arrival->resource->listener, &facts->chain);
    if (!chain) {
        refuse(arrival, "filter_chain_not_found", "no filter chain serves this connection",
               FLAG_NR);
        return;
    }
    become(arrival, chain);
}

/* TLS as far as the listener looks: true when it is known. */
static bool look_for_tls(const struct arrival *arrival, struct facts *facts, bool *is_bad)
{
    const struct listener *listener = arrival->resource->listener;
    if (!listener_detects(&listener->tls_inspector, facts->chain.destination_port))
        return true;
    switch (client_hello_peek(&arrival->input, &facts->hello)) {
    case CLIENT_HELLO_MORE: return arrival->is_decided;
    case CLIENT_HELLO_NOT_TLS: return true;
    case CLIENT_HELLO_BAD: *is_bad = true; return true;
    case CLIENT_HELLO_DONE: break;
    }
    facts->chain.transport = CHAIN_TLS;
    facts->chain.server_name = client_hello_server_name(&facts->hello);
    facts->chain.alpn = facts->alpn;
    size_t at = 0;
    while (facts->chain.alpn_count < ALPN_OFFERED_MAX &&
           client_hello_next_alpn(&facts->hello, &at, &facts->alpn[facts->chain.alpn_count]))
        facts->chain.alpn_count++;
    return true;
}

static bool look_for_http(const struct arrival *arrival, struct facts *facts)
{
    const struct listener *listener = arrival->resource->listener;
    if (facts->chain.transport == CHAIN_TLS ||
        !listener_detects(&listener->http_inspector, facts->chain.destination_port))
        return true;
    static const struct slice names[] = {[DETECTED_HTTP_10] = {"http/1.0", 8},
                                         [DETECTED_HTTP_11] = {"http/1.1", 8},
                                         [DETECTED_HTTP_2] = {"h2c", 3}};
    enum detected_http found = detect_http(&arrival->input);
    if (found == DETECTED_MORE)
        return arrival->is_decided;
    if (found != DETECTED_OTHER) {
        facts->alpn[0] = names[found];
        facts->chain.alpn = facts->alpn;
        facts->chain.alpn_count = 1;
    }
    return true;
}

/* Looks at what there is, and decides or goes on waiting. */
static void look(struct arrival *arrival)
{
    struct facts facts = {0};
    bool is_bad = false;
    address_facts(arrival, &facts);
    if (!look_for_tls(arrival, &facts, &is_bad))
        return;
    if (is_bad) {
        refuse(arrival, "tls_inspector_failed", facts.hello.why, FLAG_DPE);
        return;
    }
    if (look_for_http(arrival, &facts))
        choose(arrival, &facts);
}

/* --- the connection's events ---------------------------------------------------------------------------------- */

static bool needs_bytes(const struct arrival *arrival)
{
    const struct listener *listener = arrival->resource->listener;
    uint16_t port = destination_port(arrival);
    return listener_detects(&listener->tls_inspector, port) ||
           listener_detects(&listener->http_inspector, port);
}

/* After the PROXY header: on with what came behind it. */
static void go_on(struct arrival *arrival)
{
    if (!needs_bytes(arrival))
        arrival->is_decided = true;
    if (arrival->is_decided || arrival->input.size > 0)
        look(arrival);
    else
        await_client(arrival);
}

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct arrival *arrival = owner;
    chain_append_block(&arrival->input, block, data, size);
    if (!arrival->wants_header)
        look(arrival);
    else if (take_header(arrival))
        go_on(arrival);
}

static void on_read_end(void *owner)
{
    struct arrival *arrival = owner;
    arrival->has_ended = true;
    if (arrival->input.size == 0) {
        arrival_close(arrival);
        return;
    }
    arrival->is_decided = true;
    if (!arrival->wants_header || take_header(arrival))
        look(arrival);
}

static void on_error(void *owner, int error)
{
    (void)error;
    arrival_close(owner);
}

static const struct conn_events events = {
    .on_bytes = on_bytes, .on_read_end = on_read_end, .on_error = on_error};

static void on_silence(struct timer *timer)
{
    struct arrival *arrival = CONTAINER_OF(timer, struct arrival, silence);
    if (!arrival->resource->listener->continue_on_timeout) {
        refuse(arrival, "detection_timeout",
               "the client said nothing that could be recognised in time", FLAG_DT);
        return;
    }
    arrival->is_decided = true;
    look(arrival);
}

/* --- arriving ------------------------------------------------------------------------------------------------- */

/* A connection straight to the capture port was not redirected: forwarding it would come back to us. */
static bool find_destination(struct arrival *arrival)
{
    const struct listener *listener = arrival->accepting->listener;
    if (!listener->original_dst && !listener->use_original_dst)
        return true;
    struct address local = address_unpack(&arrival->local);
    if (conn_original_destination(arrival->conn, &arrival->original) != 0)
        arrival->original = listener->transparent ? local : (struct address){.size = 0};
    bool is_redirected =
        address_is_set(&arrival->original) && !address_equals(&arrival->original, &local);
    if (!is_redirected && !listener->transparent)
        arrival->original = (struct address){.size = 0};
    return is_redirected || listener->transparent || !listener->use_original_dst;
}

void arrival_begin(struct worker *worker, const struct name *listener, int fd,
                   const struct address *peer)
{
    const struct resource *accepting =
        snapshot_find(worker_snapshot(worker), KIND_LISTENER, listener);
    if (!accepting || worker_is_full(worker)) {
        if (accepting)
            observe_overflow(worker->observer);
        accepted_close(worker->loop, fd);
        return;
    }
    struct arrival *arrival = mem_new(struct arrival);
    const struct sockmap *sockmap = worker->shared->sockmap;
    unsigned flags = sockmap && sockmap_holds(sockmap, fd) ? CONN_SHORT_CUT : 0;
    arrival->conn = conn_adopt(worker->loop, fd, flags, &events, arrival);
    if (!arrival->conn) {
        mem_free(arrival);
        return;
    }
    struct address local = conn_local_address(arrival->conn);
    arrival->local = address_pack(&local);
    arrival->peer = address_pack(peer);
    arrival->worker = worker;
    arrival->begun_us = loop_now_us(worker->loop);
    hold(arrival, &arrival->accepting, accepting);
    arrival->epoch = worker_snapshot(worker)->epoch;
    list_push_back(&worker->arrivals, &arrival->node);
    worker_count_open(worker, true);
    bool has_destination = find_destination(arrival);
    hold(arrival, &arrival->resource, find_listener(arrival));
    if (!has_destination) {
        refuse(arrival, "proxy_loop",
               "the connection was made to the capture port itself, so it has no destination",
               FLAG_NR);
        return;
    }
    arrival->wants_header = arrival->resource->listener->proxy_protocol;
    if (!arrival->wants_header && !needs_bytes(arrival)) {
        arrival->is_decided = true;
        look(arrival);
        return;
    }
    uint32_t wait_ms = arrival->resource->listener->detection_ms;
    if (wait_ms)
        loop_timer_start(worker->loop, &arrival->silence, wait_ms, on_silence);
    if (!arrival->wants_header)
        await_client(arrival);
    conn_read_start(arrival->conn);
}

/* The client of a tentative tunnel has spoken, or no server could be had: detection goes on where it was. */
static void arrival_resume(const struct tunnel_hand_back *back, struct conn *conn,
                           struct chain *bytes)
{
    struct worker *worker = back->worker;
    struct arrival *arrival = mem_new(struct arrival);
    struct address local = conn_local_address(conn), peer = conn_peer_address(conn);
    *arrival = (struct arrival){.worker = worker,
                                .conn = conn,
                                .local = address_pack(&local),
                                .peer = address_pack(&peer),
                                .accepting = back->listener,
                                .resource = back->listener,
                                .original = back->original_destination,
                                .source = back->source,
                                .destination = back->destination,
                                .begun_us = back->begun_us};
    reader_pin(worker->reader, back->listener);
    reader_pin(worker->reader, back->listener);
    list_push_back(&worker->arrivals, &arrival->node);
    worker_count_open(worker, true);
    conn_set_owner(conn, &events, arrival);
    uint64_t left_ms = detection_left_ms(worker, back->listener->listener, back->begun_us);
    if (left_ms)
        loop_timer_start(worker->loop, &arrival->silence, left_ms, on_silence);
    conn_read_start(conn);
    chain_move(&arrival->input, bytes);
    if (arrival->input.size > 0)
        look(arrival);
}
