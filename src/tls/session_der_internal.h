/*
 * session_der_internal: writes a TLS 1.3 session in the DER form that d2i_SSL_SESSION reads, since libssl has no setters
 * for a ticket. tests/unit/tls/session_der_test.c fails with a libssl that reads it otherwise.
 */
#pragma once

#include "base/buffer.h"
#include "base/slice.h"

struct session_der {
    uint16_t suite;
    struct slice psk;
    int64_t time_s, timeout_s;
    struct slice ticket; /* clients; with lifetime and age_add */
    uint32_t lifetime_s, age_add;
    struct slice application_data; /* servers */
};
void session_der_write(const struct session_der *session, struct buffer *der);
