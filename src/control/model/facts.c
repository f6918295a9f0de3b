#include "control/model/facts.h"

#include "base/buffer.h"
#include "base/map.h"
#include "base/memory.h"

struct fact {
    VECTOR(struct reader *) readers;
    char name[];
};

struct facts {
    struct map *by_name;
    struct list queue;
};

struct facts *facts_create(void)
{
    struct facts *facts = mem_new(struct facts);
    facts->by_name = map_create();
    list_init(&facts->queue);
    return facts;
}

void facts_destroy(struct facts *facts)
{
    if (!facts)
        return;
    map_destroy(facts->by_name);
    mem_free(facts);
}

void reader_init(struct reader *reader)
{
    *reader = (struct reader){0};
    list_init(&reader->queued);
}

void reader_init_in(struct reader *reader, struct list *queue)
{
    reader_init(reader);
    reader->queue = queue;
}

static void fact_leave(struct facts *facts, struct fact *fact, const struct reader *reader)
{
    for (size_t i = fact->readers.count; i-- > 0;) {
        if (fact->readers.items[i] != reader)
            continue;
        fact->readers.items[i] = vector_last(&fact->readers);
        fact->readers.count--;
        break;
    }
    if (fact->readers.count > 0)
        return;
    map_remove(facts->by_name, slice_str(fact->name));
    vector_fini(&fact->readers);
    mem_free(fact);
}

void reader_begin(struct facts *facts, struct reader *reader)
{
    for (size_t i = 0; i < reader->reads.count; i++)
        fact_leave(facts, reader->reads.items[i], reader);
    reader->reads.count = 0;
}

void reader_fini(struct facts *facts, struct reader *reader)
{
    reader_begin(facts, reader);
    vector_fini(&reader->reads);
    list_remove(&reader->queued);
}

static struct fact *find_or_make(struct facts *facts, struct slice name)
{
    struct fact *fact = map_get(facts->by_name, name);
    if (fact)
        return fact;
    fact = mem_calloc(1, sizeof(*fact) + name.size + 1);
    memcpy(fact->name, name.data, name.size);
    map_put(facts->by_name, name, fact);
    return fact;
}

void facts_read(struct facts *facts, struct reader *reader, const char *format, ...)
{
    if (!reader)
        return;
    owned_buffer name = {0};
    va_list args;
    va_start(args, format);
    buffer_format_v(&name, format, args);
    va_end(args);
    struct fact *fact = find_or_make(facts, buffer_slice(&name));
    /* A derivation asks the same thing again and again, one question after the other. */
    if (fact->readers.count > 0 && vector_last(&fact->readers) == reader)
        return;
    vector_push(&fact->readers, reader);
    vector_push(&reader->reads, fact);
}

void facts_queue(struct facts *facts, struct reader *reader)
{
    if (list_is_empty(&reader->queued))
        list_push_back(reader->queue ? reader->queue : &facts->queue, &reader->queued);
}

void facts_changed(struct facts *facts, const char *format, ...)
{
    owned_buffer name = {0};
    va_list args;
    va_start(args, format);
    buffer_format_v(&name, format, args);
    va_end(args);
    const struct fact *fact = map_get(facts->by_name, buffer_slice(&name));
    for (size_t i = 0; fact && i < fact->readers.count; i++)
        facts_queue(facts, fact->readers.items[i]);
}

struct reader *facts_take(struct list *queue)
{
    if (list_is_empty(queue))
        return NULL;
    struct reader *reader = CONTAINER_OF(queue->next, struct reader, queued);
    list_remove(&reader->queued);
    return reader;
}

struct reader *facts_next(struct facts *facts)
{
    return facts_take(&facts->queue);
}
