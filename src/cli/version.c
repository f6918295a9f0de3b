#include "cli/command.h"
#include "cli/commands.h"
#include "cli/print.h"

#include <stdio.h>

static int version(const struct command *command, int argc, char **argv)
{
    struct options options;
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    if (print_wants_document(&options))
        print_document_new(json_pack("{s:{s:s}}", "client", "version", TULLE_VERSION), &options);
    else
        printf("client %s\n", TULLE_VERSION);
    return EXIT_GOOD;
}

const struct command command_version = {
    .name = "version",
    .group = GROUP_ITSELF,
    .takes = TAKES_OUTPUT,
    .summary = "Say which version this is",
    .examples = "  tulle version\n  tulle version -o json",
    .run = version,
};
