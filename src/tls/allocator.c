#include "tls/allocator_internal.h"

#include "base/attributes.h"
#include "base/poison.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEP = 16,
    SMALL_MAX = 1024, /* in steps of 16 bytes */
    LARGE_STEP = 512,
    LARGE_MAX = 17920, /* in steps of 512: a record buffer is among them */
    SMALL_CLASSES = SMALL_MAX / STEP,
    CLASSES = SMALL_CLASSES + (LARGE_MAX - SMALL_MAX) / LARGE_STEP,
    NO_CLASS = CLASSES, /* larger: malloc's */
    KEPT_MAX = 128 << 10,
};

/* Before every object; sixteen bytes, as objects are aligned. */
struct head {
    union {
        struct head *next; /* while it is free */
        size_t size;       /* while it is in use */
    };
    size_t class;
};

struct lists {
    struct head *free[CLASSES];
    size_t kept;
    bool is_registered;
};

static __thread struct lists lists;
static pthread_key_t thread_end;

static size_t class_of(size_t size)
{
    if (size <= SMALL_MAX)
        return size == 0 ? 0 : (size - 1) / STEP;
    return size <= LARGE_MAX ? SMALL_CLASSES + (size - SMALL_MAX - 1) / LARGE_STEP : NO_CLASS;
}

static size_t bytes_of(size_t class)
{
    return class < SMALL_CLASSES ? (class + 1) * STEP
                                 : SMALL_MAX + (class - SMALL_CLASSES + 1) * LARGE_STEP;
}

void tls_allocator_trim(void)
{
    for (size_t i = 0; i < CLASSES; i++) {
        for (struct head *head = lists.free[i], *next; head; head = next) {
            next = head->next;
            free(head);
        }
        lists.free[i] = NULL;
    }
    lists.kept = 0;
}

static void free_lists(void *unused)
{
    (void)unused;
    tls_allocator_trim();
    lists.kept = KEPT_MAX; /* what other destructors free goes to malloc */
}

static void *take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    size_t class = class_of(size);
    struct head *head = class < CLASSES ? lists.free[class] : NULL;
    if (LIKELY(head != NULL)) {
        lists.free[class] = head->next;
        lists.kept -= bytes_of(class);
    } else {
        size_t room = class < CLASSES ? bytes_of(class) : size;
        head = room < SIZE_MAX - sizeof(*head) ? malloc(sizeof(*head) + room) : NULL;
        if (!head)
            return NULL;
    }
    head->class = class;
    head->size = size;
    return head + 1;
}

static void give_back(void *object, const char *file, int line)
{
    (void)file;
    (void)line;
    if (!object)
        return;
    struct head *head = (struct head *)object - 1;
    if (head->class == NO_CLASS || lists.kept + bytes_of(head->class) > KEPT_MAX) {
        free(head);
        return;
    }
    if (UNLIKELY(!lists.is_registered)) {
        lists.is_registered = true;
        pthread_setspecific(thread_end, &lists);
    }
    lists.kept += bytes_of(head->class);
    head->next = lists.free[head->class];
    lists.free[head->class] = head;
}

static void *resize(void *object, size_t size, const char *file, int line)
{
    if (!object)
        return take(size, file, line);
    struct head *head = (struct head *)object - 1;
    if (head->class < CLASSES && size <= bytes_of(head->class)) {
        head->size = size;
        return object;
    }
    void *moved = take(size, file, line);
    if (!moved)
        return NULL;
    memcpy(moved, object, MIN(size, head->size));
    give_back(object, file, line);
    return moved;
}

/* Under the address sanitizer every object is its own, so that late uses are seen. */
#ifdef POISON_WORKS
static const bool is_wanted = false;
#else
static const bool is_wanted = true;
#endif

void tls_allocator_install(void)
{
    if (is_wanted && pthread_key_create(&thread_end, free_lists) == 0)
        CRYPTO_set_mem_functions(take, resize, give_back);
}
