/* signer_child: the process that signs, and the guard that starts it again. */
#include "base/clock.h"
#include "base/memory.h"
#include "control/ca/sandbox_internal.h"
#include "control/ca/signer_wire_internal.h"
#include "tls/key_pair.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_s(void)
{
    return clock_wall_us() / 1000000;
}

static bool send_message(int socket, const struct buffer *message)
{
    ssize_t sent;
    do {
        sent = send(socket, message->data, message->size, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)message->size;
}

static int tell_broken(int socket, const struct error *error, struct buffer *message)
{
    wire_start(message, SIGNER_BROKEN);
    wire_put_text(message, slice_str(error->what));
    wire_put_text(message, slice_str(error->where));
    wire_put_text(message, slice_str(error->why));
    wire_put_text(message, slice_str(error->fix));
    send_message(socket, message);
    return SIGNER_EXIT_BROKEN;
}

static bool tell_ready(int socket, const struct authority *authority, bool follows_crash,
                       struct buffer *message)
{
    wire_start(message, SIGNER_READY);
    wire_put_number(message, follows_crash);
    wire_put_number(message, (uint64_t)authority_expiry_s(authority));
    wire_put_number(message, (uint64_t)authority_renew_s(authority));
    wire_put_text(message, authority_chain(authority));
    wire_put_text(message, authority_roots(authority));
    wire_put_text(message, slice_str(authority_warning(authority)));
    return send_message(socket, message);
}

static void write_answer(uint64_t number, const struct authority_issued *issued,
                         const struct error *error, struct buffer *message)
{
    if (error_is_set(error)) {
        wire_start(message, SIGNER_REFUSED);
        wire_put_number(message, number);
        wire_put_text(message, slice_str(error->what));
        wire_put_text(message, slice_str(error->fix));
        return;
    }
    wire_start(message, SIGNER_SIGNED);
    wire_put_number(message, number);
    wire_put_number(message, (uint64_t)issued->not_before_s);
    wire_put_number(message, (uint64_t)issued->not_after_s);
    wire_put_text(message, slice_of(issued->serial, sizeof(issued->serial)));
    wire_put_text(message, buffer_slice(&issued->der));
}

static bool serve_order(int socket, const struct authority *authority, struct wire_reader *reader,
                        struct buffer *message)
{
    struct slice names[AUTHORITY_DNS_NAMES_MAX];
    struct authority_issued issued = {0};
    struct error error = {0};
    uint64_t number = wire_take_number(reader);
    struct authority_order order = {.lifetime_s = (int64_t)wire_take_number(reader),
                                    .dns_names = names};
    order.spiffe_id = wire_take_text(reader);
    order.request = wire_take_text(reader);
    uint64_t count = wire_take_number(reader);
    for (; order.dns_count < MIN(count, (uint64_t)AUTHORITY_DNS_NAMES_MAX); order.dns_count++)
        names[order.dns_count] = wire_take_text(reader);
    if (!reader->good || count > AUTHORITY_DNS_NAMES_MAX)
        error_set(&error, NULL, "the order is malformed");
    else if (!authority_sign(authority, &order, now_s(), &issued, &error) && !error_is_set(&error))
        error_set(&error, NULL, "the certificate cannot be signed");
    write_answer(number, &issued, &error, message);
    buffer_fini(&issued.der);
    error_fini(&error);
    return send_message(socket, message);
}

static int serve(int socket, const struct authority *authority, struct buffer *message)
{
    char *in = mem_alloc(SIGNER_MESSAGE_MAX);
    int status = SIGNER_EXIT_CLOSED;
    for (;;) {
        ssize_t size = recv(socket, in, SIGNER_MESSAGE_MAX, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break;
        struct wire_reader reader;
        enum signer_message kind = wire_read(&reader, slice_of(in, (size_t)size));
        if (kind == SIGNER_RENEW) {
            status = SIGNER_EXIT_RENEW;
            break;
        }
        if (kind == SIGNER_ORDER && !serve_order(socket, authority, &reader, message))
            break;
    }
    mem_free(in);
    return status;
}

int signer_child_run(int socket, const char *folder, const char *trust_domain, bool follows_crash)
{
    struct buffer message = {0};
    struct error error = {0};
    owned(authority) authority = NULL;
    uint8_t warm_up[32];
    int status;
    /* What libraries load when they are first used, they load now. */
    sha256(SLICE("warm up"), warm_up);
    clock_wall_us();
    if (!authority_open(folder, trust_domain, now_s(), &authority, &error) ||
        !sandbox_enter(&error))
        status = tell_broken(socket, &error, &message);
    else if (!tell_ready(socket, authority, follows_crash, &message))
        status = SIGNER_EXIT_CLOSED;
    else
        status = serve(socket, authority, &message);
    buffer_fini(&message);
    error_fini(&error);
    return status;
}

/* -1 when it was killed. */
static int run_one(int socket, const char *folder, const char *trust_domain, bool follows_crash)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "tulled-signer");
        _exit(signer_child_run(socket, folder, trust_domain, follows_crash));
    }
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* False when the other end is gone. */
static bool wait_a_while(int socket, int milliseconds)
{
    struct pollfd gone = {.fd = socket, .events = POLLRDHUP};
    return poll(&gone, 1, milliseconds) <= 0;
}

void signer_guard_run(int socket, const char *folder, const char *trust_domain)
{
    /* A request that kills every child must not keep a core busy; what is broken may be mended meanwhile. */
    enum { AFTER_CRASH_MS = 100, AFTER_BROKEN_MS = 2000 };
    sandbox_leave_descriptors(socket);
    prctl(PR_SET_NAME, "tulled-guard");
    signal(SIGINT, SIG_IGN); /* Ctrl-C is for tulled, whose end ends us */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    bool follows_crash = false, has_served = false;
    for (;;) {
        int status = run_one(SANDBOX_SOCKET, folder, trust_domain, follows_crash);
        if (status == SIGNER_EXIT_CLOSED || (status == SIGNER_EXIT_BROKEN && !has_served))
            _exit(status);
        has_served = true;
        follows_crash = status != SIGNER_EXIT_RENEW;
        int pause_ms = status == SIGNER_EXIT_BROKEN ? AFTER_BROKEN_MS : AFTER_CRASH_MS;
        if (follows_crash && !wait_a_while(SANDBOX_SOCKET, pause_ms))
            _exit(SIGNER_EXIT_CLOSED);
    }
}
