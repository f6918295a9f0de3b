/* Formats: a program that was compiled covers the text and keeps its limits. */
#include "base/error.h"
#include "build/format.h"
#include "match/table_memory.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct build_options options = {.hostname = {"host", 4}};
    struct table_memory memory;
    struct format format;
    owned_error error = {0};
    table_memory_init(&memory);
    if (format_build_text(&format, slice_of(data, size), &options, &memory, &error)) {
        if (format.count > FORMAT_MAX_STEPS)
            abort();
        for (uint32_t i = 0; i < format.count; i++) {
            if (format.steps[i].field >= FORMAT_FIELDS || format.steps[i].max_bytes == 0)
                abort();
        }
    } else if (!error.what) {
        abort();
    }
    table_memory_fini(&memory);
    return 0;
}
