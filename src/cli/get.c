#include "base/memory.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/print.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

static const char *metadata_of(const json_t *object, const char *field)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(object, "metadata"), field));
    return text ? text : "";
}

/* Why the object is not as it should be: the reason of its condition Reconciled. */
static const char *problem_of(const json_t *object)
{
    const json_t *conditions = json_object_get(json_object_get(object, "status"), "conditions");
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *condition = json_array_get(conditions, i);
        const char *type = json_string_value(json_object_get(condition, "type"));
        const char *status = json_string_value(json_object_get(condition, "status"));
        const char *reason = json_string_value(json_object_get(condition, "reason"));
        if (type && status && strcmp(type, "Reconciled") == 0 && strcmp(status, "False") == 0)
            return reason ? reason : "unknown";
    }
    return "-";
}

static void print_table(const json_t *items, const struct pb_kind *kind,
                        const struct options *options)
{
    bool shows_namespace = !kind->cluster_scoped && options->all_namespaces;
    bool is_wide = options->output == OUTPUT_WIDE;
    owned_str columns = str_format("%sNAME|CREATED|>GENERATION%s",
                                   shows_namespace ? "NAMESPACE|" : "", is_wide ? "|PROBLEM" : "");
    owned(table) table = table_create(columns);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *object = json_array_get(items, i);
        const json_t *generation =
            json_object_get(json_object_get(object, "metadata"), "generation");
        if (shows_namespace)
            table_cell(table, "%s", metadata_of(object, "namespace"));
        table_cell(table, "%s", metadata_of(object, "name"));
        table_cell(table, "%s", metadata_of(object, "creationTimestamp"));
        table_cell(table, "%lld",
                   json_is_integer(generation) ? (long long)json_integer_value(generation) : 1LL);
        if (is_wide)
            table_cell(table, "%s", problem_of(object));
    }
    if (table_rows(table) == 0 && !options->quiet)
        fprintf(stderr, "no %s%s%s\n", kind->plural,
                options->all_namespaces || kind->cluster_scoped ? "" : " in ",
                options->all_namespaces || kind->cluster_scoped ? "" : options->name_space);
    else
        table_print(table, options);
}

static void print(const json_t *value, const struct pb_kind *kind, const struct options *options)
{
    const json_t *items = json_object_get(value, "items");
    json_t *one = NULL;
    if (print_wants_document(options)) {
        print_document(value, options);
        return;
    }
    if (!items)
        items = one = json_pack("[O]", value);
    if (options->output == OUTPUT_NAME)
        for (size_t i = 0; i < json_array_size(items); i++)
            printf("%s/%s\n", kind->singular, metadata_of(json_array_get(items, i), "name"));
    else
        print_table(items, kind, options);
    json_decref(one);
}

static int get(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct error error = {0};
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    if (argc < 1 || argc > 2)
        return command_misused(command, "get needs KIND, and perhaps NAME");
    const struct pb_kind *kind = pb_kind_by_name(slice_str(argv[0]));
    if (!kind)
        return objects_unknown_kind(argv[0]);
    struct api *api;
    if (!api_open(&options, NULL, &api, &error))
        return command_fail(&error, EXIT_USAGE);
    const char *name_space =
        kind->cluster_scoped || options.all_namespaces ? NULL : options.name_space;
    owned_str path = object_path(kind, NULL, name_space, argc == 2 ? argv[1] : NULL);
    owned_str query = options.selector ? str_format("%s?labelSelector=%s", path, options.selector)
                                       : str_copy(path);
    json_t *value = NULL;
    bool is_good = api_json(api, "GET", query, NULL, &value, NULL, &error);
    api_close(api);
    if (!is_good)
        return command_fail(&error, api_exit_code(&error));
    print(value, kind, &options);
    json_decref(value);
    return EXIT_GOOD;
}

const struct command command_get = {
    .name = "get",
    .group = GROUP_CONFIGURE,
    .words = "KIND [NAME]",
    .takes = TAKES_NAMESPACE | TAKES_ALL | TAKES_SELECTOR | TAKES_API | TAKES_OUTPUT | TAKES_TABLE,
    .summary = "Show objects",
    .examples = "  tulle get virtualservices -A -o wide\n  tulle get vs product -o yaml",
    .run = get,
};
