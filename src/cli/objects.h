/*
 * objects: YAML files as the objects in them, and where the API keeps each.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "cli/options.h"
#include "pb/document.h"
#include "pb/type.h"

#include <jansson.h>

struct command;

struct object {
    const struct value *document;
    const struct pb_kind *kind;
    const char *file;                            /* for messages: "cart.yaml" */
    const char *api_version, *name, *name_space; /* name_space NULL: cluster-scoped */
};
struct objects {
    struct arena arena;
    struct object *items;
    size_t count;
};
enum { OBJECTS_MAX = 10000, OBJECTS_FILE_MAX = 16 << 20 };

/* Every document of every -f (files, folders one level deep, "-"), checked against its kind. False with file:line:column. */
MUST_USE bool objects_read(const struct options *options, struct objects *objects,
                           struct error *error);
/* For a command that takes -f FILE and nothing else: its options and objects. False when it should return *code. */
MUST_USE bool objects_of_command(const struct command *command, struct options *options,
                                 struct objects *objects, int argc, char **argv, int *code);
void objects_fini(struct objects *objects);
/* Says on stderr that there is no such kind, with the nearest; returns EXIT_USAGE. */
int objects_unknown_kind(const char *word);

/* "/apis/networking.istio.io/v1/namespaces/shop/virtualservices[/NAME]", on the heap. api_version NULL: the preferred one. */
char *object_path(const struct pb_kind *kind, const char *api_version, const char *name_space,
                  const char *name);
/* metadata.name of an object as the API gives it, or "". */
const char *object_name(const json_t *object);
/* "shop/product", or "product" for what has no namespace; on the heap. */
char *object_label(const char *name_space, const char *name);
