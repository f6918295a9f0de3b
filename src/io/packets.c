#include "io/packets.h"

#include "base/memory.h"
#include "io/namespace.h"
#include "io/packets_internal.h"
#include "io/socket.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct address packet_end_address(const union packet_end *end)
{
    socklen_t size = end->any.sa_family == AF_INET    ? (socklen_t)sizeof(end->v4)
                     : end->any.sa_family == AF_INET6 ? (socklen_t)sizeof(end->v6)
                                                      : 0;
    return address_from(&end->any, size);
}

union packet_end packet_end_of(const struct address *address)
{
    union packet_end end = {.v6 = {0}};
    if (address_is_ip(address))
        memcpy(&end, &address->any, MIN((size_t)address->size, sizeof(end)));
    return end;
}

/* --- batches -------------------------------------------------------------------------------------------------- */

enum { ROOM = PACKET_BATCH * PACKET_BYTES };

void packet_batch_init(struct packet_batch *batch)
{
    *batch = (struct packet_batch){0};
    batch->room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (batch->room == MAP_FAILED)
        abort(); /* as mem_alloc does */
    for (unsigned i = 0; i < PACKET_BATCH; i++)
        batch->packets[i].bytes = batch->room + (size_t)i * PACKET_BYTES;
}

void packet_batch_fini(struct packet_batch *batch)
{
    if (batch->room)
        munmap(batch->room, ROOM);
    batch->room = NULL;
}

void packet_batch_trim(struct packet_batch *batch)
{
    batch->count = 0;
    madvise(batch->room, ROOM, MADV_DONTNEED);
}

/* --- receiving ------------------------------------------------------------------------------------------------ */

/* Room for what a packet tells of itself: where it was sent to, and how long each datagram of a run is. */
union received_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo)) +
               CMSG_SPACE(sizeof(struct sockaddr_in6)) + CMSG_SPACE(sizeof(int))];
};

static void read_control(const struct packet_socket *socket, struct msghdr *message,
                         struct packet *packet)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        const void *value = CMSG_DATA(c);
        bool is_set = packet_end_is_set(&packet->local);
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int each;
            memcpy(&each, value, sizeof(each));
            packet->each = (uint32_t)each < packet->size ? (uint16_t)each : 0;
        } else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR) {
            memcpy(&packet->local.v4, value, sizeof(packet->local.v4));
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR) {
            memcpy(&packet->local.v6, value, sizeof(packet->local.v6));
            packet->local.v6.sin6_flowinfo = 0;
        } else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO && !is_set &&
                   !socket->is_v6) {
            const struct in_pktinfo *info = value;
            packet->local.v4 = (struct sockaddr_in){
                .sin_family = AF_INET, .sin_addr = info->ipi_addr, .sin_port = socket->port};
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO && !is_set) {
            const struct in6_pktinfo *info = value;
            packet->local.v6 = (struct sockaddr_in6){
                .sin6_family = AF_INET6, .sin6_addr = info->ipi6_addr, .sin6_port = socket->port};
            if (IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
                packet->local.v6.sin6_scope_id = info->ipi6_ifindex;
        }
    }
}

static bool is_too_long(const struct packet_socket *socket, const struct msghdr *message,
                        const struct packet *packet)
{
    return message->msg_flags & MSG_TRUNC ||
           (packet->each ? packet->each : packet->size) > socket->datagram_max;
}

/* A packet that is left out gives its room to the next one. */
static void swap_bytes(struct packet *a, struct packet *b)
{
    char *kept = a->bytes;
    a->bytes = b->bytes;
    b->bytes = kept;
}

/* What came into places [count, count + got) becomes packets, without those that are too long. */
static int keep(struct packet_socket *socket, struct packet_batch *batch, struct mmsghdr *messages,
                int got)
{
    unsigned first = batch->count;
    for (int i = 0; i < got; i++) {
        struct packet *from = &batch->packets[first + (unsigned)i];
        struct packet *to = &batch->packets[batch->count];
        from->size = messages[i].msg_len;
        from->each = 0;
        from->error = 0;
        from->local = (union packet_end){.v6 = {0}};
        if (socket->has_control)
            read_control(socket, &messages[i].msg_hdr, from);
        if (is_too_long(socket, &messages[i].msg_hdr, from)) {
            batch->too_long += packet_datagrams(from);
            continue;
        }
        if (from->peer.any.sa_family == AF_INET6)
            from->peer.v6.sin6_flowinfo = 0;
        if (to != from) {
            swap_bytes(to, from);
            char *bytes = to->bytes;
            struct packet kept = *from;
            *to = kept;
            to->bytes = bytes;
        }
        batch->count++;
    }
    return (int)(batch->count - first);
}

int packets_receive(struct packet_socket *socket, struct packet_batch *batch, unsigned most)
{
    struct mmsghdr messages[PACKET_BATCH];
    struct iovec bytes[PACKET_BATCH];
    union received_control controls[PACKET_BATCH];
    unsigned room = MIN(most, PACKET_BATCH - batch->count);
    if (socket->loop->ops == &sim_loop_ops)
        return sim_packets_receive(socket, batch, room);
    for (unsigned i = 0; i < room; i++) {
        struct packet *packet = &batch->packets[batch->count + i];
        packet->peer = (union packet_end){.v6 = {0}};
        bytes[i] = (struct iovec){packet->bytes, PACKET_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &packet->peer,
                                              .msg_namelen = sizeof(packet->peer),
                                              .msg_iov = &bytes[i],
                                              .msg_iovlen = 1};
        if (socket->has_control) {
            messages[i].msg_hdr.msg_control = &controls[i];
            messages[i].msg_hdr.msg_controllen = sizeof(controls[i]);
        }
    }
    int got = recvmmsg(socket->watch.fd, messages, room, 0, NULL);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return keep(socket, batch, messages, got);
}

/* --- sending -------------------------------------------------------------------------------------------------- */

union sent_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

static struct cmsghdr *add_control(struct msghdr *message, union sent_control *control, int level,
                                   int type, const void *value, size_t size)
{
    message->msg_control = control;
    struct cmsghdr *c = (struct cmsghdr *)(void *)(control->bytes + message->msg_controllen);
    *c = (struct cmsghdr){CMSG_LEN(size), level, type};
    memcpy(CMSG_DATA(c), value, size);
    message->msg_controllen += CMSG_SPACE(size);
    return c;
}

static void add_source(const struct packet_socket *socket, const union packet_end *local,
                       struct msghdr *message, union sent_control *control)
{
    if (!socket->is_v6 && local->any.sa_family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = local->v4.sin_addr};
        add_control(message, control, SOL_IP, IP_PKTINFO, &info, sizeof(info));
    } else if (socket->is_v6 && local->any.sa_family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = local->v6.sin6_addr,
                                   .ipi6_ifindex = local->v6.sin6_scope_id};
        add_control(message, control, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}

/* Messages under way to the kernel: message i is made of packets [first[i], first[i + 1]). */
struct sending {
    struct packet_socket *socket;
    struct packet *const *packets;
    unsigned count, message_count;
    unsigned first[PACKET_BATCH + 1];
    struct iovec bytes[PACKET_BATCH];
    struct mmsghdr messages[PACKET_BATCH];
    union sent_control controls[PACKET_BATCH];
};

static uint32_t unit_of(const struct packet *packet)
{
    return packet->each ? packet->each : packet->size;
}

/* How many packets from `at` on leave as one run. */
static unsigned run_of(const struct sending *s, unsigned at)
{
    const struct packet *first = s->packets[at];
    uint32_t unit = unit_of(first), size = first->size;
    unsigned end = at + 1;
    if (unit == 0 || unit >= s->socket->run_below)
        return end;
    for (; end < s->count && size % unit == 0; end++) {
        const struct packet *next = s->packets[end];
        uint32_t next_unit = unit_of(next);
        bool goes_on = next_unit == unit || (!next->each && next->size > 0 && next->size < unit);
        if (!goes_on || size + next->size > UINT16_MAX - 128 ||
            (size + next->size + unit - 1) / unit > PACKET_RUN ||
            !packet_end_equals(&next->peer, &first->peer) ||
            !packet_end_equals(&next->local, &first->local))
            break;
        size += next->size;
    }
    return end;
}

static void add_message(struct sending *s, unsigned at, unsigned end)
{
    unsigned index = s->message_count++;
    struct packet *packet = s->packets[at];
    struct msghdr *message = &s->messages[index].msg_hdr;
    s->first[index] = at;
    s->first[index + 1] = end;
    for (unsigned i = at; i < end; i++)
        s->bytes[i] = (struct iovec){s->packets[i]->bytes, s->packets[i]->size};
    *message = (struct msghdr){.msg_iov = &s->bytes[at], .msg_iovlen = end - at};
    if (packet_end_is_set(&packet->peer)) {
        message->msg_name = &packet->peer;
        message->msg_namelen = packet->peer.any.sa_family == AF_INET ? sizeof(packet->peer.v4)
                                                                     : sizeof(packet->peer.v6);
    }
    if (packet_end_is_set(&packet->local))
        add_source(s->socket, &packet->local, message, &s->controls[index]);
    if (end - at > 1 || packet->each) {
        uint16_t unit = (uint16_t)unit_of(packet);
        add_control(message, &s->controls[index], SOL_UDP, UDP_SEGMENT, &unit, sizeof(unit));
    }
}

static void say(const struct sending *s, unsigned index, int error)
{
    for (unsigned i = s->first[index]; i < s->first[index + 1]; i++)
        s->packets[i]->error = error;
}

/* One datagram after the other: what the kernel would not take as a run. */
static void send_singly(struct sending *s, unsigned index)
{
    union sent_control control = {0};
    for (unsigned i = s->first[index]; i < s->first[index + 1]; i++) {
        struct packet *packet = s->packets[i];
        uint32_t unit = unit_of(packet);
        packet->error = 0;
        for (uint32_t at = 0; at < packet->size; at += unit) {
            struct iovec bytes = {packet->bytes + at, MIN(unit, packet->size - at)};
            struct msghdr message = s->messages[index].msg_hdr;
            message.msg_iov = &bytes;
            message.msg_iovlen = 1;
            message.msg_control = NULL;
            message.msg_controllen = 0;
            if (packet_end_is_set(&packet->local))
                add_source(s->socket, &packet->local, &message, &control);
            if (sendmsg(s->socket->watch.fd, &message, MSG_NOSIGNAL) < 0)
                packet->error = errno;
        }
    }
}

static bool is_run(const struct sending *s, unsigned index)
{
    const struct packet *packet = s->packets[s->first[index]];
    return packet->each || s->first[index + 1] - s->first[index] > 1;
}

/* Message `index` was refused. True when it is to be tried again. */
static bool refused(struct sending *s, unsigned index, int error, bool was_tried)
{
    if (error == ECONNREFUSED && !was_tried)
        return true; /* of an earlier datagram, told now: this one was not sent */
    if (is_run(s, index) && (error == EINVAL || error == EMSGSIZE || error == EIO)) {
        s->socket->run_below =
            (uint16_t)MIN(unit_of(s->packets[s->first[index]]), s->socket->run_below);
        send_singly(s, index);
        return false;
    }
    say(s, index, error);
    return false;
}

static void send_all(struct sending *s)
{
    bool was_tried = false;
    for (unsigned done = 0; done < s->message_count;) {
        int sent = sendmmsg(s->socket->watch.fd, s->messages + done, s->message_count - done,
                            MSG_NOSIGNAL);
        if (sent > 0) {
            for (int i = 0; i < sent; i++)
                say(s, done++, 0);
            was_tried = false;
            continue;
        }
        if (errno == EINTR)
            continue;
        was_tried = refused(s, done, errno, was_tried);
        done += !was_tried;
    }
}

void packets_send(struct packet_socket *socket, struct packet *const *packets, unsigned count)
{
    struct sending s;
    if (socket->loop->ops == &sim_loop_ops) {
        sim_packets_send(socket, packets, count);
        return;
    }
    s.socket = socket;
    s.packets = packets;
    s.count = count;
    s.message_count = 0;
    for (unsigned at = 0, end; at < count; at = end) {
        end = run_of(&s, at);
        add_message(&s, at, end);
    }
    send_all(&s);
}

/* --- sockets -------------------------------------------------------------------------------------------------- */

static void on_watch(struct watch *watch, unsigned ready)
{
    struct packet_socket *socket = CONTAINER_OF(watch, struct packet_socket, watch);
    (void)ready;
    socket->on_ready(socket);
}

static int prepare(int fd, bool is_v6, const struct packet_socket_options *options)
{
    int error = 0;
    if (options->wants_local || options->is_transparent)
        error = is_v6 ? socket_set(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1)
                      : socket_set(fd, SOL_IP, IP_PKTINFO, 1);
    if (!error && options->is_transparent)
        error = is_v6 ? socket_set(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1)
                      : socket_set(fd, SOL_IP, IP_RECVORIGDSTADDR, 1);
    if (options->gro)
        (void)!socket_set(fd, SOL_UDP, UDP_GRO,
                          1); /* an older kernel has none, and joins nothing */
    return error;
}

static int begin(struct packet_socket *socket, int fd, const struct packet_socket_options *options)
{
    struct address local = socket_local_address(fd);
    socket->is_v6 = local.any.sa_family == AF_INET6;
    socket->port = htons(address_port(&local));
    int error = prepare(fd, socket->is_v6, options);
    socket->watch.fd = fd;
    if (!error && socket->on_ready)
        error = loop_watch(socket->loop, &socket->watch, fd, LOOP_READABLE, on_watch);
    return error;
}

static void set_up(struct packet_socket *socket, struct loop *loop,
                   const struct packet_socket_options *options,
                   void (*on_ready)(struct packet_socket *))
{
    *socket = (struct packet_socket){.watch = {.fd = -1},
                                     .loop = loop,
                                     .on_ready = on_ready,
                                     .datagram_max = options->datagram_max,
                                     .run_below = UINT16_MAX,
                                     .joins = options->gro,
                                     .has_control = options->gro || options->wants_local ||
                                                    options->is_transparent};
}

int packet_socket_adopt(struct packet_socket *socket, struct loop *loop, int fd,
                        const struct packet_socket_options *options,
                        void (*on_ready)(struct packet_socket *))
{
    set_up(socket, loop, options, on_ready);
    if (loop->ops == &sim_loop_ops)
        return sim_packets_adopt(socket, fd);
    return begin(socket, fd, options);
}

static int open_path(void *argument)
{
    const struct packet_path *path = argument;
    const struct address *like = address_is_set(&path->to) ? &path->to : &path->from;
    int fd = socket_open(like, SOCK_DGRAM);
    if (fd < 0)
        return fd;
    int error = path->mark ? socket_set(fd, SOL_SOCKET, SO_MARK, (int)path->mark) : 0;
    if (!error && path->is_transparent)
        error = socket_set_transparent(fd, like);
    /* Each worker answers for the same addresses. */
    if (!error && path->is_transparent)
        error = socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error && address_is_set(&path->from) && bind(fd, &path->from.any, path->from.size))
        error = -errno;
    if (!error && address_is_set(&path->to) && connect(fd, &path->to.any, path->to.size))
        error = -errno;
    if (error)
        close(fd);
    return error ? error : fd;
}

int packet_socket_open(struct packet_socket *socket, struct loop *loop,
                       const struct packet_path *path, const struct packet_socket_options *options,
                       void (*on_ready)(struct packet_socket *))
{
    set_up(socket, loop, options, on_ready);
    if (loop->ops == &sim_loop_ops)
        return sim_packets_open(socket, path);
    void *argument = (void *)(uintptr_t)path;
    int fd = path->network_namespace >= 0
                 ? namespace_call(path->network_namespace, open_path, argument)
                 : open_path(argument);
    if (fd < 0)
        return fd;
    socket->owns_fd = true;
    int error = begin(socket, fd, options);
    if (error)
        packet_socket_close(socket);
    return error;
}

void packet_socket_close(struct packet_socket *socket)
{
    if (!socket->loop)
        return;
    if (socket->loop->ops == &sim_loop_ops) {
        sim_packets_close(socket);
    } else {
        loop_unwatch(socket->loop, &socket->watch);
        if (socket->owns_fd && socket->watch.fd >= 0)
            close(socket->watch.fd);
    }
    socket->loop = NULL;
}

struct address packet_socket_address(const struct packet_socket *socket)
{
    if (socket->loop->ops == &sim_loop_ops)
        return sim_packets_address(socket);
    return socket_local_address(socket->watch.fd);
}
