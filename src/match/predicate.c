#include "match/predicate.h"

#include "base/memory.h"
#include "base/vector.h"
#include "match/table_memory.h"

struct emitter {
    VECTOR(struct predicate_step) steps;
    struct error *error;
};

/* Where to begin for this node, given where to go when it holds or fails; -1 on failure. Steps are written back to front, so
 * every target is known when it is needed. */
static int32_t emit(struct emitter *e, const struct predicate_node *node, uint16_t if_true,
                    uint16_t if_false, size_t depth)
{
    if (depth > PREDICATE_MAX_DEPTH) {
        error_set(e->error, NULL, "conditions nest deeper than %d", PREDICATE_MAX_DEPTH);
        return -1;
    }
    int32_t start = -1;
    switch (node->kind) {
    case PREDICATE_NEVER: return if_false;
    case PREDICATE_ALWAYS: return if_true;
    case PREDICATE_NOT: return emit(e, &node->children[0], if_false, if_true, depth + 1);
    case PREDICATE_TEST:
        if (e->steps.count == PREDICATE_MAX_STEPS) {
            error_set(e->error, NULL, "there are more than %d conditions", PREDICATE_MAX_STEPS);
            return -1;
        }
        vector_push(&e->steps, (struct predicate_step){node->test, if_true, if_false});
        return (int32_t)e->steps.count - 1;
    case PREDICATE_AND:
        start = if_true;
        for (size_t i = node->child_count; i-- > 0 && start >= 0;)
            start = emit(e, &node->children[i], (uint16_t)start, if_false, depth + 1);
        return start;
    case PREDICATE_OR:
        start = if_false;
        for (size_t i = node->child_count; i-- > 0 && start >= 0;)
            start = emit(e, &node->children[i], if_true, (uint16_t)start, depth + 1);
        return start;
    }
    return start;
}

bool predicate_build(struct predicate *predicate, const struct predicate_node *root,
                     struct table_memory *memory, struct error *error)
{
    struct emitter e = {.error = error};
    int32_t start = emit(&e, root, PREDICATE_HOLDS, PREDICATE_FAILS, 0);
    if (start >= 0) {
        struct predicate_step *steps = NULL;
        if (e.steps.count > 0) {
            steps = arena_calloc(&memory->arena, e.steps.count, sizeof(*steps));
            memcpy(steps, e.steps.items, e.steps.count * sizeof(*steps));
        }
        *predicate = (struct predicate){steps, (uint16_t)start, (uint16_t)e.steps.count};
    }
    vector_fini(&e.steps);
    return start >= 0;
}

bool predicate_holds(const struct predicate *predicate,
                     bool (*test)(const void *test, const void *input), const void *input)
{
    uint16_t at = predicate->start;
    while (at < PREDICATE_FAILS) {
        const struct predicate_step *step = &predicate->steps[at];
        at = test(step->test, input) ? step->if_true : step->if_false;
    }
    return at == PREDICATE_HOLDS;
}
