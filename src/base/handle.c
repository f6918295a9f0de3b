#include "base/handle.h"

#include "base/memory.h"
#include "base/vector.h"

#include <assert.h>

struct handle_slot {
    void *object; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* slot + 1; 0 ends the list */
};

struct handle_table {
    VECTOR(struct handle_slot) slots;
    uint32_t first_free; /* slot + 1 */
    uint32_t generation; /* of new slots: no less than of any that was trimmed */
};

struct handle_table *handle_table_create(void)
{
    return mem_new(struct handle_table);
}

void handle_table_destroy(struct handle_table *table)
{
    if (!table)
        return;
    vector_fini(&table->slots);
    mem_free(table);
}

static inline handle name_of(uint32_t slot, uint32_t generation)
{
    return (handle)generation << 32 | (slot + 1);
}

handle handle_new(struct handle_table *table, void *object)
{
    assert(object);
    if (table->first_free == 0) {
        assert(table->slots.count < UINT32_MAX - 1);
        vector_push(&table->slots, {.generation = table->generation});
        table->first_free = (uint32_t)table->slots.count;
    }
    uint32_t at = table->first_free - 1;
    struct handle_slot *slot = &table->slots.items[at];
    table->first_free = slot->next_free;
    slot->object = object;
    slot->generation++;
    return name_of(at, slot->generation);
}

static struct handle_slot *find(const struct handle_table *table, handle name)
{
    uint32_t number = (uint32_t)name; /* slot + 1; 0 wraps to beyond every slot */
    if ((size_t)(number - 1) >= table->slots.count)
        return NULL;
    struct handle_slot *slot = &table->slots.items[number - 1];
    return slot->generation == (uint32_t)(name >> 32) && slot->object ? slot : NULL;
}

void *handle_get(const struct handle_table *table, handle name)
{
    const struct handle_slot *slot = find(table, name);
    return slot ? slot->object : NULL;
}

void handle_drop(struct handle_table *table, handle name)
{
    struct handle_slot *slot = find(table, name);
    if (!slot)
        return;
    slot->object = NULL;
    slot->next_free = table->first_free;
    table->first_free = (uint32_t)name;
}

void handle_table_trim(struct handle_table *table)
{
    size_t keep = table->slots.count;
    while (keep > 0 && !table->slots.items[keep - 1].object) {
        table->generation = MAX(table->generation, table->slots.items[keep - 1].generation);
        keep--;
    }
    table->slots.count = keep;
    vector_shrink(&table->slots);
    table->first_free = 0;
    for (size_t i = keep; i > 0; i--) {
        if (table->slots.items[i - 1].object)
            continue;
        table->slots.items[i - 1].next_free = table->first_free;
        table->first_free = (uint32_t)i;
    }
}
