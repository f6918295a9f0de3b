#include "tls/allocator_internal.h"

#include "base/attributes.h"
#include "base/poison.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
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
    BLOCK_BYTES = 4080, /* a page, with what malloc adds */
};

/*
 * Small objects lie in blocks, which are freed whole. Were they malloc's, the last few of every size would stay in its
 * own lists after a burst, where nothing trims them, and hold a page each.
 */
struct block {
    atomic_uint in_use; /* its objects, and the thread that fills it */
    uint32_t unused[3];
};

/* Before every object; sixteen bytes, as objects are aligned. */
struct head {
    union {
        struct head *next; /* while it is free */
        size_t size;       /* while it is in use */
    };
    uint32_t class;
    uint32_t offset; /* from the beginning of its block; 0: it has none */
};

struct lists {
    struct head *free[CLASSES];
    size_t kept;
    struct block *block; /* the one that is being filled, or NULL */
    uint32_t filled;     /* bytes of it */
    bool is_registered;
};

static __thread struct lists lists;
static pthread_key_t thread_end;

static uint32_t class_of(size_t size)
{
    if (size <= SMALL_MAX)
        return size == 0 ? 0 : (uint32_t)(size - 1) / STEP;
    return size <= LARGE_MAX ? SMALL_CLASSES + (uint32_t)(size - SMALL_MAX - 1) / LARGE_STEP
                             : NO_CLASS;
}

static uint32_t bytes_of(uint32_t class)
{
    return class < SMALL_CLASSES ? (class + 1) * STEP
                                 : SMALL_MAX + (class - SMALL_CLASSES + 1) * LARGE_STEP;
}

/* --- blocks ------------------------------------------------------------------------------------ */

static void leave_block(struct block *block)
{
    if (block && atomic_fetch_sub_explicit(&block->in_use, 1, memory_order_acq_rel) == 1)
        free(block);
}

static void register_thread(void)
{
    if (LIKELY(lists.is_registered))
        return;
    lists.is_registered = true;
    pthread_setspecific(thread_end, &lists);
}

static struct head *carve(uint32_t bytes)
{
    if (!lists.block || lists.filled + bytes > BLOCK_BYTES) {
        struct block *block = malloc(BLOCK_BYTES);
        if (!block)
            return NULL;
        register_thread();
        leave_block(lists.block);
        atomic_init(&block->in_use, 1);
        lists.block = block;
        lists.filled = sizeof(*block);
    }
    struct head *head = (struct head *)((char *)lists.block + lists.filled);
    head->offset = lists.filled;
    lists.filled += bytes;
    atomic_fetch_add_explicit(&lists.block->in_use, 1, memory_order_relaxed);
    return head;
}

static void drop(struct head *head)
{
    if (head->offset > 0)
        leave_block((struct block *)((char *)head - head->offset));
    else
        free(head);
}

/* --- the library's functions ------------------------------------------------------------------- */

void tls_allocator_trim(void)
{
    for (size_t i = 0; i < CLASSES; i++) {
        for (struct head *head = lists.free[i], *next; head; head = next) {
            next = head->next;
            drop(head);
        }
        lists.free[i] = NULL;
    }
    lists.kept = 0;
}

static void end_thread(void *unused)
{
    (void)unused;
    tls_allocator_trim();
    leave_block(lists.block);
    lists.block = NULL;
    lists.is_registered = false;
    lists.kept = KEPT_MAX; /* what other destructors free is not kept */
}

static struct head *make(size_t size, uint32_t class)
{
    if (class < SMALL_CLASSES)
        return carve(sizeof(struct head) + bytes_of(class));
    size_t room = class < CLASSES ? bytes_of(class) : size;
    struct head *head = room < SIZE_MAX - sizeof(*head) ? malloc(sizeof(*head) + room) : NULL;
    if (head)
        head->offset = 0;
    return head;
}

static void *take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    uint32_t class = class_of(size);
    struct head *head = class < CLASSES ? lists.free[class] : NULL;
    if (LIKELY(head != NULL)) {
        lists.free[class] = head->next;
        lists.kept -= bytes_of(class);
    } else {
        head = make(size, class);
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
        drop(head);
        return;
    }
    register_thread();
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
    if (is_wanted && pthread_key_create(&thread_end, end_thread) == 0)
        CRYPTO_set_mem_functions(take, resize, give_back);
}
