#include "base/memory.h"
#include "io/sockmap_internal.h"
#include "io/thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TRIAL_BUFFER = 64 * 1024, TRIAL_MESSAGE = 16 * 1024, TRIAL_MOST = 8 * 1024 * 1024 };

/* An application's end and ours, as a claimed listener accepted it. */
struct trial {
    struct sockmap *sockmap;
    int listener, application, ours;
    const char *failed; /* what did not hold; NULL: nothing yet */
    int error;
};

static bool fails(struct trial *trial, const char *what)
{
    trial->error = errno;
    trial->failed = what;
    return false;
}

/* Nothing here waits for ever, and buffers are small so that TCP's own limits show soon. */
static int open_socket(void)
{
    const struct timeval patience = {.tv_sec = 1};
    const int size = TRIAL_BUFFER;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    return fd;
}

static bool listens(struct trial *trial)
{
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    trial->listener = open_socket();
    int failure = trial->listener < 0 ? -errno : sockmap_claim(trial->sockmap, trial->listener);
    if (!failure)
        failure = sockmap_serve(trial->sockmap, trial->listener);
    errno = -failure;
    return (!failure && bind(trial->listener, (const void *)&at, sizeof(at)) == 0 &&
            listen(trial->listener, 1) == 0) ||
           fails(trial, "a listener of ours cannot be claimed");
}

static void close_pair(struct trial *trial)
{
    if (trial->application >= 0)
        close(trial->application);
    if (trial->ours >= 0)
        close(trial->ours);
    trial->application = trial->ours = -1;
}

static bool open_pair(struct trial *trial)
{
    struct sockaddr_in at;
    socklen_t size = sizeof(at);
    close_pair(trial);
    trial->application = open_socket();
    if (trial->application < 0 || getsockname(trial->listener, (void *)&at, &size) ||
        connect(trial->application, (void *)&at, size))
        return fails(trial, "a connection to ourselves fails");
    trial->ours = accept4(trial->listener, NULL, NULL, SOCK_CLOEXEC);
    errno = 0;
    return (trial->ours >= 0 && sockmap_holds(trial->sockmap, trial->ours)) ||
           fails(trial, "a connection to ourselves is not paired");
}

static bool passes(int from, int to, const char *text)
{
    char got[16];
    size_t size = strlen(text);
    return send(from, text, size, MSG_NOSIGNAL) == (ssize_t)size &&
           recv(to, got, sizeof(got), 0) == (ssize_t)size && memcmp(got, text, size) == 0;
}

static bool try_messages(struct trial *trial)
{
    struct sockmap_counts counts = {0};
    if (!open_pair(trial))
        return false;
    if (!passes(trial->application, trial->ours, "first") ||
        !passes(trial->ours, trial->application, "second") ||
        !passes(trial->application, trial->ours, "third"))
        return fails(trial, "a message is lost");
    errno = -sockmap_count(trial->sockmap, &counts);
    return counts.messages == 3 || fails(trial, "messages do not take the short cut");
}

/* The peer's FIN comes after what it sent, and the other direction goes on. */
static bool try_half_close(struct trial *trial)
{
    char byte;
    if (!open_pair(trial))
        return false;
    if (send(trial->application, "last", 4, MSG_NOSIGNAL) != 4 ||
        shutdown(trial->application, SHUT_WR))
        return fails(trial, "a half-closed connection takes no bytes");
    char got[8];
    return (recv(trial->ours, got, sizeof(got), 0) == 4 && recv(trial->ours, &byte, 1, 0) == 0 &&
            passes(trial->ours, trial->application, "answer")) ||
           fails(trial, "bytes are lost when one direction ends");
}

static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 7 + (place >> 8) + (place >> 16));
}

static size_t send_until_full(struct trial *trial, uint8_t *message)
{
    size_t sent = 0;
    ssize_t part = 1;
    while (part > 0 && sent < TRIAL_MOST) {
        for (size_t i = 0; i < TRIAL_MESSAGE; i++)
            message[i] = byte_at(sent + i);
        part = send(trial->application, message, TRIAL_MESSAGE, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += part > 0 ? (size_t)part : 0;
    }
    return sent;
}

/* A reader that stalls stops the writer, and nothing is overtaken where TCP takes over. */
static bool try_back_pressure(struct trial *trial)
{
    struct sockmap_counts before = {0}, after = {0};
    if (!open_pair(trial))
        return false;
    owned_str buffer = mem_calloc(1, TRIAL_MESSAGE);
    uint8_t *message = (uint8_t *)buffer;
    int failure = sockmap_count(trial->sockmap, &before);
    size_t sent = send_until_full(trial, message);
    failure = failure ? failure : sockmap_count(trial->sockmap, &after);
    errno = -failure;
    if (failure || sent >= TRIAL_MOST || after.left_full != before.left_full + 1 ||
        after.bytes - before.bytes > SOCKMAP_QUEUE_BYTES)
        return fails(trial, "the kernel queues without limit for a reader that stalls");
    size_t got = 0;
    while (got < sent) {
        ssize_t part = recv(trial->ours, message, TRIAL_MESSAGE, 0);
        if (part <= 0)
            return fails(trial, "bytes are lost when a reader stalls");
        for (size_t i = 0; i < (size_t)part; i++)
            if (message[i] != byte_at(got + i))
                return fails(trial, "bytes are overtaken when a reader stalls");
        got += (size_t)part;
    }
    return true;
}

static bool loopback_up(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
    if (fd >= 0)
        close(fd);
    return is_up;
}

/* On a thread of its own, so that others' connections are not tried with ours, where we may have a network for it. */
static void run_trial(void *argument)
{
    struct trial *trial = argument;
    if (unshare(CLONE_NEWNET) == 0 && !loopback_up()) {
        (void)fails(trial, "a network of its own has no loopback");
        return;
    }
    (void)(listens(trial) && try_messages(trial) && try_half_close(trial) &&
           try_back_pressure(trial));
    close_pair(trial);
    if (trial->listener < 0)
        return;
    int failure = sockmap_start_over(trial->sockmap, trial->listener);
    close(trial->listener);
    errno = -failure;
    if (failure && !trial->failed)
        (void)fails(trial, "its maps cannot be emptied");
}

bool sockmap_try(struct sockmap *sockmap, struct error *error)
{
    struct trial trial = {.sockmap = sockmap, .listener = -1, .application = -1, .ours = -1};
    struct thread *thread;
    int failure = thread_create("sockmap-trial", run_trial, &trial, &thread);
    errno = -failure;
    if (failure)
        (void)fails(&trial, "a thread for it cannot be started");
    else
        thread_destroy(thread);
    if (!trial.failed)
        return true;
    return error_set(error, "TUL1239", "tried on this kernel, it does not hold: %s%s%s",
                     trial.failed, trial.error ? ": " : "",
                     trial.error ? strerror(trial.error) : "");
}
