/*
 * listener_filters: what a listener looks at before it chooses a chain.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/listener.h"
#include "build/messages_internal.h"

MUST_USE bool build_listener_filters(struct builder *b, ListenerFilterMessage *const *messages,
                                     size_t count, struct listener *listener);
