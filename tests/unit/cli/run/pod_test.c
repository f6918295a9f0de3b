#include "cli/run/pod.h"

#include "io/child.h"
#include "io/loop.h"

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A machine that forbids namespaces cannot run these; it must say so aloud. */
static struct pod *pod_or_skip(void)
{
    struct pod *pod = NULL;
    struct error error = {0};
    if (pod_create(&pod, &error))
        return pod;
    print_message("SKIPPED: %s\n", error.what);
    error_fini(&error);
    skip();
    return NULL;
}

struct ended {
    bool has_ended;
    int status;
};

static void on_exit_of(void *owner, struct child *child, int status)
{
    struct ended *ended = owner;
    (void)child;
    *ended = (struct ended){true, status};
}

/* The exit code of a shell script in the pod, or a negative errno; what it printed is in output. */
static int run_program(struct pod *pod, int (*enter)(void *), const char *const *argv, char *output,
                       size_t size)
{
    enum { NETWORK_FD = 3 };
    int out[2];
    struct loop *loop;
    struct child *child = NULL;
    struct ended ended = {0};
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &loop) == 0);
    CHECK(pipe2(out, O_CLOEXEC) == 0);
    struct child_fd fds[] = {{out[1], 1}, {out[1], 2}, {pod_network(pod), NETWORK_FD}};
    static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    struct child_options options = {.argv = argv,
                                    .env = environment,
                                    .fds = fds,
                                    .fd_count = 3,
                                    .prepare = enter,
                                    .argument = pod};
    int result = child_create(loop, &options, on_exit_of, &ended, &child);
    close(out[1]);
    if (result == 0) {
        size_t used = 0;
        ssize_t got;
        while ((got = read(out[0], output + used, size - 1 - used)) > 0)
            used += (size_t)got;
        output[used] = '\0';
        for (int i = 0; i < 1000 && !ended.has_ended; i++)
            loop_turn(loop, 10);
        CHECK(ended.has_ended);
        result = WIFEXITED(ended.status) ? WEXITSTATUS(ended.status) : 128 + WTERMSIG(ended.status);
    }
    close(out[0]);
    child_destroy(child);
    loop_settle(loop);
    loop_destroy(loop);
    return result;
}

static int run_shell(struct pod *pod, int (*enter)(void *), const char *script, char *output,
                     size_t size)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    return run_program(pod, enter, argv, output, size);
}

TEST(pod_service_has_no_capability_and_its_own_user)
{
    struct pod *pod = pod_or_skip();
    char output[2000], wanted[64];
    CHECK(run_shell(pod, pod_enter_service,
                    "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status", output,
                    sizeof(output)) == 0);
    snprintf(wanted, sizeof(wanted), "%u\n", getuid());
    CHECK(strncmp(output, wanted, strlen(wanted)) == 0, "%s", output);
    CHECK(strstr(output, "CapEff:\t0000000000000000"), "%s", output);
    CHECK(strstr(output, "CapBnd:\t0000000000000000"), "%s", output);
    CHECK(strstr(output, "NoNewPrivs:\t1"), "%s", output);
    pod_destroy(pod);
}

TEST(pod_service_cannot_change_the_capture_rules)
{
    struct pod *pod = pod_or_skip();
    char output[2000];
    CHECK(run_shell(pod, pod_enter_service, "nft delete table inet tulle", output,
                    sizeof(output)) != 0);
    pod_destroy(pod);
}

TEST(pod_sidecar_stays_in_the_hosts_network_and_may_enter_the_pods)
{
    struct pod *pod = pod_or_skip();
    char output[2000];
    const char *script =
        "readlink /proc/self/ns/net; nsenter --net=/proc/self/fd/3 readlink /proc/self/ns/net";
    CHECK(run_shell(pod, pod_enter_sidecar, script, output, sizeof(output)) == 0, "%s", output);
    char here[64] = {0};
    CHECK(readlink("/proc/self/ns/net", here, sizeof(here) - 1) > 0);
    char *second = strchr(output, '\n');
    CHECK(second && strncmp(output, here, strlen(here)) == 0, "%s", output);
    CHECK(strncmp(second + 1, here, strlen(here)) != 0, "%s", output);
    pod_destroy(pod);
}

TEST(pod_reports_a_program_that_is_not_there)
{
    struct pod *pod = pod_or_skip();
    const char *const argv[] = {"tulle-no-such-program", NULL};
    char output[64];
    int result = run_program(pod, pod_enter_service, argv, output, sizeof(output));
    /* EACCES: a folder in PATH that this user may not read. */
    CHECK(result == -ENOENT || result == -EACCES, "%d", result);
    pod_destroy(pod);
}
