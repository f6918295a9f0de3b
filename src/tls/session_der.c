#include "tls/session_der_internal.h"

#include "tls/key_pair.h"

enum {
    DER_INTEGER = 0x02,
    DER_OCTETS = 0x04,
    DER_SEQUENCE = 0x30,
    DER_EXPLICIT = 0xa0,
    TLS_13_VERSION = 0x0304
};

static void put(struct buffer *der, int tag, struct slice content)
{
    buffer_append_byte(der, (char)tag);
    if (content.size < 0x80) {
        buffer_append_byte(der, (char)content.size);
    } else { /* at most 64 KB here */
        buffer_append_byte(der, (char)0x82);
        buffer_append_byte(der, (char)(content.size >> 8));
        buffer_append_byte(der, (char)content.size);
    }
    buffer_append_slice(der, content);
}

static void put_integer(struct buffer *der, uint64_t value)
{
    char bytes[9] = {0};
    for (int i = 8; i > 0; i--, value >>= 8)
        bytes[i] = (char)value;
    size_t skip = 0; /* leading zeros go, but the sign stays positive */
    while (skip < 8 && bytes[skip] == 0 && !(bytes[skip + 1] & 0x80))
        skip++;
    put(der, DER_INTEGER, slice_of(bytes + skip, 9 - skip));
}

static void put_explicit_integer(struct buffer *der, int number, uint64_t value)
{
    owned_buffer inner = {0};
    put_integer(&inner, value);
    put(der, DER_EXPLICIT + number, buffer_slice(&inner));
}

static void put_explicit_octets(struct buffer *der, int number, struct slice octets)
{
    owned_buffer inner = {0};
    put(&inner, DER_OCTETS, octets);
    put(der, DER_EXPLICIT + number, buffer_slice(&inner));
}

void session_der_write(const struct session_der *session, struct buffer *der)
{
    owned_key_buffer body = {0};
    char suite[2] = {(char)(session->suite >> 8), (char)session->suite};
    buffer_reserve(&body,
                   512 + session->psk.size + session->ticket.size + session->application_data.size);
    put_integer(&body, 1); /* the version of this form */
    put_integer(&body, TLS_13_VERSION);
    put(&body, DER_OCTETS, slice_of(suite, 2));
    put(&body, DER_OCTETS, SLICE_NONE); /* session id */
    put(&body, DER_OCTETS, session->psk);
    put_explicit_integer(&body, 1, (uint64_t)session->time_s);
    put_explicit_integer(&body, 2, (uint64_t)session->timeout_s);
    put_explicit_octets(&body, 4, SLICE("tulle")); /* as SSL_CTX_set_session_id_context has it */
    if (session->ticket.size > 0) {
        put_explicit_integer(&body, 9, session->lifetime_s);
        put_explicit_octets(&body, 10, session->ticket);
        put_explicit_integer(&body, 14, session->age_add);
    }
    if (session->application_data.size > 0)
        put_explicit_octets(&body, 18, session->application_data);
    buffer_reserve(der, body.size + 16);
    put(der, DER_SEQUENCE, buffer_slice(&body));
}
