#include "proxy/udp/udp_plane.h"

#include "base/map.h"
#include "base/memory.h"
#include "proxy/udp/udp_session.h"
#include "proxy/worker.h"

enum { TRIM_AFTER_MS = 10000 };

static void on_flush(struct task *task)
{
    udp_plane_flush(CONTAINER_OF(task, struct udp_plane, flush));
}

struct udp_plane *udp_plane_of(struct worker *worker)
{
    if (worker->udp)
        return worker->udp;
    struct udp_plane *plane = mem_new(struct udp_plane);
    plane->worker = worker;
    packet_batch_init(&plane->received);
    packet_batch_init(&plane->answers);
    task_init(&plane->flush, on_flush);
    plane->replies = map_create_hostile();
    worker->udp = plane;
    return plane;
}

void udp_plane_destroy(struct udp_plane *plane)
{
    if (!plane)
        return;
    loop_task_cancel(&plane->flush);
    packet_batch_fini(&plane->received);
    packet_batch_fini(&plane->answers);
    map_destroy(plane->replies);
    mem_free(plane);
}

/* --- answers -------------------------------------------------------------------------------------------------- */

/* Neighbours that leave by one socket leave by one call. */
void udp_plane_flush(struct udp_plane *plane)
{
    struct packet_batch *batch = &plane->answers;
    struct packet *leaving[PACKET_BATCH];
    for (unsigned at = 0; at < batch->count;) {
        struct packet_socket *socket = NULL;
        unsigned count = 0;
        for (; at < batch->count; at++) {
            struct udp_session *session = batch->packets[at].owner;
            if (!session)
                continue;
            if (socket && udp_session_way_back(session) != socket)
                break;
            socket = udp_session_way_back(session);
            leaving[count++] = &batch->packets[at];
        }
        if (count == 0)
            break;
        packets_send(socket, leaving, count);
        for (unsigned i = 0; i < count; i++)
            udp_session_answered(leaving[i]->owner, leaving[i]);
    }
    packet_batch_clear(batch);
}

static void forget(struct packet_batch *batch, const struct udp_session *session)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->packets[i].owner == session)
            batch->packets[i].owner = NULL;
}

void udp_plane_forget(struct udp_plane *plane, const struct udp_session *session)
{
    forget(&plane->received, session);
    forget(&plane->answers, session);
}

void udp_plane_tidy(struct udp_plane *plane)
{
    if (!plane || plane->is_trimmed)
        return;
    if (plane->moved_ms + TRIM_AFTER_MS > loop_now_ms(plane->worker->loop))
        return;
    packet_batch_trim(&plane->received);
    packet_batch_trim(&plane->answers);
    plane->is_trimmed = true;
}

/* --- answering for others' addresses -------------------------------------------------------------------------- */

static struct slice key_of(const union packet_end *end)
{
    return slice_of(end, sizeof(*end));
}

int udp_reply_take(struct udp_plane *plane, const union packet_end *from, struct udp_reply **out)
{
    static const struct packet_socket_options options = {.datagram_max = UINT16_MAX};
    struct udp_reply *reply = map_get(plane->replies, key_of(from));
    if (!reply) {
        struct packet_path path = {.from = packet_end_address(from),
                                   .is_transparent = true,
                                   .mark = plane->worker->shared->upstream_mark,
                                   .network_namespace = -1};
        reply = mem_new(struct udp_reply);
        reply->from = *from;
        int error = packet_socket_open(&reply->socket, plane->worker->loop, &path, &options, NULL);
        if (error) {
            mem_free(reply);
            return error;
        }
        map_put(plane->replies, key_of(from), reply);
    }
    reply->references++;
    *out = reply;
    return 0;
}

void udp_reply_give(struct udp_plane *plane, struct udp_reply *reply)
{
    if (!reply || --reply->references > 0)
        return;
    map_remove(plane->replies, key_of(&reply->from));
    packet_socket_close(&reply->socket);
    mem_free(reply);
}
