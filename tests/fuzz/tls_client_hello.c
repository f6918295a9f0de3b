/* The first bytes of a connection, whole and in pieces: the verdict must not depend on the cut. */
#include "base/chain.h"
#include "base/memory.h"
#include "tls/client_hello.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct client_hello *hello)
{
    size_t at = 0, walked = 0;
    struct slice name;
    while (client_hello_next_alpn(hello, &at, &name))
        walked += 1 + name.size;
    if (walked != hello->alpn_size || hello->server_name_size > CLIENT_HELLO_NAME_MAX)
        abort();
    for (size_t i = 0; i < hello->server_name_size; i++) {
        char c = hello->server_name[i];
        if (c <= ' ' || c >= 0x7f || (c >= 'A' && c <= 'Z'))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t step = data[0] % 40 + 1U;
    struct slice wire = slice_of(data + 1, size - 1);
    struct chain whole = {0}, cut = {0};
    struct client_hello first, second;
    chain_append_static(&whole, wire);
    enum client_hello_status status = client_hello_peek(&whole, &first), last = CLIENT_HELLO_MORE;
    if (status == CLIENT_HELLO_DONE)
        check(&first);

    char *copy = slice_to_str(wire);
    for (size_t at = 0; at < wire.size && last == CLIENT_HELLO_MORE; at += step) {
        chain_append_static(&cut, slice_of(copy + at, MIN(step, wire.size - at)));
        last = client_hello_peek(&cut, &second);
    }
    if (wire.size > 0 && last != status)
        abort();
    if (status == CLIENT_HELLO_DONE &&
        !slice_equals(client_hello_server_name(&first), client_hello_server_name(&second)))
        abort();
    chain_fini(&whole);
    chain_fini(&cut);
    mem_free(copy);
    return 0;
}
