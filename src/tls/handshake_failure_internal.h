/* handshake_failure_internal: what went wrong in a handshake, in a sentence for the log. */
#pragma once

#include "tls/engine.h"
#include "tls/identity.h"

#include <openssl/ssl.h>

/* Reads libssl's error queue, which it leaves empty. */
enum tls_failure failure_describe(SSL *ssl, char *text, size_t size);
void failure_describe_mismatch(const struct peer_identity *identity,
                               const struct san_match *expected, size_t count, char *text,
                               size_t size);
/* "the peer refused us with the alert unknown_ca: ..." for a fatal alert, in the handshake or after it. */
void failure_describe_alert(int alert, char *text, size_t size);
