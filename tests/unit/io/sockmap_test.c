#include "io/sockmap.h"

#include "base/memory.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* The proxy's listener, which is claimed, and one connection of an application to it. */
struct pair {
    struct sockmap *sockmap;
    int listener, application, proxy;
};

static void loopback_up(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(ioctl(control, SIOCSIFFLAGS, &loopback) == 0);
    close(control);
}

/* Rights and parts of a kernel may be missing anywhere; from Linux 6.18 on anything else is our fault. */
static bool is_excused(const char *text)
{
    struct utsname kernel;
    unsigned major = 0, minor = 0;
    CHECK(uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2);
    return major < 6 || (major == 6 && minor < 18) || strstr(text, "not permitted") ||
           strstr(text, "type information") || strstr(text, "no cgroup2");
}

/* In a network of its own: what is served here must not be other tests' connections. */
static struct sockmap *load_or_skip(void)
{
    struct sockmap *sockmap = NULL;
    owned_error error = {0};
    if (unshare(CLONE_NEWNET) == 0) {
        loopback_up();
    } else {
        print_message("SKIPPED, no network of our own: %s\n", strerror(errno));
        skip();
    }
    if (sockmap_load(NULL, 0, &sockmap, &error))
        return sockmap;
    owned_str text = error_text(&error, true);
    CHECK(is_excused(error.what), "%s", text);
    print_message("SKIPPED, the kernel or our rights refuse: %s\n", text);
    skip();
    return NULL;
}

static int open_listener(struct sockmap *sockmap, uint16_t port, bool is_claimed)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
    CHECK(sockmap_serve(sockmap, fd) == 0);
    CHECK(!is_claimed || sockmap_claim(sockmap, fd) == 0);
    CHECK(bind(fd, (void *)&at, sizeof(at)) == 0 && listen(fd, 16) == 0, "%s", strerror(errno));
    return fd;
}

static int open_client(int listener)
{
    struct sockaddr_in at;
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(getsockname(listener, (void *)&at, &size) == 0);
    CHECK(connect(fd, (void *)&at, size) == 0, "%s", strerror(errno));
    return fd;
}

static void open_pair(struct pair *pair)
{
    *pair = (struct pair){.sockmap = load_or_skip()};
    pair->listener = open_listener(pair->sockmap, 0, true);
    pair->application = open_client(pair->listener);
    pair->proxy = accept(pair->listener, NULL, NULL);
    CHECK(pair->proxy >= 0 && sockmap_holds(pair->sockmap, pair->proxy));
    CHECK(sockmap_holds(pair->sockmap, pair->application));
}

static void close_pair(struct pair *pair)
{
    close(pair->application);
    close(pair->proxy);
    close(pair->listener);
    sockmap_destroy(pair->sockmap);
}

static struct sockmap_counts counts_of(struct sockmap *sockmap)
{
    struct sockmap_counts counts = {0};
    CHECK(sockmap_count(sockmap, &counts) == 0);
    return counts;
}

static void say(int from, const char *text)
{
    CHECK(send(from, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void hear(int at, const char *text)
{
    char got[64] = "";
    ssize_t size = recv(at, got, sizeof(got) - 1, 0);
    CHECK(size == (ssize_t)strlen(text) && strcmp(got, text) == 0, "heard %zd \"%s\"", size, got);
}

TEST(sockmap_counts_nothing_of_its_own_trial)
{
    owned(sockmap) sockmap = load_or_skip();
    struct sockmap_counts none = {0}, counts = counts_of(sockmap);
    CHECK(memcmp(&counts, &none, sizeof(none)) == 0);
}

TEST(sockmap_takes_messages_of_both_directions)
{
    struct pair pair;
    open_pair(&pair);
    for (int i = 0; i < 10; i++) {
        say(pair.application, "ask");
        hear(pair.proxy, "ask");
        say(pair.proxy, "answer");
        hear(pair.application, "answer");
    }
    struct sockmap_counts counts = counts_of(pair.sockmap);
    CHECK(counts.pairs == 1 && counts.messages == 20 && counts.bytes == 90);
    close_pair(&pair);
}

/* The application's listener, the proxy dials: what it claims before it connects is paired too. */
TEST(sockmap_takes_what_a_claimed_socket_dials)
{
    owned(sockmap) sockmap = load_or_skip();
    int listener = open_listener(sockmap, 0, false);
    struct sockaddr_in at;
    socklen_t size = sizeof(at);
    int proxy = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(sockmap_claim(sockmap, proxy) == 0 && !sockmap_holds(sockmap, proxy));
    CHECK(getsockname(listener, (void *)&at, &size) == 0);
    CHECK(connect(proxy, (void *)&at, size) == 0);
    /* Before the application has accepted, too. */
    say(proxy, "early");
    int application = accept(listener, NULL, NULL);
    hear(application, "early");
    say(application, "answer");
    hear(proxy, "answer");
    CHECK(counts_of(sockmap).messages == 2);
    close(listener);
    close(proxy);
    close(application);
}

TEST(sockmap_leaves_connections_between_applications_alone)
{
    owned(sockmap) sockmap = load_or_skip();
    int listener = open_listener(sockmap, 0, false);
    int one = open_client(listener), two = accept(listener, NULL, NULL);
    CHECK(!sockmap_holds(sockmap, two));
    say(one, "ask");
    hear(two, "ask");
    say(two, "answer");
    hear(one, "answer");
    struct sockmap_counts counts = counts_of(sockmap);
    CHECK(counts.pairs == 0 && counts.messages == 0 && counts.left_alone == 1);
    close(listener);
    close(one);
    close(two);
}

TEST(sockmap_leaves_connections_between_proxies_alone)
{
    owned(sockmap) sockmap = load_or_skip();
    int listener = open_listener(sockmap, 0, true);
    struct sockaddr_in at;
    socklen_t size = sizeof(at);
    int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(sockmap_claim(sockmap, one) == 0);
    CHECK(getsockname(listener, (void *)&at, &size) == 0);
    CHECK(connect(one, (void *)&at, size) == 0);
    int two = accept(listener, NULL, NULL);
    CHECK(!sockmap_holds(sockmap, two));
    say(one, "ask");
    hear(two, "ask");
    CHECK(counts_of(sockmap).messages == 0);
    close(listener);
    close(one);
    close(two);
}

/* --- two networks with equal addresses --------------------------------------------------------- */

enum { NETWORKS = 2, SERVER_PORT = 15001, CLIENT_PORT = 20000 };

struct network {
    struct sockmap *sockmap;
    int listener, application, proxy;
};

static void open_network(struct network *network)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_port = htons(CLIENT_PORT),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in to = from;
    to.sin_port = htons(SERVER_PORT);
    loopback_up();
    network->listener = open_listener(network->sockmap, SERVER_PORT, true);
    network->application = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(network->application, (void *)&from, sizeof(from)) == 0);
    CHECK(connect(network->application, (void *)&to, sizeof(to)) == 0);
    network->proxy = accept(network->listener, NULL, NULL);
}

static void *live_in_new_network(void *argument)
{
    CHECK(unshare(CLONE_NEWNET) == 0);
    open_network(argument);
    return NULL;
}

TEST(sockmap_keeps_networks_with_equal_addresses_apart)
{
    owned(sockmap) sockmap = load_or_skip();
    struct network networks[NETWORKS] = {{.sockmap = sockmap}, {.sockmap = sockmap}};
    static const char *const words[NETWORKS] = {"left", "right"};
    for (int i = 0; i < NETWORKS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, live_in_new_network, &networks[i]) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    for (int i = 0; i < NETWORKS; i++) {
        say(networks[i].application, words[i]);
        say(networks[i].proxy, words[i]);
    }
    for (int i = 0; i < NETWORKS; i++) {
        hear(networks[i].proxy, words[i]);
        hear(networks[i].application, words[i]);
    }
    CHECK(counts_of(sockmap).messages == 2 * NETWORKS);
    for (int i = 0; i < NETWORKS; i++) {
        close(networks[i].application);
        close(networks[i].proxy);
        close(networks[i].listener);
    }
}

/* --- ends -------------------------------------------------------------------------------------- */

TEST(sockmap_delivers_a_fin_after_the_bytes)
{
    for (int i = 0; i < 10; i++) {
        struct pair pair;
        open_pair(&pair);
        say(pair.application, "last words");
        CHECK(shutdown(pair.application, SHUT_WR) == 0);
        hear(pair.proxy, "last words");
        hear(pair.proxy, "");
        say(pair.proxy, "answer");
        CHECK(shutdown(pair.proxy, SHUT_WR) == 0);
        hear(pair.application, "answer");
        hear(pair.application, "");
        close_pair(&pair);
    }
}

TEST(sockmap_keeps_bytes_of_a_peer_that_closed)
{
    struct pair pair;
    open_pair(&pair);
    say(pair.proxy, "answer");
    close(pair.proxy);
    hear(pair.application, "answer");
    hear(pair.application, "");
    pair.proxy = -1;
    close_pair(&pair);
}

/* The owner of maps and programs ends while an answer waits for its reader. */
TEST(sockmap_keeps_bytes_when_it_is_destroyed)
{
    struct pair pair;
    open_pair(&pair);
    say(pair.proxy, "answer");
    close(pair.proxy);
    close(pair.listener);
    sockmap_destroy(pair.sockmap);
    usleep(100000); /* the kernel frees behind our back, if it does */
    hear(pair.application, "answer");
    hear(pair.application, "");
    close(pair.application);
}

TEST(sockmap_tells_of_a_reset)
{
    struct pair pair;
    struct linger abort = {.l_onoff = 1};
    char byte;
    open_pair(&pair);
    say(pair.application, "last words");
    CHECK(setsockopt(pair.application, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)) == 0);
    close(pair.application);
    hear(pair.proxy, "last words");
    CHECK(recv(pair.proxy, &byte, 1, 0) < 0 && errno == ECONNRESET, "%s", strerror(errno));
    pair.application = -1;
    close_pair(&pair);
}

/* Once for each arrival, as an edge-triggered reader needs it. */
TEST(sockmap_wakes_an_edge_triggered_reader)
{
    struct pair pair;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    open_pair(&pair);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, pair.proxy, &event) == 0);
    for (int i = 0; i < 100; i++) {
        say(pair.application, "ask");
        CHECK(epoll_wait(epoll, &got, 1, 1000) == 1 && got.events == EPOLLIN);
        hear(pair.proxy, "ask");
    }
    CHECK(shutdown(pair.application, SHUT_WR) == 0);
    CHECK(epoll_wait(epoll, &got, 1, 1000) == 1 && got.events & EPOLLRDHUP);
    close(epoll);
    close_pair(&pair);
}

/* --- back-pressure ----------------------------------------------------------------------------- */

enum { PIECE = 10007, MOST = 64 << 20 };

static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 31 + (place >> 9));
}

static size_t send_until_full(int from)
{
    static uint8_t piece[PIECE];
    size_t sent = 0;
    ssize_t part = 1;
    while (part > 0 && sent < MOST) {
        for (size_t i = 0; i < PIECE; i++)
            piece[i] = byte_at(sent + i);
        part = send(from, piece, PIECE, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += part > 0 ? (size_t)part : 0;
    }
    return sent;
}

static void read_all(int at, size_t sent)
{
    static uint8_t piece[PIECE];
    for (size_t got = 0; got < sent;) {
        ssize_t part = recv(at, piece, PIECE, 0);
        CHECK(part > 0, "after %zu of %zu: %s", got, sent, strerror(errno));
        for (size_t i = 0; i < (size_t)part; i++)
            CHECK(piece[i] == byte_at(got + i), "byte %zu of %zu", got + i, sent);
        got += (size_t)part;
    }
}

static size_t room_of(int fd)
{
    int bytes = 0;
    socklen_t size = sizeof(bytes);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size) == 0);
    return MIN((size_t)bytes / 4, (size_t)SOCKMAP_QUEUE_BYTES);
}

TEST(sockmap_gives_a_stalled_reader_to_tcp_in_order)
{
    struct pair pair;
    open_pair(&pair);
    for (int direction = 0; direction < 2; direction++) {
        int from = direction ? pair.proxy : pair.application;
        int to = direction ? pair.application : pair.proxy;
        uint64_t before = counts_of(pair.sockmap).bytes;
        size_t most = room_of(to);
        size_t sent = send_until_full(from);
        uint64_t taken = counts_of(pair.sockmap).bytes - before;
        CHECK(sent > most && sent < MOST, "%zu", sent);
        CHECK(taken <= most && taken > most - PIECE);
        struct pollfd writable = {.fd = from, .events = POLLOUT};
        CHECK(poll(&writable, 1, 0) == 0);
        read_all(to, sent);
        CHECK(poll(&writable, 1, 1000) == 1);
        CHECK(counts_of(pair.sockmap).left_full == (uint64_t)direction + 1);
    }
    /* For good. */
    uint64_t messages = counts_of(pair.sockmap).messages;
    say(pair.application, "ask");
    hear(pair.proxy, "ask");
    CHECK(counts_of(pair.sockmap).messages == messages);
    close_pair(&pair);
}

TEST(sockmap_takes_as_much_as_fits_and_no_byte_more)
{
    static char piece[SOCKMAP_QUEUE_BYTES];
    struct pair pair;
    open_pair(&pair);
    size_t most = room_of(pair.proxy);
    for (int half = 0; half < 2; half++)
        CHECK(send(pair.application, piece, most / 2, 0) == (ssize_t)(most / 2));
    CHECK(counts_of(pair.sockmap).bytes == most && counts_of(pair.sockmap).left_full == 0);
    CHECK(send(pair.application, piece, 1, 0) == 1);
    CHECK(counts_of(pair.sockmap).bytes == most && counts_of(pair.sockmap).left_full == 1);
    close_pair(&pair);
}

/* --- what an application may notice (docs/decisions/0008) ---------------------------------------- */

static void on_alarm(int signal)
{
    (void)signal;
}

/* Either as TCP does it, or the known way; anything else is news. */
static void observe(const char *what, bool is_tcps, bool is_known)
{
    print_message("%s: %s\n", what, is_tcps ? "as by TCP" : "not as by TCP");
    CHECK(is_tcps || is_known, "%s", what);
}

TEST(sockmap_lets_an_application_peek)
{
    struct pair pair;
    char got[8] = "";
    open_pair(&pair);
    say(pair.proxy, "answer");
    CHECK(recv(pair.application, got, 3, MSG_PEEK) == 3 && memcmp(got, "ans", 3) == 0);
    CHECK(recv(pair.application, got, 6, MSG_PEEK) == 6);
    hear(pair.application, "answer");
    close_pair(&pair);
}

TEST(sockmap_is_noticed_by_ioctl)
{
    struct pair pair;
    int waiting = -1;
    open_pair(&pair);
    say(pair.proxy, "answer");
    CHECK(ioctl(pair.application, FIONREAD, &waiting) == 0);
    observe("FIONREAD tells what waits", waiting == 6, waiting == 0);
    hear(pair.application, "answer");
    close_pair(&pair);
}

TEST(sockmap_is_noticed_by_waitall)
{
    struct pair pair;
    char got[8];
    open_pair(&pair);
    pid_t child = fork();
    if (child == 0) {
        usleep(100000);
        (void)!send(pair.proxy, "wer", 3, 0);
        _exit(0);
    }
    say(pair.proxy, "ans");
    ssize_t size = recv(pair.application, got, 6, MSG_WAITALL);
    observe("MSG_WAITALL waits for all", size == 6, size == 3);
    waitpid(child, NULL, 0);
    close_pair(&pair);
}

TEST(sockmap_is_noticed_by_splice)
{
    struct pair pair;
    int pipe[2];
    open_pair(&pair);
    CHECK(pipe2(pipe, O_CLOEXEC) == 0);
    CHECK(fcntl(pair.application, F_SETFL, O_NONBLOCK) == 0);
    say(pair.proxy, "answer");
    ssize_t size = splice(pair.application, NULL, pipe[1], NULL, 64, SPLICE_F_NONBLOCK);
    observe("splice() sees what waits", size == 6, size < 0 && errno == EAGAIN);
    close(pipe[0]);
    close(pipe[1]);
    close_pair(&pair);
}

TEST(sockmap_is_noticed_by_a_blocking_read_and_a_signal)
{
    struct pair pair;
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value.tv_usec = 50000};
    char byte;
    open_pair(&pair);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0);
    ssize_t size = recv(pair.application, &byte, 1, 0);
    observe("a signal gives EINTR", size < 0 && errno == EINTR, size < 0 && errno == EAGAIN);
    close_pair(&pair);
}

TEST(sockmap_is_noticed_by_a_blocking_read_and_a_reset)
{
    struct pair pair;
    struct linger abort = {.l_onoff = 1};
    char byte;
    open_pair(&pair);
    pid_t child = fork();
    if (child == 0) {
        usleep(100000);
        setsockopt(pair.proxy, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
        _exit(0);
    }
    close(pair.proxy);
    ssize_t size = recv(pair.application, &byte, 1, 0);
    observe("a reset gives ECONNRESET", size < 0 && errno == ECONNRESET,
            size < 0 && errno == EAGAIN);
    CHECK(recv(pair.application, &byte, 1, 0) <= 0);
    waitpid(child, NULL, 0);
    pair.proxy = -1;
    close_pair(&pair);
}

/* Its own FIN is acknowledged while it sleeps. */
TEST(sockmap_is_noticed_by_a_blocking_read_after_a_half_close)
{
    struct pair pair;
    char byte;
    open_pair(&pair);
    pid_t child = fork();
    if (child == 0) {
        usleep(100000);
        shutdown(pair.application, SHUT_WR);
        usleep(100000);
        (void)!send(pair.proxy, "x", 1, 0);
        _exit(0);
    }
    ssize_t size = recv(pair.application, &byte, 1, 0);
    observe("a half-closed reader waits on", size == 1, size < 0 && errno == EAGAIN);
    /* Who polls first is never told so, and loses nothing. */
    struct pollfd readable = {.fd = pair.application, .events = POLLIN};
    CHECK(size == 1 || (poll(&readable, 1, 1000) == 1 && recv(pair.application, &byte, 1, 0) == 1));
    waitpid(child, NULL, 0);
    close_pair(&pair);
}

TEST(sockmap_is_noticed_by_zero_copy)
{
    static char bytes[65536];
    struct pair pair;
    char control[128];
    struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
    struct pollfd told = {0};
    int one = 1;
    open_pair(&pair);
    CHECK(setsockopt(pair.application, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) == 0);
    CHECK(send(pair.application, bytes, sizeof(bytes), MSG_ZEROCOPY) == sizeof(bytes));
    for (size_t got = 0; got < sizeof(bytes);) {
        ssize_t part = recv(pair.proxy, bytes, sizeof(bytes), 0);
        CHECK(part > 0);
        got += (size_t)part;
    }
    told.fd = pair.application;
    (void)!poll(&told, 1, 200);
    ssize_t size = recvmsg(pair.application, &message, MSG_ERRQUEUE);
    observe("MSG_ZEROCOPY tells when it is done", size == 0, size < 0 && errno == EAGAIN);
    close_pair(&pair);
}

TEST(sockmap_is_noticed_by_a_close_over_unread_bytes)
{
    struct pair pair;
    char byte;
    open_pair(&pair);
    say(pair.application, "unread");
    close(pair.proxy);
    struct pollfd ended = {.fd = pair.application, .events = POLLIN};
    CHECK(poll(&ended, 1, 1000) == 1);
    ssize_t size = recv(pair.application, &byte, 1, 0);
    observe("a close over unread bytes resets", size < 0 && errno == ECONNRESET, size == 0);
    pair.proxy = -1;
    close_pair(&pair);
}

/* --- sharing ----------------------------------------------------------------------------------- */

TEST(sockmap_is_shared_by_its_descriptors)
{
    owned(sockmap) loaded = load_or_skip();
    int fds[SOCKMAP_FDS], copies[SOCKMAP_FDS];
    owned_error error = {0};
    struct sockmap *adopted = NULL;
    sockmap_fds(loaded, fds);
    for (size_t i = 0; i < SOCKMAP_FDS; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
    CHECK(sockmap_adopt(copies, &adopted, &error));
    int listener = open_listener(adopted, 0, true);
    int application = open_client(listener), proxy = accept(listener, NULL, NULL);
    CHECK(sockmap_holds(adopted, proxy));
    say(application, "ask");
    hear(proxy, "ask");
    CHECK(counts_of(adopted).messages == 1);
    close(listener);
    close(application);
    close(proxy);
    sockmap_destroy(adopted);
}

TEST(sockmap_adopts_nothing_else)
{
    owned_error error = {0};
    struct sockmap *adopted = NULL;
    const int fds[SOCKMAP_FDS] = {0, 1, 2};
    CHECK(!sockmap_adopt(fds, &adopted, &error) && adopted == NULL && error_is_set(&error));
}

TEST(sockmap_refuses_a_cgroup_that_is_none)
{
    static const char *const none[] = {"/sys", "/nowhere"};
    EACH (path, none) {
        owned_error error = {0};
        struct sockmap *sockmap = NULL;
        CHECK(!sockmap_load(path, 1, &sockmap, &error) && error_is_set(&error), "%s", *path);
    }
}
