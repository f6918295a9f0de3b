/* Certificates and what stands around them: summaries, PEM walks, trust sets, names. */
#include "base/error.h"
#include "tls/certificate.h"
#include "tls/key_pair.h"
#include "tls/trust.h"
#include "tls/x509_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(struct slice der)
{
    X509 *certificate = x509_parse(NULL, der);
    if (!certificate)
        return;
    struct x509_names names;
    const char *why = NULL;
    bool good = x509_names_read(certificate, &names, &why);
    if (!good && !why)
        abort();
    for (size_t i = 0; good && i < names.count; i++) {
        for (size_t c = 0; c < names.sans[i].text.size; c++) {
            if (names.sans[i].text.data[c] <= ' ' || names.sans[i].text.data[c] >= 0x7f)
                abort();
        }
    }
    struct spiffe_id id;
    if (good && names.id.text.size > 0 &&
        (names.uri_count != 1 || !spiffe_id_parse(names.id.text, &id, NULL)))
        abort();
    x509_names_fini(&names);
    x509_key_refusal(certificate);
    X509_free(certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct certificate_summary summary;
    struct error error = {0};
    struct buffer der = {0};
    size_t cursor = 0;
    while (certificate_next(text, &cursor, &der, &error)) {
        if (certificate_summarize(buffer_slice(&der), &summary, NULL))
            certificate_summary_fini(&summary);
        check_names(buffer_slice(&der));
    }
    error_fini(&error);
    buffer_fini(&der);
    struct trust_source source = {.trust_domain = SLICE("td"), .roots = text, .revoked = text};
    struct tls_trust *trust = NULL;
    if (tls_trust_create(&source, 1, &trust, NULL))
        tls_trust_unref(trust);
    struct key_pair *key = NULL;
    if (key_pair_parse(text, &key, NULL))
        key_pair_destroy(key);
    return 0;
}
