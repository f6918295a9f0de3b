#include "test.h"

#include "base/buffer.h"
#include "stats/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static double value_of(const char *name)
{
    owned_buffer out = {0};
    process_export(NULL, &out);
    struct slice all = buffer_slice(&out), line;
    size_t size = strlen(name);
    while (all.size > 0) {
        slice_cut(all, '\n', &line, &all);
        if (slice_starts_with(line, slice_str(name)) && line.size > size && line.data[size] == ' ')
            return strtod(line.data + size, NULL);
    }
    CHECK(false, "%s is missing in\n%s", name, out.data);
    return -1;
}

TEST(process_tells_descriptors)
{
    double before = value_of("process_open_fds");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(value_of("process_open_fds") == before + 1);
    close(fd);
    CHECK(value_of("process_open_fds") == before && value_of("process_max_fds") >= before);
}

TEST(process_tells_memory_time_and_threads)
{
    double resident = value_of("process_resident_memory_bytes");
    CHECK(resident > 100000 && value_of("process_virtual_memory_bytes") >= resident);
    CHECK(value_of("process_cpu_seconds_total") >= 0 && value_of("process_threads") >= 1);
    double start = value_of("process_start_time_seconds"), now = (double)time(NULL);
    CHECK(start > now - 300 && start <= now + 1, "%f, now %f", start, now);
    for (int i = 0; i < 20; i++)
        CHECK(value_of("process_start_time_seconds") == start, "two scrapes agree");
}

TEST(process_name_cannot_confuse)
{
    char name[16] = {0};
    prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, "a) R 1 (b 2 3");
    CHECK(value_of("process_resident_memory_bytes") > 100000);
    prctl(PR_SET_NAME, name);
}

static bool is_memory(const char *name, void *to)
{
    (void)to;
    return strstr(name, "resident") != NULL;
}

TEST(process_asks_before_it_shows)
{
    struct stats_query query = {.is_wanted = is_memory};
    owned_buffer out = {0};
    process_export(&query, &out);
    CHECK(slice_starts_with(buffer_slice(&out), SLICE("# HELP process_resident_memory_bytes ")));
    CHECK(slice_find(buffer_slice(&out), SLICE("process_open_fds")) == SIZE_MAX);
}
