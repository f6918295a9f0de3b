/*
 * options: the flags that every command of `tulle` understands, and how a command adds its own.
 *
 * Precedence: flag, then TULLE_* variable, then the built-in default.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

enum output_format { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME };
enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum { OPTIONS_FILES_MAX = 64 };

struct options {
    const char *name_space; /* -n; "default" */
    bool all_namespaces;    /* -A */
    const char *selector;   /* -l */
    enum output_format output;
    const char *files[OPTIONS_FILES_MAX]; /* -f, repeated; "-" is stdin */
    size_t file_count;
    const char *server; /* --server: unix:PATH; TULLE_SERVER */
    const char *token;  /* --token-file's content is read by api.c; TULLE_TOKEN_FILE */
    unsigned timeout_s; /* --timeout; 30 */
    bool no_headers, quiet, watch, assume_yes;
    unsigned verbose;
    enum color_mode color;
};

/* A flag of one command: `-t, --time VALUE` or, without value, a switch. */
struct flag {
    char letter;       /* 0: none */
    const char *name;  /* "rate" */
    const char *value; /* "N"; NULL: a switch */
    const char *help;
    const char **text; /* set to the value */
    bool *is_on;       /* set when the switch is given */
};

void options_init(struct options *options);
/*
 * Reads flags anywhere among the words; the words that are left are moved to the front of argv and counted in *argc.
 * What follows "--" is left as it is. False with TUL1001 (unknown flag, with the nearest) or TUL1002 (value missing).
 */
MUST_USE bool options_read(struct options *options, const struct flag *flags, size_t flag_count,
                           int *argc, char **argv, struct error *error);
/* The lines of --help for a command's own flags and the common ones. */
void options_help(const struct flag *flags, size_t flag_count);
/* "--name" of each that begins with the prefix, a line each. */
void options_list(const struct flag *flags, size_t flag_count, const char *prefix);
/* Colour is wanted on this stream: --color, NO_COLOR, TERM=dumb, a terminal or not. */
bool options_want_color(const struct options *options, int fd);
/* The locale of the terminal shows more than ASCII. */
bool options_want_unicode(void);
