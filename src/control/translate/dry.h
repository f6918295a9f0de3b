/*
 * dry: what is about to be sent, built as a proxy would build it; what would be refused there is not sent.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "xds/resource_type.h"

#include "envoy/config/route/v3/route.pb-c.h"

#include <protobuf-c/protobuf-c.h>

/* False with the builder's own words. Types that proxies do not build (name tables) pass. */
MUST_USE bool dry_accepts(enum resource_type type, const ProtobufCMessage *message,
                          struct error *error);
/* A virtual host alone, in a table of its own. Its domains do not matter. */
MUST_USE bool dry_accepts_host(const Envoy__Config__Route__V3__VirtualHost *host,
                               struct error *error);
