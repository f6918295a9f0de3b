#include "tls/handshake_failure_internal.h"

#include "tls/identity_internal.h"
#include "tls/library_internal.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

/* RFC 8446 6; what each usually means between two proxies. */
static const struct {
    int alert;
    const char *name, *hint;
} alerts[] = {
    {10, "unexpected_message", "it did not expect what we sent"},
    {20, "bad_record_mac", "it could not authenticate our bytes"},
    {40, "handshake_failure", "it found nothing in common, or does not accept us"},
    {42, "bad_certificate", "it does not accept our certificate or our identity"},
    {43, "unsupported_certificate", "it does not accept our kind of certificate"},
    {44, "certificate_revoked", "our certificate is on its revocation list"},
    {45, "certificate_expired", "our certificate has expired by its clock"},
    {46, "certificate_unknown", "it does not accept our certificate"},
    {47, "illegal_parameter", "it found a field out of range"},
    {48, "unknown_ca", "its trust bundle does not hold our root"},
    {49, "access_denied", "its policy denies us"},
    {50, "decode_error", "it could not read our message"},
    {51, "decrypt_error", "a signature or a finished message did not verify"},
    {70, "protocol_version", "it speaks none of our TLS versions"},
    {71, "insufficient_security", "it wants stronger parameters"},
    {80, "internal_error", "it failed by itself"},
    {90, "user_canceled", "it gave up"},
    {100, "no_renegotiation", "it does not renegotiate"},
    {109, "missing_extension", "it misses an extension"},
    {110, "unsupported_extension", "it got an extension that it did not ask for"},
    {112, "unrecognized_name", "it does not serve the name that we asked for"},
    {115, "unknown_psk_identity", "it does not know the ticket"},
    {116, "certificate_required", "it wants a client certificate and we showed none"},
    {120, "no_application_protocol", "it speaks none of the protocols that we offered"},
};

void failure_describe_alert(int alert, char *text, size_t size)
{
    for (size_t i = 0; i < COUNT(alerts); i++) {
        if (alerts[i].alert == alert) {
            snprintf(text, size, "the peer refused with the alert %s: %s", alerts[i].name,
                     alerts[i].hint);
            return;
        }
    }
    snprintf(text, size, "the peer refused with the alert %d", alert);
}

static enum tls_failure of_reason(int reason)
{
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE: return TLS_FAILURE_NOT_TLS;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_SSL_VERSION: return TLS_FAILURE_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_WRONG_SIGNATURE_TYPE: return TLS_FAILURE_CIPHER;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return TLS_FAILURE_NO_CERTIFICATE;
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return TLS_FAILURE_BAD_CERTIFICATE;
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
    case SSL_R_DATA_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_TOO_MANY_WARN_ALERTS: return TLS_FAILURE_LIMIT;
    default: return TLS_FAILURE_PROTOCOL;
    }
}

static const char *sentence_of(enum tls_failure failure, int reason)
{
    switch (failure) {
    case TLS_FAILURE_NOT_TLS:
        return reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST
                   ? "the peer speaks plain HTTP where TLS is expected"
                   : "the peer does not speak TLS";
    case TLS_FAILURE_VERSION: return "no TLS version in common";
    case TLS_FAILURE_CIPHER: return "no cipher suite, group or signature scheme in common";
    case TLS_FAILURE_NO_CERTIFICATE: return "the peer showed no certificate and must";
    case TLS_FAILURE_LIMIT: return "the peer sent more than the limits allow";
    default: return "the peer broke the TLS protocol";
    }
}

/* The first error that says something: libssl piles general ones on top. */
enum tls_failure failure_describe(SSL *ssl, char *text, size_t size)
{
    (void)ssl;
    unsigned long error = ERR_get_error(), next;
    while (ERR_GET_LIB(error) != ERR_LIB_SSL && (next = ERR_get_error()))
        error = next;
    ERR_clear_error();
    int reason = ERR_GET_REASON(error);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
        reason < SSL_AD_REASON_OFFSET + 256) {
        failure_describe_alert(reason - SSL_AD_REASON_OFFSET, text, size);
        return TLS_FAILURE_REFUSED_BY_PEER;
    }
    enum tls_failure failure =
        error && ERR_GET_LIB(error) == ERR_LIB_SSL ? of_reason(reason) : TLS_FAILURE_PROTOCOL;
    const char *detail = tls_library_reason(error);
    snprintf(text, size, "%s (%s)", sentence_of(failure, reason), detail ? detail : "no detail");
    return failure;
}

void failure_describe_mismatch(const struct peer_identity *identity,
                               const struct san_match *expected, size_t count, char *text,
                               size_t size)
{
    static const char *const how[] = {"", " as a prefix", " as a suffix", " inside"};
    char names[200];
    struct slice seen = identity_names_text(identity, names, sizeof(names));
    int used = snprintf(text, size, "the peer is %.*s, expected is",
                        (int)MIN(seen.size, (size_t)200), seen.data);
    for (size_t i = 0; i < count && used > 0 && (size_t)used < size; i++) {
        if (i == 3) {
            snprintf(text + used, size - (size_t)used, " or one of %zu more", count - i);
            return;
        }
        used += snprintf(text + used, size - (size_t)used, "%s %.*s%s", i > 0 ? " or" : "",
                         (int)MIN(expected[i].value.size, (size_t)100), expected[i].value.data,
                         how[expected[i].how]);
    }
}
