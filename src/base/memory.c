#include "base/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Nothing can be formatted any more, so the line is written as it is. */
NORETURN COLD static void die_of_memory(void)
{
    static const char line[] = "tulle: out of memory\n";
    (void)!fwrite(line, 1, sizeof(line) - 1, stderr);
    abort();
}

void *mem_alloc(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (UNLIKELY(!memory))
        die_of_memory();
    return memory;
}

void *mem_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        die_of_memory();
    void *memory = calloc(1, bytes ? bytes : 1);
    if (UNLIKELY(!memory))
        die_of_memory();
    return memory;
}

void *mem_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    if (UNLIKELY(!memory))
        die_of_memory();
    return memory;
}

void mem_free(void *memory)
{
    free(memory);
}

void mem_free_secret(void *memory, size_t size)
{
    if (memory)
        explicit_bzero(memory, size);
    free(memory);
}

char *str_copy(const char *text)
{
    return str_copy_n(text, strlen(text));
}

char *str_copy_n(const char *text, size_t size)
{
    char *copy = mem_alloc(size + 1);
    if (size > 0)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *str_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_format_v(format, args);
    va_end(args);
    return text;
}

char *str_format_v(const char *format, va_list args)
{
    char *text;
    if (vasprintf(&text, format, args) < 0)
        die_of_memory();
    return text;
}

enum {
    TRIM_THRESHOLD = 128 << 10, /* the C library's own, and its padding's */
    CONSOLIDATES = 65 << 10,    /* freeing as much makes it look at the end of the thread's heap */
};

/* malloc_trim leaves alone the end of every heap but the first thread's: up to 256 KB after a burst. A free looks at it,
   and gives back what is above the threshold. */
static void trim_end(void)
{
    (void)mallopt(M_TOP_PAD, 0);
    (void)mallopt(M_TRIM_THRESHOLD, 0);
    void *volatile piece = malloc(CONSOLIDATES);
    free(piece);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
    (void)mallopt(M_TOP_PAD, TRIM_THRESHOLD);
}

void mem_trim(void)
{
    trim_end();
    malloc_trim(0);
}

static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* The kernel maps one beside the other, so after the first they mostly come aligned. */
void *mem_map(size_t bytes, size_t alignment)
{
    char *at = map(bytes);
    size_t past = (uintptr_t)at & (alignment - 1);
    if (!at || past == 0)
        return at;
    munmap(at, bytes);
    at = map(bytes + alignment);
    if (!at)
        return NULL;
    past = (uintptr_t)at & (alignment - 1);
    size_t before = past ? alignment - past : 0;
    if (before > 0)
        munmap(at, before);
    munmap(at + before + bytes, alignment - before);
    return at + before;
}

void mem_unmap(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}
