/*
 * command: the tree of `tulle`, one file a command.
 *
 * A command is a constant struct in its own file; command.c lists them all. Dispatch finds it by name or alias, answers
 * --help with two examples first, and returns an exit code (cli/exit_code.h).
 */
#pragma once

#include "base/attributes.h"
#include "cli/exit_code.h"
#include "cli/options.h"

enum command_group {
    GROUP_START,
    GROUP_CONFIGURE,
    GROUP_OBSERVE,
    GROUP_DEBUG,
    GROUP_MACHINES,
    GROUP_ITSELF,
    GROUPS
};

struct command {
    const char *name;    /* "apply"; two words for a command of a group: "proxy status" */
    const char *aliases; /* "ps,proxy-status"; NULL */
    enum command_group group;
    const char *words;    /* the words it takes: "[KIND [NAME]]" */
    unsigned takes;       /* TAKES_... of cli/options.h */
    const char *summary;  /* one line */
    const char *examples; /* two lines, as typed */
    const char *help;     /* what else is worth knowing; may be NULL */
    /* argc and argv hold what follows the command's name, flags included: each command reads its own. */
    int (*run)(const struct command *command, int argc, char **argv);
};

extern const struct command *const commands[];
extern const size_t command_count;

/* The command named by the first words, NULL when there is none; *used says by how many. Two-word names win. */
const struct command *command_find(int argc, char **argv, int *used);
/* The whole program: argv as main got it. */
int command_dispatch(int argc, char **argv);
/*
 * Reads options for a command. False when the program should return *code at once: --help was answered, or the
 * command line was refused (and said so on stderr).
 */
MUST_USE bool command_options(const struct command *command, struct options *options,
                              const struct flag *flags, size_t flag_count, int *argc, char **argv,
                              int *code);
/* Says the error on stderr in the form of docs/reference/errors.md and frees it; returns code. */
int command_fail(struct error *error, int code);
/* A usage error in words; returns EXIT_USAGE. */
int command_misused(const struct command *command, const char *format, ...) PRINTF(2, 3);
