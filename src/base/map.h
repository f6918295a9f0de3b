/*
 * map: string keys to pointers, open addressing, keyed hash (SipHash with a per-process secret when
 * `hostile`, XXH3 otherwise). Keys are copied; values are the caller's. Iteration goes in the order of insertion,
 * so that what is made from a map does not depend on a secret.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct map;

struct map *map_create(void);
/* For keys that a peer chooses. */
struct map *map_create_hostile(void);
/* Does not touch the values. Accepts NULL. */
void map_destroy(struct map *map);
size_t map_count(const struct map *map);
/* NULL when there is none. */
void *map_get(const struct map *map, struct slice key);
/* Sets and returns the value that was there before, or NULL. value is not NULL. */
void *map_put(struct map *map, struct slice key, void *value);
/* Removes and returns the value, or NULL. */
void *map_remove(struct map *map, struct slice key);
void map_clear(struct map *map);

/* struct map_iterator it = {0}; while (map_next(map, &it)) use it.key, it.value. Removing it.key inside is allowed,
 * adding is not. */
struct map_iterator {
    size_t position;
    struct slice key;
    void *value;
};
bool map_next(const struct map *map, struct map_iterator *iterator);
OWNED(map, map_destroy)
