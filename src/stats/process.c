#include "stats/process.h"

#include "base/buffer.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STAT_BYTES_MAX = 4096 };

static void append(const struct stats_query *query, struct buffer *out, const char *name,
                   const char *type, const char *help, double value)
{
    if (query && query->is_wanted && !query->is_wanted(name, query->to))
        return;
    buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name,
                  value);
}

/* Less the one that the listing itself opens; -1 when the list cannot be read. */
static int open_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    if (!list)
        return -1;
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(list));)
        count += entry->d_name[0] != '.';
    closedir(list);
    return count - 1;
}

static double wall_seconds_at_boot(void)
{
    struct timespec wall, since_boot;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    double seconds = (double)(wall.tv_sec - since_boot.tv_sec) +
                     (double)(wall.tv_nsec - since_boot.tv_nsec) / 1e9;
    /* In steps of a tick: two scrapes must agree, although the clocks are read one after the other. */
    return round(seconds * 100) / 100;
}

/* proc(5), /proc/pid/stat: the fields behind the name, which may itself hold blanks and parentheses. */
static void append_stat(const struct stats_query *query, struct buffer *out)
{
    owned_buffer stat = {0};
    unsigned long user, kernel, virtual_bytes;
    long threads, resident_pages;
    unsigned long long start;
    if (buffer_read_file(&stat, "/proc/self/stat", STAT_BYTES_MAX))
        return;
    const char *fields = strrchr(stat.data, ')');
    if (!fields || sscanf(fields + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d "
                          "%ld %*d %llu %lu %ld",
                          &user, &kernel, &threads, &start, &virtual_bytes, &resident_pages) != 6)
        return;
    double ticks = (double)sysconf(_SC_CLK_TCK), page = (double)sysconf(_SC_PAGESIZE);
    append(query, out, "process_cpu_seconds_total", "counter",
           "Total user and system CPU time spent in seconds.", (double)(user + kernel) / ticks);
    append(query, out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
           (double)resident_pages * page);
    append(query, out, "process_start_time_seconds", "gauge",
           "Start time of the process since unix epoch in seconds.",
           wall_seconds_at_boot() + (double)start / ticks);
    append(query, out, "process_threads", "gauge", "Number of threads.", (double)threads);
    append(query, out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
           (double)virtual_bytes);
}

void process_export(const struct stats_query *query, struct buffer *out)
{
    struct rlimit limit;
    int open = open_descriptors();
    if (open >= 0)
        append(query, out, "process_open_fds", "gauge", "Number of open file descriptors.", open);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        append(query, out, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
               (double)limit.rlim_cur);
    append_stat(query, out);
}
