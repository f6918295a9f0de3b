/*
 * Counts heap allocations of the program it is preloaded into, live:
 *   COUNT_ALLOC=FILE LD_PRELOAD=countalloc.so PROGRAM
 * FILE (8 bytes, made by the caller) is mapped and holds the number of malloc, calloc, realloc and aligned calls
 * so far, of all threads and children. The harness reads it before and after a stretch of requests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Atomic unsigned long before_start;
static _Atomic unsigned long *count = &before_start;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("COUNT_ALLOC");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *map = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED)
        count = map;
}

static void add(void)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    add();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    add();
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    add();
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    add();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *made = memalign(alignment, size);
    if (!made)
        return ENOMEM;
    *out = made;
    return 0;
}
