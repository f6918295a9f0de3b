/*
 * object: one object of the API as the store holds it, read; immutable and counted.
 *
 * The document is the truth; the message is a view of it for those who act. Loading is lenient: fields that this version
 * does not know or that do not act are left out and reported in `problems`. Where what was left out restricts, the rule that
 * holds it must not act (object_rule_acts); or, when that is no rule of its own or none is left, the object (`disabled`). Nothing
 * here writes into the document.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "control/model/kind.h"
#include "pb/document.h"
#include "pb/problem.h"

#include "tulle/kinds.pb-c.h"

struct object {
    uint32_t refs; /* the model thread's alone */
    enum kind kind;
    struct slice key, name_space, name; /* NUL-terminated */
    struct slice uid;
    int64_t created_s; /* creationTimestamp, Unix seconds */
    int64_t generation;
    uint64_t revision;
    bool disabled;
    const bool *disabled_rules; /* of a VirtualService, parallel to spec.http; NULL: none is */
    const struct value *document;
    /* The member of its kind; NULL in a member of another kind. */
    const K8s__Io__Apimachinery__Pkg__Apis__Meta__V1__ObjectMeta *metadata;
    union {
        const ProtobufCMessage *message;
        const Tulle__Kinds__Namespace *namespace_;
        const Tulle__Kinds__Service *service;
        const Tulle__Kinds__VirtualService *virtual_service;
        const Tulle__Kinds__DestinationRule *destination_rule;
        const Tulle__Kinds__ServiceEntry *service_entry;
        const Tulle__Kinds__WorkloadEntry *workload_entry;
    };
    struct hash128
        meaning; /* of everything but status and resourceVersion: equal = nothing to do */
    struct problems problems;
    struct arena arena;
    struct object
        *later; /* where `document` lives when only status has changed since; a reference */
};

/* From the store's key and value. False with an error for what is no object at all; the caller owns one reference. */
MUST_USE bool object_load(struct slice key, struct slice value, uint64_t revision,
                          struct object **out, struct error *error);
/* Whether the rule of a VirtualService at that index of spec.http acts. */
static inline bool object_rule_acts(const struct object *object, size_t index)
{
    return !object->disabled && (!object->disabled_rules || !object->disabled_rules[index]);
}
struct object *object_ref(struct object *object);
/* Accepts NULL. */
void object_unref(struct object *object);
OWNED(object, object_unref)

/* Older first: by creation, then namespace and name. Negative, 0 or positive. */
int object_compare_age(const struct object *a, const struct object *b);
/* The file that the object comes from, "dir:/etc/tulle/mesh/shop.yaml"; empty when people own it. */
struct slice object_source(const struct value *document);
#define OBJECT_SOURCE_ANNOTATION "tulle.dev/source"
