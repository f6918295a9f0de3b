#include "proxy/snapshot/publisher.h"

#include "base/memory.h"
#include "base/vector.h"
#include "io/loop.h"

#include <assert.h>

enum { LEFT_RING = 256 }; /* a power of two */

/* What a reader tells main. Slots, not pointers: main may have freed the resource for another reason meanwhile. */
struct reader_mail {
    struct mail mail;
    struct publisher *publisher;
    struct loop *main_loop;
    _Atomic bool queued;
    _Atomic bool overflow;       /* the ring was full: look at every retired resource */
    _Atomic uint32_t head, tail; /* reader pushes at head, main pops at tail */
    uint32_t left[LEFT_RING];
};

struct publisher {
    struct loop *main_loop;
    struct snapshot *newest;
    struct reader *readers;
    uint64_t epoch;
    VECTOR(struct resource *) slots; /* by slot; NULL: free */
    VECTOR(uint32_t) free_slots;
    VECTOR(struct resource *) unheld; /* no snapshot has them; pinned, or not looked at yet */
    size_t snapshots, resources;
};

struct publisher *publisher_create(struct loop *main_loop)
{
    struct publisher *publisher = mem_new(struct publisher);
    publisher->main_loop = main_loop;
    return publisher;
}

/* --- resources ----------------------------------------------------------------------------------------------- */

static bool is_pinned(const struct publisher *publisher, uint32_t slot)
{
    for (const struct reader *reader = publisher->readers; reader; reader = reader->next) {
        _Atomic uint32_t *chunk =
            atomic_load_explicit(&reader->pins[slot / PIN_CHUNK], memory_order_relaxed);
        if (chunk && atomic_load_explicit(&chunk[slot % PIN_CHUNK], memory_order_acquire) > 0)
            return true;
    }
    return false;
}

static void free_resource(struct publisher *publisher, struct resource *resource)
{
    if (resource->slot != UINT32_MAX) {
        publisher->slots.items[resource->slot] = NULL;
        vector_push(&publisher->free_slots, resource->slot);
        publisher->resources--;
    }
    resource_free(resource);
}

/* No snapshot that a reader may still look at has it, for those count as references. */
static void on_dropped(void *owner, struct resource *resource)
{
    struct publisher *publisher = owner;
    if (resource->slot == UINT32_MAX || !is_pinned(publisher, resource->slot))
        free_resource(publisher, resource);
    else {
        vector_push(&publisher->unheld, resource);
        resource->waiting = (uint32_t)publisher->unheld.count;
    }
}

struct tree_owner publisher_owner(struct publisher *publisher)
{
    return (struct tree_owner){on_dropped, publisher};
}

void publisher_drop(struct publisher *publisher, struct resource *resource)
{
    if (resource_drop(resource))
        on_dropped(publisher, resource);
}

static void add_chunk(struct reader *reader, size_t chunk)
{
    if (!atomic_load_explicit(&reader->pins[chunk], memory_order_relaxed))
        atomic_store_explicit(&reader->pins[chunk], mem_calloc(PIN_CHUNK, sizeof(uint32_t)),
                              memory_order_release);
}

bool publisher_admit(struct publisher *publisher, struct resource *resource)
{
    assert(resource->slot == UINT32_MAX);
    if (publisher->free_slots.count > 0) {
        resource->slot = publisher->free_slots.items[--publisher->free_slots.count];
        publisher->slots.items[resource->slot] = resource;
    } else {
        if (publisher->slots.count == (size_t)PIN_CHUNK * PIN_CHUNKS)
            return false;
        resource->slot = (uint32_t)publisher->slots.count;
        vector_push(&publisher->slots, resource);
    }
    for (struct reader *reader = publisher->readers; reader; reader = reader->next)
        add_chunk(reader, resource->slot / PIN_CHUNK);
    publisher->resources++;
    return true;
}

/* --- snapshots ----------------------------------------------------------------------------------------------- */

static void unhold(struct publisher *publisher, struct snapshot *snapshot)
{
    if (--snapshot->holds > 0)
        return;
    const struct tree_owner owner = publisher_owner(publisher);
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        name_tree_release(snapshot->trees[kind], &owner);
    mem_free(snapshot);
    publisher->snapshots--;
}

const struct snapshot *publisher_newest(const struct publisher *publisher)
{
    return publisher->newest;
}

const struct snapshot *publisher_hold(struct publisher *publisher)
{
    publisher->newest->holds++;
    return publisher->newest;
}

void publisher_release(struct publisher *publisher, const struct snapshot *snapshot)
{
    unhold(publisher, (struct snapshot *)(uintptr_t)snapshot);
}

static void retire(void *to, const struct resource *before, const struct resource *after)
{
    (void)to;
    if (before)
        atomic_store_explicit(&((struct resource *)(uintptr_t)before)->retired, true,
                              memory_order_relaxed);
    if (after)
        atomic_store_explicit(&((struct resource *)(uintptr_t)after)->retired, false,
                              memory_order_relaxed);
}

/* Into the inbox; a snapshot that was not taken out of it has never been seen. */
static void give_to(struct publisher *publisher, struct reader *reader, struct snapshot *next)
{
    next->holds++;
    if (reader->given_count == reader->given_capacity)
        reader->given = vector_grow(reader->given, &reader->given_capacity, sizeof(*reader->given));
    struct snapshot *missed = atomic_exchange_explicit(&reader->inbox, next, memory_order_acq_rel);
    if (missed) {
        assert(reader->given[reader->given_count - 1] == missed);
        reader->given_count--;
        unhold(publisher, missed);
    }
    reader->given[reader->given_count++] = next;
    if (reader->loop)
        loop_wake(reader->loop);
}

void publisher_publish(struct publisher *publisher, const struct name_tree trees[RESOURCE_KINDS])
{
    struct snapshot *next = mem_new(struct snapshot), *before = publisher->newest;
    next->epoch = ++publisher->epoch;
    next->holds = 1; /* as the newest */
    memcpy(next->trees, trees, sizeof(next->trees));
    publisher->snapshots++;
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        snapshot_diff(before, next, (enum resource_kind)kind, retire, NULL);
    publisher->newest = next;
    for (struct reader *reader = publisher->readers; reader; reader = reader->next)
        give_to(publisher, reader, next);
    if (before)
        unhold(publisher, before);
}

/* --- readers, on main ------------------------------------------------------------------------------------------ */

static void on_mail(struct mail *mail)
{
    struct reader_mail *told = CONTAINER_OF(mail, struct reader_mail, mail);
    /* From here on another mail may be sent; what was told before is seen below. */
    atomic_exchange_explicit(&told->queued, false, memory_order_acq_rel);
    if (told->publisher)
        publisher_collect(told->publisher);
    else
        mem_free(told); /* its reader was removed meanwhile */
}

static void on_mail_dropped(struct mail *mail)
{
    struct reader_mail *told = CONTAINER_OF(mail, struct reader_mail, mail);
    atomic_store_explicit(&told->queued, false, memory_order_relaxed);
    if (!told->publisher)
        mem_free(told);
}

struct reader *publisher_add_reader(struct publisher *publisher, struct loop *loop)
{
    struct reader *reader = mem_new(struct reader);
    reader->mail = mem_new(struct reader_mail);
    *reader->mail = (struct reader_mail){.mail = {.deliver = on_mail, .drop = on_mail_dropped},
                                         .publisher = publisher,
                                         .main_loop = publisher->main_loop};
    reader->loop = loop;
    reader->next = publisher->readers;
    publisher->readers = reader;
    for (size_t chunk = 0; chunk * PIN_CHUNK < publisher->slots.count; chunk++)
        add_chunk(reader, chunk);
    if (publisher->newest)
        give_to(publisher, reader, publisher->newest);
    return reader;
}

static void look_at_all(struct publisher *publisher);

static void unlink_reader(struct publisher *publisher, struct reader *reader)
{
    struct reader **at = &publisher->readers;
    while (*at != reader)
        at = &(*at)->next;
    *at = reader->next;
}

void publisher_remove_reader(struct publisher *publisher, struct reader *reader)
{
    if (!reader)
        return;
    unlink_reader(publisher, reader);
    for (size_t i = 0; i < reader->given_count; i++)
        unhold(publisher, reader->given[i]);
    mem_free(reader->given);
    for (size_t chunk = 0; chunk < PIN_CHUNKS; chunk++)
        mem_free(atomic_load_explicit(&reader->pins[chunk], memory_order_relaxed));
    if (atomic_load_explicit(&reader->mail->queued, memory_order_acquire))
        reader->mail->publisher = NULL; /* it is under way and frees itself */
    else
        mem_free(reader->mail);
    mem_free(reader);
    look_at_all(publisher); /* its pins are gone, and what it had not told yet */
}

/* Snapshots older than the one it has reached. */
static void collect_given(struct publisher *publisher, struct reader *reader)
{
    uint64_t reached = reader_adopted(reader);
    size_t left = 0;
    while (left < reader->given_count && reader->given[left]->epoch < reached)
        unhold(publisher, reader->given[left++]);
    if (left == 0)
        return;
    reader->given_count -= left;
    memmove(reader->given, reader->given + left, reader->given_count * sizeof(*reader->given));
}

static void free_if_left(struct publisher *publisher, struct resource *resource)
{
    if (is_pinned(publisher, resource->slot))
        return;
    struct resource *last = publisher->unheld.items[--publisher->unheld.count];
    publisher->unheld.items[resource->waiting - 1] = last;
    last->waiting = resource->waiting;
    free_resource(publisher, resource);
}

static void look_at_slot(struct publisher *publisher, uint32_t slot)
{
    struct resource *resource = slot < publisher->slots.count ? publisher->slots.items[slot] : NULL;
    if (resource && resource->waiting > 0)
        free_if_left(publisher, resource);
}

static void look_at_all(struct publisher *publisher)
{
    for (size_t i = publisher->unheld.count; i-- > 0;)
        free_if_left(publisher, publisher->unheld.items[i]);
}

static void collect_left(struct publisher *publisher, struct reader_mail *told)
{
    bool all = atomic_exchange_explicit(&told->overflow, false, memory_order_acq_rel);
    uint32_t head = atomic_load_explicit(&told->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&told->tail, memory_order_relaxed);
    for (; tail != head; tail++)
        look_at_slot(publisher, told->left[tail % LEFT_RING]);
    atomic_store_explicit(&told->tail, tail, memory_order_release);
    if (all)
        look_at_all(publisher);
}

size_t publisher_collect(struct publisher *publisher)
{
    for (struct reader *reader = publisher->readers; reader; reader = reader->next)
        collect_given(publisher, reader);
    for (struct reader *reader = publisher->readers; reader; reader = reader->next)
        collect_left(publisher, reader->mail);
    return publisher->unheld.count;
}

static uint64_t reached_by_all(const struct publisher *publisher)
{
    uint64_t least = publisher->epoch;
    for (const struct reader *reader = publisher->readers; reader; reader = reader->next)
        least = MIN(least, reader_adopted(reader));
    return least;
}

void publisher_count(const struct publisher *publisher, struct publisher_counts *counts)
{
    *counts = (struct publisher_counts){
        .published = publisher->epoch,
        .adopted_by_all = reached_by_all(publisher),
        .snapshots = publisher->snapshots,
        .retired = publisher->unheld.count,
        .resources = publisher->resources,
    };
}

void publisher_destroy(struct publisher *publisher)
{
    if (!publisher)
        return;
    assert(!publisher->readers);
    if (publisher->newest)
        unhold(publisher, publisher->newest);
    look_at_all(publisher);
    assert(publisher->snapshots == 0);
    vector_fini(&publisher->slots);
    vector_fini(&publisher->free_slots);
    vector_fini(&publisher->unheld);
    mem_free(publisher);
}

/* --- readers, on their threads ---------------------------------------------------------------------------------- */

static void send_mail(struct reader *reader)
{
    struct reader_mail *told = reader->mail;
    if (!told->main_loop)
        return; /* main looks by itself */
    if (!atomic_exchange_explicit(&told->queued, true, memory_order_acq_rel))
        loop_post(told->main_loop, &told->mail);
}

bool reader_begin_adopt(struct reader *reader, const struct snapshot **before)
{
    struct snapshot *next = atomic_exchange_explicit(&reader->inbox, NULL, memory_order_acquire);
    if (!next)
        return false;
    *before = reader->leaving = reader->snapshot;
    reader->snapshot = next;
    return true;
}

void reader_finish_adopt(struct reader *reader)
{
    reader->leaving = NULL;
    /* Pins of earlier turns are seen by whoever sees this. */
    atomic_store_explicit(&reader->epoch, reader->snapshot->epoch, memory_order_release);
    send_mail(reader);
}

void reader_tell_left(struct reader *reader, uint32_t slot)
{
    struct reader_mail *told = reader->mail;
    uint32_t head = atomic_load_explicit(&told->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&told->tail, memory_order_acquire) < LEFT_RING) {
        told->left[head % LEFT_RING] = slot;
        atomic_store_explicit(&told->head, head + 1, memory_order_release);
    } else {
        atomic_store_explicit(&told->overflow, true, memory_order_release);
    }
    send_mail(reader);
}
