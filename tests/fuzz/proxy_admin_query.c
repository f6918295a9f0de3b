/* Query strings of admin requests, in a copy of their exact size: no byte beyond is read, and nothing grows. */
#include "base/memory.h"
#include "proxy/admin/query.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    size_t count;
};

static void count_level(struct slice room, enum log_level level, void *to)
{
    struct told *told = to;
    told->count++;
    if (level > LOG_OFF || (room.size && !room.data))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"filter", "format", "usedonly", "level", ""};
    struct told told = {0};
    char *copy = mem_alloc(size ? size : 1), *plain = mem_alloc(size ? size : 1);
    struct slice query = slice_of(copy, size);
    for (size_t i = 0; i < size; i++)
        copy[i] = (char)data[i];
    for (size_t i = 0; i < COUNT(names); i++) {
        struct slice value = query_value(query, names[i]), out;
        if (!value.data)
            continue;
        if (value.size > size || !query_plain(value, plain, size, &out) || out.size > value.size)
            abort();
        if (out.size > 0 && query_plain(value, plain, out.size - 1, &out))
            abort();
    }
    if (!query_levels(query, count_level, &told) && told.count > 0)
        abort();
    mem_free(copy);
    mem_free(plain);
    return 0;
}
