#include "test.h"

#include "tls/session_der_internal.h"

#include <openssl/ssl.h>

/* Fails with a libssl that reads the form differently, which is what it is for. */
TEST(libssl_reads_what_we_write)
{
    static const size_t tickets[] = {0, 1, 127, 128, 255, 256, 16000};
    char bytes[16000], psk[48];
    memset(bytes, 't', sizeof(bytes));
    memset(psk, 'k', sizeof(psk));
    EACH (size, tickets) {
        struct session_der form = {
            .suite = *size % 2 ? 0x1301 : 0x1302,
            .psk = slice_of(psk, *size % 2 ? 32 : 48),
            .time_s = 1700000000 + (int64_t)*size,
            .timeout_s = 21600,
            .ticket = slice_of(bytes, *size),
            .lifetime_s = 0x80 + (uint32_t)*size,
            .age_add = 0xfffffff0U,
            .application_data = slice_of(bytes, *size),
        };
        struct buffer der = {0};
        session_der_write(&form, &der);
        const unsigned char *at = (const unsigned char *)der.data;
        SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, (long)der.size);
        CHECK(session && at == (const unsigned char *)der.data + der.size, "%zu", *size);
        unsigned char key[64];
        CHECK(SSL_SESSION_get_master_key(session, key, sizeof(key)) == form.psk.size);
        CHECK(memcmp(key, psk, form.psk.size) == 0);
        CHECK(SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION);
        CHECK(SSL_CIPHER_get_protocol_id(SSL_SESSION_get0_cipher(session)) == form.suite);
        CHECK(SSL_SESSION_get_time(session) == form.time_s &&
              SSL_SESSION_get_timeout(session) == form.timeout_s);
        unsigned id_size;
        CHECK(memcmp(SSL_SESSION_get0_id_context(session, &id_size), "tulle", 5) == 0 &&
              id_size == 5);
        const unsigned char *ticket;
        size_t ticket_size;
        SSL_SESSION_get0_ticket(session, &ticket, &ticket_size);
        CHECK(ticket_size == *size && (*size == 0 || memcmp(ticket, bytes, *size) == 0));
        CHECK(*size == 0 || SSL_SESSION_get_ticket_lifetime_hint(session) == form.lifetime_s);
        void *data = NULL;
        size_t data_size = 0;
        CHECK(SSL_SESSION_get0_ticket_appdata(session, &data, &data_size) && data_size == *size);
        SSL_SESSION_free(session);
        buffer_fini(&der);
    }
}
