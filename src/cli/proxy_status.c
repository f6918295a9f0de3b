#include "base/clock.h"
#include "base/memory.h"
#include "base/slice.h"
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

/* "web.default" of sidecar~ADDRESS~web.default~DOMAIN; the whole when it is no node id. */
static struct slice short_name(const char *node_id)
{
    struct slice rest = slice_str(node_id), kind, address, name, domain;
    if (slice_cut(rest, '~', &kind, &rest) && slice_cut(rest, '~', &address, &rest) &&
        slice_cut(rest, '~', &name, &domain) && name.size > 0)
        return name;
    return slice_str(node_id);
}

static void print_rejections(const json_t *row)
{
    const char *type;
    json_t *cell;
    json_object_foreach(json_object_get(row, "types"), type, cell)
    {
        if (json_object_get(cell, "error"))
            printf("  %.*s: %s rejected: %s\n", SLICE_ARG(short_name(text_of(row, "name"))), type,
                   text_of(cell, "error"));
    }
}

static void cell_age(struct table *table, const json_t *row)
{
    int64_t connected_ms = json_integer_value(json_object_get(row, "connectedMs"));
    int64_t age_s = (clock_wall_us() / 1000 - connected_ms) / 1000;
    if (connected_ms == 0 || age_s < 0)
        table_cell(table, "-");
    else if (age_s < 120)
        table_cell(table, "%llds", (long long)age_s);
    else if (age_s < 7200)
        table_cell(table, "%lldm", (long long)age_s / 60);
    else
        table_cell(table, "%lldh", (long long)age_s / 3600);
}

/* Istio's columns; a type that a proxy does not ask for is IGNORED. */
static void print_table(const json_t *items, const struct options *options)
{
    static const char *const types[] = {"CDS", "LDS", "EDS", "RDS", "ECDS"};
    owned(table) table = table_create("NAME|CLUSTER|CDS|LDS|EDS|RDS|ECDS|TULLED|VERSION|>AGE");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *row = json_array_get(items, i);
        table_cell(table, "%.*s", SLICE_ARG(short_name(text_of(row, "name"))));
        table_cell(table, "Kubernetes");
        for (size_t j = 0; j < COUNT(types); j++) {
            const json_t *cell = json_object_get(json_object_get(row, "types"), types[j]);
            table_cell(table, "%s", cell ? text_of(cell, "status") : "IGNORED");
        }
        table_cell(table, "tulled");
        table_cell(table, "%s", text_of(row, "version"));
        cell_age(table, row);
    }
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
