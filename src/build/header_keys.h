/*
 * header_keys: header names from configuration, with the codec's numbers for the well-known ones.
 */
#pragma once

#include "base/attributes.h"
#include "match/request.h"

struct table_memory;

/* As header_key_build, and fills in the number. */
MUST_USE bool header_keys_build(struct header_key *key, struct slice name,
                                struct table_memory *memory);
