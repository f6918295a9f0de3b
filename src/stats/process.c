#include "stats/process.h"

#include "base/buffer.h"

#include <dirent.h>
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
    int64_t ns =
        (wall.tv_sec - since_boot.tv_sec) * 1000000000LL + wall.tv_nsec - since_boot.tv_nsec;
    /* In steps of a tick: two scrapes must agree, although the clocks are read one after the other. */
    int64_t hundredths = (ns + 5000000) / 10000000;
    return (double)hundredths / 100;
}

/* proc(5), /proc/pid/stat: numbers of the fields. */
enum {
    FIELD_STATE = 3,
    FIELD_USER = 14,
    FIELD_KERNEL,
    FIELD_THREADS = 20,
    FIELD_START = 22,
    FIELD_VIRTUAL,
    FIELD_PAGES
};

/* The fields begin behind the name, which may itself hold blanks and parentheses. */
static bool read_fields(uint64_t fields[FIELD_PAGES + 1])
{
    owned_buffer stat = {0};
    if (buffer_read_file(&stat, "/proc/self/stat", STAT_BYTES_MAX))
        return false;
    const char *behind = strrchr(stat.data, ')');
    struct slice rest = slice_trim(slice_str(behind ? behind + 1 : NULL)), word;
    for (size_t i = FIELD_STATE; i <= FIELD_PAGES; i++) {
        slice_cut(rest, ' ', &word, &rest);
        if (!slice_to_u64(word, UINT64_MAX, &fields[i]))
            fields[i] = 0; /* a letter, or below zero: none that we show */
    }
    return fields[FIELD_PAGES] > 0;
}

static void append_stat(const struct stats_query *query, struct buffer *out)
{
    uint64_t fields[FIELD_PAGES + 1];
    if (!read_fields(fields))
        return;
    double ticks = (double)sysconf(_SC_CLK_TCK), page = (double)sysconf(_SC_PAGESIZE);
    append(query, out, "process_cpu_seconds_total", "counter",
           "Total user and system CPU time spent in seconds.",
           (double)(fields[FIELD_USER] + fields[FIELD_KERNEL]) / ticks);
    append(query, out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
           (double)fields[FIELD_PAGES] * page);
    append(query, out, "process_start_time_seconds", "gauge",
           "Start time of the process since unix epoch in seconds.",
           wall_seconds_at_boot() + (double)fields[FIELD_START] / ticks);
    append(query, out, "process_threads", "gauge", "Number of threads.",
           (double)fields[FIELD_THREADS]);
    append(query, out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
           (double)fields[FIELD_VIRTUAL]);
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
