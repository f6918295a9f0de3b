/*
 * directory: imports the YAML files of a directory into the store, and keeps the store equal to them.
 */
#pragma once

#include "base/attributes.h"
#include "control/model/model.h"

struct directory;
struct loop;
struct store;

enum { DIRECTORY_FILES_MAX = 10000, DIRECTORY_HOLD_LEAST = 4 };

/* On the store's loop; the path must exist. 0 or a negative errno. Nothing is read before directory_start. */
MUST_USE int directory_create(struct loop *loop, struct store *store, struct model *model,
                              const char *path, struct directory **out);
/* Accepts NULL. */
void directory_destroy(struct directory *directory);
/* The model knows what is in the store: read the files, now and whenever they change. */
void directory_start(struct directory *directory);
/* Reads again, soon, once it was started. */
void directory_check(struct directory *directory);

struct directory_report {
    size_t objects;           /* in the files */
    size_t problems;          /* files and objects that were refused at the last reading */
    size_t held;              /* deletions that wait for a person */
    bool settled;             /* the store holds what the files say */
    const char *last_problem; /* borrowed; "" = none */
};
struct directory_report directory_report(const struct directory *directory);
