/*
 * print: what a command found as one document on stdout, for -o json and -o yaml.
 */
#pragma once

#include "base/attributes.h"
#include "cli/options.h"

#include <jansson.h>

/* -o json or -o yaml was asked for: one document, instead of words and tables. */
bool print_wants_document(const struct options *options);
/* The document in the format that was asked for; borrowed. */
void print_document(const json_t *document, const struct options *options);
/* The same, and lets go of it. */
void print_document_new(json_t *document, const struct options *options);
