#include "cli/run/pod.h"

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

static int run_shell(struct pod *pod, pid_t (*start)(struct pod *, const struct pod_process *),
                     const char *script, char *output, size_t size)
{
    int out[2];
    CHECK(pipe2(out, O_CLOEXEC) == 0);
    const char *argv[] = {"sh", "-c", script, NULL};
    const char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    pid_t pid = start(pod, &(struct pod_process){.argv = argv, .environment = environment, .output = out[1]});
    CHECK(pid > 0, "%s", strerror(-pid));
    close(out[1]);
    size_t used = 0;
    ssize_t got;
    while ((got = read(out[0], output + used, size - 1 - used)) > 0)
        used += (size_t)got;
    output[used] = '\0';
    close(out[0]);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(pod_service_has_no_capability_and_its_own_user)
{
    struct pod *pod = pod_or_skip();
    char output[2000], wanted[64];
    CHECK(run_shell(pod, pod_start_service, "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status", output,
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
    CHECK(run_shell(pod, pod_start_service, "nft delete table inet tulle", output, sizeof(output)) != 0);
    pod_destroy(pod);
}

TEST(pod_sidecar_stays_in_the_hosts_network_and_may_enter_the_pods)
{
    struct pod *pod = pod_or_skip();
    char output[2000], script[200];
    snprintf(script, sizeof(script), "readlink /proc/self/ns/net; nsenter --net=/proc/self/fd/%d readlink /proc/self/ns/net",
             pod_network(pod));
    CHECK(run_shell(pod, pod_start_sidecar, script, output, sizeof(output)) == 0, "%s", output);
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
    const char *argv[] = {"tulle-no-such-program", NULL};
    const char *environment[] = {"PATH=/usr/bin:/bin", NULL};
    CHECK(pod_start_service(pod, &(struct pod_process){.argv = argv, .environment = environment, .output = -1}) ==
          -ENOENT);
    pod_destroy(pod);
}
