/* SPIFFE IDs: what is accepted is canonical, and its parts make it again. */
#include "base/memory.h"
#include "tls/identity.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spiffe_id id;
    const char *why = NULL;
    if (!spiffe_id_parse(slice_of(data, size), &id, &why)) {
        if (!why)
            abort();
        return 0;
    }
    if (id.text.size > SPIFFE_ID_MAX || !trust_domain_is_valid(id.trust_domain) ||
        id.path.data[0] != '/' || 9 + id.trust_domain.size + id.path.size != id.text.size)
        abort();
    if (id.name_space.size > 0) {
        owned_str again = spiffe_id_of_workload(id.trust_domain, id.name_space, id.account);
        if (!again || !slice_equals_str(id.text, again))
            abort();
    }
    return 0;
}
