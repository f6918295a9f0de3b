#include "test.h"

#include "base/memory.h"
#include "base/random.h"
#include "tls/allocator_internal.h"
#include "tls/key_pair.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>

/* Under the address sanitizer this is malloc's own; `make tsan` and the Clang build run ours. */
enum { OBJECTS = 300, STEPS = 30000 };

struct object {
    unsigned char *bytes;
    size_t size;
    unsigned char mark;
};

static void check(const struct object *object)
{
    for (size_t i = 0; i < object->size; i += MAX(object->size / 7, (size_t)1))
        CHECK(object->bytes[i] == object->mark, "a byte of %zu at %zu", object->size, i);
    CHECK(object->size == 0 || object->bytes[object->size - 1] == object->mark);
}

static size_t some_size(struct random *random)
{
    static const size_t edges[] = {1,    15,   16,    17,    1023,  1024, 1025,
                                   1536, 1537, 17919, 17920, 17921, 40000};
    return random_below(random, 3) ? random_below(random, 700) + 1
                                   : edges[random_below(random, COUNT(edges))];
}

static void *shuffle(void *argument)
{
    struct random random;
    struct object objects[OBJECTS] = {0};
    random_seed(&random, *(uint64_t *)argument);
    for (int step = 0; step < STEPS; step++) {
        struct object *object = &objects[random_below(&random, OBJECTS)];
        check(object);
        size_t size = some_size(&random);
        if (!object->bytes) {
            object->bytes = OPENSSL_malloc(size);
            CHECK((uintptr_t)object->bytes % 16 == 0);
        } else if (random_below(&random, 3) == 0) {
            size_t kept = MIN(object->size, size);
            object->bytes = OPENSSL_realloc(object->bytes, size);
            CHECK(kept == 0 || object->bytes[kept - 1] == object->mark, "realloc to %zu", size);
        } else {
            OPENSSL_free(object->bytes);
            *object = (struct object){0};
            continue;
        }
        object->size = size;
        object->mark = (unsigned char)random_below(&random, 256);
        memset(object->bytes, object->mark, size);
    }
    for (int i = 0; i < OBJECTS; i++) {
        check(&objects[i]);
        OPENSSL_free(objects[i].bytes);
    }
    return NULL;
}

TEST(objects_keep_their_bytes_on_every_thread)
{
    uint8_t digest[32];
    sha256(SLICE("the first use installs it"), digest);
    uint64_t seeds[3] = {1, 2, 3};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, shuffle, &seeds[i]) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void *free_it(void *object)
{
    OPENSSL_free(object);
    return NULL;
}

TEST(an_object_may_be_freed_by_another_thread)
{
    uint8_t digest[32];
    sha256(SLICE("the first use installs it"), digest);
    for (size_t size = 1; size < 30000; size = size * 3 + 1) {
        void *object = OPENSSL_zalloc(size);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, free_it, object) == 0 &&
              pthread_join(thread, NULL) == 0);
    }
}

/* Of one thread: as the C library counts them, so what lies in its own lists counts. Sanitizers tell nothing. */
static size_t heap_bytes(void)
{
    return mallinfo2().uordblks;
}

TEST(what_was_freed_is_the_heaps_again_once_trimmed)
{
    enum { SIZES = 1200, EACH_SIZE = 20 };
    static void *made[SIZES][EACH_SIZE];
    uint8_t digest[32];
    sha256(SLICE("the first use installs it"), digest);
    tls_allocator_trim();
    size_t before = heap_bytes();
    for (size_t size = 1; size < SIZES; size++)
        for (size_t i = 0; i < EACH_SIZE; i++)
            made[size][i] = OPENSSL_malloc(size);
    for (size_t size = 1; size < SIZES; size++)
        for (size_t i = 0; i < EACH_SIZE; i++)
            OPENSSL_free(made[size][i]);
    tls_allocator_trim();
    CHECK(heap_bytes() <= before + 4096, "%zu bytes of %zu", heap_bytes(), before);
}
