#include "control/ca/signer.h"

#include "base/log.h"
#include "base/memory.h"
#include "control/ca/authority.h"
#include "control/ca/signer_wire_internal.h"
#include "tls/certificate.h"
#include "tls/identity.h"
#include "tls/key_pair.h"
#include "tls/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct signer {
    int socket; /* -1: the child is gone for good */
    pid_t guard;
    uint64_t next_number;
    struct list waiting; /* orders, the oldest first; those that are sent come first */
    size_t waiting_count;
    struct task answer_task; /* fails orders that cannot be sent */
    char *inbox;
    /* What the child told when it became ready. */
    struct signer_trust trust;
    struct buffer chain, roots;
    char *warning;
    int64_t renew_s;
    /* While started. */
    struct loop *loop;
    struct watch watch;
    struct timer renew_timer;
    bool wants_write;
    void (*on_change)(void *owner);
    void *owner;
};

enum { READY_WAIT_S = 30, RENEW_TIMER_MAX_MS = 6 * 3600 * 1000 };

static void run_answers(struct task *task);
static void on_ready(struct watch *watch, unsigned ready);

/* What the child says about itself. */

static bool learn(struct signer *signer, struct wire_reader *reader, bool *follows_crash)
{
    *follows_crash = wire_take_number(reader) != 0;
    int64_t expiry_s = (int64_t)wire_take_number(reader),
            renew_s = (int64_t)wire_take_number(reader);
    struct slice chain = wire_take_text(reader), roots = wire_take_text(reader),
                 warning = wire_take_text(reader);
    struct trust_source source = {.roots = roots};
    struct tls_trust *set = NULL;
    if (!reader->good || !tls_trust_create(&source, 1, &set, NULL))
        return false;
    signer->trust.generation = tls_trust_generation(set);
    tls_trust_unref(set);
    buffer_reset(&signer->chain);
    buffer_append_slice(&signer->chain, chain);
    buffer_reset(&signer->roots);
    buffer_append_slice(&signer->roots, roots);
    mem_free(signer->warning);
    signer->warning = slice_to_str(warning);
    signer->renew_s = renew_s;
    signer->trust.chain = buffer_slice(&signer->chain);
    signer->trust.roots = buffer_slice(&signer->roots);
    signer->trust.expiry_s = expiry_s;
    signer->trust.warning = signer->warning;
    return true;
}

static bool retell(struct wire_reader *reader, struct error *error)
{
    struct slice what = wire_take_text(reader), where = wire_take_text(reader),
                 why = wire_take_text(reader), fix = wire_take_text(reader);
    error_set(error, NULL, "%.*s", SLICE_ARG(what));
    if (where.size > 0)
        error_at(error, "%.*s", SLICE_ARG(where));
    if (why.size > 0)
        error_why(error, "%.*s", SLICE_ARG(why));
    if (fix.size > 0)
        error_fix(error, "%.*s", SLICE_ARG(fix));
    return false;
}

static bool wait_until_ready(struct signer *signer, struct error *error)
{
    struct pollfd poll_for = {.fd = signer->socket, .events = POLLIN};
    int ready;
    do {
        ready = poll(&poll_for, 1, READY_WAIT_S * 1000);
    } while (ready < 0 && errno == EINTR);
    ssize_t size = ready > 0 ? recv(signer->socket, signer->inbox, SIGNER_MESSAGE_MAX, 0) : 0;
    if (size <= 0)
        return error_set(error, NULL, "the signing process %s",
                         ready > 0 ? "ended as it started" : "does not start");
    struct wire_reader reader;
    bool follows_crash;
    switch (wire_read(&reader, slice_of(signer->inbox, (size_t)size))) {
    case SIGNER_READY:
        return learn(signer, &reader, &follows_crash) ||
               error_set(error, NULL,
                         "the signing process and its trust bundle are not understood");
    case SIGNER_BROKEN: return retell(&reader, error);
    case SIGNER_ORDER:
    case SIGNER_RENEW:
    case SIGNER_SIGNED:
    case SIGNER_REFUSED: break;
    }
    return error_set(error, NULL, "the signing process says something unknown");
}

/* Life. */

static bool fork_guard(struct signer *signer, const char *folder, const char *trust_domain,
                       struct error *error)
{
    int ends[2], size = 1 << 20;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(error, NULL, "no socket pair for the signing process: %s",
                         strerror(errno));
    /* Room for the largest message beside others; the kernel's own limit may be lower and still does. */
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    signer->guard = fork();
    if (signer->guard == 0)
        signer_guard_run(ends[1], folder, trust_domain);
    close(ends[1]);
    signer->socket = ends[0];
    return signer->guard > 0 ||
           error_set(error, NULL, "the signing process cannot be forked: %s", strerror(errno));
}

bool signer_create(const char *folder, const char *trust_domain, struct signer **out,
                   struct error *error)
{
    owned(signer) signer = mem_new(struct signer);
    signer->socket = -1;
    signer->inbox = mem_alloc(SIGNER_MESSAGE_MAX);
    list_init(&signer->waiting);
    task_init(&signer->answer_task, run_answers);
    if (!fork_guard(signer, folder, trust_domain, error) || !wait_until_ready(signer, error))
        return false;
    fcntl(signer->socket, F_SETFL, O_NONBLOCK);
    *out = give(signer);
    return true;
}

void signer_destroy(struct signer *signer)
{
    if (!signer)
        return;
    signer_stop(signer);
    assert(list_is_empty(&signer->waiting));
    if (signer->socket >= 0)
        close(signer->socket); /* the child sees the end, and then the guard does */
    while (signer->guard > 0 && waitpid(signer->guard, NULL, 0) < 0 && errno == EINTR)
        continue;
    buffer_fini(&signer->chain);
    buffer_fini(&signer->roots);
    mem_free(signer->warning);
    mem_free(signer->inbox);
    mem_free(signer);
}

const struct signer_trust *signer_trust(const struct signer *signer)
{
    return &signer->trust;
}

bool signer_is_alive(const struct signer *signer)
{
    return signer->socket >= 0;
}

/* Answers. */

static void take_off(struct signer *signer, struct signer_order *order)
{
    list_remove(&order->node);
    order->node.next = order->node.prev = NULL;
    order->is_sent = false;
    signer->waiting_count--;
    buffer_fini(&order->message);
}

static void answer(struct signer *signer, struct signer_order *order,
                   const struct signer_answer *what)
{
    char *spiffe_id = give(order->spiffe_id); /* the order may be gone after its callback */
    take_off(signer, order);
    order->on_answer(order, what);
    mem_free(spiffe_id);
}

static void fail_order(struct signer *signer, struct signer_order *order, const char *what)
{
    struct error error = {0};
    error_set(&error, NULL, "%s", what);
    error_fix(&error, "try again in a moment");
    answer(signer, order, &(struct signer_answer){.error = &error, .try_again = true});
    error_fini(&error);
}

static void fail_orders(struct signer *signer, bool only_sent, const char *what)
{
    /* One at a time from the front: a callback may cancel others or order anew, which goes to the back. */
    for (size_t count = signer->waiting_count; count > 0 && !list_is_empty(&signer->waiting);
         count--) {
        struct signer_order *order = LIST_ENTRY(signer->waiting.next, struct signer_order, node);
        if (only_sent && !order->is_sent)
            return;
        fail_order(signer, order, what);
    }
}

static struct signer_order *find(struct signer *signer, uint64_t number)
{
    LIST_EACH(node, &signer->waiting)
    {
        struct signer_order *order = LIST_ENTRY(node, struct signer_order, node);
        if (order->number == number)
            return order; /* answers come in order, so it is the first unless some were cancelled */
    }
    return NULL;
}

static void on_signed(struct signer *signer, struct wire_reader *reader)
{
    struct signer_order *order = find(signer, wire_take_number(reader));
    struct signer_answer good = {.good = true};
    good.record.not_before_s = (int64_t)wire_take_number(reader);
    good.record.not_after_s = (int64_t)wire_take_number(reader);
    struct slice serial = wire_take_text(reader), der = wire_take_text(reader);
    if (!order)
        return; /* cancelled */
    if (!reader->good || serial.size != AUTHORITY_SERIAL_BYTES) {
        fail_order(signer, order, "the signing process answers in a way that is not understood");
        return;
    }
    struct buffer pem = {0};
    certificate_write_pem(der, &pem);
    for (size_t i = 0; i < serial.size; i++)
        snprintf(good.record.serial + 2 * i, 3, "%02x", (uint8_t)serial.data[i]);
    good.record.spiffe_id = slice_str(order->spiffe_id);
    sha256(der, good.record.certificate_hash);
    good.certificate = buffer_slice(&pem);
    answer(signer, order, &good);
    buffer_fini(&pem);
}

static void on_refused(struct signer *signer, struct wire_reader *reader)
{
    struct signer_order *order = find(signer, wire_take_number(reader));
    struct slice what = wire_take_text(reader), fix = wire_take_text(reader);
    if (!order)
        return;
    struct error error = {0};
    error_set(&error, NULL, "%.*s", SLICE_ARG(what));
    if (fix.size > 0)
        error_fix(&error, "%.*s", SLICE_ARG(fix));
    answer(signer, order, &(struct signer_answer){.error = &error});
    error_fini(&error);
}

/* The renewal timer. */

static int64_t wall_s(void)
{
    return (int64_t)time(NULL);
}

static void start_timer(struct signer *signer);

bool signer_renew(struct signer *signer)
{
    if (signer->socket < 0)
        return false;
    struct buffer message = {0};
    wire_start(&message, SIGNER_RENEW);
    ssize_t sent = send(signer->socket, message.data, message.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    buffer_fini(&message);
    return sent > 0;
}

static void on_renewal_due(struct timer *timer)
{
    struct signer *signer = CONTAINER_OF(timer, struct signer, renew_timer);
    if (wall_s() >= signer->renew_s && signer_renew(signer))
        signer->renew_s = wall_s() + RENEW_TIMER_MAX_MS / 1000; /* in case nothing comes of it */
    start_timer(signer);
}

static void start_timer(struct signer *signer)
{
    int64_t left_ms = (signer->renew_s - wall_s()) * 1000;
    uint64_t delay_ms = (uint64_t)MAX(MIN(left_ms, (int64_t)RENEW_TIMER_MAX_MS), (int64_t)1000);
    loop_timer_start(signer->loop, &signer->renew_timer, delay_ms, on_renewal_due);
}

/* Sending and receiving. */

static void want_write(struct signer *signer, bool wanted)
{
    if (wanted == signer->wants_write || signer->socket < 0)
        return;
    signer->wants_write = wanted;
    if (loop_watch_change(signer->loop, &signer->watch,
                          wanted ? LOOP_READABLE | LOOP_WRITABLE : LOOP_READABLE) < 0)
        log_error("ca", "the signing process cannot be watched for writing");
}

static void send_orders(struct signer *signer)
{
    LIST_EACH(node, &signer->waiting)
    {
        struct signer_order *order = LIST_ENTRY(node, struct signer_order, node);
        if (order->is_sent || order->refusal)
            continue;
        ssize_t sent = send(signer->socket, order->message.data, order->message.size,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)) {
            want_write(signer, true);
            return;
        }
        order->is_sent = true; /* or the end of the socket will be told by reading */
        buffer_fini(&order->message);
    }
    want_write(signer, false);
}

static void lose(struct signer *signer)
{
    log_error("ca", "the signing process is gone for good: no certificate can be issued until "
                    "tulled is restarted");
    loop_unwatch(signer->loop, &signer->watch);
    close(signer->socket);
    signer->socket = -1;
    fail_orders(signer, false, "the signing process is gone");
    if (signer->on_change)
        signer->on_change(signer->owner);
}

static void on_ready_again(struct signer *signer, struct wire_reader *reader)
{
    bool follows_crash = false;
    if (!learn(signer, reader, &follows_crash))
        return;
    log_info("ca", "the signing process is %s", follows_crash ? "back after a crash" : "renewed");
    start_timer(signer);
    if (follows_crash)
        fail_orders(signer, true, "the signing process failed while it held this order");
    if (signer->on_change)
        signer->on_change(signer->owner);
}

/* The authority could not be opened again. The guard keeps trying; nobody has to wait for that. */
static void on_broken(struct signer *signer, struct wire_reader *reader)
{
    owned_error error = {0};
    retell(reader, &error);
    char *text = error_text(&error, true);
    log_error("ca", "%s", text);
    mem_free(signer->warning);
    signer->warning = text;
    signer->trust.warning = text;
    fail_orders(signer, false, "the certificate authority cannot be opened");
    if (signer->on_change)
        signer->on_change(signer->owner);
}

static void take_message(struct signer *signer, struct slice message)
{
    struct wire_reader reader;
    switch (wire_read(&reader, message)) {
    case SIGNER_SIGNED: on_signed(signer, &reader); break;
    case SIGNER_REFUSED: on_refused(signer, &reader); break;
    case SIGNER_READY: on_ready_again(signer, &reader); break;
    case SIGNER_BROKEN: on_broken(signer, &reader); break;
    case SIGNER_ORDER:
    case SIGNER_RENEW: break;
    }
}

static void on_ready(struct watch *watch, unsigned ready)
{
    enum { MESSAGES_A_TURN = 64 };
    struct signer *signer = CONTAINER_OF(watch, struct signer, watch);
    for (int i = 0; i < MESSAGES_A_TURN && signer->loop && signer->socket >= 0; i++) {
        ssize_t size = recv(signer->socket, signer->inbox, SIGNER_MESSAGE_MAX, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (size <= 0) {
            lose(signer);
            return;
        }
        take_message(signer, slice_of(signer->inbox, (size_t)size));
    }
    if (signer->loop && signer->socket >= 0 && (ready & LOOP_WRITABLE))
        send_orders(signer);
}

int signer_start(struct signer *signer, struct loop *loop, void (*on_change)(void *owner),
                 void *owner)
{
    signer->loop = loop;
    signer->on_change = on_change;
    signer->owner = owner;
    int failed = loop_watch(loop, &signer->watch, signer->socket, LOOP_READABLE, on_ready);
    if (failed) {
        signer->loop = NULL;
        return failed;
    }
    start_timer(signer);
    return 0;
}

void signer_stop(struct signer *signer)
{
    if (!signer->loop)
        return;
    loop_unwatch(signer->loop, &signer->watch);
    loop_timer_stop(signer->loop, &signer->renew_timer);
    loop_task_cancel(&signer->answer_task);
    signer->wants_write = false;
    signer->loop = NULL;
}

/* Orders. */

/* What the child would refuse by its size alone, and what would not fit into a message. */
static const char *size_refusal(const struct authority_order *what)
{
    if (what->request.size > CSR_BYTES_MAX)
        return "the certificate request is larger than 16 KB";
    if (what->spiffe_id.size > SPIFFE_ID_MAX)
        return "the identity to certify is longer than 2048 bytes";
    if (what->dns_count > AUTHORITY_DNS_NAMES_MAX)
        return "too many DNS names are asked for";
    for (size_t i = 0; i < what->dns_count; i++) {
        if (what->dns_names[i].size > 253)
            return "a DNS name is longer than 253 bytes";
    }
    return NULL;
}

static void write_order(struct signer_order *order, const struct authority_order *what)
{
    wire_start(&order->message, SIGNER_ORDER);
    wire_put_number(&order->message, order->number);
    wire_put_number(&order->message, (uint64_t)what->lifetime_s);
    wire_put_text(&order->message, what->spiffe_id);
    wire_put_text(&order->message, what->request);
    wire_put_number(&order->message, what->dns_count);
    for (size_t i = 0; i < what->dns_count; i++)
        wire_put_text(&order->message, what->dns_names[i]);
}

static void refuse_orders(struct signer *signer)
{
    LIST_EACH_SAFE(node, after, &signer->waiting)
    {
        struct signer_order *order = LIST_ENTRY(node, struct signer_order, node);
        if (!order->refusal)
            continue;
        struct error error = {0};
        error_set(&error, NULL, "%s", order->refusal);
        answer(signer, order, &(struct signer_answer){.error = &error});
        error_fini(&error);
        loop_run_later(signer->loop,
                       &signer->answer_task); /* the callback may have changed the list */
        return;
    }
}

/* What signer_sign leaves to the turn after it: sending, and the orders that are refused here. */
static void run_answers(struct task *task)
{
    struct signer *signer = CONTAINER_OF(task, struct signer, answer_task);
    refuse_orders(signer);
    if (signer->socket < 0) {
        fail_orders(signer, false, "the signing process is gone");
        return;
    }
    while (signer->waiting_count > SIGNER_WAITING_MAX)
        fail_order(signer, LIST_ENTRY(signer->waiting.prev, struct signer_order, node),
                   "too many certificates are waiting to be signed");
    send_orders(signer);
}

void signer_sign(struct signer *signer, struct signer_order *order,
                 const struct authority_order *what,
                 void (*on_answer)(struct signer_order *order, const struct signer_answer *answer))
{
    assert(signer->loop && !order->node.next);
    order->number = ++signer->next_number;
    order->on_answer = on_answer;
    order->is_sent = false;
    order->spiffe_id = slice_to_str(what->spiffe_id);
    order->refusal = size_refusal(what);
    if (!order->refusal)
        write_order(order, what);
    list_push_back(&signer->waiting, &order->node);
    signer->waiting_count++;
    loop_run_later(signer->loop, &signer->answer_task);
}

void signer_cancel(struct signer *signer, struct signer_order *order)
{
    if (!order->node.next)
        return;
    take_off(signer, order);
    mem_free(give(order->spiffe_id));
}
