/*
 * selector: which objects a list or watch wants, by labels and by name.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "base/error.h"
#include "base/slice.h"
#include "pb/document.h"

/* Of one selector; one more is refused. */
enum { SELECTOR_BYTES_MAX = 4096, SELECTOR_TERMS_MAX = 64, SELECTOR_VALUES_MAX = 256 };

struct selector_term;
struct selector {
    struct selector_term *terms; /* all must hold */
    size_t count;
    struct slice name; /* when metadata.name=NAME is one of them: a single object is asked for */
};

/* "app=cart,tier!=web,env in (a,b),!old". Text must outlive the selector. */
MUST_USE bool selector_read_labels(struct selector *selector, struct slice text,
                                   struct arena *arena, struct error *error);
/* "metadata.name=cart,metadata.namespace!=shop"; adds to what is there. */
MUST_USE bool selector_read_fields(struct selector *selector, struct slice text,
                                   struct arena *arena, struct error *error);
bool selector_matches(const struct selector *selector, const struct value *document);
