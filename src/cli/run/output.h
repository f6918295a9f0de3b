/*
 * output: what one program prints, line by line, to a file of its own and, with its name before it, to the terminal.
 */
#pragma once

#include "base/attributes.h"

struct loop;
struct output;

enum { OUTPUT_LINE_MAX = 8192 };

struct output_options {
    const char *name; /* stands before each line */
    const char *path; /* the file; it is emptied first */
    unsigned width;   /* of the longest name, so that lines stand under each other */
    unsigned color;   /* which of the colours; counts round */
    bool is_quiet;    /* to the file alone */
    bool wants_color;
};

/* 0 or a negative errno. Strings are copied. */
MUST_USE int output_create(struct loop *loop, const struct output_options *options,
                           struct output **out);
/* What is still in the pipe is written first. Accepts NULL. */
void output_destroy(struct output *output);
/* The descriptor that the program gets as 1 and 2; stays ours. */
int output_fd(const struct output *output);
