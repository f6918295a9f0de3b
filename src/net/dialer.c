#include "net/dialer.h"

#include "base/memory.h"
#include "base/vector.h"
#include "io/conn.h"
#include "io/interfaces.h"
#include "io/loop.h"
#include "net/namespace_socket.h"

#include <assert.h>
#include <errno.h>

enum { ATTEMPTS_MAX = DIAL_ADDRESSES_MAX };

struct dialer {
    struct dialer_options options;
    VECTOR(struct dialer_own) own;
    struct list dials;
    size_t active;
};

/* One address that is being tried: a conn, or a socket that a helper makes in another namespace. */
struct attempt {
    struct dial *dial;
    struct conn *conn;
    struct address address;
    handle name; /* for the helper's answer; 0 = none is awaited */
    bool is_under_way;
};

struct dial {
    struct list node;
    struct dialer *dialer;
    handle name;
    dialer_on_dialed *on_dialed;
    void *owner;
    struct dial_options options; /* `addresses` is not kept: the attempts have them */
    struct timer timer;          /* of the whole dial */
    struct timer race;           /* when the next address joins */
    struct task go_on;           /* starts the next attempt or answers */
    enum dial_status status;
    int error;
    unsigned started, under_way, count;
    struct attempt attempts[];
};

const char *dial_status_name(enum dial_status status)
{
    switch (status) {
    case DIAL_OK: return "connected";
    case DIAL_FAILED: return "failed";
    case DIAL_TIMED_OUT: return "timed out";
    case DIAL_SELF: return "would be ourselves";
    case DIAL_NO_MEMORY: return "no memory or descriptors";
    }
    return "unknown";
}

/* --- ourselves ------------------------------------------------------------------------------- */

void dialer_set_own(struct dialer *dialer, const struct dialer_own *own, size_t count)
{
    dialer->own.count = 0;
    for (size_t i = 0; i < count; i++)
        vector_push(&dialer->own, own[i]);
}

/* Connecting to a wildcard is connecting to loopback, so it meets any of our addresses. */
static bool meets(const struct dialer *dialer, const struct address *own,
                  const struct address *address)
{
    if (address_port(own) != address_port(address))
        return false;
    if (address_is_wildcard(own) || address_is_wildcard(address))
        return interfaces_are_local(dialer->options.interfaces, address);
    return address_equals_ip(own, address);
}

static bool is_own(const struct dialer *dialer, const struct address *address, bool elsewhere,
                   bool is_udp)
{
    VECTOR_EACH(own, &dialer->own)
    if (own->is_udp == is_udp && (own->is_elsewhere || !elsewhere) &&
        meets(dialer, &own->at, address))
        return true;
    return false;
}

bool dialer_is_own(const struct dialer *dialer, const struct address *address)
{
    return is_own(dialer, address, false, false);
}

bool dialer_is_own_udp(const struct dialer *dialer, const struct address *address,
                       bool is_elsewhere)
{
    return is_own(dialer, address, is_elsewhere, true);
}

/* --- ending ---------------------------------------------------------------------------------- */

static void end_attempt(struct attempt *attempt)
{
    if (!attempt->is_under_way)
        return;
    attempt->is_under_way = false;
    attempt->dial->under_way--;
    if (attempt->name)
        handle_drop(loop_handles(attempt->dial->dialer->options.loop), attempt->name);
    attempt->name = 0;
    conn_close(give(attempt->conn), CONN_ABORT);
}

/* Nothing reports to it any more. */
static void dial_stop(struct dial *dial)
{
    struct loop *loop = dial->dialer->options.loop;
    for (unsigned i = 0; i < dial->count; i++)
        end_attempt(&dial->attempts[i]);
    loop_timer_stop(loop, &dial->timer);
    loop_timer_stop(loop, &dial->race);
    loop_task_cancel(&dial->go_on);
    handle_drop(loop_handles(loop), dial->name);
    list_remove(&dial->node);
    dial->dialer->active--;
}

static void on_reap(struct task *task)
{
    mem_free(CONTAINER_OF(task, struct dial, go_on));
}

static void dial_free(struct dial *dial)
{
    struct loop *loop = dial->dialer->options.loop;
    dial_stop(dial);
    task_init(&dial->go_on, on_reap);
    loop_reap_later(loop, &dial->go_on);
}

/* The last thing done with a dial: the receiver may do anything, also destroy the dialer. */
static void answer(struct dial *dial, const struct dial_result *result)
{
    dialer_on_dialed *on_dialed = dial->on_dialed;
    void *owner = dial->owner;
    dial_free(dial);
    on_dialed(owner, result);
}

static void answer_failure(struct dial *dial)
{
    struct dial_result result = {.status = dial->status, .error = dial->error};
    if (dial->started > 0)
        result.address = dial->attempts[dial->started - 1].address;
    answer(dial, &result);
}

/* --- attempts -------------------------------------------------------------------------------- */

static void start_next(struct dial *dial);

static void note_failure(struct dial *dial, int error)
{
    bool is_ours = error == ENOMEM || error == EMFILE || error == ENFILE || error == ENOBUFS;
    dial->status = is_ours ? DIAL_NO_MEMORY : DIAL_FAILED;
    dial->error = error;
}

static void attempt_failed(struct attempt *attempt, int error)
{
    struct dial *dial = attempt->dial;
    end_attempt(attempt);
    note_failure(dial, error);
    loop_run_later(dial->dialer->options.loop, &dial->go_on);
}

static void on_connected(void *owner)
{
    struct attempt *attempt = owner;
    struct dial *dial = attempt->dial;
    struct dial_result result = {
        .status = DIAL_OK, .conn = give(attempt->conn), .address = attempt->address};
    if (dial->options.keepalive_s) {
        int error =
            conn_set_keepalive(result.conn, dial->options.keepalive_s,
                               dial->options.keepalive_interval_s, dial->options.keepalive_probes);
        (void)error; /* a Unix socket has none, and needs none */
    }
    answer(dial, &result);
}

static void on_error(void *owner, int error)
{
    attempt_failed(owner, error);
}

static const struct conn_events attempt_events = {
    .on_connected = on_connected,
    .on_error = on_error,
};

static int connect_now(struct attempt *attempt, int fd)
{
    const struct dial_options *options = &attempt->dial->options;
    const struct conn_connect_options connect = {
        .to = attempt->address,
        .from = options->from,
        .mark = options->mark,
        .is_transparent = options->is_transparent,
        .fd = fd,
        .flags = options->conn_flags | (options->sockmap ? CONN_SHORT_CUT : 0u),
        .sockmap = options->sockmap,
    };
    return conn_connect(attempt->dial->dialer->options.loop, &connect, &attempt_events, attempt,
                        &attempt->conn);
}

static void on_namespace_socket(void *owner, int fd)
{
    struct attempt *attempt = owner;
    attempt->name = 0;
    int error = fd < 0 ? fd : connect_now(attempt, fd);
    if (error)
        attempt_failed(attempt, -error);
}

static void start(struct attempt *attempt)
{
    struct dial *dial = attempt->dial;
    struct dialer *dialer = dial->dialer;
    int error = 0;
    attempt->is_under_way = true;
    dial->under_way++;
    if (dial->options.network_namespace <= 0)
        error = connect_now(attempt, 0);
    else if (dialer->options.helpers)
        attempt->name = namespace_socket_make(
            dialer->options.helpers, dialer->options.loop, dial->options.network_namespace,
            attempt->address.any.sa_family, on_namespace_socket, attempt);
    else
        error = -ENOTSUP;
    if (error)
        attempt_failed(attempt, -error);
}

static void on_race(struct timer *timer)
{
    start_next(CONTAINER_OF(timer, struct dial, race));
}

static void start_next(struct dial *dial)
{
    if (dial->started == dial->count)
        return;
    start(&dial->attempts[dial->started++]);
    if (dial->started < dial->count)
        loop_timer_start(dial->dialer->options.loop, &dial->race, DIAL_RACE_DELAY_MS, on_race);
}

static void on_go_on(struct task *task)
{
    struct dial *dial = CONTAINER_OF(task, struct dial, go_on);
    if (dial->started < dial->count)
        start_next(dial);
    else if (dial->under_way == 0)
        answer_failure(dial);
}

static void on_timeout(struct timer *timer)
{
    struct dial *dial = CONTAINER_OF(timer, struct dial, timer);
    dial->status = DIAL_TIMED_OUT;
    dial->error = ETIMEDOUT;
    answer_failure(dial);
}

/* --- which addresses, in which order ----------------------------------------------------------- */

static bool is_usable(struct dial *dial, const struct address *address)
{
    const struct dial_options *options = &dial->options;
    if (is_own(dial->dialer, address, options->network_namespace > 0, false)) {
        dial->status = DIAL_SELF;
        dial->error = 0;
        return false;
    }
    if (!address_is_set(address) ||
        (address_is_set(&options->from) && options->from.any.sa_family != address->any.sa_family)) {
        dial->status = DIAL_FAILED;
        dial->error = EAFNOSUPPORT;
        return false;
    }
    return true;
}

/* The next address of the wanted family, else the next at all; each is taken once. */
static const struct address *take(const struct dial_options *options, uint32_t *taken,
                                  bool wants_v4)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < options->address_count; i++) {
        if (*taken & 1u << i)
            continue;
        if (found == SIZE_MAX)
            found = i;
        if (address_is_v4(&options->addresses[i]) == wants_v4) {
            found = i;
            break;
        }
    }
    *taken |= 1u << found;
    return &options->addresses[found];
}

/* In order of preference, the families by turns (RFC 8305, section 4). */
static void choose_addresses(struct dial *dial, const struct dial_options *options)
{
    uint32_t taken = 0;
    bool wants_v4 = address_is_v4(&options->addresses[0]);
    for (size_t i = 0; i < options->address_count; i++) {
        const struct address *address = take(options, &taken, wants_v4);
        if (is_usable(dial, address))
            dial->attempts[dial->count++] =
                (struct attempt){.dial = dial, .address = address_unmap(address)};
        wants_v4 = !address_is_v4(address);
    }
}

handle dialer_dial(struct dialer *dialer, const struct dial_options *options,
                   dialer_on_dialed *on_dialed, void *owner)
{
    struct loop *loop = dialer->options.loop;
    size_t count = options->address_count;
    assert(count > 0 && count <= DIAL_ADDRESSES_MAX);
    struct dial *dial = mem_calloc(1, sizeof(*dial) + count * sizeof(dial->attempts[0]));
    dial->dialer = dialer;
    dial->on_dialed = on_dialed;
    dial->owner = owner;
    dial->options = *options;
    dial->name = handle_new(loop_handles(loop), dial);
    choose_addresses(dial, options);
    dial->options.addresses = NULL;
    list_push_back(&dialer->dials, &dial->node);
    dialer->active++;
    task_init(&dial->go_on, on_go_on);
    loop_timer_start(loop, &dial->timer,
                     options->timeout_ms ? options->timeout_ms : DIAL_TIMEOUT_MS, on_timeout);
    if (dial->count == 0)
        loop_run_later(loop, &dial->go_on);
    else
        start_next(dial);
    return dial->name;
}

void dialer_cancel(struct dialer *dialer, handle name)
{
    struct dial *dial = handle_get(loop_handles(dialer->options.loop), name);
    if (dial)
        dial_free(dial);
}

size_t dialer_active(const struct dialer *dialer)
{
    return dialer->active;
}

struct dialer *dialer_create(const struct dialer_options *options)
{
    struct dialer *dialer = mem_new(struct dialer);
    dialer->options = *options;
    list_init(&dialer->dials);
    return dialer;
}

void dialer_destroy(struct dialer *dialer)
{
    if (!dialer)
        return;
    while (!list_is_empty(&dialer->dials))
        dial_free(LIST_ENTRY(dialer->dials.next, struct dial, node));
    vector_fini(&dialer->own);
    mem_free(dialer);
}
