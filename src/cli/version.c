#include "cli/command.h"
#include "cli/commands.h"

#include <stdio.h>

static int version(const struct command *command, int argc, char **argv)
{
    struct options options;
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    if (options.output == OUTPUT_JSON)
        printf("{\"client\": {\"version\": \"%s\"}}\n", TULLE_VERSION);
    else if (options.output == OUTPUT_YAML)
        printf("client:\n  version: %s\n", TULLE_VERSION);
    else
        printf("client %s\n", TULLE_VERSION);
    return EXIT_GOOD;
}

const struct command command_version = {
    .name = "version",
    .group = GROUP_ITSELF,
    .summary = "Say which version this is",
    .examples = "  tulle version\n  tulle version -o json",
    .run = version,
};
