/*
 * dns: c-ares on a loop: its sockets are watched, its timeouts are one timer.
 *
 * c-ares may answer from inside a question; such answers are held back for the next phase of the loop.
 */
#include "base/list.h"
#include "base/memory.h"
#include "io/loop.h"
#include "io/resolver_internal.h"
#include "io/socket.h"

#include <ares.h>
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/time.h>

struct dns {
    struct loop *loop;
    ares_channel channel;
    struct timer timer;
    struct list sockets;
    uint32_t mark;
    struct list done; /* questions whose answer waits for `report` */
    struct task report;
    bool is_ending;
};

struct dns_socket {
    struct list node;
    struct watch watch;
    struct dns *dns;
};

struct question {
    struct list node;
    struct dns *dns;
    dns_on_answer *on_answer;
    void *owner;
    struct dns_answer answer;
    VECTOR(struct address) addresses;
};

/* --- time and sockets ------------------------------------------------------------------------ */

static void rearm(struct dns *dns);

static void on_timer(struct timer *timer)
{
    struct dns *dns = CONTAINER_OF(timer, struct dns, timer);
    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(dns);
}

static void rearm(struct dns *dns)
{
    struct timeval left;
    loop_timer_stop(dns->loop, &dns->timer);
    if (dns->is_ending || !ares_timeout(dns->channel, NULL, &left))
        return;
    uint64_t ms = (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1;
    loop_timer_start(dns->loop, &dns->timer, ms, on_timer);
}

static void on_ready(struct watch *watch, unsigned ready)
{
    struct dns_socket *entry = CONTAINER_OF(watch, struct dns_socket, watch);
    struct dns *dns = entry->dns;
    int fd = watch->fd;
    ares_process_fd(dns->channel, ready & LOOP_READABLE ? fd : ARES_SOCKET_BAD,
                    ready & LOOP_WRITABLE ? fd : ARES_SOCKET_BAD);
    rearm(dns);
}

static struct dns_socket *find_socket(struct dns *dns, int fd)
{
    LIST_EACH(node, &dns->sockets)
    {
        struct dns_socket *entry = LIST_ENTRY(node, struct dns_socket, node);
        if (entry->watch.fd == fd)
            return entry;
    }
    return NULL;
}

static void forget_socket(struct dns *dns, struct dns_socket *entry)
{
    loop_unwatch(dns->loop, &entry->watch);
    list_remove(&entry->node);
    mem_free(entry);
}

/* c-ares tells what it wants to hear of a socket; neither means that it is about to close it. */
static void on_socket_state(void *owner, ares_socket_t fd, int wants_read, int wants_write)
{
    struct dns *dns = owner;
    struct dns_socket *entry = find_socket(dns, fd);
    unsigned events = (wants_read ? LOOP_READABLE : 0u) | (wants_write ? LOOP_WRITABLE : 0u);
    if (!events) {
        if (entry)
            forget_socket(dns, entry);
        return;
    }
    int error;
    if (entry) {
        error = loop_watch_change(dns->loop, &entry->watch, events);
    } else {
        entry = mem_new(struct dns_socket);
        entry->dns = dns;
        list_push_back(&dns->sockets, &entry->node);
        error = loop_watch(dns->loop, &entry->watch, fd, events, on_ready);
    }
    /* Out of kernel memory: the question times out and is asked again. */
    if (error)
        forget_socket(dns, entry);
}

/* Before it connects; anything but 0 has c-ares give the socket up. */
static int on_socket_made(ares_socket_t fd, int type, void *owner)
{
    const struct dns *dns = owner;
    (void)type;
    return dns->mark == 0 || socket_set(fd, SOL_SOCKET, SO_MARK, (int)dns->mark) == 0 ? 0 : -1;
}

/* --- answers --------------------------------------------------------------------------------- */

static enum resolve_status status_of(int code)
{
    switch (code) {
    case ARES_SUCCESS: return RESOLVE_OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME: return RESOLVE_NO_NAME;
    default: return RESOLVE_FAILED;
    }
}

static void collect(struct question *question, const struct ares_addrinfo *found)
{
    unsigned ttl_s = UINT_MAX;
    for (const struct ares_addrinfo_node *node = found->nodes; node; node = node->ai_next) {
        struct address address = address_from(node->ai_addr, node->ai_addrlen);
        if (!address_is_ip(&address))
            continue;
        address_set_port(&address, 0);
        vector_push(&question->addresses, address);
        ttl_s = MIN(ttl_s, node->ai_ttl > 0 ? (unsigned)node->ai_ttl : 0u);
    }
    question->answer.ttl_s = ttl_s;
}

static void on_ares_answer(void *owner, int code, int timeouts, struct ares_addrinfo *found)
{
    (void)timeouts;
    struct question *question = owner;
    struct dns *dns = question->dns;
    question->answer.status = status_of(code);
    question->answer.why = code == ARES_SUCCESS ? "" : ares_strerror(code);
    if (found)
        collect(question, found);
    ares_freeaddrinfo(found);
    if (question->answer.status == RESOLVE_OK && question->addresses.count == 0) {
        question->answer.status = RESOLVE_NO_NAME;
        question->answer.why = "the name has no address";
    }
    list_push_back(&dns->done, &question->node);
    if (!dns->is_ending)
        loop_run_later(dns->loop, &dns->report);
}

static void question_free(struct question *question)
{
    list_remove(&question->node);
    vector_fini(&question->addresses);
    mem_free(question);
}

static void on_report(struct task *task)
{
    struct dns *dns = CONTAINER_OF(task, struct dns, report);
    while (!list_is_empty(&dns->done)) {
        struct question *question = LIST_ENTRY(dns->done.next, struct question, node);
        question->answer.addresses = question->addresses.items;
        question->answer.count = question->addresses.count;
        question->on_answer(question->owner, &question->answer);
        question_free(question);
    }
}

void dns_ask(struct dns *dns, const char *name, int family, dns_on_answer *on_answer, void *owner)
{
    /* Our own order is better than one that needs a socket an address. */
    const struct ares_addrinfo_hints hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    struct question *question = mem_new(struct question);
    question->dns = dns;
    question->on_answer = on_answer;
    question->owner = owner;
    ares_getaddrinfo(dns->channel, name, NULL, &hints, on_ares_answer, question);
    rearm(dns);
}

/* --- making ---------------------------------------------------------------------------------- */

static int errno_of(int code)
{
    return code == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

int dns_create(struct loop *loop, const struct resolver_options *options, struct dns **out)
{
    if (loop_backend(loop) == LOOP_SIM)
        return -ENOTSUP;
    int code = ares_library_init(ARES_LIB_INIT_ALL);
    if (code)
        return errno_of(code);
    struct dns *dns = mem_new(struct dns);
    struct ares_options ares = {
        .timeout = (int)MIN(options->timeout_ms, 600000u),
        .tries = (int)MIN(options->tries, 10u),
        .lookups = options->is_hosts_ignored ? (char[]){"b"} : (char[]){"fb"},
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = dns,
    };
    dns->loop = loop;
    dns->mark = options->mark;
    list_init(&dns->sockets);
    list_init(&dns->done);
    task_init(&dns->report, on_report);
    code = ares_init_options(&dns->channel, &ares,
                             ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                                 ARES_OPT_SOCK_STATE_CB);
    if (code == ARES_SUCCESS && options->servers) {
        code = ares_set_servers_ports_csv(dns->channel, options->servers);
        if (code)
            ares_destroy(dns->channel);
    }
    if (code == ARES_SUCCESS)
        ares_set_socket_configure_callback(dns->channel, on_socket_made, dns);
    if (code) {
        mem_free(dns);
        ares_library_cleanup();
        return errno_of(code);
    }
    *out = dns;
    return 0;
}

void dns_destroy(struct dns *dns)
{
    if (!dns)
        return;
    dns->is_ending = true;
    ares_destroy(dns->channel); /* answers every question with ARES_EDESTRUCTION */
    ares_library_cleanup();
    loop_timer_stop(dns->loop, &dns->timer);
    loop_task_cancel(&dns->report);
    while (!list_is_empty(&dns->done))
        question_free(LIST_ENTRY(dns->done.next, struct question, node));
    while (!list_is_empty(&dns->sockets))
        forget_socket(dns, LIST_ENTRY(dns->sockets.next, struct dns_socket, node));
    mem_free(dns);
}
