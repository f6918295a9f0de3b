/* The first bytes of a connection: what they are must not depend on the pieces they came in. */
#include "base/chain.h"
#include "base/memory.h"
#include "proxy/listen/detect.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t step = data[0] % 40 + 1U;
    struct slice wire = slice_of(data + 1, size - 1);
    struct chain whole = {0}, cut = {0};
    chain_append_static(&whole, wire);
    enum detected_http verdict = detect_http(&whole), last = DETECTED_MORE;
    if (verdict == DETECTED_MORE && wire.size >= DETECT_HTTP_BYTES)
        abort();

    char *copy = slice_to_str(wire);
    for (size_t at = 0; at < wire.size && last == DETECTED_MORE; at += step) {
        chain_append_static(&cut, slice_of(copy + at, MIN(step, wire.size - at)));
        last = detect_http(&cut);
    }
    if (last != verdict)
        abort();
    chain_fini(&whole);
    chain_fini(&cut);
    mem_free(copy);
    return 0;
}
