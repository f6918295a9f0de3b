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
    unsigned timeout_s; /* --timeout; 30 */
    bool no_headers, quiet;
    unsigned verbose;
    enum color_mode color;
};

/* The shared flags that a command takes; another one is refused like any that is not known. --quiet, --verbose and --color
 * are everybody's. */
enum takes {
    TAKES_NAMESPACE = 1, /* -n */
    TAKES_ALL = 2,       /* -A */
    TAKES_SELECTOR = 4,  /* -l */
    TAKES_FILES = 8,     /* -f */
    TAKES_API = 16,      /* --server, --timeout */
    TAKES_OUTPUT = 32,   /* -o */
    TAKES_TABLE = 64,    /* --no-headers */
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
MUST_USE bool options_read(struct options *options, unsigned takes, const struct flag *flags,
                           size_t flag_count, int *argc, char **argv, struct error *error);
/* The lines of --help: what this command takes, then the flags of every command. */
void options_help(unsigned takes, const struct flag *flags, size_t flag_count);
/* "--name" of each that begins with the prefix, a line each. */
void options_list(unsigned takes, const struct flag *flags, size_t flag_count, const char *prefix);
/* Colour is wanted on this stream: --color, NO_COLOR, TERM=dumb, a terminal or not. */
bool options_want_color(const struct options *options, int fd);
/* The locale of the terminal shows more than ASCII. */
bool options_want_unicode(void);
