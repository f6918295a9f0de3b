/*
 * permission: whether a connection that is no HTTP may pass, by the RBAC filters of its chain.
 */
#pragma once

#include "base/attributes.h"

struct tunnel;

/* The handshake is over, so the peer is known. Every filter must allow it. */
MUST_USE bool tunnel_is_allowed(const struct tunnel *tunnel);
