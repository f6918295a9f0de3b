/* A document, a newline, and a patch of it, of all three kinds: nothing crashes, and what comes out is a document again. */
#include "control/api/patch.h"

#include "control/api/strategic.h"
#include "control/model/kind.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was made can be written, and what was written can be read. */
static void check(const struct value *value, struct arena *arena)
{
    owned_buffer text = {0};
    owned_error error = {0};
    struct value *again;
    value_write_json(value, false, &text);
    if (!document_read_json(buffer_slice(&text), "result", NULL, arena, &again, &error))
        abort();
}

static void patch_all(const struct value *target, const struct value *patch, struct arena *arena)
{
    struct value *result;
    owned_error json = {0}, strategic = {0};
    check(patch_merge(target, patch, arena), arena);
    if (patch_json(target, patch, arena, &result, &json) == PATCH_DONE)
        check(result, arena);
    else if (!json.what)
        abort();
    if (strategic_patch(target, patch, kind_schema(KIND_SERVICE)->type, arena, &result, &strategic))
        check(result, arena);
    else if (!strategic.what)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    struct slice first, second;
    struct value *target, *patch;
    if (slice_cut(slice_of(data, size), '\n', &first, &second) &&
        document_read_json(first, "target", NULL, &arena, &target, &error) &&
        document_read_json(second, "patch", NULL, &arena, &patch, &error))
        patch_all(target, patch, &arena);
    arena_fini(&arena);
    return 0;
}
