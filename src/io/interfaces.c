#include "io/interfaces.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/vector.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct interfaces {
    struct watch watch;
    struct task reread;
    struct loop *loop;
    struct mnl_socket *socket; /* hears of changes; NULL on a simulated loop */
    VECTOR(struct address) addresses;
    struct map *by_ip; /* to themselves: membership is all that is asked */
};

enum { NETLINK_BYTES = 32768 };

void interfaces_add(struct interfaces *interfaces, const struct address *address)
{
    struct slice ip = address_ip(address);
    if (ip.size == 0 || map_get(interfaces->by_ip, ip))
        return;
    vector_push(&interfaces->addresses, *address);
    map_put(interfaces->by_ip, ip, interfaces);
}

/* --- reading the kernel's table -------------------------------------------------------------- */

static int read_attribute(const struct nlattr *attribute, void *to)
{
    struct slice *ip = to;
    uint16_t type = mnl_attr_get_type(attribute);
    /* On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL, where given, is ours. */
    if (type == IFA_LOCAL || (type == IFA_ADDRESS && ip->size == 0))
        *ip = slice_of(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
    return MNL_CB_OK;
}

static int read_message(const struct nlmsghdr *message, void *to)
{
    struct interfaces *interfaces = to;
    const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
    struct slice ip = {0};
    if (message->nlmsg_type != RTM_NEWADDR ||
        mnl_attr_parse(message, sizeof(*header), read_attribute, &ip) < 0)
        return MNL_CB_OK;
    if (header->ifa_family == AF_INET && ip.size == 4) {
        uint32_t network;
        memcpy(&network, ip.data, 4);
        struct address address = address_v4(ntohl(network), 0);
        interfaces_add(interfaces, &address);
    } else if (header->ifa_family == AF_INET6 && ip.size == 16) {
        struct address address = address_v6(ip.data, 0);
        interfaces_add(interfaces, &address);
    }
    return MNL_CB_OK;
}

static int dump(struct interfaces *interfaces, struct mnl_socket *socket)
{
    char bytes[NETLINK_BYTES];
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = RTM_GETADDR;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request->nlmsg_seq = 1;
    struct rtgenmsg *any = mnl_nlmsg_put_extra_header(request, sizeof(*any));
    any->rtgen_family = AF_UNSPEC;
    if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
        return -errno;
    for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
        ssize_t got = mnl_socket_recvfrom(socket, bytes, sizeof(bytes));
        if (got < 0)
            return -errno;
        more = mnl_cb_run(bytes, (size_t)got, 1, mnl_socket_get_portid(socket), read_message,
                          interfaces);
        if (more < 0)
            return -errno;
    }
    return 0;
}

/* The kernel answers a dump at once, so this does not block; a socket of its own keeps changes apart. */
static int read_all(struct interfaces *interfaces)
{
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!socket)
        return -errno;
    interfaces->addresses.count = 0;
    map_clear(interfaces->by_ip);
    int error = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) ? -errno : dump(interfaces, socket);
    mnl_socket_close(socket);
    return error;
}

/* --- following changes ----------------------------------------------------------------------- */

static void on_reread(struct task *task)
{
    struct interfaces *interfaces = CONTAINER_OF(task, struct interfaces, reread);
    int error = read_all(interfaces);
    if (error)
        log_warning("io", "cannot read this host's addresses: %s", strerror(-error));
}

/* What changed does not matter: the table is small and changes are rare, so it is read anew, once a turn. */
static void on_ready(struct watch *watch, unsigned ready)
{
    (void)ready;
    struct interfaces *interfaces = CONTAINER_OF(watch, struct interfaces, watch);
    char bytes[NETLINK_BYTES];
    ssize_t got = mnl_socket_recvfrom(interfaces->socket, bytes, sizeof(bytes));
    if (got > 0 || errno == ENOBUFS)
        loop_run_later(interfaces->loop, &interfaces->reread);
}

static int follow(struct interfaces *interfaces)
{
    interfaces->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!interfaces->socket ||
        mnl_socket_bind(interfaces->socket, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
                        MNL_SOCKET_AUTOPID))
        return -errno;
    return loop_watch(interfaces->loop, &interfaces->watch, mnl_socket_get_fd(interfaces->socket),
                      LOOP_READABLE, on_ready);
}

int interfaces_create(struct loop *loop, struct interfaces **out)
{
    struct interfaces *interfaces = mem_new(struct interfaces);
    interfaces->loop = loop;
    interfaces->by_ip = map_create();
    task_init(&interfaces->reread, on_reread);
    int error = 0;
    if (loop_backend(loop) == LOOP_EPOLL) {
        error = follow(interfaces); /* before reading, so that no change is missed */
        if (!error)
            error = read_all(interfaces);
    }
    if (error) {
        interfaces_destroy(interfaces);
        return error;
    }
    *out = interfaces;
    return 0;
}

void interfaces_destroy(struct interfaces *interfaces)
{
    if (!interfaces)
        return;
    loop_task_cancel(&interfaces->reread);
    loop_unwatch(interfaces->loop, &interfaces->watch);
    if (interfaces->socket)
        mnl_socket_close(interfaces->socket);
    vector_fini(&interfaces->addresses);
    map_destroy(interfaces->by_ip);
    mem_free(interfaces);
}

/* --- asking ---------------------------------------------------------------------------------- */

bool interfaces_are_local(const struct interfaces *interfaces, const struct address *address)
{
    return address_is_ip(address) &&
           (address_is_loopback(address) || address_is_wildcard(address) ||
            map_get(interfaces->by_ip, address_ip(address)));
}

size_t interfaces_count(const struct interfaces *interfaces)
{
    return interfaces->addresses.count;
}

struct address interfaces_get(const struct interfaces *interfaces, size_t index)
{
    return interfaces->addresses.items[index];
}
