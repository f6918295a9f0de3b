#include "test.h"

#include "base/attributes.h"
#include "base/program.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PAGES = 64 };

/* A file of our own stands for the program's. Its resident pages, as smaps has them. */
static size_t resident_kb(const void *at)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char line[512];
    unsigned long start, end, kb = 0;
    bool is_it = false;
    while (smaps && fgets(line, sizeof(line), smaps)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            is_it = start <= (unsigned long)at && (unsigned long)at < end;
        else if (is_it && sscanf(line, "Rss: %lu", &kb) == 1)
            break;
    }
    if (smaps)
        fclose(smaps);
    return kb;
}

/* Maps a new file of PAGES pages, each beginning with its number, and reads every page. */
static char *map_file(int protection)
{
    char path[] = "/tmp/program_test.XXXXXX", page[4096] = {0};
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    unlink(path);
    for (int i = 0; i < PAGES; i++) {
        page[0] = (char)i;
        CHECK(write(fd, page, sizeof(page)) == sizeof(page));
    }
    char *at = mmap(NULL, PAGES * 4096, protection, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED);
    close(fd);
    for (int i = 0; i < PAGES; i++)
        CHECK(*(volatile char *)(at + i * 4096) == i);
    CHECK(resident_kb(at) == PAGES * 4);
    return at;
}

TEST(program_forgets_pages_that_equal_their_file)
{
    char *at = map_file(PROT_READ);
    CHECK(program_forget_pages() >= PAGES * 4096);
    CHECK(resident_kb(at) == 0);
    for (int i = 0; i < PAGES; i++)
        CHECK(at[i * 4096] == i, "page %d comes back", i);
    munmap(at, PAGES * 4096);
}

/* As a relocated table: written to, then protected. */
TEST(program_keeps_pages_that_were_written_to)
{
    char *at = map_file(PROT_READ | PROT_WRITE);
    at[5 * 4096] = 77;
    CHECK(mprotect(at, PAGES * 4096, PROT_READ) == 0);
    program_forget_pages();
    CHECK(at[5 * 4096] == 77);
    munmap(at, PAGES * 4096);
}

TEST(program_keeps_what_may_still_be_written)
{
    char *at = map_file(PROT_READ | PROT_WRITE);
    program_forget_pages();
    CHECK(resident_kb(at) == PAGES * 4);
    munmap(at, PAGES * 4096);
}

TEST(program_may_open_what_the_hard_limit_allows)
{
    struct rlimit before, after;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit low = {.rlim_cur = MIN(before.rlim_max, (rlim_t)32), .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    CHECK(program_raise_open_files() == MIN(before.rlim_max, (rlim_t)UINT32_MAX));
    CHECK(getrlimit(RLIMIT_NOFILE, &after) == 0 && after.rlim_cur == before.rlim_max);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}
