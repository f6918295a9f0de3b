#include "io/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

struct visit {
    int network;
    int (*work)(void *argument);
    void *argument;
    int result;
};

static void *run(void *argument)
{
    struct visit *visit = argument;
    visit->result = setns(visit->network, CLONE_NEWNET) ? -errno : visit->work(visit->argument);
    return NULL;
}

int namespace_call(int network, int (*work)(void *argument), void *argument)
{
    struct visit visit = {network, work, argument, 0};
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, run, &visit);
    if (failure)
        return -failure;
    pthread_join(thread, NULL);
    return visit.result;
}

int namespace_call_path(const char *path, int (*work)(void *argument), void *argument)
{
    int network = open(path, O_RDONLY | O_CLOEXEC);
    if (network < 0)
        return -errno;
    int result = namespace_call(network, work, argument);
    close(network);
    return result;
}
