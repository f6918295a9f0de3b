#include "io/socket.h"

#include <errno.h>
#include <netinet/tcp.h>

#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 80 /* linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number */
#endif

int socket_set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

int socket_open(const struct address *like, int type)
{
    int fd = socket(like->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (type == SOCK_STREAM && address_is_ip(like)) {
        int error = socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        (void)error; /* a TCP socket of ours always can */
    }
    return fd;
}

int socket_set_transparent(int fd, const struct address *like)
{
    if (like->any.sa_family == AF_INET)
        return socket_set(fd, SOL_IP, IP_TRANSPARENT, 1);
    int error = socket_set(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
    /* A dual-stack socket needs both. */
    return error ? error : socket_set(fd, SOL_IP, IP_TRANSPARENT, 1);
}

struct address socket_local_address(int fd)
{
    struct sockaddr_storage any;
    socklen_t size = sizeof(any);
    if (getsockname(fd, (struct sockaddr *)&any, &size))
        return (struct address){0};
    return address_from((struct sockaddr *)&any, size);
}

struct address socket_peer_address(int fd)
{
    struct sockaddr_storage any;
    socklen_t size = sizeof(any);
    if (getpeername(fd, (struct sockaddr *)&any, &size))
        return (struct address){0};
    return address_from((struct sockaddr *)&any, size);
}

int socket_original_destination(int fd, struct address *out)
{
    struct address local = socket_local_address(fd);
    struct sockaddr_storage any = {0};
    socklen_t size = sizeof(any);
    /* A v4 peer on a v6 socket asks the v4 table: the v6 one does not know it. */
    int level = address_is_v4(&local) ? SOL_IP : SOL_IPV6;
    if (!address_is_ip(&local))
        return -ENOENT;
    if (getsockopt(fd, level, SO_ORIGINAL_DST, &any, &size))
        return errno == ENOPROTOOPT ? -ENOENT : -errno;
    /* The kernel does not say how much it wrote. */
    size = any.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    *out = address_from((struct sockaddr *)&any, size);
    return address_is_set(out) ? 0 : -ENOENT;
}

uint64_t socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) ? 0 : cookie;
}

int socket_take_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? errno : error;
}

void socket_reset_on_close(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}
