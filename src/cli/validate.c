#include "cli/command.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/print.h"

#include <stdio.h>

static int validate(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct objects objects;
    int code;
    if (!objects_of_command(command, &options, &objects, argc, argv, &code))
        return code;
    if (print_wants_document(&options))
        print_document_new(
            json_pack("{s:b, s:I}", "valid", true, "objects", (json_int_t)objects.count), &options);
    else if (!options.quiet)
        printf("%zu object%s, nothing wrong\n", objects.count, objects.count == 1 ? "" : "s");
    objects_fini(&objects);
    return EXIT_GOOD;
}

const struct command command_validate = {
    .name = "validate",
    .aliases = "v",
    .group = GROUP_CONFIGURE,
    .words = "-f FILE",
    .takes = TAKES_NAMESPACE | TAKES_FILES | TAKES_OUTPUT,
    .summary = "Check YAML files without a control plane",
    .examples = "  tulle validate -f samples/shop/mesh/\n  tulle validate -f product.yaml -o json",
    .run = validate,
};
