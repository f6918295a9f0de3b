/* Bootstrap files: what is refused says why, what is taken has a node and stays within its bounds. */
#include "base/error.h"
#include "build/bootstrap.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct build_options options = {.now_s = 1767225600};
    owned(bootstrap) bootstrap = NULL;
    owned_error error = {0};
    struct slice text = slice_of(data, size);
    if (!bootstrap_parse(text, "fuzz.yaml", &options, &bootstrap, &error)) {
        if (!error.what || bootstrap)
            abort();
        return 0;
    }
    if (!bootstrap->message || !bootstrap->node ||
        (bootstrap->has_ads && bootstrap->ads_cluster.size == 0))
        abort();
    return 0;
}
