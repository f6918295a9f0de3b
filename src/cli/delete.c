#include "base/memory.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/print.h"

#include <stdio.h>

/* Deletes it and tells so: a line, or a row of the document. */
static int delete_one(struct api *api, const struct pb_kind *kind, const char *name_space,
                      const char *name, const struct options *options, json_t *rows)
{
    struct error error = {0};
    owned_str path = object_path(kind, NULL, kind->cluster_scoped ? NULL : name_space, name);
    owned_str label = object_label(kind->cluster_scoped ? NULL : name_space, name);
    if (!api_json(api, "DELETE", path, NULL, NULL, NULL, &error))
        return command_fail(&error, api_exit_code(&error));
    json_array_append_new(
        rows, json_pack("{s:s, s:s, s:s}", "kind", kind->kind, "name", label, "action", "deleted"));
    if (options->output == OUTPUT_NAME)
        printf("%s/%s\n", kind->singular, name);
    else if (!options->quiet && !print_wants_document(options))
        printf("%s %s deleted\n", kind->kind, label);
    return EXIT_GOOD;
}

static int delete_files(struct api *api, const struct options *options, json_t *rows)
{
    struct objects objects;
    struct error error = {0};
    int code = EXIT_GOOD;
    if (!objects_read(options, &objects, &error))
        return command_fail(&error, EXIT_BAD_INPUT);
    for (size_t i = 0; i < objects.count && code == EXIT_GOOD; i++)
        code = delete_one(api, objects.items[i].kind, objects.items[i].name_space,
                          objects.items[i].name, options, rows);
    objects_fini(&objects);
    return code;
}

static int delete_command(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct error error = {0};
    int code = EXIT_GOOD;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    if (options.file_count == 0 && argc < 2)
        return command_misused(command, "delete needs KIND NAME, or -f FILE");
    const struct pb_kind *kind = options.file_count ? NULL : pb_kind_by_name(slice_str(argv[0]));
    if (!options.file_count && !kind)
        return objects_unknown_kind(argv[0]);
    struct api *api;
    if (!api_open(&options, NULL, &api, &error))
        return command_fail(&error, EXIT_USAGE);
    json_t *rows = json_array();
    code = options.file_count ? delete_files(api, &options, rows) : EXIT_GOOD;
    for (int i = 1; kind && i < argc && code == EXIT_GOOD; i++)
        code = delete_one(api, kind, options.name_space, argv[i], &options, rows);
    api_close(api);
    if (print_wants_document(&options))
        print_document(rows, &options);
    json_decref(rows);
    return code;
}

const struct command command_delete = {
    .name = "delete",
    .group = GROUP_CONFIGURE,
    .words = "KIND NAME... | -f FILE",
    .takes = TAKES_NAMESPACE | TAKES_FILES | TAKES_API | TAKES_OUTPUT,
    .summary = "Delete objects",
    .examples = "  tulle delete virtualservice product\n  tulle delete -f samples/shop/mesh/",
    .run = delete_command,
};
