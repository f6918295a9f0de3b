/*
 * unserved: fields of Envoy's API that our messages do not describe, and whose absence would change what a resource means.
 *
 * A field that is not in proto/ arrives as an unknown one. Such a field is passed over and counted, as newer servers need
 * it; but not when it is known to narrow a match, to guard something or to redirect traffic. Those stand here.
 */
#pragma once

#include "base/attributes.h"

/* The field's name when it must be refused, else NULL. `type` is the message's full name. */
const char *unserved_field(const char *type, uint32_t number);
