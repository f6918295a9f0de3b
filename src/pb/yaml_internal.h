/*
 * yaml: how a plain scalar is read, for the reader and for the writer, which quotes what would be read as something else.
 */
#pragma once

#include "pb/document.h"

/* What kubectl makes of a plain scalar: YAML 1.1. For a number, `json` gets its JSON form (at least NUMBER_MAX_BYTES +
 * 8 bytes). */
enum value_kind yaml_resolve(struct slice plain, char *json, size_t *json_size);
