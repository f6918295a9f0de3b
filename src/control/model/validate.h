/*
 * validate: may this document become an object? Structure, then what acts, then meaning, with every problem and its place.
 *
 * The API, the directory importer and `tulle validate` ask the same question here. References to what is not there yet
 * (a host, a subset) are no problem: analysis reports them later.
 */
#pragma once

#include "base/attributes.h"
#include "control/model/kind.h"
#include "pb/document.h"
#include "pb/problem.h"

struct admitted {
    enum kind kind;
    struct slice name_space; /* "default" when the document names none; empty for kinds without */
    struct slice name;       /* empty with generateName alone: the API completes it */
    struct slice key;        /* in the arena; empty without a name */
};
/*
 * True when there is no fatal problem. Texts live in problems->arena. `name_space` is the one that the caller implies (the
 * API's path, kubectl's -n), or empty; a document that says another is a problem.
 */
MUST_USE bool object_admit(const struct value *document, struct slice name_space,
                           struct problems *problems, struct admitted *out);
/* The same, but unknown fields are no fatal problems: for a client who wants them ignored, and for what is stored with them. */
bool object_admit_lenient(const struct value *document, struct slice name_space,
                          struct problems *problems, struct admitted *out);
/* DNS-1123: at most 253 bytes of labels joined by dots, or one label of at most 63. */
bool object_name_is_valid(struct slice name);
bool object_label_is_valid(struct slice name);
