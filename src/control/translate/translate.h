/*
 * translate: the model as xDS views, kept current with work in proportion to the change.
 *
 * A unit makes the resources of one thing (the clusters of a service, the routes of a port) and remembers what it read. A scope
 * is what all proxies of a namespace see alike, a set of units; a class is a scope and what is one proxy's own. When facts
 * change, translate_settle runs the units that read them, edits the tables of the scopes that hold a unit whose resources
 * really differ, and says which classes have a new view. From the same model the same bytes come out, whatever happened before.
 */
#pragma once

#include "base/attributes.h"
#include "control/registry/registry.h"
#include "control/translate/make.h"
#include "xds/view.h"

struct fallbacks;
struct translate;

/* The model and the registry must outlive it; the settings' texts are copied. */
struct translate *translate_create(struct model *model, struct registry *registry,
                                   const struct mesh_settings *mesh);
/* Accepts NULL. */
void translate_destroy(struct translate *translate);
OWNED(translate, translate_destroy)

/* The view of a class (proxy.h), made if it is new; borrowed until it is forgotten or settled. NULL for a key that is none. */
const struct view *translate_view(struct translate *translate, struct slice key);
void translate_forget(struct translate *translate, struct slice key);

/* Brings everything up to date; told of each class whose view is another now. */
typedef void translate_on_view(void *owner, struct slice key, const struct view *view);
void translate_settle(struct translate *translate, translate_on_view *on_view, void *owner);

/*
 * Everything that is made is built as a proxy would build it before it goes out. What would be refused stays as it was sent last
 * (or is left out when it never was); of a VirtualService the version before acts. The object that asked for it is told here:
 * why, or NULL. The text is borrowed until translate_settle.
 */
const char *translate_refusal(const struct translate *translate, struct reader *reader,
                              struct slice object_key);

/* What acts instead of refused VirtualServices; its own. */
struct fallbacks *translate_fallbacks(const struct translate *translate);

struct translate_totals {
    uint64_t units_run, resources_made, resources_changed, views_made;
    uint64_t refused; /* resources and virtual hosts that were not sent */
    size_t units, scopes, classes;
};
struct translate_totals translate_totals(const struct translate *translate);
