/*
 * number: decimal numbers as text, exact and without a detour over double.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

/* A number with more characters than this is none: nothing that we configure needs it, and its cost stays bounded. */
enum { NUMBER_MAX_BYTES = 128 };

/* Exactly what RFC 8259 calls a number. */
bool number_is_json(struct slice text);
/* A plain YAML scalar as kubectl reads it: 0x1F, 0o17, 017, 1_000, .5, +3 too. Writes JSON's form (at most
 * NUMBER_MAX_BYTES + 8). */
bool number_from_yaml(struct slice text, char *json, size_t *size);

/* From JSON's form; a fraction or exponent is fine when the number is whole. */
bool number_to_i64(struct slice json, int64_t *number);
bool number_to_u64(struct slice json, uint64_t *number);
/* False when too large for a finite double. */
bool number_to_double(struct slice json, double *number);
/* The shortest text that reads back as the same double; finite. At most 32 bytes with the NUL. */
void number_write_double(double number, char text[32]);
void number_write_float(float number, char text[32]);
