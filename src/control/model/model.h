/*
 * model: every object at once, with the indexes that rules are looked up by. One thread's; filled from the store.
 *
 * Whoever derives something from it passes a reader, and is queued in `facts` when an answer changes. Answers are borrowed until
 * the next model_put or model_remove.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "control/model/facts.h"
#include "control/model/object.h"

struct map;
struct model;

struct model *model_create(void);
/* Accepts NULL. */
void model_destroy(struct model *model);
struct facts *model_facts(struct model *model);

/* Told after each change, in the order in which they came: NULL is absent. At most MODEL_LISTENERS_MAX listen. */
enum { MODEL_LISTENERS_MAX = 4 };
typedef void model_on_change(void *owner, const struct object *before, const struct object *now);
void model_listen(struct model *model, model_on_change *on_change, void *owner);
void model_unlisten(struct model *model, void *owner);

/* Takes a reference. False when it means the same as what is there: a status alone or nothing has changed, and the object that
 * is there stays, with the new document. */
bool model_put(struct model *model, struct object *object);
bool model_remove(struct model *model, struct slice key);
struct object *model_get(const struct model *model, struct slice key);
size_t model_count(const struct model *model);
/* All objects, in no particular order. */
void model_each(const struct model *model, void (*visit)(const struct object *object, void *to),
                void *to);

/* The VirtualService that acts for the host: of the most specific host that holds it the oldest. NULL = none. */
const struct object *model_virtual_service(const struct model *model, struct reader *reader,
                                           struct slice host);
/* Every VirtualService that names exactly this host, oldest first: the first acts, the others wait. */
struct object_list {
    const struct object *const *items;
    size_t count;
};
struct object_list model_virtual_services(const struct model *model, struct reader *reader,
                                          struct slice host);
/*
 * The DestinationRules for the host, oldest first, all of one namespace and one host: of the client's namespace, else the
 * service's, else the root's. Their subsets are joined; the first traffic policy holds.
 */
enum { DESTINATION_RULES_MAX = 16 };
struct destination_rules {
    const struct object *items[DESTINATION_RULES_MAX];
    size_t count;
};
struct destination_rules model_destination_rules(const struct model *model, struct reader *reader,
                                                 struct slice client_name_space,
                                                 struct slice service_name_space,
                                                 struct slice host);
/* Every DestinationRule that names exactly this host, of any namespace, oldest first. */
struct object_list model_destination_rules_named(const struct model *model, struct reader *reader,
                                                 struct slice host);
/* Has the client's namespace rules of its own for services elsewhere? If not, it sees what all others see. */
bool model_has_own_rules(const struct model *model, struct reader *reader,
                         struct slice client_name_space);
/* NULL when no rule defines it. */
const Istio__Networking__V1alpha3__Subset *
destination_rules_subset(const struct destination_rules *rules, const char *name);
const Istio__Networking__V1alpha3__TrafficPolicy *
destination_rules_policy(const struct destination_rules *rules);
#define MODEL_ROOT_NAMESPACE "istio-system"
