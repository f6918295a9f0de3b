#include "io/thread.h"

#include "test.h"

#include <pthread.h>
#include <signal.h>

struct seen {
    char name[16];
    bool blocks_term;
};

static void look(void *argument)
{
    struct seen *seen = argument;
    sigset_t mask;
    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen->blocks_term = sigismember(&mask, SIGTERM) == 1;
}

TEST(thread_has_a_name_and_hears_no_signal)
{
    struct seen seen = {0};
    struct thread *thread;
    sigset_t mask;
    CHECK(thread_create("a name that is too long", look, &seen, &thread) == 0, "-");
    thread_destroy(thread);
    CHECK(strcmp(seen.name, "a name that is ") == 0, "%s", seen.name);
    CHECK(seen.blocks_term, "-");
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(sigismember(&mask, SIGTERM) == 0, "ours stays as it was");
}

TEST(thread_cpu_count_is_sane)
{
    unsigned cpus = thread_cpu_count();
    CHECK(cpus >= 1 && cpus <= 4096, "%u", cpus);
    cpu_set_t before, one;
    CHECK(sched_getaffinity(0, sizeof(before), &before) == 0, "-");
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0, "-");
    CHECK(thread_cpu_count() == 1, "affinity counts");
    CHECK(sched_setaffinity(0, sizeof(before), &before) == 0, "-");
}
