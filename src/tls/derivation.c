#include "tls/derivation_internal.h"

#include "base/slice.h"
#include "tls/hkdf_internal.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum { FUNCTIONS_MAX = 32 };

/* Set up once a process and never changed afterwards. */
static struct {
    OSSL_DISPATCH functions[FUNCTIONS_MAX];
    OSSL_FUNC_kdf_derive_fn *derive;
} theirs;

static __thread struct derived_secrets *noted;

void derivation_note(struct derived_secrets *secrets)
{
    noted = secrets;
}

static void note(struct slice label, const unsigned char *secret, size_t size)
{
    static const struct {
        const char *label;
        size_t secret, has;
    } wanted[] = {
        {"c ap traffic", offsetof(struct derived_secrets, client),
         offsetof(struct derived_secrets, has_client)},
        {"s ap traffic", offsetof(struct derived_secrets, server),
         offsetof(struct derived_secrets, has_server)},
        {"res master", offsetof(struct derived_secrets, resumption),
         offsetof(struct derived_secrets, has_resumption)},
    };
    for (size_t i = 0; i < COUNT(wanted); i++) {
        if (!slice_equals_str(label, wanted[i].label))
            continue;
        memcpy((char *)noted + wanted[i].secret, secret, size);
        *((char *)noted + wanted[i].has) = true;
        noted->size = size;
    }
}

/* What libssl gives with every derivation, all in one call. */
struct request {
    int mode; /* 0: none was given */
    struct slice digest, key, salt, prefix, label, context;
};

static void read_request(const OSSL_PARAM *params, struct request *request)
{
    const struct {
        const char *name;
        struct slice *value;
    } texts[] = {
        {OSSL_KDF_PARAM_DIGEST, &request->digest}, {OSSL_KDF_PARAM_KEY, &request->key},
        {OSSL_KDF_PARAM_SALT, &request->salt},     {OSSL_KDF_PARAM_PREFIX, &request->prefix},
        {OSSL_KDF_PARAM_LABEL, &request->label},   {OSSL_KDF_PARAM_DATA, &request->context},
    };
    *request = (struct request){0};
    for (; params && params->key; params++) {
        if (strcmp(params->key, OSSL_KDF_PARAM_MODE) == 0 &&
            !OSSL_PARAM_get_int(params, &request->mode))
            request->mode = 0;
        for (size_t i = 0; i < COUNT(texts); i++)
            if (strcmp(params->key, texts[i].name) == 0)
                *texts[i].value = slice_of(params->data, params->data_size);
    }
}

static size_t hash_size_of(struct slice digest)
{
    if (slice_equals_str(digest, "SHA256") || slice_equals_str(digest, "SHA2-256"))
        return 32;
    if (slice_equals_str(digest, "SHA384") || slice_equals_str(digest, "SHA2-384"))
        return 48;
    return 0;
}

/* False when it is not one of the derivations of a handshake, but an exporter's with a text of its own, say. */
static bool derive(const struct request *request, unsigned char *to, size_t size)
{
    size_t hash_size = hash_size_of(request->digest);
    if (hash_size == 0 || !slice_equals_str(request->prefix, "tls13 ") ||
        request->label.size > HKDF_LABEL_MAX || request->context.size > HKDF_CONTEXT_MAX)
        return false;
    if (request->mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && request->key.size == hash_size &&
        size <= hash_size)
        hkdf_expand_label(hash_size, request->key, request->label, request->context, to, size);
    else if (request->mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY && size == hash_size &&
             (request->salt.size == 0 || request->salt.size == hash_size))
        hkdf_next_stage(hash_size, request->salt, request->label, request->key, to);
    else
        return false;
    return true;
}

static int derive_and_note(void *kdf, unsigned char *key, size_t size, const OSSL_PARAM params[])
{
    struct request request;
    read_request(params, &request);
    int ok = derive(&request, key, size) || theirs.derive(kdf, key, size, params);
    if (ok && noted && size <= SECRET_MAX)
        note(request.label, key, size);
    return ok;
}

const OSSL_DISPATCH *derivation_functions(const OSSL_DISPATCH *functions)
{
    size_t count = 0;
    for (; functions->function_id && count < FUNCTIONS_MAX - 1; functions++, count++) {
        theirs.functions[count] = *functions;
        if (functions->function_id == OSSL_FUNC_KDF_DERIVE) {
            theirs.derive = OSSL_FUNC_kdf_derive(functions);
            theirs.functions[count].function = (void (*)(void))derive_and_note;
        }
    }
    return theirs.functions;
}
