/*
 * sha1: for the handshake of WebSocket (RFC 6455 4.2.2) alone, where it proves nothing but that the server read the key.
 */
#pragma once

#include "base/slice.h"

#include <stdint.h>

enum { SHA1_SIZE = 20 };

void sha1_of(struct slice bytes, uint8_t digest[SHA1_SIZE]);
