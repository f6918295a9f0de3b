#include "io/interfaces.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/vector.h"
#include "io/loop.h"
#include "io/namespace.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/stat.h>

/* One network namespace. A netlink socket stays in the one that it was made in. */
struct view {
    struct watch watch;
    struct interfaces *interfaces;
    struct mnl_socket *changes; /* hears of them */
    struct mnl_socket *dump;    /* reads the table anew */
    dev_t device;               /* which namespace it is */
    ino_t inode;
};

struct interfaces {
    struct task reread;
    struct loop *loop;
    VECTOR(struct view *) views; /* none on a simulated loop */
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

/* The kernel answers a dump at once, so this does not block. */
static int read_all(struct interfaces *interfaces)
{
    int error = 0;
    interfaces->addresses.count = 0;
    map_clear(interfaces->by_ip);
    VECTOR_EACH(view, &interfaces->views)
    {
        int failure = dump(interfaces, (*view)->dump);
        error = error ? error : failure;
    }
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
    struct view *view = CONTAINER_OF(watch, struct view, watch);
    char bytes[NETLINK_BYTES];
    ssize_t got = mnl_socket_recvfrom(view->changes, bytes, sizeof(bytes));
    if (got > 0 || errno == ENOBUFS)
        loop_run_later(view->interfaces->loop, &view->interfaces->reread);
}

static void view_destroy(struct view *view)
{
    loop_unwatch(view->interfaces->loop, &view->watch);
    if (view->changes)
        mnl_socket_close(view->changes);
    if (view->dump)
        mnl_socket_close(view->dump);
    mem_free(view);
}

/* In the view's namespace. */
static int open_sockets(void *argument)
{
    struct view *view = argument;
    unsigned groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    view->changes = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!view->changes || mnl_socket_bind(view->changes, groups, MNL_SOCKET_AUTOPID))
        return -errno;
    view->dump = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!view->dump || mnl_socket_bind(view->dump, 0, MNL_SOCKET_AUTOPID))
        return -errno;
    return 0;
}

static bool has_view(const struct interfaces *interfaces, const struct stat *file)
{
    VECTOR_EACH(view, &interfaces->views)
    if ((*view)->device == file->st_dev && (*view)->inode == file->st_ino)
        return true;
    return false;
}

/* path NULL: our own namespace. */
static int add_view(struct interfaces *interfaces, const char *path)
{
    struct stat file;
    if (stat(path ? path : "/proc/thread-self/ns/net", &file))
        return -errno;
    if (has_view(interfaces, &file))
        return 0;
    struct view *view = mem_new(struct view);
    view->interfaces = interfaces;
    view->device = file.st_dev;
    view->inode = file.st_ino;
    int error = path ? namespace_call_path(path, open_sockets, view) : open_sockets(view);
    /* It follows before it reads, so that no change is missed. */
    if (!error)
        error = loop_watch(interfaces->loop, &view->watch, mnl_socket_get_fd(view->changes),
                           LOOP_READABLE, on_ready);
    if (!error)
        error = dump(interfaces, view->dump);
    if (error)
        view_destroy(view);
    else
        vector_push(&interfaces->views, view);
    return error;
}

int interfaces_add_namespace(struct interfaces *interfaces, const char *path)
{
    return loop_backend(interfaces->loop) != LOOP_SIM ? add_view(interfaces, path) : 0;
}

int interfaces_create(struct loop *loop, struct interfaces **out)
{
    struct interfaces *interfaces = mem_new(struct interfaces);
    interfaces->loop = loop;
    interfaces->by_ip = map_create();
    task_init(&interfaces->reread, on_reread);
    int error = loop_backend(loop) != LOOP_SIM ? add_view(interfaces, NULL) : 0;
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
    VECTOR_EACH(view, &interfaces->views)
    view_destroy(*view);
    vector_fini(&interfaces->views);
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
