#include "base/map.h"

#include "base/hash.h"
#include "base/memory.h"

#include <assert.h>

/*
 * Entries lie in the order of insertion; a table of slots, open addressing, finds them. A slot holds the upper half
 * of the hash and the entry's number plus one, so that most probes that miss never touch an entry. Removal leaves a
 * hole in both, which the next rebuild closes: that is why removing during iteration is safe.
 */
struct map_entry {
    char *key; /* NULL: a hole */
    size_t size;
    uint64_t hash;
    void *value;
};

struct map {
    uint64_t *slots; /* a power of two of them */
    struct map_entry *entries;
    size_t mask;  /* slots - 1 */
    size_t used;  /* entries with their holes; at most 3/4 of the slots */
    size_t count; /* entries without holes */
    bool hostile;
};

#define SLOT_FREE ((uint64_t)0)
#define SLOT_HOLE ((uint64_t)UINT32_MAX)

enum { MAP_FIRST_SLOTS = 8 };

static struct map *create(bool hostile)
{
    struct map *map = mem_new(struct map);
    map->hostile = hostile;
    return map;
}

struct map *map_create(void)
{
    return create(false);
}

struct map *map_create_hostile(void)
{
    return create(true);
}

void map_destroy(struct map *map)
{
    if (!map)
        return;
    map_clear(map);
    mem_free(map);
}

size_t map_count(const struct map *map)
{
    return map->count;
}

static uint64_t hash_of(const struct map *map, struct slice key)
{
    return map->hostile ? hash_hostile(key) : hash64(key, 0);
}

static inline uint64_t slot_of(uint64_t hash, size_t entry)
{
    return (hash & ~(uint64_t)UINT32_MAX) | (entry + 1);
}

static inline struct map_entry *slot_entry(const struct map *map, uint64_t slot)
{
    return &map->entries[(uint32_t)slot - 1];
}

/* The slot that holds the key, or NULL. */
static uint64_t *find(const struct map *map, struct slice key, uint64_t hash)
{
    if (map->count == 0)
        return NULL;
    for (size_t at = hash & map->mask;; at = (at + 1) & map->mask) {
        uint64_t *slot = &map->slots[at];
        if (*slot == SLOT_FREE)
            return NULL;
        if (*slot == SLOT_HOLE || (*slot ^ hash) >> 32 != 0)
            continue;
        const struct map_entry *entry = slot_entry(map, *slot);
        if (entry->hash == hash && slice_equals(slice_of(entry->key, entry->size), key))
            return slot;
    }
}

/* The first free slot for a key that is not in the map. A hole is not reused: its entry would be out of order. */
static void place(struct map *map, uint64_t hash, size_t entry)
{
    size_t at = hash & map->mask;
    while (map->slots[at] != SLOT_FREE)
        at = (at + 1) & map->mask;
    map->slots[at] = slot_of(hash, entry);
}

/* At most half full afterwards, without holes; grows or shrinks as the count asks. */
static void rebuild(struct map *map)
{
    size_t slots = MAP_FIRST_SLOTS;
    while (slots / 2 < map->count + 1)
        slots *= 2;
    assert(slots < UINT32_MAX);
    struct map_entry *entries = mem_alloc(slots / 4 * 3 * sizeof(*entries));
    size_t kept = 0;
    for (size_t i = 0; i < map->used; i++) {
        if (map->entries[i].key)
            entries[kept++] = map->entries[i];
    }
    mem_free(map->entries);
    mem_free(map->slots);
    map->entries = entries;
    map->slots = mem_calloc(slots, sizeof(*map->slots));
    map->mask = slots - 1;
    map->used = kept;
    for (size_t i = 0; i < kept; i++)
        place(map, entries[i].hash, i);
}

void *map_get(const struct map *map, struct slice key)
{
    if (map->count == 0)
        return NULL;
    uint64_t *slot = find(map, key, hash_of(map, key));
    return slot ? slot_entry(map, *slot)->value : NULL;
}

void *map_put(struct map *map, struct slice key, void *value)
{
    assert(value);
    uint64_t hash = hash_of(map, key);
    uint64_t *slot = find(map, key, hash);
    if (slot) {
        struct map_entry *entry = slot_entry(map, *slot);
        void *before = entry->value;
        entry->value = value;
        return before;
    }
    if (!map->slots || map->used == (map->mask + 1) / 4 * 3)
        rebuild(map);
    map->entries[map->used] = (struct map_entry){
        .key = str_copy_n(key.data, key.size), .size = key.size, .hash = hash, .value = value};
    place(map, hash, map->used++);
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct slice key)
{
    uint64_t *slot = find(map, key, hash_of(map, key));
    if (!slot)
        return NULL;
    struct map_entry *entry = slot_entry(map, *slot);
    void *value = entry->value;
    mem_free(entry->key);
    *entry = (struct map_entry){0};
    *slot = SLOT_HOLE;
    map->count--;
    return value;
}

void map_clear(struct map *map)
{
    for (size_t i = 0; i < map->used; i++)
        mem_free(map->entries[i].key);
    mem_free(map->entries);
    mem_free(map->slots);
    *map = (struct map){.hostile = map->hostile};
}

bool map_next(const struct map *map, struct map_iterator *iterator)
{
    while (iterator->position < map->used) {
        const struct map_entry *entry = &map->entries[iterator->position++];
        if (entry->key) {
            iterator->key = slice_of(entry->key, entry->size);
            iterator->value = entry->value;
            return true;
        }
    }
    return false;
}
