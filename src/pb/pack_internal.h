/*
 * pack: canonical bytes, written from the end to the start, so that every length is known when it is written.
 */
#pragma once

#include "base/attributes.h"
#include "base/memory.h"

#include <protobuf-c/protobuf-c.h>

struct packer {
    uint8_t *bytes; /* what is written lies in bytes[start .. size); owned by the caller */
    size_t start, size;
};

void pack_message(struct packer *packer, const ProtobufCMessage *message);

/* Two entries of one map: negative, 0 or positive, in order of key. */
int pack_compare_keys(const ProtobufCMessage *a, const ProtobufCMessage *b);
/* Map entries in order of key, the last of equal keys alone. The array is the caller's; returns how many are left. */
size_t pack_sort_map(const ProtobufCMessage **entries, size_t count);
