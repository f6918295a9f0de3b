#include "cli/completion.h"

#include "base/error.h"
#include "base/memory.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/objects.h"

#include <stdio.h>
#include <string.h>

static const char bash_script[] =
    "_tulle() {\n"
    "    local IFS=$'\\n' word=${COMP_WORDS[COMP_CWORD]}\n"
    "    COMPREPLY=($(tulle __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
    "    if [ \"${COMPREPLY[0]}\" = :files ]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
    "    fi\n"
    "}\n"
    "complete -F _tulle tulle\n";
static const char zsh_script[] =
    "#compdef tulle\n"
    "_tulle() {\n"
    "    local -a found=(\"${(@f)$(tulle __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
    "    if [[ $found[1] == :files ]]; then _files; else compadd -- ${found:#}; fi\n"
    "}\n"
    "compdef _tulle tulle\n";
static const char fish_script[] = "function __tulle_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    set -l found (tulle __complete $words[2..] 2>/dev/null)\n"
                                  "    if test \"$found[1]\" = :files\n"
                                  "        __fish_complete_path (commandline -ct)\n"
                                  "    else\n"
                                  "        printf '%s\\n' $found\n"
                                  "    end\n"
                                  "end\n"
                                  "complete -c tulle -f -a '(__tulle_complete)'\n";

static void offer(const char *word, const char *prefix)
{
    if (strncmp(word, prefix, strlen(prefix)) == 0)
        puts(word);
}

/* The next word of each command's name; `before` holds those that stand already. */
static void offer_commands(const char *before, const char *prefix)
{
    struct slice last = SLICE_NONE;
    size_t skip = strlen(before);
    for (size_t i = 0; i < command_count; i++) {
        const char *name = commands[i]->name;
        if (strncmp(name, before, skip) != 0)
            continue;
        struct slice word = slice_of(name + skip, strcspn(name + skip, " "));
        owned_str text = slice_to_str(word);
        if (!slice_equals(word, last))
            offer(text, prefix);
        last = word;
    }
}

static void offer_kinds(const char *prefix)
{
    size_t count;
    const struct pb_kind *kinds = pb_kinds(&count);
    for (size_t i = 0; i < count; i++)
        offer(kinds[i].singular, prefix);
}

/* Names that are there now; nothing when the control plane does not answer within a second. */
static void offer_names(const char *kind_name, const struct options *options, const char *prefix)
{
    const struct pb_kind *kind = pb_kind_by_name(slice_str(kind_name));
    struct options quick = *options;
    owned_error error = {0};
    struct api *api;
    json_t *list = NULL;
    quick.timeout_s = 1;
    if (!kind || !api_open(&quick, NULL, &api, &error))
        return;
    owned_str path =
        object_path(kind, NULL, kind->cluster_scoped ? NULL : options->name_space, NULL);
    if (api_json(api, "GET", path, NULL, &list, NULL, &error)) {
        const json_t *items = json_object_get(list, "items");
        for (size_t i = 0; i < json_array_size(items); i++)
            offer(object_name(json_array_get(items, i)), prefix);
    }
    json_decref(list);
    api_close(api);
}

/* The value of a flag: a known set, or a file. */
static bool offer_value(const char *flag, const char *prefix)
{
    static const char *const formats[] = {"table", "wide", "json", "yaml", "name"};
    static const char *const colors[] = {"auto", "always", "never"};
    if (strcmp(flag, "-f") == 0 || strcmp(flag, "--filename") == 0) {
        puts(":files");
    } else if (strcmp(flag, "-o") == 0 || strcmp(flag, "--output") == 0) {
        for (size_t i = 0; i < COUNT(formats); i++)
            offer(formats[i], prefix);
    } else if (strcmp(flag, "--color") == 0) {
        for (size_t i = 0; i < COUNT(colors); i++)
            offer(colors[i], prefix);
    } else if (strcmp(flag, "-n") == 0 || strcmp(flag, "--namespace") == 0) {
        struct options options;
        options_init(&options);
        offer_names("namespace", &options, prefix);
    } else {
        return false;
    }
    return true;
}

static void offer_words(const struct command *command, int argc, char **argv, const char *prefix)
{
    struct options options;
    options_init(&options);
    const char *takes = command->words ? command->words : "";
    if (strncmp(takes, "KIND", 4) == 0 || strncmp(takes, "[KIND", 5) == 0) {
        if (argc == 0)
            offer_kinds(prefix);
        else if (takes[0] == 'K')
            offer_names(argv[0], &options, prefix);
    } else if (strchr(takes, '|') && takes[0] >= 'a' && takes[0] <= 'z' && argc == 0) {
        struct slice rest = slice_str(takes), word; /* "bash|zsh|fish" */
        while (rest.size > 0) {
            slice_cut(rest, '|', &word, &rest);
            owned_str text = slice_to_str(word);
            offer(text, prefix);
        }
    } else if (strstr(takes, "FILE")) {
        puts(":files");
    }
}

int completion_answer(int argc, char **argv)
{
    static char list_flags[] = "--list-flags";
    const char *prefix = argc > 0 ? argv[argc - 1] : "";
    int used = 0;
    const struct command *command = argc > 1 ? command_find(argc - 1, argv, &used) : NULL;
    if (!command) {
        owned_str before = argc > 1 ? str_format("%s ", argv[0]) : str_copy("");
        if (argc <= 2)
            offer_commands(before, prefix);
        return EXIT_GOOD;
    }
    if (argc - 1 > used && offer_value(argv[argc - 2], prefix))
        return EXIT_GOOD;
    if (prefix[0] == '-') {
        char *words[] = {list_flags, argv[argc - 1], NULL};
        return command->run(command, 2, words);
    }
    offer_words(command, argc - 1 - used, argv + used, prefix);
    return EXIT_GOOD;
}

static int completion(const struct command *command, int argc, char **argv)
{
    static const struct {
        const char *shell, *script;
    } shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    struct options options;
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    for (size_t i = 0; argc == 1 && i < COUNT(shells); i++) {
        if (strcmp(argv[0], shells[i].shell) == 0) {
            fputs(shells[i].script, stdout);
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
    .examples = "  source <(tulle completion bash)\n"
                "  tulle completion fish > ~/.config/fish/completions/tulle.fish",
    .help = "Commands, flags, kinds, and the names of objects that are there now.",
    .run = completion,
};
