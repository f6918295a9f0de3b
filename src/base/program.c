#include "base/program.h"

#include "base/attributes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
    unsigned long start, end;
    bool is_file; /* and cannot be written to */
};

/* "7f00-7f10 r-xp 00001000 fe:01 123   /usr/lib/libc.so.6"; false: the line is none of a mapping. */
static bool read_mapping(const char *line, struct mapping *mapping)
{
    unsigned long start, end;
    char rights[5];
    int path = 0;
    if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &start, &end, rights, &path) != 3)
        return false;
    *mapping = (struct mapping){start, end, path > 0 && line[path] == '/' && rights[1] == '-'};
    return true;
}

size_t program_forget_pages(void)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    struct mapping mapping = {0};
    unsigned long own_kb;
    size_t forgotten = 0, room = 0;
    char *line = NULL;
    while (smaps && getline(&line, &room, smaps) > 0) {
        if (read_mapping(line, &mapping) || sscanf(line, "Anonymous: %lu", &own_kb) != 1)
            continue;
        /* What was written to is nowhere else. */
        if (mapping.is_file && own_kb == 0 &&
            madvise((void *)mapping.start, mapping.end - mapping.start, MADV_DONTNEED) == 0)
            forgotten += mapping.end - mapping.start;
    }
    free(line);
    if (smaps)
        fclose(smaps);
    return forgotten;
}
