/* A method, a path and a query, a line each: what is understood is whole, and what is not says why. */
#include "control/api/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct request *request, struct arena *arena)
{
    if (request->target == TARGET_OBJECTS &&
        (!request->version || request->kind >= KINDS ||
         (kind_schema(request->kind)->cluster_scoped && request->name_space.size > 0)))
        abort();
    (void)selector_matches(&request->selector, value_new(arena, VALUE_OBJECT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct slice method, path, query;
    struct request request;
    struct failure failure = {0};
    arena_init(&arena, NULL);
    if (slice_cut(slice_of(data, size), '\n', &method, &path)) {
        (void)slice_cut(path, '\n', &path, &query);
        if (request_parse(method, path, query, &arena, &request, &failure))
            check(&request, &arena);
        else if (failure.code < 400 || !failure.message)
            abort();
    }
    arena_fini(&arena);
    return 0;
}
