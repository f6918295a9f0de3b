#include "tls/x509_internal.h"

#include "base/memory.h"
#include "tls/library_internal.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <time.h>

X509 *x509_parse(OSSL_LIB_CTX *library, struct slice der)
{
    if (der.size > LONG_MAX)
        return NULL;
    X509 *certificate = X509_new_ex(library, NULL);
    const unsigned char *at = (const unsigned char *)der.data;
    if (!d2i_X509(&certificate, &at, (long)der.size) ||
        at != (const unsigned char *)der.data + der.size) {
        X509_free(certificate); /* d2i has set it to NULL when it failed */
        ERR_clear_error();
        return NULL;
    }
    return certificate;
}

int64_t x509_time_s(const ASN1_TIME *time)
{
    struct tm parts;
    if (!time || !ASN1_TIME_to_tm(time, &parts))
        return INT64_C(-62135596800);
    return timegm(&parts);
}

void x509_hash(X509 *certificate, uint8_t hash[CERTIFICATE_HASH_BYTES])
{
    unsigned size = CERTIFICATE_HASH_BYTES;
    if (!X509_digest(certificate, EVP_sha256(), hash, &size))
        memset(hash, 0, CERTIFICATE_HASH_BYTES);
}

size_t x509_name_text(const X509_NAME *name, char *to, size_t size)
{
    BIO *text = BIO_new(BIO_s_mem());
    X509_NAME_print_ex(text, name, 0, XN_FLAG_RFC2253);
    char *bytes;
    long have = BIO_get_mem_data(text, &bytes);
    size_t used = MIN((size_t)MAX(have, 0L), size - 1);
    if (used > 0)
        memcpy(to, bytes, used);
    to[used] = '\0';
    BIO_free(text);
    ERR_clear_error();
    return used;
}

static const char *ec_refusal(EVP_PKEY *key)
{
    static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1"};
    char group[32] = "", encoding[16] = "";
    size_t size;
    EVP_PKEY_get_group_name(key, group, sizeof(group), &size);
    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof(encoding),
                                   &size);
    ERR_clear_error();
    if (strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) != 0)
        return "its elliptic curve is spelled out instead of named";
    for (size_t i = 0; i < COUNT(curves); i++) {
        if (strcmp(group, curves[i]) == 0)
            return NULL;
    }
    return "its elliptic curve is none of P-256, P-384, P-521";
}

const char *x509_key_refusal(X509 *certificate)
{
    return x509_public_key_refusal(X509_get0_pubkey(certificate));
}

const char *x509_public_key_refusal(EVP_PKEY *key)
{
    if (!key) {
        ERR_clear_error();
        return "its key is of an unsupported kind or malformed";
    }
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC: return ec_refusal(key);
    case EVP_PKEY_ED25519: return NULL;
    case EVP_PKEY_RSA:
        if (EVP_PKEY_get_bits(key) < 2048)
            return "its RSA key is shorter than 2048 bits";
        return EVP_PKEY_get_bits(key) > 8192 ? "its RSA key is longer than 8192 bits" : NULL;
    default: return "its key is of an unsupported kind";
    }
}

/* The parameters of an algorithm, copied: an object (a curve's name), NULL, or nothing. */
static bool copy_parameters(const X509_ALGOR *from, int *type, void **value)
{
    const void *there;
    X509_ALGOR_get0(NULL, type, &there, from);
    *value = NULL;
    if (*type != V_ASN1_OBJECT)
        return *type == V_ASN1_NULL || *type == V_ASN1_UNDEF;
    *value = OBJ_dup(there);
    return *value != NULL;
}

bool x509_set_public_key(X509_PUBKEY *to, struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.data, *bits;
    X509_PUBKEY *from = X509_PUBKEY_new_ex(tls_library_shared(), NULL);
    ASN1_OBJECT *algorithm;
    X509_ALGOR *parameters;
    int size, type;
    void *value = NULL;
    bool good = d2i_X509_PUBKEY(&from, &at, (long)der.size) &&
                at == (const unsigned char *)der.data + der.size && X509_PUBKEY_get0(from) &&
                X509_PUBKEY_get0_param(&algorithm, &bits, &size, &parameters, from) &&
                copy_parameters(parameters, &type, &value);
    unsigned char *copy = good ? OPENSSL_memdup(bits, (size_t)size) : NULL;
    good = good && copy && X509_PUBKEY_set0_param(to, OBJ_dup(algorithm), type, value, copy, size);
    X509_PUBKEY_free(from);
    ERR_clear_error();
    return good;
}

/* Names are printable ASCII, or they are refused: a NUL or a line end has no business in one. */
static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7e)
            return false;
    }
    return text.size > 0;
}

static struct slice string_bytes(const ASN1_STRING *string)
{
    int size = ASN1_STRING_length(string);
    return slice_of(ASN1_STRING_get0_data(string), size > 0 ? (size_t)size : 0);
}

/* Other names are not used, but one that hides a NUL is a trick. */
static bool other_name_is_harmless(const OTHERNAME *other)
{
    const ASN1_TYPE *value = other->value;
    if (!value)
        return true;
    switch (value->type) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_PRINTABLESTRING: {
        struct slice text = string_bytes(value->value.asn1_string);
        return slice_find_byte(text, '\0') == text.size;
    }
    default: return true;
    }
}

static bool keep_address(struct x509_names *names, const ASN1_OCTET_STRING *bytes,
                         struct slice *text)
{
    struct slice raw = string_bytes(bytes);
    size_t room = sizeof(names->addresses) - names->addresses_size;
    char *to = names->addresses + names->addresses_size;
    if ((raw.size != 4 && raw.size != 16) || room < INET6_ADDRSTRLEN)
        return false;
    inet_ntop(raw.size == 4 ? AF_INET : AF_INET6, raw.data, to, INET6_ADDRSTRLEN);
    *text = slice_str(to);
    names->addresses_size += text->size + 1;
    return true;
}

/* False with a phrase when the name is unacceptable; *used tells whether it is of a kind that we keep. */
static bool read_name(struct x509_names *names, const GENERAL_NAME *name, struct san *san,
                      bool *used, const char **why)
{
    *used = true;
    switch (name->type) {
    case GEN_URI:
        *san = (struct san){SAN_URI, string_bytes(name->d.uniformResourceIdentifier)};
        break;
    case GEN_DNS: *san = (struct san){SAN_DNS, string_bytes(name->d.dNSName)}; break;
    case GEN_EMAIL: *san = (struct san){SAN_EMAIL, string_bytes(name->d.rfc822Name)}; break;
    case GEN_IPADD:
        san->kind = SAN_IP;
        if (!keep_address(names, name->d.iPAddress, &san->text)) {
            *why = "it holds a malformed address, or too many of them";
            return false;
        }
        return true;
    case GEN_OTHERNAME:
        *used = false;
        *why = "one of its names holds a NUL byte";
        return other_name_is_harmless(name->d.otherName);
    default: *used = false; return true;
    }
    *why = "one of its names is empty or holds a byte that is not printable";
    return is_plain(san->text);
}

static bool is_spiffe_scheme(struct slice uri)
{
    return uri.size >= 7 && slice_equals_nocase(slice_first(uri, 7), SLICE("spiffe:"));
}

static bool read_spiffe_id(struct x509_names *names, const char **why)
{
    for (size_t i = 0; i < names->count; i++) {
        struct san *san = &names->sans[i];
        if (san->kind != SAN_URI || !is_spiffe_scheme(san->text))
            continue;
        if (names->uri_count > 1) {
            *why = "it holds a SPIFFE ID and another URI: there must be exactly one";
            return false;
        }
        return spiffe_id_parse(san->text, &names->id, why);
    }
    return true;
}

/* The extension's value, whole; *count says how many such extensions there are. */
static GENERAL_NAMES *parse_names(X509 *certificate, int *count)
{
    int first = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
    *count = first < 0                                                           ? 0
             : X509_get_ext_by_NID(certificate, NID_subject_alt_name, first) < 0 ? 1
                                                                                 : 2;
    if (*count != 1)
        return NULL;
    struct slice value = string_bytes(X509_EXTENSION_get_data(X509_get_ext(certificate, first)));
    const unsigned char *at = (const unsigned char *)value.data;
    GENERAL_NAMES *names = d2i_GENERAL_NAMES(NULL, &at, (long)value.size);
    if (names && at != (const unsigned char *)value.data + value.size) {
        GENERAL_NAMES_free(names);
        return NULL;
    }
    return names;
}

bool x509_names_list(X509 *certificate, struct x509_names *names, const char **why)
{
    int count;
    names->holder = parse_names(certificate, &count);
    names->count = names->uri_count = names->addresses_size = 0;
    names->id = (struct spiffe_id){0};
    ERR_clear_error();
    if (!names->holder) {
        *why = count > 1 ? "it has two extensions of alternative names"
                         : "its alternative names are malformed";
        return count == 0;
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(names->holder); i++) {
        struct san san;
        bool used;
        if (!read_name(names, sk_GENERAL_NAME_value(names->holder, i), &san, &used, why))
            return false;
        if (!used)
            continue;
        if (names->count == PEER_SANS_MAX) {
            *why = "it holds more than 100 names";
            return false;
        }
        names->uri_count += san.kind == SAN_URI;
        names->sans[names->count++] = san;
    }
    return true;
}

bool x509_names_read(X509 *certificate, struct x509_names *names, const char **why)
{
    return x509_names_list(certificate, names, why) && read_spiffe_id(names, why);
}

void x509_names_fini(struct x509_names *names)
{
    GENERAL_NAMES_free(names->holder);
    names->holder = NULL;
}

const char *x509_library_error(void)
{
    const char *reason = tls_library_reason(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? reason : "unknown";
}
