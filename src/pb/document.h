/*
 * document: a tree of values as YAML and JSON have them, with the place where each was written.
 *
 * A tree lives in the caller's arena, and keeps order, explicit nulls and numbers as they were written. Reading YAML
 * follows what kubectl does (YAML 1.1 plain scalars), refuses duplicate keys, and expands no alias unless the limits allow it.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

#include <jansson.h>

enum value_kind { VALUE_NULL, VALUE_BOOL, VALUE_NUMBER, VALUE_STRING, VALUE_LIST, VALUE_OBJECT };

struct value {
    enum value_kind kind : 8;
    bool quoted;     /* a scalar written in quotes, or as a block */
    uint32_t line;   /* from 1; 0 when it was not read from a text */
    uint32_t column; /* from 1, in characters */
    uint32_t key_line, key_column;
    uint32_t count;   /* of items or members */
    struct slice key; /* a member's name, NUL-terminated; none for an item */
    struct slice
        text; /* a string's bytes; a number in JSON's form; "true" or "false". NUL-terminated */
    struct slice
        raw; /* a plain scalar as it was written, when it differs from text: 0x1F, yes, ~ */
    struct value *next; /* the following item or member */
    struct value *first, *last;
};

struct text_limits {
    size_t max_bytes;
    size_t max_depth;  /* of lists and objects within each other; at most DOCUMENT_MAX_DEPTH */
    size_t max_values; /* in all documents together, aliases counted as often as they are used */
    size_t max_alias_values; /* values that aliases may add; 0: an alias is an error */
};
enum { DOCUMENT_MAX_DEPTH = 64 };
/* 16 MiB, depth 64, 1,000,000 values, no aliases. */
extern const struct text_limits TEXT_LIMITS;

/* The documents of a stream, in order; empty ones are left out. */
struct documents {
    struct value **items; /* in the arena */
    size_t count;
};

/* `name` is for errors ("cart.yaml"). limits NULL = TEXT_LIMITS. JSON is read too, being YAML. */
MUST_USE bool document_read_yaml(struct slice text, const char *name,
                                 const struct text_limits *limits, struct arena *arena,
                                 struct documents *out, struct error *error);
/* One value of strict JSON (RFC 8259), for what machines send. Its values have no places. */
MUST_USE bool document_read_json(struct slice text, const char *name,
                                 const struct text_limits *limits, struct arena *arena,
                                 struct value **out, struct error *error);

/* NULL when there is none, or when it is not an object. */
struct value *value_get(const struct value *object, const char *key);
struct value *value_get_slice(const struct value *object, struct slice key);
/* VALUE_EACH(child, list or object): nothing for a scalar or NULL. */
#define VALUE_EACH(child, parent)                                                                  \
    for (struct value *child = (parent) ? (parent)->first : NULL; child; child = child->next)
/* The text of a string, or `otherwise`. */
const char *value_str(const struct value *value, const char *otherwise);
/* Whole numbers only, also when written as 1e3 or 5.0. False when it is none or out of range. */
MUST_USE bool value_to_i64(const struct value *value, int64_t *number);
MUST_USE bool value_to_u64(const struct value *value, uint64_t *number);
/* False when it is no number, or too large for a double. */
MUST_USE bool value_to_double(const struct value *value, double *number);
/* "an object", "the number 8080", "the string "x"": for messages. In the arena. */
const char *value_describe(const struct value *value, struct arena *arena);

/* New values, without a place. Text is copied. */
struct value *value_new(struct arena *arena, enum value_kind kind);
struct value *value_new_string(struct arena *arena, struct slice text);
struct value *value_new_number(struct arena *arena, struct slice json_number);
struct value *value_new_i64(struct arena *arena, int64_t number);
struct value *value_new_u64(struct arena *arena, uint64_t number);
struct value *value_new_double(struct arena *arena, double number); /* finite */
struct value *value_new_bool(struct arena *arena, bool truth);
/* Appends an item; a member goes to the end without a look for the same key. */
void value_append(struct value *list, struct value *item);
void value_put(struct arena *arena, struct value *object, struct slice key, struct value *member);

/* To and from jansson, which keeps the order too. A number that int64 and double cannot hold is refused: NULL. */
json_t *value_to_json(const struct value *value);
/* NULL when it is deeper than DOCUMENT_MAX_DEPTH. */
struct value *value_from_json(const json_t *json, struct arena *arena);

/* Indented by two and ended by a newline when pretty, else on one line. */
void value_write_json(const struct value *value, bool pretty, struct buffer *out);
/* In block style; strings that YAML would read as something else are quoted. */
void value_write_yaml(const struct value *value, struct buffer *out);
