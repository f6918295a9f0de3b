/*
 * calls: the system calls of every turn, without being points at which a thread may be cancelled.
 *
 * The C library's recv, send and epoll_wait tell the thread before and after, by an atomic operation each, that now it may be
 * cancelled: 50 instructions a call where there are threads. None of ours is ever cancelled. Sanitizers watch the library's
 * functions, so there it is these.
 */
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CALLS_ARE_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CALLS_ARE_WATCHED 1
#endif
#endif

#ifdef CALLS_ARE_WATCHED

#define call_recv recv
#define call_send send
#define call_sendmsg sendmsg
#define call_epoll_wait epoll_wait

#else

static inline ssize_t call_recv(int fd, void *to, size_t size, int flags)
{
    return syscall(SYS_recvfrom, fd, to, size, flags, NULL, NULL);
}

static inline ssize_t call_send(int fd, const void *from, size_t size, int flags)
{
    return syscall(SYS_sendto, fd, from, size, flags, NULL, 0);
}

static inline ssize_t call_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return syscall(SYS_sendmsg, fd, message, flags);
}

static inline int call_epoll_wait(int fd, struct epoll_event *ready, int most, int wait_ms)
{
    return (int)syscall(SYS_epoll_pwait, fd, ready, most, wait_ms, NULL, 0);
}

#endif
