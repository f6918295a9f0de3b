/*
 * rbac: policies from the messages that describe them.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/messages_internal.h"
#include "match/rbac.h"

/* Where we are is the RBAC message. */
MUST_USE bool build_rbac(struct builder *b, const RbacMessage *message, const struct rbac **out);
