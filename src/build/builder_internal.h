/*
 * builder: what every build function carries: where results live, where we are in the message, and the first mistake.
 *
 * The place is a path of fields that is pushed and popped on the way: errors begin with it, "filter_chains[1].filters[0]: ...".
 * A function that fails returns at once, so nobody has to pop then.
 *
 * build_honours is the rule of this room: it names the fields of a message that the builder acts on, and
 * refuses the message when any other one is set.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "base/vector.h"
#include "build/name.h"
#include "build/options.h"
#include "build/tls_spec.h"
#include "match/table_memory.h"

#include "google/protobuf/any.pb-c.h"

#include <protobuf-c/protobuf-c.h>

enum { BUILD_MAX_DEPTH = 64 };

struct route_table;

struct place {
    const char *field;
    int64_t index; /* -1: not in a list */
    bool is_type;  /* field is the type inside an Any: "typed_config<HttpConnectionManager>" */
};

struct builder {
    struct table_memory *memory; /* of the object that is being built */
    struct arena scratch;        /* for messages inside messages */
    const struct build_options *options;
    struct error *error;
    struct place places[BUILD_MAX_DEPTH];
    size_t depth;
    VECTOR(struct name) routes; /* what the object will wait for */
    VECTOR(struct name) secrets;
    VECTOR(struct name) clusters;
    VECTOR(struct route_table *) tables; /* inline; references, kept as the specs are */
    VECTOR(struct tls_spec *)
    specs; /* that hold references; the object keeps the list, also when it fails */
};

void builder_init(struct builder *b, struct table_memory *memory,
                  const struct build_options *options, struct error *error);
void builder_fini(struct builder *b);

/* Both return true, so that they stand in conditions; false only at the bottom of too deep a message. */
MUST_USE bool build_enter(struct builder *b, const char *field);
MUST_USE bool build_enter_at(struct builder *b, const char *field, size_t index);
void build_leave(struct builder *b);

/* "PATH: what"; returns false. */
bool build_fail(struct builder *b, const char *format, ...) PRINTF(2, 3) COLD;
/* The same for a field of the message where we are. */
bool build_fail_at(struct builder *b, const char *field, const char *format, ...) PRINTF(3, 4) COLD;
/* After something that knows no builder has filled the error: puts the path before it. Returns ok. */
MUST_USE bool build_ok(struct builder *b, bool ok);
MUST_USE bool build_ok_at(struct builder *b, const char *field, bool ok);

/* The fields named here act. Anything else that is set is refused, by its name. */
MUST_USE bool build_honours_fields(struct builder *b, const ProtobufCMessage *message,
                                   const char *const *fields);
#define build_honours(b, message, ...)                                                             \
    build_honours_fields((b), &(message)->base, (const char *const[]){__VA_ARGS__, NULL})

/* The message in an Any, in scratch, also where a TypedStruct wraps it; NULL on failure. Enters "typed_config<TYPE>", which
 * build_leave_any leaves. */
MUST_USE void *build_any(struct builder *b, const char *field, const Google__Protobuf__Any *any);
void build_leave_any(struct builder *b);
/* The name after the last slash or dot: "HttpConnectionManager". */
const char *build_type_name(const ProtobufCMessage *message);

/* A copy in the object's memory with its hash. */
struct name build_name(struct builder *b, struct slice text);
struct slice build_text(struct builder *b, const char *text);
/* Adds a name unless it is there. */
#define build_collect(list, item)                                                                  \
    do {                                                                                           \
        bool is_there = false;                                                                     \
        VECTOR_EACH(known, (list))                                                                 \
        is_there = is_there || name_equals(known, (item));                                         \
        if (!is_there)                                                                             \
            vector_push((list), *(item));                                                          \
    } while (0)
/* The collected names, in the object's memory; unique ones in order of hash. */
struct name_list build_keep_unique(struct builder *b, struct name *items, size_t count);
/* The collected names, in the object's memory. */
#define build_keep_names(b, list) build_keep_name_list((b), (list)->items, (list)->count)
struct name_list build_keep_name_list(struct builder *b, const struct name *items, size_t count);

/* The specs made so far, in the object's memory; also after a failure, so that the object can finish them. */
struct tls_spec_list build_keep_specs(struct builder *b);

/* count elements of the object's memory, zeroed; NULL for none. */
#define build_array(b, type, count)                                                                \
    ((count) ? (type *)arena_calloc(&(b)->memory->arena, (count), sizeof(type)) : NULL)
