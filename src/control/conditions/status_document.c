#include "control/conditions/status_document.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "control/api/tree.h"
#include "control/model/revise.h"

static const char *level_name(enum finding_level level)
{
    switch (level) {
    case FINDING_ERROR: return "ERROR";
    case FINDING_WARNING: return "WARNING";
    case FINDING_INFO: return "INFO";
    }
    return "";
}

static bool is_ours(const struct value *condition)
{
    return strcmp(value_str(value_get(condition, "type"), ""), "Reconciled") == 0;
}

/* Conditions tell whole seconds, as Kubernetes does. */
static const char *time_text(int64_t now_us, struct arena *arena)
{
    char text[64];
    struct slice whole = slice_of(text, clock_format(now_us, text));
    return arena_format(arena, "%.*sZ", SLICE_ARG(slice_first(whole, slice_find_byte(whole, '.'))));
}

static struct value *make_condition(const struct value *before, const struct findings *findings,
                                    const struct value *generation, int64_t now_us,
                                    struct arena *arena)
{
    struct value *condition = value_new(arena, VALUE_OBJECT);
    owned_buffer message = {0};
    for (size_t i = 0; i < findings->count; i++)
        buffer_format(&message, "%s%s", i ? "\n" : "", findings->items[i].text);
    tree_put_str(condition, "type", "Reconciled", arena);
    tree_put_str(condition, "status", "False", arena);
    tree_put_str(condition, "reason", findings->items[0].name, arena);
    tree_put_slice(condition, "message", buffer_slice(&message), arena);
    struct slice since = tree_text(before, "lastTransitionTime");
    if (since.size > 0 && strcmp(value_str(value_get(before, "status"), ""), "False") == 0)
        tree_put_slice(condition, "lastTransitionTime", since, arena);
    else
        tree_put_str(condition, "lastTransitionTime", time_text(now_us, arena), arena);
    if (generation)
        tree_put(condition, "observedGeneration", tree_share(generation, arena), arena);
    return condition;
}

static struct value *make_message(const struct finding *finding, struct arena *arena)
{
    struct value *message = value_new(arena, VALUE_OBJECT);
    struct value *type = tree_put_object(message, "type", arena);
    tree_put_str(type, "name", finding->name, arena);
    tree_put_str(type, "code", finding->code, arena);
    tree_put_str(message, "level", level_name(finding->level), arena);
    if (strncmp(finding->code, "IST", 3) == 0)
        tree_put_str(message, "documentationUrl",
                     arena_format(arena,
                                  "https://istio.io/latest/docs/reference/config/analysis/ist%s/",
                                  finding->code + 3),
                     arena);
    return message;
}

/* What others wrote, then ours. NULL when there is nothing. */
static struct value *make_conditions(const struct value *before, const struct findings *findings,
                                     const struct value *generation, int64_t now_us,
                                     struct arena *arena)
{
    struct value *conditions = value_new(arena, VALUE_LIST);
    const struct value *own = NULL;
    VALUE_EACH(condition, before)
    {
        if (is_ours(condition))
            own = condition;
        else
            value_append(conditions, tree_share(condition, arena));
    }
    if (findings->count > 0)
        value_append(conditions, make_condition(own, findings, generation, now_us, arena));
    return conditions->count > 0 ? conditions : NULL;
}

static bool holds_ours(const struct value *status)
{
    VALUE_EACH(condition, value_get(status, "conditions"))
    {
        if (is_ours(condition))
            return true;
    }
    return value_get(status, "validationMessages");
}

struct value *status_document(const struct value *stored, const struct findings *findings,
                              int64_t now_us, struct arena *arena)
{
    const struct value *before = value_get(stored, "status");
    const struct value *generation = tree_at(stored, "metadata.generation");
    if (findings->count == 0 && !holds_ours(before))
        return NULL;
    struct value *conditions =
        make_conditions(value_get(before, "conditions"), findings, generation, now_us, arena);
    bool is_core = slice_equals_str(tree_text(stored, "apiVersion"), "v1");
    bool tells = findings->count > 0 && !is_core;
    struct value *messages = tells ? value_new(arena, VALUE_LIST) : NULL;
    for (size_t i = 0; tells && i < findings->count; i++)
        value_append(messages, make_message(&findings->items[i], arena));
    struct value *status = tree_with(before, "conditions", conditions, arena);
    status = tree_with(status, "validationMessages", messages, arena);
    status = tree_with(status, "observedGeneration",
                       tells && generation ? tree_share(generation, arena) : NULL, arena);
    struct value *document = tree_with(stored, "status", status->count > 0 ? status : NULL, arena);
    return value_means_the_same(stored, document) ? NULL : document;
}
