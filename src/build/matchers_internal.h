/*
 * matchers: match/'s matchers from the messages that describe them.
 */
#pragma once

#include "build/builder_internal.h"
#include "build/messages_internal.h"
#include "match/header_match.h"
#include "match/query_match.h"
#include "match/string_match.h"

/* Required; enters `field`. */
MUST_USE bool build_string_match(struct builder *b, const char *field,
                                 const StringMatcherMessage *message, struct string_match *out);
/* Where we are is the matcher itself. */
MUST_USE bool build_header_match(struct builder *b, const HeaderMatcherMessage *message,
                                 struct header_match *out);
/* A list of them; NULL for none. */
MUST_USE bool build_header_matches(struct builder *b, const char *field,
                                   HeaderMatcherMessage *const *messages, size_t count,
                                   const struct header_match **out);
MUST_USE bool build_query_matches(struct builder *b, const char *field,
                                  QueryMatcherMessage *const *messages, size_t count,
                                  const struct query_match **out);
MUST_USE bool build_header_key(struct builder *b, const char *field, const char *name,
                               struct header_key *out);
/* The pattern is compiled into the object's memory. */
MUST_USE bool build_substitute(struct builder *b, const char *field,
                               const SubstituteMessage *message, const struct regex **regex,
                               struct slice *substitution);
