#include "io/datagram.h"

#include "base/memory.h"
#include "io/loop.h"
#include "io/namespace.h"
#include "io/socket.h"

#include <errno.h>
#include <unistd.h>

struct datagram {
    struct watch watch;
    struct loop *loop;
    struct address address;
    datagram_on_message *on_message;
    void *owner;
    bool *was_destroyed;            /* set while a callback runs */
    char bytes[DATAGRAM_BYTES + 1]; /* one more shows a message that is too long */
};

/* Room for one packet info of either family. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* --- receiving ------------------------------------------------------------------------------- */

static struct address local_of(struct datagram *datagram, struct msghdr *message)
{
    uint16_t port = address_port(&datagram->address);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            return address_v4(ntohl(info.ipi_addr.s_addr), port);
        }
        if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            return address_v6(&info.ipi6_addr, port);
        }
    }
    return (struct address){0};
}

/* False when nothing waits. */
static bool receive_one(struct datagram *datagram)
{
    struct sockaddr_storage any;
    union control control;
    struct iovec bytes = {datagram->bytes, sizeof(datagram->bytes)};
    struct msghdr message = {.msg_name = &any,
                             .msg_namelen = sizeof(any),
                             .msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(datagram->watch.fd, &message, 0);
    if (got < 0)
        return errno != EAGAIN; /* others are of one peer: ICMP errors */
    if (message.msg_flags & MSG_TRUNC || got > DATAGRAM_BYTES)
        return true;
    struct datagram_path path = {
        .peer = address_from((struct sockaddr *)&any, message.msg_namelen),
        .local = local_of(datagram, &message),
    };
    datagram->on_message(datagram->owner, &path, slice_of(datagram->bytes, (size_t)got));
    return true;
}

static void on_ready(struct watch *watch, unsigned ready)
{
    (void)ready;
    struct datagram *datagram = CONTAINER_OF(watch, struct datagram, watch);
    bool was_destroyed = false;
    datagram->was_destroyed = &was_destroyed;
    for (int i = 0; i < DATAGRAM_TURN && receive_one(datagram); i++)
        if (was_destroyed)
            return;
    datagram->was_destroyed = NULL;
}

/* --- making ---------------------------------------------------------------------------------- */

static int prepare(int fd, const struct datagram_options *options)
{
    bool is_v6 = options->address.any.sa_family == AF_INET6;
    int error = socket_set(fd, SOL_IP, IP_PKTINFO, 1);
    if (!error && is_v6)
        error = socket_set(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1);
    if (!error && options->mark)
        error = socket_set(fd, SOL_SOCKET, SO_MARK, (int)options->mark);
    if (!error && options->is_transparent)
        error = socket_set_transparent(fd, &options->address);
    if (!error && options->is_reuse_port)
        error = socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!error && bind(fd, &options->address.any, options->address.size))
        error = -errno;
    return error;
}

/* A bound socket, here or in the namespace that this thread is in. */
static int open_bound(void *argument)
{
    const struct datagram_options *options = argument;
    int fd = socket_open(&options->address, SOCK_DGRAM);
    int error = fd < 0 ? fd : prepare(fd, options);
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}

int datagram_create(struct loop *loop, const struct datagram_options *options,
                    datagram_on_message *on_message, void *owner, struct datagram **out)
{
    if (!address_is_ip(&options->address))
        return -EAFNOSUPPORT;
    void *bound = (void *)(uintptr_t)options;
    int fd = options->network_namespace
                 ? namespace_call_path(options->network_namespace, open_bound, bound)
                 : open_bound(bound);
    if (fd < 0)
        return fd;
    struct datagram *datagram = mem_new(struct datagram);
    datagram->loop = loop;
    datagram->on_message = on_message;
    datagram->owner = owner;
    datagram->address = socket_local_address(fd);
    int error = loop_watch(loop, &datagram->watch, fd, LOOP_READABLE, on_ready);
    if (error) {
        close(fd);
        mem_free(datagram);
        return error;
    }
    *out = datagram;
    return 0;
}

void datagram_destroy(struct datagram *datagram)
{
    if (!datagram)
        return;
    if (datagram->was_destroyed)
        *datagram->was_destroyed = true;
    loop_unwatch(datagram->loop, &datagram->watch);
    close(datagram->watch.fd);
    mem_free(datagram);
}

struct address datagram_address(const struct datagram *datagram)
{
    return datagram->address;
}

/* --- sending --------------------------------------------------------------------------------- */

static void put_source(const struct address *local, bool is_v6_socket, union control *control,
                       struct msghdr *message)
{
    message->msg_control = control;
    if (is_v6_socket) {
        struct in6_pktinfo info = {0};
        struct slice ip = address_ip(local);
        if (ip.size == 4)
            info.ipi6_addr.s6_addr[10] = info.ipi6_addr.s6_addr[11] = 0xff;
        memcpy(&info.ipi6_addr.s6_addr[16 - ip.size], ip.data, ip.size);
        control->header = (struct cmsghdr){CMSG_LEN(sizeof(info)), SOL_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(&control->header), &info, sizeof(info));
        message->msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
        struct in_pktinfo info = {.ipi_spec_dst = local->v4.sin_addr};
        control->header = (struct cmsghdr){CMSG_LEN(sizeof(info)), SOL_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(&control->header), &info, sizeof(info));
        message->msg_controllen = CMSG_SPACE(sizeof(info));
    }
}

int datagram_send(struct datagram *datagram, const struct datagram_path *path, struct slice bytes)
{
    union control control = {0};
    struct iovec iovec = {(void *)(uintptr_t)bytes.data, bytes.size};
    struct address local = address_unmap(&path->local);
    bool is_v6_socket = datagram->address.any.sa_family == AF_INET6;
    struct msghdr message = {.msg_name = (void *)(uintptr_t)&path->peer.any,
                             .msg_namelen = path->peer.size,
                             .msg_iov = &iovec,
                             .msg_iovlen = 1};
    if (address_is_ip(&local) && (is_v6_socket || local.any.sa_family == AF_INET))
        put_source(&local, is_v6_socket, &control, &message);
    return sendmsg(datagram->watch.fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
