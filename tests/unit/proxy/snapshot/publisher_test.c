#include "test.h"

#include "base/memory.h"
#include "base/random.h"
#include "proxy/snapshot/publisher.h"

#include <pthread.h>
#include <sched.h>

/* The configuration on main: as many routes as there are names, each a resource without an object (KIND_TLS with none). */
enum { RESOURCES = 40 };

struct setup {
    struct publisher *publisher;
    struct name_tree trees[RESOURCE_KINDS];
};

static struct name name_number(unsigned i, char text[16])
{
    snprintf(text, 16, "r%u", i);
    return name_of(slice_str(text));
}

static void put(struct setup *setup, unsigned i, unsigned version)
{
    char text[16], version_text[16];
    struct name name = name_number(i, text);
    snprintf(version_text, sizeof(version_text), "%u", version);
    struct resource *resource =
        resource_create(KIND_TLS, &name, NULL, slice_str(version_text), SLICE(""));
    CHECK(publisher_admit(setup->publisher, resource));
    struct name_tree next = name_tree_with(setup->trees[KIND_TLS], resource);
    const struct tree_owner owner = publisher_owner(setup->publisher);
    name_tree_release(setup->trees[KIND_TLS], &owner);
    setup->trees[KIND_TLS] = next;
    publisher_drop(setup->publisher, resource);
}

static void publish(struct setup *setup)
{
    struct name_tree given[RESOURCE_KINDS] = {0};
    given[KIND_TLS] = name_tree_hold(setup->trees[KIND_TLS]);
    publisher_publish(setup->publisher, given);
}

static void setup_init(struct setup *setup)
{
    *setup = (struct setup){.publisher = publisher_create(NULL)};
    for (unsigned i = 0; i < RESOURCES; i++)
        put(setup, i, 0);
    publish(setup);
}

static void release_now(void *owner, struct resource *resource)
{
    (void)owner;
    resource_free(resource);
}

static void setup_fini(struct setup *setup)
{
    struct publisher_counts counts;
    publisher_collect(setup->publisher);
    publisher_count(setup->publisher, &counts);
    CHECK(counts.snapshots == 1, "%zu snapshots", counts.snapshots);
    CHECK(counts.retired == 0, "%zu resources wait", counts.retired);
    CHECK(counts.resources == RESOURCES, "%zu resources", counts.resources);
    publisher_destroy(setup->publisher);
    const struct tree_owner owner = {release_now, NULL};
    name_tree_release(setup->trees[KIND_TLS], &owner);
}

static const struct resource *find(const struct reader *reader, unsigned i)
{
    char text[16];
    struct name name = name_number(i, text);
    return snapshot_find(reader->snapshot, KIND_TLS, &name);
}

static void adopt(struct reader *reader)
{
    const struct snapshot *before;
    if (reader_begin_adopt(reader, &before))
        reader_finish_adopt(reader);
}

TEST(publisher_frees_only_what_was_left_by_all)
{
    struct setup setup;
    struct publisher_counts counts;
    setup_init(&setup);
    struct reader *fast = publisher_add_reader(setup.publisher, NULL);
    struct reader *slow = publisher_add_reader(setup.publisher, NULL);
    adopt(fast);
    adopt(slow);
    const struct resource *old = find(slow, 5);
    CHECK(old && slice_equals_str(old->version, "0"));

    put(&setup, 5, 1);
    publish(&setup);
    adopt(fast);
    CHECK(slice_equals_str(find(fast, 5)->version, "1"));
    publisher_collect(setup.publisher);
    publisher_count(setup.publisher, &counts);
    CHECK(counts.snapshots == 2 && counts.adopted_by_all == 1, "the slow reader is still there");
    CHECK(slice_equals_str(find(slow, 5)->version, "0"));
    CHECK(atomic_load(&old->retired));

    reader_pin(slow, old);
    reader_pin(slow, old);
    adopt(slow);
    publisher_collect(setup.publisher);
    publisher_count(setup.publisher, &counts);
    CHECK(counts.snapshots == 1 && counts.retired == 1, "pinned");
    reader_unpin(slow, old);
    publisher_collect(setup.publisher);
    CHECK(slice_equals_str(old->version, "0"), "still pinned once");
    reader_unpin(slow, old);
    CHECK(publisher_collect(setup.publisher) == 0);
    publisher_remove_reader(setup.publisher, fast);
    publisher_remove_reader(setup.publisher, slow);
    setup_fini(&setup);
}

TEST(publisher_replaces_what_was_not_adopted)
{
    struct setup setup;
    struct publisher_counts counts;
    setup_init(&setup);
    struct reader *reader = publisher_add_reader(setup.publisher, NULL);
    for (unsigned i = 1; i <= 100; i++) {
        put(&setup, 3, i);
        publish(&setup);
    }
    publisher_count(setup.publisher, &counts);
    CHECK(counts.snapshots == 1, "nobody saw the other ones: %zu", counts.snapshots);
    adopt(reader);
    CHECK(slice_equals_str(find(reader, 3)->version, "100"));
    const struct snapshot *before;
    CHECK(!reader_begin_adopt(reader, &before), "nothing newer");
    publisher_remove_reader(setup.publisher, reader);
    setup_fini(&setup);
}

TEST(publisher_keeps_a_held_snapshot)
{
    struct setup setup;
    setup_init(&setup);
    const struct snapshot *held = publisher_hold(setup.publisher);
    put(&setup, 1, 1);
    publish(&setup);
    char text[16];
    struct name name = name_number(1, text);
    CHECK(slice_equals_str(snapshot_find(held, KIND_TLS, &name)->version, "0"));
    publisher_release(setup.publisher, held);
    setup_fini(&setup);
}

TEST(publisher_survives_more_left_resources_than_a_reader_can_tell)
{
    struct setup setup;
    setup_init(&setup);
    struct reader *reader = publisher_add_reader(setup.publisher, NULL);
    const struct resource *pinned[1000];
    for (unsigned i = 0; i < COUNT(pinned); i++) {
        adopt(reader);
        pinned[i] = find(reader, 0);
        reader_pin(reader, pinned[i]);
        put(&setup, 0, i + 1);
        publish(&setup);
    }
    adopt(reader);
    CHECK(publisher_collect(setup.publisher) == COUNT(pinned));
    for (unsigned i = 0; i < COUNT(pinned); i++)
        reader_unpin(reader, pinned[i]);
    CHECK(publisher_collect(setup.publisher) == 0);
    publisher_remove_reader(setup.publisher, reader);
    setup_fini(&setup);
}

/* --- with threads, for TSan --------------------------------------------------------------------------------------- */

struct worker_thread {
    pthread_t thread;
    struct reader *reader;
    uint64_t seed;
    _Atomic bool *stop;
    uint64_t turns, checked;
};

/* Pins some of what it sees, keeps it over later snapshots, and reads it each time. */
static void *work(void *argument)
{
    struct worker_thread *worker = argument;
    struct random random;
    const struct resource *pinned[16] = {0};
    random_seed(&random, worker->seed);
    while (!atomic_load_explicit(worker->stop, memory_order_relaxed)) {
        adopt(worker->reader);
        worker->turns++;
        for (int i = 0; i < 4; i++) {
            size_t slot = random_below(&random, COUNT(pinned));
            if (pinned[slot]) {
                worker->checked += pinned[slot]->version.size + pinned[slot]->name.text.size;
                reader_unpin(worker->reader, pinned[slot]);
                pinned[slot] = NULL;
            } else {
                pinned[slot] = find(worker->reader, (unsigned)random_below(&random, RESOURCES));
                reader_pin(worker->reader, pinned[slot]);
            }
        }
        if (random_below(&random, 8) == 0)
            sched_yield();
    }
    for (size_t i = 0; i < COUNT(pinned); i++) {
        if (pinned[i])
            reader_unpin(worker->reader, pinned[i]);
    }
    return NULL;
}

TEST(publisher_shares_with_threads)
{
    struct setup setup;
    struct worker_thread workers[3];
    struct random random;
    _Atomic bool stop = false;
    setup_init(&setup);
    random_seed(&random, 1);
    for (size_t i = 0; i < COUNT(workers); i++) {
        workers[i] = (struct worker_thread){
            .reader = publisher_add_reader(setup.publisher, NULL), .seed = i + 1, .stop = &stop};
        adopt(workers[i].reader);
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (unsigned change = 1; change <= 3000; change++) {
        for (uint64_t n = random_below(&random, 4); n > 0; n--)
            put(&setup, (unsigned)random_below(&random, RESOURCES), change);
        publish(&setup);
        publisher_collect(setup.publisher);
        if (change % 16 == 0)
            sched_yield();
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT(workers); i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        adopt(workers[i].reader);
    }
    for (size_t i = 0; i < COUNT(workers); i++) {
        CHECK(workers[i].turns > 0);
        publisher_remove_reader(setup.publisher, workers[i].reader);
    }
    setup_fini(&setup);
}
