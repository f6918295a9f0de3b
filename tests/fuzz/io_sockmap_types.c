/* The kernel's type information, as sysfs gives it. */
#include "base/memory.h"
#include "io/sockmap_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockmap_offsets offsets;
    char *bytes = mem_alloc(size + 1);
    memcpy(bytes, data, size);
    if (sockmap_offsets_find(bytes, size, &offsets) &&
        (offsets.received > INT16_MAX || offsets.room > INT16_MAX || offsets.layer > INT16_MAX))
        abort();
    mem_free(bytes);
    return 0;
}
