/* issue: the part of certificate.h that makes certificates. */
#include "tls/certificate.h"

#include "base/memory.h"
#include "tls/key_pair_internal.h"
#include "tls/library_internal.h"
#include "tls/x509_internal.h"

#include <openssl/err.h>

static bool add_extension(X509 *certificate, int nid, bool critical, void *value)
{
    return X509_add1_ext_i2d(certificate, nid, value, critical, X509V3_ADD_APPEND) == 1;
}

static bool add_basic_constraints(X509 *certificate, enum certificate_kind kind)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    constraints->ca = kind == CERTIFICATE_LEAF ? 0 : 0xff;
    if (kind == CERTIFICATE_INTERMEDIATE) { /* it signs leaves only */
        constraints->pathlen = ASN1_INTEGER_new();
        ASN1_INTEGER_set(constraints->pathlen, 0);
    }
    bool good = add_extension(certificate, NID_basic_constraints, true, constraints);
    BASIC_CONSTRAINTS_free(constraints);
    return good;
}

static bool add_key_usage(X509 *certificate, enum certificate_kind kind)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    if (kind == CERTIFICATE_LEAF) {
        ASN1_BIT_STRING_set_bit(usage, 0, 1); /* digitalSignature */
        ASN1_BIT_STRING_set_bit(usage, 2, 1); /* keyEncipherment, for RSA keys under TLS 1.2 */
    } else {
        ASN1_BIT_STRING_set_bit(usage, 5, 1); /* keyCertSign */
        ASN1_BIT_STRING_set_bit(usage, 6, 1); /* cRLSign */
    }
    bool good = add_extension(certificate, NID_key_usage, true, usage);
    ASN1_BIT_STRING_free(usage);
    return good;
}

static bool add_extended_key_usage(X509 *certificate)
{
    EXTENDED_KEY_USAGE *usage = sk_ASN1_OBJECT_new_null();
    sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_server_auth));
    sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_client_auth));
    bool good = add_extension(certificate, NID_ext_key_usage, false, usage);
    sk_ASN1_OBJECT_free(usage);
    return good;
}

static void push_name(GENERAL_NAMES *names, int kind, struct slice text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *string = ASN1_IA5STRING_new();
    ASN1_STRING_set(string, text.data, (int)text.size);
    GENERAL_NAME_set0_value(name, kind, string);
    sk_GENERAL_NAME_push(names, name);
}

static bool add_names(X509 *certificate, const struct certificate_spec *spec)
{
    if (spec->uri.size == 0 && spec->dns_count == 0)
        return true;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (spec->uri.size > 0)
        push_name(names, GEN_URI, spec->uri);
    for (size_t i = 0; i < spec->dns_count; i++)
        push_name(names, GEN_DNS, spec->dns_names[i]);
    bool subject_is_empty = X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0;
    bool good = add_extension(certificate, NID_subject_alt_name, subject_is_empty, names);
    GENERAL_NAMES_free(names);
    return good;
}

/* SHA-1 of the public key, as RFC 5280 4.2.1.2 (1) makes it: an identifier, not a protection. */
static bool key_identifier(X509 *certificate, ASN1_OCTET_STRING *identifier)
{
    uint8_t digest[20];
    unsigned size = sizeof(digest);
    return X509_pubkey_digest(certificate, EVP_sha1(), digest, &size) &&
           ASN1_OCTET_STRING_set(identifier, digest, (int)size);
}

static bool add_key_identifiers(X509 *certificate, X509 *issuer)
{
    ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    authority->keyid = ASN1_OCTET_STRING_new();
    bool good = key_identifier(certificate, own) &&
                add_extension(certificate, NID_subject_key_identifier, false, own) &&
                key_identifier(issuer, authority->keyid) &&
                add_extension(certificate, NID_authority_key_identifier, false, authority);
    ASN1_OCTET_STRING_free(own);
    AUTHORITY_KEYID_free(authority);
    return good;
}

static bool add_subject_part(X509_NAME *name, const char *part, struct slice text)
{
    return text.size == 0 ||
           X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (const unsigned char *)text.data,
                                      (int)text.size, -1, 0) == 1;
}

static bool set_subject(X509 *certificate, const struct certificate_spec *spec, X509 *issuer)
{
    X509_NAME *subject = X509_NAME_new();
    bool good = add_subject_part(subject, "O", spec->organization) &&
                add_subject_part(subject, "CN", spec->common_name) &&
                X509_set_subject_name(certificate, subject) &&
                X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
    X509_NAME_free(subject);
    return good;
}

void certificate_serial(const uint8_t random[16], uint8_t serial[16])
{
    memmove(serial, random, 16);
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
}

static bool set_serial(X509 *certificate, const uint8_t bytes[16])
{
    uint8_t positive[16];
    certificate_serial(bytes, positive);
    BIGNUM *number = BN_bin2bn(positive, sizeof(positive), NULL);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return good;
}

static bool fill(X509 *certificate, const struct certificate_spec *spec, X509 *issuer)
{
    return X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate, spec->serial) &&
           ASN1_TIME_set(X509_getm_notBefore(certificate), spec->not_before_s) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), spec->not_after_s) &&
           x509_set_public_key(X509_get_X509_PUBKEY(certificate), spec->public_key) &&
           set_subject(certificate, spec, issuer) &&
           add_basic_constraints(certificate, spec->kind) &&
           add_key_usage(certificate, spec->kind) &&
           (spec->kind != CERTIFICATE_LEAF || add_extended_key_usage(certificate)) &&
           add_key_identifiers(certificate, issuer ? issuer : certificate) &&
           add_names(certificate, spec);
}

bool certificate_issue(const struct certificate_spec *spec, struct slice issuer_der,
                       const struct key_pair *issuer_key, struct buffer *der, struct error *error)
{
    if (spec->not_before_s >= spec->not_after_s)
        return error_set(error, NULL, "the certificate would end before it begins");
    X509 *issuer = issuer_der.size > 0 ? x509_parse(tls_library_shared(), issuer_der) : NULL;
    if (issuer_der.size > 0 && !issuer)
        return error_set(error, NULL, "the issuer's certificate is malformed");
    if (issuer && X509_check_private_key(issuer, issuer_key->key) != 1) {
        X509_free(issuer);
        ERR_clear_error();
        return error_set(error, NULL, "the issuer's key does not belong to its certificate");
    }
    X509 *certificate = X509_new_ex(tls_library_shared(), NULL);
    unsigned char *bytes = NULL;
    int size = 0;
    bool good = certificate && fill(certificate, spec, issuer) &&
                X509_sign(certificate, issuer_key->key, key_pair_digest(issuer_key)) &&
                (size = i2d_X509(certificate, &bytes)) > 0;
    if (good)
        buffer_append(der, bytes, (size_t)size);
    else
        error_set(error, NULL, "the certificate cannot be made: %s", x509_library_error());
    OPENSSL_free(bytes);
    X509_free(certificate);
    X509_free(issuer);
    return good;
}
