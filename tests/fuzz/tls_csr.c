/* Certificate requests, PEM and DER, as strangers send them to the authority. */
#include "base/error.h"
#include "tls/certificate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct certificate_request request;
    struct error error = {0};
    bool good = certificate_request_parse(slice_of(data, size), &request, &error);
    if (good == error_is_set(&error) || good != (request.public_key.size > 0))
        abort();
    certificate_request_fini(&request);
    error_fini(&error);
    return 0;
}
