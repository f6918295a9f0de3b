#include "cli/command.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/slice.h"
#include "cli/completion.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const group_titles[GROUPS] = {
    [GROUP_START] = "Start", [GROUP_CONFIGURE] = "Configure", [GROUP_OBSERVE] = "Observe",
    [GROUP_DEBUG] = "Debug", [GROUP_MACHINES] = "Machines",   [GROUP_ITSELF] = "Itself",
};

/* An alias list is "ps,proxy-status". */
static bool has_alias(const struct command *command, struct slice word)
{
    struct slice rest = slice_str(command->aliases), alias;
    while (rest.size > 0) {
        slice_cut(rest, ',', &alias, &rest);
        if (slice_equals(alias, word))
            return true;
    }
    return false;
}

const struct command *command_find(int argc, char **argv, int *used)
{
    for (int words = 2; words >= 1; words--) {
        if (argc < words)
            continue;
        owned_str name = words == 2 ? str_format("%s %s", argv[0], argv[1]) : str_copy(argv[0]);
        for (size_t i = 0; i < command_count; i++) {
            if (strcmp(commands[i]->name, name) == 0 || has_alias(commands[i], slice_str(name))) {
                *used = words;
                return commands[i];
            }
        }
    }
    return NULL;
}

static void print_tree(void)
{
    printf("tulle: a service mesh, from the command line.\n\n"
           "  tulle demo                a real mesh on this machine, with something to try\n"
           "  tulle apply -f mesh/      ordinary Istio YAML\n");
    for (int group = 0; group < GROUPS; group++) {
        bool is_first = true;
        for (size_t i = 0; i < command_count; i++) {
            if ((int)commands[i]->group != group)
                continue;
            if (is_first)
                printf("\n%s\n", group_titles[group]);
            is_first = false;
            printf("  %-16s %s\n", commands[i]->name, commands[i]->summary);
        }
    }
    printf("\ntulle COMMAND --help says more about each.\n");
}

static void print_help(const struct command *command, const struct flag *flags, size_t flag_count)
{
    printf("%s\n\nExamples:\n%s\n\nUsage: tulle %s%s%s [flags]\n", command->summary,
           command->examples, command->name, command->words ? " " : "",
           command->words ? command->words : "");
    if (command->aliases)
        printf("Also known as: %s\n", command->aliases);
    if (command->help)
        printf("\n%s\n", command->help);
    options_help(command->takes, flags, flag_count);
}

int command_fail(struct error *error, int code)
{
    owned_str text = error_text(error, false);
    fflush(stdout);
    fprintf(stderr, "%s\n", text);
    error_fini(error);
    return code;
}

int command_misused(const struct command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    owned_str what = str_format_v(format, args);
    va_end(args);
    struct error error = {0};
    error_set(&error, "TUL1005", "%s", what);
    error_fix(&error, "tulle %s%s%s   (tulle %s --help says more)", command->name,
              command->words ? " " : "", command->words ? command->words : "", command->name);
    return command_fail(&error, EXIT_USAGE);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

bool command_options(const struct command *command, struct options *options,
                     const struct flag *flags, size_t flag_count, int *argc, char **argv, int *code)
{
    if (wants_help(*argc, argv)) {
        print_help(command, flags, flag_count);
        *code = EXIT_GOOD;
        return false;
    }
    if (*argc == 2 && strcmp(argv[0], "--list-flags") == 0) { /* for completion */
        options_list(command->takes, flags, flag_count, argv[1]);
        *code = EXIT_GOOD;
        return false;
    }
    struct error error = {0};
    options_init(options);
    if (options_read(options, command->takes, flags, flag_count, argc, argv, &error)) {
        if (options->verbose > 0)
            log_set_level(NULL, options->verbose == 1 ? LOG_DEBUG : LOG_TRACE);
        return true;
    }
    *code = command_fail(&error, EXIT_USAGE);
    return false;
}

static int unknown_command(const char *word)
{
    const char *names[128];
    size_t count = 0;
    for (size_t i = 0; i < command_count && count < COUNT(names); i++)
        names[count++] = commands[i]->name;
    struct error error = {0};
    error_set(&error, "TUL1006", "there is no command \"%s\"", word);
    const char *near = nearest_word(slice_str(word), names, count);
    if (near)
        error_fix(&error, "did you mean tulle %s?", near);
    else
        error_fix(&error, "tulle help lists them");
    return command_fail(&error, EXIT_USAGE);
}

/* tulle NAME runs tulle-NAME from PATH when we have no such command ourselves. */
static void try_plugin(char **argv)
{
    if (strchr(argv[0], '/') || argv[0][0] == '-')
        return;
    owned_str program = str_format("tulle-%s", argv[0]);
    if (strcmp(program, "tulle-proxy") != 0)
        execvp(program, argv);
}

static int dispatch(int argc, char **argv)
{
    int used = 0;
    const struct command *command = command_find(argc, argv, &used);
    if (!command) {
        try_plugin(argv);
        return unknown_command(argv[0]);
    }
    return command->run(command, argc - used, argv + used);
}

/* `tulle help WORDS` is `tulle WORDS --help`. */
static int help_on(int argc, char **argv)
{
    static char flag[] = "--help";
    char **words = mem_calloc((size_t)argc + 2, sizeof(*words));
    memcpy(words, argv, (size_t)argc * sizeof(*words));
    words[argc] = flag;
    int code = dispatch(argc + 1, words);
    mem_free(words);
    return code;
}

int command_dispatch(int argc, char **argv)
{
    static char version[] = "version";
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        print_tree();
        return EXIT_USAGE;
    }
    bool asks_help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                     strcmp(argv[1], "-h") == 0;
    if (asks_help && argc > 2)
        return help_on(argc - 2, argv + 2);
    if (asks_help) {
        print_tree();
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    if (strcmp(argv[1], "__complete") == 0)
        return completion_answer(argc - 2, argv + 2);
    return dispatch(argc - 1, argv + 1);
}
