#include "base/program.h"

#include "base/attributes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

uint32_t program_raise_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return (uint32_t)MIN(limit.rlim_max, (rlim_t)UINT32_MAX);
}

struct mapping {
    unsigned long start, end;
    bool is_file; /* and cannot be written to */
};

/* "7f00-7f10 r-xp 00001000 fe:01 123   /usr/lib/libc.so.6"; false: the line is none of a mapping. */
static bool read_mapping(const char *line, struct mapping *mapping)
{
    char *at;
    unsigned long start = strtoul(line, &at, 16);
    if (*at != '-')
        return false;
    unsigned long end = strtoul(at + 1, &at, 16);
    bool is_file = strncmp(at, " r-", 3) == 0 && strchr(at, '/');
    *mapping = (struct mapping){start, end, is_file};
    return true;
}

size_t program_forget_pages(void)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    struct mapping mapping = {0};
    static const char own[] = "Anonymous:";
    size_t forgotten = 0, room = 0;
    char *line = NULL;
    while (smaps && getline(&line, &room, smaps) > 0) {
        if (read_mapping(line, &mapping) || strncmp(line, own, sizeof(own) - 1) != 0)
            continue;
        /* What was written to is nowhere else. */
        if (mapping.is_file && strtoul(line + sizeof(own) - 1, NULL, 10) == 0 &&
            madvise((void *)mapping.start, mapping.end - mapping.start, MADV_DONTNEED) == 0)
            forgotten += mapping.end - mapping.start;
    }
    free(line);
    if (smaps)
        fclose(smaps);
    return forgotten;
}
