/* The first bytes of a connection as a PROXY header, whole and in pieces: the verdict must not depend on the cut. */
#include "base/memory.h"
#include "proxy/listen/proxy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct proxy_header *header)
{
    char out[PROXY_V1_BYTES_MAX + 1];
    struct proxy_header again;
    struct chain bytes = {0};
    size_t size = proxy_header_write(header->version, &header->source, &header->destination, out);
    chain_append_static(&bytes, slice_of(out, size));
    if (proxy_header_peek(&bytes, &again) != PROXY_HEADER_DONE || again.size != size ||
        (!again.is_local && !address_equals(&again.source, &header->source)))
        abort();
    chain_fini(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t step = data[0] % 40 + 1U;
    struct slice wire = slice_of(data + 1, size - 1);
    struct chain whole = {0}, cut = {0};
    struct proxy_header first, second;
    chain_append_static(&whole, wire);
    enum proxy_header_status status = proxy_header_peek(&whole, &first), last = PROXY_HEADER_MORE;
    char *copy = slice_to_str(wire);
    for (size_t at = 0; at < wire.size && last == PROXY_HEADER_MORE; at += step) {
        chain_append_static(&cut, slice_of(copy + at, MIN(step, wire.size - at)));
        last = proxy_header_peek(&cut, &second);
    }
    if (wire.size > 0 && last != status)
        abort();
    if (status == PROXY_HEADER_DONE) {
        if (first.size != second.size || first.size > wire.size)
            abort();
        if (!first.is_local)
            check_again(&first);
    }
    chain_fini(&whole);
    chain_fini(&cut);
    mem_free(copy);
    return 0;
}
