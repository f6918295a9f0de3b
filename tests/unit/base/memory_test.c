#include "test.h"

#include "base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child says on which signal it died, 0 when it lived; its words go nowhere. */
static int signal_of(void (*act)(void))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* CMocka catches it */
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        act();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static volatile size_t half = SIZE_MAX / 2 + 1;

static void ask_for_a_product_that_overflows(void)
{
    mem_free(mem_calloc(half, 2));
}

TEST(memory_that_overflows_the_size_aborts)
{
    CHECK(signal_of(ask_for_a_product_that_overflows) == SIGABRT);
}

TEST(memory_of_no_bytes_is_not_null)
{
    void *pieces[] = {mem_alloc(0), mem_calloc(0, 8), mem_realloc(NULL, 0)};
    EACH (piece, pieces) {
        CHECK(*piece != NULL);
        mem_free(*piece);
    }
    mem_free(NULL);
    mem_free_secret(NULL, 0);
}

TEST(memory_new_is_zeroed)
{
    struct thing {
        uint64_t words[100];
    } *thing = mem_new(struct thing);
    EACH (word, thing->words)
        CHECK(*word == 0);
    mem_free_secret(thing, sizeof(*thing));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static bool is_resident(const char *at)
{
    unsigned char page = 0;
    (void)!mincore((void *)((uintptr_t)at & ~(uintptr_t)4095), 1, &page);
    return page & 1;
}

/* On a thread of its own, whose heap is not the program's. */
static void *use_and_trim(void *trimmed)
{
    enum { PIECES = 50, BYTES = 2000 };
    char *pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++)
        pieces[i] = memset(mem_alloc(BYTES), 7, BYTES);
    const char *last = pieces[PIECES - 1];
    EACH (piece, pieces)
        mem_free(*piece);
    bool was_resident = is_resident(last);
    mem_trim();
    *(bool *)trimmed = was_resident && !is_resident(last);
    return NULL;
}

TEST(memory_at_the_end_of_a_threads_heap_goes_back)
{
    pthread_t thread;
    bool trimmed = false;
    CHECK(pthread_create(&thread, NULL, use_and_trim, &trimmed) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(trimmed);
}

#endif

TEST(str_copies_and_formats)
{
    owned_str copy = str_copy("tulle");
    owned_str part = str_copy_n("tulle\0fine", 10);
    owned_str none = str_copy_n(NULL, 0);
    owned_str text = str_format("%s-%d", "tulle", 7);
    CHECK(strcmp(copy, "tulle") == 0);
    CHECK(memcmp(part, "tulle\0fine", 11) == 0);
    CHECK(strcmp(none, "") == 0);
    CHECK(strcmp(text, "tulle-7") == 0);
}

TEST(memory_maps_zeroed_pages_as_they_are_aligned)
{
    static const size_t alignments[] = {4096, 16384, 1 << 20};
    EACH (alignment, alignments) {
        char *pages[5];
        for (size_t i = 0; i < COUNT(pages); i++) {
            pages[i] = mem_map(12288, *alignment);
            CHECK(pages[i] && (uintptr_t)pages[i] % *alignment == 0, "%zu", *alignment);
            CHECK(pages[i][0] == 0 && pages[i][12287] == 0);
            memset(pages[i], 1, 12288);
        }
        for (size_t i = 0; i < COUNT(pages); i++)
            mem_unmap(pages[i], 12288);
    }
    CHECK(mem_map(SIZE_MAX / 2, 4096) == NULL, "the system has no such memory");
}
