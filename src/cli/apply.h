/*
 * apply: one object put in force through the API; what `tulle apply`, `tulle run` and `tulle demo` share.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

#include <jansson.h>

struct api;
struct objects;

enum apply_action { APPLY_CREATED, APPLY_CONFIGURED, APPLY_UNCHANGED };

/* Creates it at `folder` or replaces what is at `path` (cli/objects.h: object_path). dry: only tries. Borrows wanted. */
MUST_USE bool apply_json(struct api *api, const char *path, const char *folder, json_t *wanted,
                         bool dry, enum apply_action *action, struct error *error);
/* Every object, in order, without a word; the error names the place. */
MUST_USE bool apply_objects(struct api *api, const struct objects *objects, struct error *error);
