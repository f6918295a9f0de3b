#include "base/memory.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/table.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));
    return text ? text : "";
}

static void print_rejections(const json_t *row)
{
    const json_t *rejections = json_object_get(row, "rejections");
    for (size_t i = 0; i < json_array_size(rejections); i++) {
        const char *text = json_string_value(json_array_get(rejections, i));
        if (text)
            printf("  %s: %s\n", text_of(row, "name"), text);
    }
}

/* Istio's columns; what the control plane does not say is "-". */
static void print_table(const json_t *items, const struct options *options)
{
    static const char *const fields[] = {"name", "cluster", "cds",    "lds",     "eds",
                                         "rds",  "ecds",    "tulled", "version", "age"};
    owned(table) table = table_create("NAME|CLUSTER|CDS|LDS|EDS|RDS|ECDS|TULLED|VERSION|AGE");
    for (size_t i = 0; i < json_array_size(items); i++)
        for (size_t j = 0; j < COUNT(fields); j++)
            table_cell(table, "%s", text_of(json_array_get(items, i), fields[j]));
    if (table_rows(table) == 0) {
        if (!options->quiet)
            fprintf(stderr, "no proxy is connected\n");
        return;
    }
    table_print(table, options);
    for (size_t i = 0; i < json_array_size(items); i++)
        print_rejections(json_array_get(items, i));
}

static int proxy_status(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct error error = {0};
    struct api *api;
    json_t *list = NULL;
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    if (argc > 0)
        return command_misused(command, "proxy status takes no words");
    if (!api_open(&options, NULL, &api, &error))
        return command_fail(&error, EXIT_USAGE);
    bool is_good = api_json(api, "GET", "/apis/tulle.dev/v1/proxies", NULL, &list, NULL, &error);
    api_close(api);
    if (!is_good)
        return command_fail(&error, api_exit_code(&error));
    const json_t *items = json_object_get(list, "items");
    if (options.output == OUTPUT_JSON || options.output == OUTPUT_YAML) {
        char *text = json_dumps(items, JSON_INDENT(2));
        puts(text ? text : "[]");
        free(text);
    } else {
        print_table(items, &options);
    }
    json_decref(list);
    return EXIT_GOOD;
}

const struct command command_proxy_status = {
    .name = "proxy status",
    .aliases = "ps,proxy-status",
    .group = GROUP_DEBUG,
    .summary = "Which proxies are connected, and whether they run what was sent",
    .examples = "  tulle proxy status\n  tulle ps -o json",
    .run = proxy_status,
};
