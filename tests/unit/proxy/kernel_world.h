/*
 * kernel_world: what a proxy_world over real sockets has in place of the simulation's network: listeners and connections on
 * loopback. TULLE_IO=epoll or io_uring chooses it, for the tests that ask world_backend.
 */
#pragma once

#include "io/kernel_backend.h"
#include "test.h"

#include "io/listener.h"
#include "io/sim.h"
#include "io/socket.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

static inline enum loop_backend world_backend(void)
{
    return getenv("TULLE_IO") ? kernel_backend() : LOOP_SIM;
}

/* Seeds to run with: real sockets take real time, so fewer. */
static inline unsigned world_seed_count(unsigned simulated, unsigned real)
{
    return sim_seed_count(world_backend() == LOOP_SIM ? simulated : real);
}

/* A port of the kernel's choice; *address becomes what it is. */
static inline int kernel_listen(struct address *address, struct listen_group **group)
{
    struct listen_options options = {.address = address_v4(INADDR_LOOPBACK, 0)};
    CHECK(listen_group_create(&options, group) == 0);
    *address = listen_group_address(*group);
    return listen_group_fd(*group, 0);
}

/* Two ends of a TCP connection. */
static inline void kernel_pair(int fds[2])
{
    struct address address;
    struct listen_group *group = NULL;
    int yes = 1, fd = kernel_listen(&address, &group);
    struct pollfd arrival = {.fd = fd, .events = POLLIN};
    fds[0] = socket_open(&address, SOCK_STREAM);
    CHECK(fds[0] >= 0);
    int error = connect(fds[0], &address.any, address.size);
    CHECK((error == 0 || errno == EINPROGRESS) && poll(&arrival, 1, -1) == 1);
    fds[1] = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(fds[1] >= 0 && setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0);
    listen_group_destroy(group);
}

/* Descriptors that the process has. */
static inline unsigned kernel_open_files(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}
