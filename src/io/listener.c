#include "io/listener.h"

#include "base/memory.h"
#include "io/namespace.h"
#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 4096, GROUP_MAX = 1024 };

struct listen_group {
    struct address address;
    unsigned count;
    bool owns_path; /* of a Unix socket */
    bool is_datagram;
    int fds[];
};

static struct listen_group *group_new(unsigned count)
{
    struct listen_group *group = mem_calloc(1, sizeof(*group) + count * sizeof(group->fds[0]));
    group->count = count;
    for (unsigned i = 0; i < count; i++)
        group->fds[i] = -1;
    return group;
}

static int set_options(int fd, const struct listen_options *options, bool is_shared)
{
    int error = 0;
    if (address_is_ip(&options->address)) {
        /* Of datagrams it would let strangers have the address too. */
        if (!options->is_datagram)
            error = socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (!error && is_shared)
            error = socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (!error && options->address.any.sa_family == AF_INET6)
            error = socket_set(fd, SOL_IPV6, IPV6_V6ONLY, options->is_v6_only);
    }
    if (!error && options->is_transparent)
        error = socket_set_transparent(fd, &options->address);
    if (!error && options->is_free_bind)
        error = socket_set(fd, SOL_IP, IP_FREEBIND, 1);
    return error;
}

static bool is_path(const struct address *address)
{
    return address_is_unix(address) && address->unix_.sun_path[0] != '\0';
}

/* A path that nobody listens on any more was left by a process that died. */
static void remove_stale_path(const struct address *address)
{
    struct stat status;
    if (lstat(address->unix_.sun_path, &status) || !S_ISSOCK(status.st_mode))
        return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    if (connect(probe, &address->any, address->size) && errno == ECONNREFUSED)
        unlink(address->unix_.sun_path);
    close(probe);
}

static int bind_and_listen(int fd, const struct listen_options *options,
                           const struct address *address)
{
    if (bind(fd, &address->any, address->size))
        return -errno;
    if (is_path(address) && options->unix_mode &&
        chmod(address->unix_.sun_path, (mode_t)options->unix_mode))
        return -errno;
    if (options->is_datagram)
        return 0;
    return listen(fd, options->backlog ? options->backlog : BACKLOG) ? -errno : 0;
}

static int open_one(const struct listen_options *options, const struct address *address,
                    bool is_shared)
{
    int fd = socket_open(address, options->is_datagram ? SOCK_DGRAM : SOCK_STREAM);
    if (fd < 0)
        return fd;
    int error = set_options(fd, options, is_shared);
    if (!error)
        error = bind_and_listen(fd, options, address);
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

static int create_here(const struct listen_options *options, struct listen_group **out)
{
    unsigned count = options->count ? options->count : 1;
    if (count > GROUP_MAX)
        return -EINVAL;
    /* Unix sockets know no REUSEPORT: the workers share one descriptor. */
    bool is_ip = address_is_ip(&options->address);
    if (options->is_datagram && !is_ip)
        return -EAFNOSUPPORT;
    bool is_shared = is_ip && !(options->is_exclusive && count == 1);
    owned(listen_group) group = group_new(count);
    group->address = options->address;
    group->is_datagram = options->is_datagram;
    if (is_path(&options->address))
        remove_stale_path(&options->address);
    for (unsigned i = 0; i < count; i++) {
        int fd = i > 0 && !is_shared ? fcntl(group->fds[0], F_DUPFD_CLOEXEC, 3)
                                     : open_one(options, &group->address, is_shared);
        if (fd < 0)
            return i > 0 && !is_shared ? -errno : fd;
        group->fds[i] = fd;
        if (i > 0)
            continue;
        group->owns_path = is_path(&options->address);
        if (is_ip)
            group->address = socket_local_address(fd);
    }
    *out = give(group);
    return 0;
}

struct elsewhere {
    const struct listen_options *options;
    struct listen_group **out;
};

static int create_elsewhere(void *argument)
{
    const struct elsewhere *elsewhere = argument;
    return create_here(elsewhere->options, elsewhere->out);
}

int listen_group_create(const struct listen_options *options, struct listen_group **out)
{
    struct elsewhere elsewhere = {options, out};
    if (options->network_namespace)
        return namespace_call_path(options->network_namespace, create_elsewhere, &elsewhere);
    return create_here(options, out);
}

int listen_group_adopt(const int *fds, unsigned count, struct listen_group **out)
{
    if (count == 0 || count > GROUP_MAX)
        return -EINVAL;
    owned(listen_group) group = group_new(count);
    for (unsigned i = 0; i < count; i++) {
        int listens = 0;
        socklen_t size = sizeof(listens);
        group->fds[i] = fds[i];
        if (getsockopt(fds[i], SOL_SOCKET, SO_ACCEPTCONN, &listens, &size))
            return -errno;
        if (!listens)
            return -EINVAL;
        if (fcntl(fds[i], F_SETFL, O_NONBLOCK) || fcntl(fds[i], F_SETFD, FD_CLOEXEC))
            return -errno;
    }
    group->address = socket_local_address(fds[0]);
    *out = give(group);
    return 0;
}

void listen_group_destroy(struct listen_group *group)
{
    if (!group)
        return;
    for (unsigned i = 0; i < group->count; i++)
        if (group->fds[i] >= 0)
            close(group->fds[i]);
    if (group->owns_path)
        unlink(group->address.unix_.sun_path);
    mem_free(group);
}

unsigned listen_group_count(const struct listen_group *group)
{
    return group->count;
}

int listen_group_fd(const struct listen_group *group, unsigned index)
{
    return group->fds[index];
}

struct address listen_group_address(const struct listen_group *group)
{
    return group->address;
}

/*
 * A listener that closes resets what waits in its queue. So SYNs are filtered out first (the filter sees the
 * TCP header, flags in byte 13); handshakes that have begun still complete and are accepted.
 */
void listen_group_drain(struct listen_group *group)
{
    struct sock_filter no_syn[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 13},
        {BPF_JMP | BPF_JSET | BPF_K, 0, 1, TH_SYN},
        {BPF_RET | BPF_K, 0, 0, 0},
        {BPF_RET | BPF_K, 0, 0, UINT32_MAX},
    };
    struct sock_fprog program = {.len = COUNT(no_syn), .filter = no_syn};
    if (!address_is_ip(&group->address) || group->is_datagram)
        return;
    for (unsigned i = 0; i < group->count; i++)
        setsockopt(group->fds[i], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}
