/*
 * format_operators: the command operators by name, and what stands between their parentheses.
 */
#pragma once

#include "base/attributes.h"
#include "build/format.h"

enum format_argument {
    FORMAT_ARG_NONE,
    FORMAT_ARG_TIME,         /* optional: a time format */
    FORMAT_ARG_HEADER,       /* X or X?Y */
    FORMAT_ARG_METADATA,     /* NAMESPACE[:KEY...] */
    FORMAT_ARG_ANY_METADATA, /* KIND:NAMESPACE[:KEY...] */
    FORMAT_ARG_STATE,        /* KEY[:TYPED|:PLAIN] */
    FORMAT_ARG_GRPC,         /* optional: CAMEL_STRING, SNAKE_STRING or NUMBER */
    FORMAT_ARG_PATH,         /* optional: WQ or NQ, and PATH, ORIG or ORIG_OR_PATH */
    FORMAT_ARG_HOSTNAME,     /* none; becomes a literal */
    FORMAT_ARG_ENVIRONMENT,  /* NAME; becomes a literal */
    FORMAT_ARG_CEL, /* the name of an attribute; becomes the operator that means the same */
};

struct format_operator {
    const char *name;
    enum format_field field;
    enum format_argument argument;
    enum format_part part;
};

/* NULL when there is none. */
const struct format_operator *format_operator_find(struct slice name);
/* The nearest name, or NULL: for "did you mean". */
const char *format_operator_near(struct slice name);
/* "REQ(:METHOD)" for request.method; NULL for anything that is no attribute we know. */
const char *format_of_attribute(struct slice attribute);
