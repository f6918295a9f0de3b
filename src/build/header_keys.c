#include "build/header_keys.h"

#include "http/header.h"

bool header_keys_build(struct header_key *key, struct slice name, struct table_memory *memory)
{
    if (!header_key_build(key, name, memory))
        return false;
    if (key->source == HEADER_KEY_FIELD)
        key->id = (uint16_t)header_id_of(key->name);
    return true;
}
