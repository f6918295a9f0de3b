/*
 * type: what is known of a message type beyond protobuf-c's descriptor, and the registry of all types.
 *
 * The tables are made at build time from proto/ (tools/proto_tables.cc) and never change. A pb_type stands beside
 * its descriptor; pb_type->fields runs parallel to descriptor->fields, which is in order of number.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

#include <protobuf-c/protobuf-c.h>

/* How a message, or one field, looks in JSON: proto/tulle/options.proto says what each is. */
enum json_form {
    JSON_PLAIN,
    JSON_ANY,
    JSON_STRUCT,
    JSON_VALUE,
    JSON_LIST_VALUE,
    JSON_WRAPPER,
    JSON_TIMESTAMP,
    JSON_FIELD_MASK,
    JSON_DURATION,
    JSON_DURATION_GO,
    JSON_DURATION_GEP2257,
    JSON_INT_OR_STRING,
    JSON_QUANTITY,
    JSON_TIME,
    JSON_MICRO_TIME,
    JSON_RAW_EXTENSION,
    JSON_FIELDS_V1,
};

enum field_flags {
    FIELD_MAP = 1 << 0,
    FIELD_IMPLICIT = 1 << 1, /* zero means absent: dropped in packing, hashing and comparing */
    FIELD_JSON_ONLY = 1 << 2,
    FIELD_ACTS = 1 << 3,
    FIELD_RESTRICTS = 1 << 4, /* narrows what its rule applies to */
    FIELD_REQUIRED = 1 << 5,
    FIELD_IMMUTABLE = 1 << 6,
    FIELD_READ_ONLY = 1 << 7,
    FIELD_SECRET = 1 << 8,
    FIELD_NUMBER_64 = 1 << 9, /* 64-bit numbers are numbers in this field's JSON, not strings */
    FIELD_SERVED = 1 << 10,   /* in an object that people write: refused unless it acts */
};

struct pb_field {
    uint32_t json_name; /* offsets into the table's strings: pb_text */
    uint32_t oneof;     /* the oneof's name; 0: in none */
    uint16_t rules;     /* 0: none; see pb_field_rules */
    uint16_t flags;
    enum json_form json_form : 8;
};

/* Limits of one field. Zero where there is none. */
struct pb_rules {
    double at_least, at_most; /* when bounded */
    uint32_t max_bytes;
    uint32_t min_items, max_items;
    uint32_t refused;          /* text: what to do instead; 0: none */
    uint16_t only, only_count; /* the values that act: pb_only */
    bool has_at_least, has_at_most;
};

struct pb_type {
    const ProtobufCMessageDescriptor *descriptor;
    const struct pb_field *fields;
    enum json_form json_form : 8;
    bool served;        /* an object that people write, or a part of one */
    uint16_t kind;      /* index + 1 into the kinds; 0: none */
    uint32_t field_doc; /* first of this type's rows in the table of comments; see explain.h */
};

/* A kind of object that the API serves. */
struct pb_kind {
    const char *group; /* "" for Kubernetes' core group */
    const char *kind, *plural, *singular;
    const char *const *versions;    /* preferred first, NULL-terminated */
    const char *const *short_names; /* NULL-terminated */
    const char *const *categories;  /* NULL-terminated */
    const struct pb_type *type;     /* the whole object: apiVersion, kind, metadata, spec, status */
    bool cluster_scoped;
};

/* NULL when there is no such type. Names are full, "envoy.config.cluster.v3.Cluster". */
const struct pb_type *pb_type_by_name(struct slice name);
/* By type URL: what follows its last slash. */
const struct pb_type *pb_type_by_url(struct slice url);
/* Never NULL for a descriptor made from proto/. */
const struct pb_type *pb_type_of(const ProtobufCMessageDescriptor *descriptor);
/* All of them, in order of name. */
const struct pb_type *pb_types(size_t *count);

/* NULL when not served. `name` may be the kind, plural, singular or a short name, in any case. */
const struct pb_kind *pb_kind_by_name(struct slice name);
/* By "networking.istio.io/v1" and "VirtualService"; NULL when that version of it is not served. */
const struct pb_kind *pb_kind_find(struct slice api_version, struct slice kind);
const struct pb_kind *pb_kinds(size_t *count);

/* The index of a field by its JSON or original name, or -1. */
int pb_field_find(const struct pb_type *type, struct slice name);
static inline const ProtobufCFieldDescriptor *pb_field_wire(const struct pb_type *type,
                                                            size_t index)
{
    return &type->descriptor->fields[index];
}
const char *pb_text(uint32_t offset);
static inline const char *pb_field_json_name(const struct pb_type *type, size_t index)
{
    return pb_text(type->fields[index].json_name);
}
/* NULL when the field has none. */
const struct pb_rules *pb_field_rules(const struct pb_field *field);
const char *pb_only(const struct pb_rules *rules, size_t index);
