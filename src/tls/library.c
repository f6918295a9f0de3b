/* The functions that load texts of errors one library at a time are deprecated for the one that loads them all. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls/library_internal.h"

#include "base/memory.h"
#include "tls/allocator_internal.h"
#include "tls/derivation_internal.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/cryptoerr_legacy.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What is handed on: an operation, the first name of an algorithm, and for decoders what they decode. */
static const struct {
    int operation;
    const char *name;
} kept[] = {
    {OSSL_OP_DIGEST, "SHA1"},
    {OSSL_OP_DIGEST, "SHA2-256"},
    {OSSL_OP_DIGEST, "SHA2-384"},
    {OSSL_OP_DIGEST, "SHA2-512"},
    {OSSL_OP_CIPHER, "AES-128-GCM"},
    {OSSL_OP_CIPHER, "AES-256-GCM"},
    {OSSL_OP_CIPHER, "ChaCha20-Poly1305"},
    {OSSL_OP_CIPHER, "AES-256-CBC"},
    {OSSL_OP_MAC, "HMAC"},
    {OSSL_OP_KDF, "HKDF"},
    {OSSL_OP_KDF, "TLS1-PRF"},
    {OSSL_OP_KDF, "TLS13-KDF"},
    {OSSL_OP_RAND, "CTR-DRBG"},
    {OSSL_OP_RAND, "SEED-SRC"},
    {OSSL_OP_KEYMGMT, "EC"},
    {OSSL_OP_KEYMGMT, "RSA"},
    {OSSL_OP_KEYMGMT, "RSA-PSS"}, /* without it libssl offers no RSA signature in TLS 1.3 */
    {OSSL_OP_KEYMGMT, "X25519"},
    {OSSL_OP_KEYMGMT, "ED25519"},
    {OSSL_OP_KEYMGMT, "HMAC"},
    {OSSL_OP_KEYEXCH, "X25519"},
    {OSSL_OP_KEYEXCH, "ECDH"},
    {OSSL_OP_SIGNATURE, "ECDSA"},
    {OSSL_OP_SIGNATURE, "RSA"},
    {OSSL_OP_SIGNATURE, "ED25519"},
    {OSSL_OP_SIGNATURE, "HMAC"},
    {OSSL_OP_ASYM_CIPHER, "RSA"},
    {OSSL_OP_DECODER, "EC"},
    {OSSL_OP_DECODER, "RSA"},
    {OSSL_OP_DECODER, "ED25519"},
    {OSSL_OP_ENCODER, "EC"},
    {OSSL_OP_ENCODER, "RSA"},
    {OSSL_OP_ENCODER, "ED25519"},
};

enum { OPERATIONS = 32, ALGORITHMS_MAX = 16 };

enum selection { FOR_TLS, FOR_KEY_FILES, SELECTIONS };

/* Set up once a process and never changed afterwards. */
static struct {
    OSSL_LIB_CTX *inner;     /* where the default provider works */
    OSSL_PROVIDER *provider; /* it, whole */
    OSSL_LIB_CTX *shared, *key_files;
    OSSL_ALGORITHM selected[SELECTIONS][OPERATIONS][ALGORITHMS_MAX];
} whole;

static bool is_named(const char *names, const char *name)
{
    size_t size = strlen(name);
    return strncmp(names, name, size) == 0 && (names[size] == '\0' || names[size] == ':');
}

/* As DER: we take PEM apart ourselves. Every decoder makes the parsing of every public key dearer, so the traditional
   forms of private keys are only for reading those. */
static bool is_kept_form(const char *properties, enum selection selection)
{
    if (!strstr(properties, "input=der") && !strstr(properties, "output=der"))
        return false;
    return strstr(properties, "structure=SubjectPublicKeyInfo") ||
           strstr(properties, "structure=PrivateKeyInfo") ||
           (selection == FOR_KEY_FILES && strstr(properties, "structure=type-specific"));
}

static bool is_kept(int operation, const OSSL_ALGORITHM *algorithm, enum selection selection)
{
    for (size_t i = 0; i < COUNT(kept); i++) {
        if (kept[i].operation != operation || !is_named(algorithm->algorithm_names, kept[i].name))
            continue;
        if (operation == OSSL_OP_DECODER || operation == OSSL_OP_ENCODER)
            return is_kept_form(algorithm->property_definition, selection);
        return true;
    }
    return false;
}

static void select_algorithms(int operation, enum selection selection)
{
    int no_cache;
    const OSSL_ALGORITHM *from =
        OSSL_PROVIDER_query_operation(whole.provider, operation, &no_cache);
    size_t count = 0;
    for (; from && from->algorithm_names && count < ALGORITHMS_MAX - 1; from++) {
        if (!is_kept(operation, from, selection))
            continue;
        OSSL_ALGORITHM *to = &whole.selected[selection][operation][count++];
        *to = *from;
        if (operation == OSSL_OP_KDF && is_named(from->algorithm_names, "TLS13-KDF"))
            to->implementation = derivation_functions(from->implementation);
    }
}

static const OSSL_ALGORITHM *answer_query(enum selection selection, int operation, int *no_cache)
{
    *no_cache = 0;
    if (operation <= 0 || operation >= OPERATIONS)
        return NULL;
    const OSSL_ALGORITHM *list = whole.selected[selection][operation];
    return list[0].algorithm_names ? list : NULL;
}

static const OSSL_ALGORITHM *query_for_tls(void *provider, int operation, int *no_cache)
{
    (void)provider;
    return answer_query(FOR_TLS, operation, no_cache);
}

static const OSSL_ALGORITHM *query_for_key_files(void *provider, int operation, int *no_cache)
{
    (void)provider;
    return answer_query(FOR_KEY_FILES, operation, no_cache);
}

static const OSSL_PARAM *gettable_params(void *provider)
{
    (void)provider;
    return OSSL_PROVIDER_gettable_params(whole.provider);
}

static int get_params(void *provider, OSSL_PARAM params[])
{
    (void)provider;
    return OSSL_PROVIDER_get_params(whole.provider, params);
}

static int get_capabilities(void *provider, const char *capability, OSSL_CALLBACK *on_one, void *to)
{
    (void)provider;
    return OSSL_PROVIDER_get_capabilities(whole.provider, capability, on_one, to);
}

static void teardown(void *provider)
{
    (void)provider; /* it is the whole provider's, which stays */
}

#define FUNCTIONS_WITH(query)                                                                      \
    {                                                                                              \
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))(query)},                             \
            {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},                 \
            {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},                           \
            {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities},               \
            {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown}, {0, NULL},                    \
    }
static const OSSL_DISPATCH functions_for_tls[] = FUNCTIONS_WITH(query_for_tls);
static const OSSL_DISPATCH functions_for_key_files[] = FUNCTIONS_WITH(query_for_key_files);

static int init_for_tls(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                        const OSSL_DISPATCH **out, void **provider)
{
    (void)core;
    (void)in;
    *out = functions_for_tls;
    *provider = OSSL_PROVIDER_get0_provider_ctx(whole.provider);
    return 1;
}

static int init_for_key_files(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                              const OSSL_DISPATCH **out, void **provider)
{
    (void)core;
    (void)in;
    *out = functions_for_key_files;
    *provider = OSSL_PROVIDER_get0_provider_ctx(whole.provider);
    return 1;
}

static OSSL_LIB_CTX *make_library(OSSL_provider_init_fn *init)
{
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
    if (!library || !OSSL_PROVIDER_add_builtin(library, "tulle", init) ||
        !OSSL_PROVIDER_load(library, "tulle"))
        abort();
    return library;
}

static void set_up_whole(void)
{
    tls_allocator_install();
    /* No configuration file of the machine decides about our algorithms; texts of errors come when one is told. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, NULL);
    whole.inner = OSSL_LIB_CTX_new();
    whole.provider = whole.inner ? OSSL_PROVIDER_load(whole.inner, "default") : NULL;
    if (!whole.provider)
        abort();
    for (int operation = 0; operation < OPERATIONS; operation++) {
        select_algorithms(operation, FOR_TLS);
        select_algorithms(operation, FOR_KEY_FILES);
    }
    whole.shared = make_library(init_for_tls);
}

static void load_reasons(void)
{
    ERR_load_ASN1_strings();
    ERR_load_EC_strings();
    ERR_load_EVP_strings();
    ERR_load_PEM_strings();
    ERR_load_RSA_strings();
    ERR_load_X509_strings();
    ERR_load_X509V3_strings();
}

const char *tls_library_reason(unsigned long error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_reasons);
    return ERR_reason_error_string(error);
}

static void need_whole(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up_whole);
}

OSSL_LIB_CTX *tls_library_create(void)
{
    need_whole();
    return make_library(init_for_tls);
}

static int find_provider(OSSL_PROVIDER *provider, void *found)
{
    *(OSSL_PROVIDER **)found = provider;
    return 1;
}

void tls_library_destroy(OSSL_LIB_CTX *library)
{
    /* The load at the start holds a reference of its own. */
    OSSL_PROVIDER *provider = NULL;
    OSSL_PROVIDER_do_all(library, find_provider, &provider);
    OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(library);
}

OSSL_LIB_CTX *tls_library_shared(void)
{
    need_whole();
    return whole.shared;
}

static void set_up_key_files(void)
{
    need_whole();
    whole.key_files = make_library(init_for_key_files);
}

OSSL_LIB_CTX *tls_library_key_files(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up_key_files);
    return whole.key_files;
}
