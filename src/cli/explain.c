#include "pb/explain.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/table.h"

#include <stdio.h>

static const char *short_name(const struct pb_kind *kind)
{
    return kind->short_names && kind->short_names[0] ? kind->short_names[0] : "";
}

static void print_kinds(const struct options *options)
{
    size_t count;
    const struct pb_kind *kinds = pb_kinds(&count);
    owned(table) table = table_create("NAME|SHORT|GROUP|VERSIONS");
    for (size_t i = 0; i < count; i++) {
        owned_buffer versions = {0};
        for (const char *const *version = kinds[i].versions; *version; version++)
            buffer_format(&versions, "%s%s", versions.size ? "," : "", *version);
        table_cell(table, "%s", kinds[i].kind);
        table_cell(table, "%s", short_name(&kinds[i]));
        table_cell(table, "%s", kinds[i].group);
        table_cell(table, "%s", versions.data);
    }
    table_print(table, options);
}

static int explain(const struct command *command, int argc, char **argv)
{
    bool is_recursive = false;
    const struct flag flags[] = {
        {0, "recursive", NULL, "names and types of everything below", NULL, &is_recursive}};
    struct options options;
    struct error error = {0};
    owned_buffer text = {0};
    int code;
    if (!command_options(command, &options, flags, COUNT(flags), &argc, argv, &code))
        return code;
    if (argc > 1)
        return command_misused(command, "explain takes one path");
    if (argc == 0) {
        print_kinds(&options);
        return EXIT_GOOD;
    }
    if (!explain_path(slice_str(argv[0]), is_recursive, &text, &error))
        return command_fail(&error, EXIT_USAGE);
    fputs(text.data, stdout);
    return EXIT_GOOD;
}

const struct command command_explain = {
    .name = "explain",
    .group = GROUP_CONFIGURE,
    .words = "[KIND[.FIELD...]]",
    .takes = TAKES_TABLE,
    .summary = "What a kind and its fields mean, and whether they act",
    .examples = "  tulle explain virtualservice.spec.http.timeout\n"
                "  tulle explain dr --recursive",
    .help = "Without a path: the kinds that are served.",
    .run = explain,
};
