#include "cli/command.h"
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

/* Names and summaries are constants of ours without quotes, so no escaping is needed. */
static void bash(void)
{
    printf("_tulle() {\n    local word=${COMP_WORDS[COMP_CWORD]}\n    if [ \"$COMP_CWORD\" -eq 1 "
           "]; then\n"
           "        COMPREPLY=($(compgen -W \"");
    for (size_t i = 0; i < command_count; i++)
        printf("%s%.*s", i ? " " : "", (int)strcspn(commands[i]->name, " "), commands[i]->name);
    printf(
        "\" -- \"$word\"))\n    else\n        COMPREPLY=($(compgen -f -- \"$word\"))\n    fi\n}\n"
        "complete -o filenames -F _tulle tulle\n");
}

static void zsh(void)
{
    printf("#compdef tulle\n_tulle() {\n    local -a words=(\n");
    for (size_t i = 0; i < command_count; i++)
        printf("        '%.*s:%s'\n", (int)strcspn(commands[i]->name, " "), commands[i]->name,
               commands[i]->summary);
    printf("    )\n    if (( CURRENT == 2 )); then _describe command words; else _files; fi\n}\n"
           "compdef _tulle tulle\n");
}

static void fish(void)
{
    for (size_t i = 0; i < command_count; i++)
        printf("complete -c tulle -n __fish_use_subcommand -a %.*s -d '%s'\n",
               (int)strcspn(commands[i]->name, " "), commands[i]->name, commands[i]->summary);
}

static int completion(const struct command *command, int argc, char **argv)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    struct options options;
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    for (size_t i = 0; argc == 1 && i < COUNT(shells); i++) {
        if (strcmp(argv[0], shells[i].shell) == 0) {
            shells[i].print();
            return EXIT_GOOD;
        }
    }
    return command_misused(command, "completion is for bash, zsh or fish");
}

const struct command command_completion = {
    .name = "completion",
    .group = GROUP_ITSELF,
    .words = "bash|zsh|fish",
    .summary = "Print a completion script for a shell",
    .examples = "  source <(tulle completion bash)\n  tulle completion fish > "
                "~/.config/fish/completions/tulle.fish",
    .run = completion,
};
