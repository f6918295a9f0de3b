/*
 * rbac: policies from the messages that describe them.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/messages_internal.h"
#include "match/rbac.h"

/* Where we are is the RBAC message. */
MUST_USE bool build_rbac(struct builder *b, const RbacMessage *message, const struct rbac **out);
/* Where we are is the message that may have the rules in `field`; message NULL leaves *out as it is. */
MUST_USE bool build_rbac_at(struct builder *b, const char *field, const RbacMessage *message,
                            const struct rbac **out);
