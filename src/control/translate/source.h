/*
 * source: translation as push asks for it: the class of a proxy, the view of a class, what is new when a lane is due.
 */
#pragma once

#include "base/attributes.h"
#include "control/push/push.h"
#include "control/translate/translate.h"

struct source_of_views {
    struct translate *translate;
    struct push *push; /* set once it was created with this as its owner */
    const char *trust_domain;
    void (*on_refreshed)(void *owner); /* views were brought up to date, or made; may be NULL */
    void *owner;
};
extern const struct push_source source_of_views;
