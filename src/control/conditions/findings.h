/*
 * findings: what is wrong with an object that was admitted, in the words of Istio's analysis where it has them.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "control/model/model.h"
#include "control/registry/registry.h"

struct translate;

enum finding_level { FINDING_ERROR, FINDING_WARNING, FINDING_INFO };

struct finding {
    const char *code; /* "IST0101", or ours of docs/reference/errors.md */
    const char *name; /* "ReferencedResourceNotFound" */
    enum finding_level level;
    const char *text; /* one sentence; in the arena */
};

enum { FINDINGS_MAX = 16 };
struct findings {
    struct finding items[FINDINGS_MAX];
    size_t count; /* those beyond are not kept */
};

struct findings_sources {
    const struct model *model;
    const struct registry *registry;
    const struct translate *translate; /* NULL: nothing is known of refusals */
};
/* Namespaces and WorkloadEntries have none, unless they hold what does not act. */
void findings_of(const struct findings_sources *sources, struct reader *reader,
                 const struct object *object, struct arena *arena, struct findings *out);
