#include "base/buffer.h"
#include "base/memory.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/table.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));
    return text ? text : "";
}

static const struct {
    const char *title, *field;
} columns[] = {{"NAME", "name"}, {"CLUSTER", "cluster"}, {"CDS", "cds"},
               {"LDS", "lds"},   {"EDS", "eds"},         {"RDS", "rds"},
               {"ECDS", "ecds"}, {"TULLED", "tulled"},   {"VERSION", "version"},
               {">AGE", "age"}};
/* Beyond Istio's, by -o wide. */
static const struct {
    const char *title, *field;
} wide_columns[] = {{"PROGRAM", "program"}, {"ADDRESS", "address"}, {"IDENTITY", "identity"}};

static struct table *make_table(bool is_wide)
{
    owned_buffer titles = {0};
    for (size_t i = 0; i < COUNT(columns); i++)
        buffer_format(&titles, "%s%s", i > 0 ? "|" : "", columns[i].title);
    for (size_t i = 0; i < COUNT(wide_columns) && is_wide; i++)
        buffer_format(&titles, "|%s", wide_columns[i].title);
    return table_create(titles.data);
}

static void print_rejections(const json_t *row)
{
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(row, "rejections"), i, text)
    {
        printf("  %s: %s\n", text_of(row, "name"), json_string_value(text));
    }
}

static void print_table(const json_t *items, const struct options *options)
{
    bool is_wide = options->output == OUTPUT_WIDE;
    owned(table) table = make_table(is_wide);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *row = json_array_get(items, i);
        for (size_t j = 0; j < COUNT(columns); j++)
            table_cell(table, "%s", text_of(row, columns[j].field));
        for (size_t j = 0; j < COUNT(wide_columns) && is_wide; j++)
            table_cell(table, "%s", text_of(row, wide_columns[j].field));
    }
    if (table_rows(table) == 0) {
        if (!options->quiet)
            fprintf(stderr, "no proxy is connected\n");
        return;
    }
    table_print(table, options);
    if (options->output == OUTPUT_NAME)
        return;
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
    if (print_wants_document(&options))
        print_document(items, &options);
    else
        print_table(items, &options);
    json_decref(list);
    return EXIT_GOOD;
}

const struct command command_proxy_status = {
    .name = "proxy status",
    .aliases = "ps,proxy-status",
    .group = GROUP_DEBUG,
    .takes = TAKES_API | TAKES_OUTPUT | TAKES_TABLE,
    .summary = "Which proxies are connected, and whether they run what was sent",
    .examples = "  tulle proxy status\n  tulle ps -o json",
    .run = proxy_status,
};
