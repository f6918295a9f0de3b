/*
 * kind: the kinds of object that Tulle serves, and the keys under which the store holds them.
 *
 * A key is GROUP/RESOURCE/NAMESPACE/NAME, "networking.istio.io/virtualservices/shop/product"; the core group is written
 * "core", and an object without namespace has an empty one: "core/namespaces//shop". Versions are no part of it.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/slice.h"
#include "pb/type.h"

enum kind {
    KIND_NAMESPACE,
    KIND_SERVICE,
    KIND_VIRTUAL_SERVICE,
    KIND_DESTINATION_RULE,
    KIND_SERVICE_ENTRY,
    KIND_WORKLOAD_ENTRY,
    KINDS
};

/* Never NULL. */
const struct pb_kind *kind_schema(enum kind kind);
/* "virtualservice": the label of pilot_push_triggers. */
const char *kind_trigger(enum kind kind);
/* By "networking.istio.io/v1beta1" and "VirtualService"; false when that is not served. */
MUST_USE bool kind_find(struct slice api_version, struct slice name, enum kind *kind);

/* The parts point into the key. False when it is no key of a served kind. */
struct object_key {
    enum kind kind;
    struct slice name_space, name;
};
MUST_USE bool object_key_parse(struct slice key, struct object_key *parts);
/* In the arena. */
struct slice object_key_make(enum kind kind, struct slice name_space, struct slice name,
                             struct arena *arena);
/* "networking.istio.io/virtualservices/" and, with a namespace, what lies below it. In the arena. */
struct slice object_key_prefix(enum kind kind, struct slice name_space, struct arena *arena);
