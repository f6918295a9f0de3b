#include "proxy/udp/udp_listener.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/listener.h"
#include "proxy/observe/observer.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/udp/udp_plane.h"
#include "proxy/udp/udp_session.h"
#include "proxy/worker.h"

#include <string.h>

/* --- which session -------------------------------------------------------------------------------------------- */

static struct slice key_slice(const struct udp_key *key)
{
    return slice_of(key, sizeof(*key));
}

static struct udp_session *find(struct udp_listener *listener, const struct udp_key *key)
{
    if (LIKELY(listener->last && slice_equals(key_slice(&listener->last->key), key_slice(key))))
        return listener->last;
    listener->last = map_get(listener->known, key_slice(key));
    return listener->last;
}

/* Of captured datagrams the listener of their destination serves, when there is one that does not bind. */
static const struct resource *serving_of(const struct udp_listener *listener,
                                         const struct resource *accepting,
                                         const struct udp_key *key)
{
    if (!accepting->listener->use_original_dst || !udp_listener_is_captured(listener, key))
        return accepting;
    struct address to = packet_end_address(&key->local);
    const struct snapshot *snapshot = worker_snapshot(listener->worker);
    struct ip ip;
    const struct listener *found = ip_of_bytes(address_ip(&to), &ip)
                                       ? snapshot_udp_listener_for(snapshot, &ip, address_port(&to))
                                       : NULL;
    const struct resource *resource =
        found ? snapshot_find(snapshot, KIND_LISTENER, &found->name) : NULL;
    return resource ? resource : accepting;
}

static struct udp_session *session_of(struct udp_listener *listener, const struct packet *packet,
                                      const struct resource *accepting)
{
    struct udp_key key = {packet->peer,
                          packet_end_is_set(&packet->local) ? packet->local : listener->bound};
    const struct resource *serving = serving_of(listener, accepting, &key);
    struct udp_session *session = find(listener, &key);
    if (session && LIKELY(udp_session_holds(session, serving)))
        return session;
    if (session)
        udp_session_end(session, "upstream_changed");
    if (listener->is_draining) {
        observe_session_refused(listener->worker->observer, "draining");
        return NULL;
    }
    session = udp_session_create(listener, &key, serving);
    if (!session)
        return NULL;
    map_put(listener->known, key_slice(&key), session);
    list_push_back(&listener->sessions, &session->node);
    listener->last = session;
    return session;
}

/* --- datagrams ------------------------------------------------------------------------------------------------ */

/* What belongs to one session goes on together. */
static void send_all(struct packet_batch *batch)
{
    struct packet *of_one[PACKET_BATCH];
    for (unsigned i = 0; i < batch->count; i++) {
        struct udp_session *session = batch->packets[i].owner;
        unsigned count = 0;
        if (!session)
            continue;
        for (unsigned j = i; j < batch->count; j++) {
            if (batch->packets[j].owner != session)
                continue;
            batch->packets[j].owner = NULL;
            of_one[count++] = &batch->packets[j];
        }
        udp_session_send(session, of_one, count);
    }
}

static void on_ready(struct packet_socket *socket)
{
    struct udp_listener *listener = CONTAINER_OF(socket, struct udp_listener, socket);
    struct udp_plane *plane = listener->worker->udp;
    struct packet_batch *batch = &plane->received;
    const struct resource *accepting = listener->resource(listener->owner);
    packet_batch_clear(batch);
    if (accepting && accepting->listener->udp)
        socket->datagram_max = accepting->listener->udp_socket.datagram_max;
    int got = packets_receive(socket, batch, PACKET_BATCH);
    if (!accepting || !accepting->listener->udp)
        return; /* between two configurations: nobody serves it */
    struct udp_proxy_series *series =
        observe_udp_proxy(listener->worker->observer, accepting->listener->udp);
    if (got < 0) {
        observe_udp(listener->worker->observer, series, UDP_RX_ERRORS, 1);
        return;
    }
    if (UNLIKELY(batch->too_long)) {
        observe_udp(listener->worker->observer, series, UDP_DROPPED, batch->too_long);
        batch->too_long = 0;
    }
    plane->is_trimmed = false;
    for (unsigned i = 0; i < batch->count; i++)
        batch->packets[i].owner = NULL;
    for (unsigned i = 0; i < batch->count; i++)
        batch->packets[i].owner = session_of(listener, &batch->packets[i], accepting);
    send_all(batch);
}

/* --- making and ending ---------------------------------------------------------------------------------------- */

static void on_drained(struct task *task)
{
    struct udp_listener *listener = CONTAINER_OF(task, struct udp_listener, drained);
    listener->on_drained(listener->owner);
}

int udp_listener_create(struct worker *worker, int fd, const struct address *bound,
                        const struct packet_socket_options *options,
                        const struct resource *(*resource)(void *), void *owner,
                        struct udp_listener **out)
{
    struct udp_listener *listener = mem_new(struct udp_listener);
    udp_plane_of(worker);
    listener->worker = worker;
    listener->resource = resource;
    listener->owner = owner;
    listener->known = map_create_hostile();
    list_init(&listener->sessions);
    task_init(&listener->drained, on_drained);
    listener->bound = packet_end_of(bound);
    listener->is_transparent = options->is_transparent;
    listener->tells_local = options->is_transparent || address_is_wildcard(bound);
    struct packet_socket_options all = *options;
    all.wants_local = listener->tells_local;
    int error = packet_socket_adopt(&listener->socket, worker->loop, fd, &all, on_ready);
    if (error) {
        udp_listener_destroy(listener);
        return error;
    }
    *out = listener;
    return 0;
}

void udp_listener_destroy(struct udp_listener *listener)
{
    if (!listener)
        return;
    listener->is_draining = false;
    LIST_EACH_SAFE(node, after, &listener->sessions)
    udp_session_end(LIST_ENTRY(node, struct udp_session, node), "listener_drained");
    loop_task_cancel(&listener->drained);
    packet_socket_close(&listener->socket);
    map_destroy(listener->known);
    mem_free(listener);
}

void udp_listener_drain(struct udp_listener *listener, void (*when_drained)(void *owner))
{
    listener->is_draining = true;
    listener->on_drained = when_drained;
    if (list_is_empty(&listener->sessions))
        loop_run_later(listener->worker->loop, &listener->drained);
    LIST_EACH_SAFE(node, after, &listener->sessions)
    udp_session_drain(LIST_ENTRY(node, struct udp_session, node));
}

void udp_listener_lose(struct udp_listener *listener, struct udp_session *session)
{
    map_remove(listener->known, key_slice(&session->key));
    list_remove(&session->node);
    if (listener->last == session)
        listener->last = NULL;
    if (list_is_empty(&listener->sessions) && listener->is_draining)
        loop_run_later(listener->worker->loop, &listener->drained);
}

bool udp_listener_is_captured(const struct udp_listener *listener, const struct udp_key *key)
{
    if (!listener->is_transparent)
        return false;
    struct address to = packet_end_address(&key->local), own = packet_end_address(&listener->bound);
    return address_port(&to) != address_port(&own) ||
           (!address_is_wildcard(&own) && !address_equals_ip(&to, &own));
}
