#include "cli/capture.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool list_is_plain(const char *list)
{
    return !list || strspn(list, "0123456789./,-") == strlen(list);
}

bool capture_check(const struct capture *capture, struct error *error)
{
    const struct {
        const char *name, *list;
    } lists[] = {{"inbound ports", capture->skip_inbound},
                 {"outbound ports", capture->skip_outbound},
                 {"ranges", capture->skip_ranges},
                 {"user", capture->exempt_uid}};
    for (size_t i = 0; i < COUNT(lists); i++) {
        if (!list_is_plain(lists[i].list)) {
            error_set(error, "TUL1210", "cannot read the list of %s \"%s\"", lists[i].name,
                      lists[i].list);
            error_fix(error, "numbers separated by commas, such as 22,15020 or 10.0.0.0/8");
            return false;
        }
    }
    return true;
}

static void skip_list(struct buffer *rules, const char *match, const char *list)
{
    if (list && *list)
        buffer_format(rules, "        %s { %s } return\n", match, list);
}

/*
 * Only what opens a connection is sent elsewhere. Connections that are older than the rules (an ssh session, the sidecar's own to
 * the control plane) would otherwise be cut at their next packet, the first that connection tracking sees of them.
 */
#define OPENING "tcp flags & (fin | syn | rst | ack) == syn "

/*
 * What the sidecar sends to this host's own address, because a service of the host calls itself by its name, arrives as if
 * it came from elsewhere: the other side expects mutual TLS. A control plane on the same host is left out.
 */
static void turn_inwards(const char *who, struct buffer *rules)
{
    buffer_format(rules,
                  "        %s ip daddr != 127.0.0.0/8 fib daddr type local tcp dport != { 15010, "
                  "15012 } " OPENING "redirect to :%d\n",
                  who, CAPTURE_INBOUND_PORT);
}

static void outbound_chain(const struct capture *capture, struct buffer *rules)
{
    buffer_append_str(rules, "    chain outbound {\n"
                             "        type nat hook output priority -100; policy accept;\n");
    if (!capture->in_pod) {
        owned_str mark = str_format("meta mark %d", CAPTURE_MARK);
        owned_str user =
            capture->exempt_uid ? str_format("meta skuid %s", capture->exempt_uid) : NULL;
        if (capture->inbound)
            turn_inwards(mark, rules);
        buffer_format(rules, "        %s return\n", mark);
        if (user && capture->inbound)
            turn_inwards(user, rules);
        if (user)
            buffer_format(rules, "        %s return\n", user);
    }
    if (capture->dns)
        buffer_format(rules, "        meta l4proto { tcp, udp } th dport 53 redirect to :%d\n",
                      CAPTURE_DNS_PORT);
    /* The workload's own loopback is its own business. */
    buffer_append_str(rules, "        ip daddr 127.0.0.0/8 return\n"
                             "        ip6 daddr ::1 return\n"
                             "        fib daddr type local return\n");
    skip_list(rules, "tcp dport", capture->skip_outbound);
    skip_list(rules, "ip daddr", capture->skip_ranges);
    buffer_format(rules, "        " OPENING "redirect to :%d\n    }\n", CAPTURE_OUTBOUND_PORT);
}

static void inbound_chain(const struct capture *capture, struct buffer *rules)
{
    buffer_append_str(rules, "    chain inbound {\n"
                             "        type nat hook prerouting priority -100; policy accept;\n"
                             "        iif lo return\n");
    skip_list(rules, "tcp dport", capture->skip_inbound);
    buffer_format(rules, "        " OPENING "fib daddr type local redirect to :%d\n    }\n",
                  CAPTURE_INBOUND_PORT);
}

void capture_rules(const struct capture *capture, struct buffer *rules)
{
    capture_removal(rules);
    buffer_append_str(rules, "table inet tulle {\n");
    outbound_chain(capture, rules);
    if (capture->inbound)
        inbound_chain(capture, rules);
    buffer_append_str(rules, "}\n");
}

void capture_removal(struct buffer *rules)
{
    /* Adding first makes the removal harmless where there is no such table. */
    buffer_append_str(rules, "add table inet tulle\ndelete table inet tulle\n");
}

/* Child's side: only calls that are safe after fork in a threaded process. */
static void NORETURN run_nft(int rules_fd, int errors_fd)
{
    static const char *const paths[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"};
    dup2(rules_fd, STDIN_FILENO);
    dup2(errors_fd, STDERR_FILENO);
    for (size_t i = 0; i < COUNT(paths); i++)
        execl(paths[i], "nft", "-f", "-", (char *)NULL);
    _exit(127);
}

/* Reads what nft says until it ends; at most a screenful is kept. */
static void collect(int fd, struct buffer *text)
{
    enum { KEEP = 2000 };
    char piece[512];
    ssize_t got;
    while ((got = read(fd, piece, sizeof(piece))) > 0 || (got < 0 && errno == EINTR))
        if (got > 0 && text->size < KEEP)
            buffer_append(text, piece, (size_t)got);
}

static bool report(int status, const struct buffer *said, struct error *error)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        error_set(error, "TUL1211", "the program nft is not installed");
        error_fix(error, "apt-get install nftables");
        return false;
    }
    error_set(error, "TUL1212", "nft refused the capture rules: %.*s",
              SLICE_ARG(buffer_slice(said)));
    error_fix(error,
              "capture needs CAP_NET_ADMIN in the network namespace and nf_tables in the kernel");
    return false;
}

bool capture_apply(struct buffer *rules, struct error *error)
{
    int input[2], output[2];
    if (pipe(input) != 0)
        return error_set(error, "TUL1213", "no pipe to nft: %s", strerror(errno));
    if (pipe(output) != 0) {
        int failure = errno;
        close(input[0]);
        close(input[1]);
        return error_set(error, "TUL1213", "no pipe to nft: %s", strerror(failure));
    }
    pid_t child = fork();
    if (child == 0) {
        close(input[1]);
        close(output[0]);
        run_nft(input[0], output[1]);
    }
    close(input[0]);
    close(output[1]);
    /* The rules are smaller than a pipe (64 KB), so this never waits for nft; one that is gone gives EPIPE. */
    sigset_t pipe_signal, before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t written = child > 0 ? write(input[1], rules->data, rules->size) : -1;
    struct timespec at_once = {0};
    if (written < 0)
        sigtimedwait(&pipe_signal, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(input[1]);
    owned_buffer said = {0};
    collect(output[0], &said);
    close(output[0]);
    int status = 0;
    if (child < 0)
        return error_set(error, "TUL1213", "cannot start nft: %s", strerror(errno));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return report(status, &said, error);
}
