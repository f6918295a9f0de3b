#include "io/thread.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct thread {
    pthread_t id;
    char name[16];
    void (*run)(void *argument);
    void *argument;
};

static void *begin(void *argument)
{
    struct thread *thread = argument;
    pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->argument);
    return NULL;
}

int thread_create(const char *name, void (*run)(void *argument), void *argument,
                  struct thread **out)
{
    sigset_t all, before;
    struct thread *thread = mem_new(struct thread);
    *thread = (struct thread){.run = run, .argument = argument};
    snprintf(thread->name, sizeof(thread->name), "%s", name);
    /* A new thread inherits the mask, so there is no moment in which a signal could reach it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->id, NULL, begin, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        mem_free(thread);
        return -error;
    }
    *out = thread;
    return 0;
}

void thread_destroy(struct thread *thread)
{
    if (!thread)
        return;
    pthread_join(thread->id, NULL);
    mem_free(thread);
}

/* --- how many CPUs --------------------------------------------------------------------------- */

enum { PROC_FILE_MAX = 1 << 20 };

/* CPUs that a quota of `quota` microseconds in `period` amounts to, rounded up; UINT32_MAX without a quota. */
static unsigned cpus_of_quota(uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0)
        return UINT32_MAX;
    return (unsigned)MIN((quota + period - 1) / period, (uint64_t)UINT32_MAX);
}

static bool read_numbers(const char *path, uint64_t *first, uint64_t *second)
{
    owned_buffer text = {0};
    struct slice head, tail;
    if (buffer_read_file(&text, path, 256))
        return false;
    slice_cut(buffer_slice(&text), '\n', &head, &tail);
    slice_cut(head, ' ', &head, &tail);
    *second = 0;
    return slice_to_u64(head, UINT64_MAX, first) &&
           (tail.size == 0 || slice_to_u64(tail, UINT64_MAX, second));
}

/* cpu.max is "max 100000" or "150000 100000"; the older files hold a number each. */
static unsigned quota_at(const char *folder, bool is_v2)
{
    uint64_t quota, period, none;
    owned_str max = str_format("%s/cpu.max", folder);
    owned_str old_quota = str_format("%s/cpu.cfs_quota_us", folder);
    owned_str old_period = str_format("%s/cpu.cfs_period_us", folder);
    if (is_v2)
        return read_numbers(max, &quota, &period) ? cpus_of_quota(quota, period) : UINT32_MAX;
    if (!read_numbers(old_quota, &quota, &none) || !read_numbers(old_period, &period, &none))
        return UINT32_MAX;
    return cpus_of_quota(quota, period);
}

/* The tightest quota of a group and its ancestors. */
static unsigned tightest_quota(struct slice mount, struct slice group, bool is_v2)
{
    unsigned cpus = UINT32_MAX;
    for (;;) {
        owned_str folder = str_format("%.*s%.*s", SLICE_ARG(mount), SLICE_ARG(group));
        cpus = MIN(cpus, quota_at(folder, is_v2));
        while (group.size > 0 && group.data[group.size - 1] != '/')
            group.size--;
        if (group.size == 0)
            return cpus;
        group.size--; /* the slash */
    }
}

/* Our group in /proc/self/cgroup: "0::/path" or "4:cpu,cpuacct:/path". */
static bool find_group(struct slice text, bool is_v2, struct slice *group)
{
    struct slice line, id, controllers;
    while (text.size > 0) {
        slice_cut(text, '\n', &line, &text);
        slice_cut(line, ':', &id, &line);
        slice_cut(line, ':', &controllers, group);
        if (is_v2 ? controllers.size == 0 && slice_equals_str(id, "0")
                  : slice_equals_str(controllers, "cpu") ||
                        slice_starts_with(controllers, SLICE("cpu,")))
            return true;
    }
    return false;
}

/* A mount by type, never by path: "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0". */
static bool find_mount(struct slice text, bool is_v2, struct slice *mount)
{
    struct slice line, device, type, options;
    while (text.size > 0) {
        slice_cut(text, '\n', &line, &text);
        slice_cut(line, ' ', &device, &line);
        slice_cut(line, ' ', mount, &line);
        slice_cut(line, ' ', &type, &line);
        slice_cut(line, ' ', &options, &line);
        if (is_v2 && slice_equals_str(type, "cgroup2"))
            return true;
        if (!is_v2 && slice_equals_str(type, "cgroup") &&
            slice_find(options, SLICE("cpu,cpuacct")) != SIZE_MAX)
            return true;
    }
    return false;
}

static unsigned quota_cpus(bool is_v2)
{
    owned_buffer groups = {0};
    owned_buffer mounts = {0};
    struct slice group, mount;
    if (buffer_read_file(&groups, "/proc/self/cgroup", PROC_FILE_MAX) ||
        buffer_read_file(&mounts, "/proc/self/mounts", PROC_FILE_MAX) ||
        !find_group(buffer_slice(&groups), is_v2, &group) ||
        !find_mount(buffer_slice(&mounts), is_v2, &mount))
        return UINT32_MAX;
    return tightest_quota(mount, group, is_v2);
}

unsigned thread_cpu_count(void)
{
    cpu_set_t set;
    unsigned cpus = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        cpus = (unsigned)MAX(CPU_COUNT(&set), 1);
    cpus = MIN(cpus, quota_cpus(true));
    return MIN(cpus, quota_cpus(false));
}
