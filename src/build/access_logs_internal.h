/*
 * access_logs: a list of access logs from its messages.
 */
#pragma once

#include "build/access_log.h"
#include "build/builder_internal.h"
#include "build/messages_internal.h"

MUST_USE bool build_access_logs(struct builder *b, const char *field,
                                AccessLogMessage *const *messages, size_t count,
                                struct access_logs *out);
