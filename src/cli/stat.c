#include "base/clock.h"
#include "base/memory.h"
#include "base/vector.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/fetch.h"
#include "cli/metrics.h"
#include "cli/print.h"
#include "cli/run/sidecar.h"
#include "cli/table.h"
#include "io/loop.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_WINDOW_S = 2, WINDOW_MAX_S = 3600, SCRAPE_MS = 2000 };

struct service {
    char *name_space, *name;
    unsigned workloads, meshed;
    struct golden before, after;
};
struct workload {
    char *admin;
    unsigned service;
};
struct survey {
    struct loop *loop;
    VECTOR(struct service) services;
    VECTOR(struct workload) workloads;
};

static unsigned service_of(struct survey *survey, const char *name_space, const char *name)
{
    for (size_t i = 0; i < survey->services.count; i++)
        if (strcmp(survey->services.items[i].name, name) == 0 &&
            strcmp(survey->services.items[i].name_space, name_space) == 0)
            return (unsigned)i;
    vector_push(&survey->services, {.name_space = str_copy(name_space), .name = str_copy(name)});
    return (unsigned)survey->services.count - 1;
}

static void add_workload(struct survey *survey, const json_t *entry)
{
    const json_t *metadata = json_object_get(entry, "metadata"),
                 *spec = json_object_get(entry, "spec");
    const char *name_space = json_string_value(json_object_get(metadata, "namespace"));
    const char *own = json_string_value(json_object_get(metadata, "name"));
    const char *app = json_string_value(json_object_get(json_object_get(spec, "labels"), "app"));
    const char *address = json_string_value(json_object_get(spec, "address"));
    if (!name_space || !own || !address)
        return;
    unsigned service = service_of(survey, name_space, app ? app : own);
    survey->services.items[service].workloads++;
    vector_push(&survey->workloads, {str_format("%s:%d", address, SIDECAR_ADMIN_PORT), service});
}

static bool read_workloads(struct survey *survey, const struct options *options,
                           struct error *error)
{
    struct api *api;
    json_t *list = NULL;
    if (!api_open(options, survey->loop, &api, error))
        return false;
    owned_str path = options->all_namespaces
                         ? str_copy("/apis/networking.istio.io/v1/workloadentries")
                         : str_format("/apis/networking.istio.io/v1/namespaces/%s/workloadentries",
                                      options->name_space);
    bool is_good = api_json(api, "GET", path, NULL, &list, NULL, error);
    const json_t *items = json_object_get(list, "items");
    for (size_t i = 0; i < json_array_size(items); i++)
        add_workload(survey, json_array_get(items, i));
    json_decref(list);
    api_close(api);
    return is_good;
}

static void scrape(struct survey *survey, bool is_second)
{
    VECTOR_EACH(workload, &survey->workloads)
    {
        struct service *service = &survey->services.items[workload->service];
        owned_buffer text = {0};
        if (fetch(survey->loop, workload->admin, "/stats/prometheus", SCRAPE_MS, &text) != 200)
            continue;
        golden_add(is_second ? &service->after : &service->before, buffer_slice(&text));
        service->meshed += is_second;
    }
}

static void survey_fini(struct survey *survey)
{
    VECTOR_EACH(service, &survey->services)
    {
        mem_free(service->name);
        mem_free(service->name_space);
    }
    VECTOR_EACH(workload, &survey->workloads)
    mem_free(workload->admin);
    vector_fini(&survey->services);
    vector_fini(&survey->workloads);
    loop_settle(survey->loop);
    loop_destroy(survey->loop);
}

static void cell_ms(struct table *table, const struct golden *golden, double q)
{
    double ms = golden_quantile(golden, q);
    if (ms < 0)
        table_cell(table, "-");
    else
        table_cell(table, ms < 10 ? "%.1fms" : "%.0fms", ms);
}

static void cell_share(struct table *table, double share, const char *format)
{
    if (share < 0)
        table_cell(table, "-");
    else
        table_cell(table, *format == '2' ? "%.2f%%" : "%.0f%%", share * 100);
}

static void print_table(const struct survey *survey, const struct options *options, double seconds)
{
    owned(table) table = table_create(
        options->all_namespaces
            ? "NAMESPACE|NAME|MESHED|>SUCCESS|>RPS|>LATENCY_P50|>LATENCY_P95|>LATENCY_P99|>TCP_"
              "CONN|>MTLS"
            : "NAME|MESHED|>SUCCESS|>RPS|>LATENCY_P50|>LATENCY_P95|>LATENCY_P99|>TCP_CONN|>MTLS");
    VECTOR_EACH(service, &survey->services)
    {
        struct golden seen = golden_since(&service->after, &service->before);
        if (options->all_namespaces)
            table_cell(table, "%s", service->name_space);
        table_cell(table, "%s", service->name);
        table_cell(table, "%u/%u", service->meshed, service->workloads);
        cell_share(table, seen.requests > 0 ? 1 - seen.failed / seen.requests : -1, "2");
        table_cell(table, "%.1frps", seen.requests / seconds);
        cell_ms(table, &seen, 0.5);
        cell_ms(table, &seen, 0.95);
        cell_ms(table, &seen, 0.99);
        table_cell(table, "%.0f", service->after.tcp_opened - service->after.tcp_closed);
        cell_share(table, golden_secured(&service->after), "0");
    }
    table_print(table, options);
}

static json_t *number_or_null(double value)
{
    return value < 0 ? json_null() : json_real(value);
}

static json_t *rows_of(const struct survey *survey, double seconds)
{
    json_t *rows = json_array();
    VECTOR_EACH(service, &survey->services)
    {
        struct golden seen = golden_since(&service->after, &service->before);
        json_array_append_new(
            rows,
            json_pack("{s:s, s:s, s:i, s:i, s:o, s:f, s:o, s:o, s:o, s:I, s:o}", "name",
                      service->name, "namespace", service->name_space, "meshed", service->meshed,
                      "workloads", service->workloads, "success",
                      number_or_null(seen.requests > 0 ? 1 - seen.failed / seen.requests : -1),
                      "rps", seen.requests / seconds, "latency_p50_ms",
                      number_or_null(golden_quantile(&seen, 0.5)), "latency_p95_ms",
                      number_or_null(golden_quantile(&seen, 0.95)), "latency_p99_ms",
                      number_or_null(golden_quantile(&seen, 0.99)), "tcp_connections",
                      (json_int_t)(service->after.tcp_opened - service->after.tcp_closed), "mtls",
                      number_or_null(golden_secured(&service->after))));
    }
    return rows;
}

static bool read_window(const char *text, uint64_t *seconds)
{
    struct slice digits = slice_str(text);
    *seconds = DEFAULT_WINDOW_S;
    if (!text)
        return true;
    uint64_t unit = 1;
    if (digits.size > 1 &&
        (digits.data[digits.size - 1] == 's' || digits.data[digits.size - 1] == 'm'))
        unit = digits.data[--digits.size] == 'm' ? 60 : 1;
    if (!slice_to_u64(digits, WINDOW_MAX_S / unit, seconds) || *seconds == 0)
        return false;
    *seconds *= unit;
    return true;
}

static int stat(const struct command *command, int argc, char **argv)
{
    const char *window = NULL;
    const struct flag flags[] = {
        {'t', "time", "SECONDS", "watch for so long (2); 1m is a minute", &window, NULL}};
    struct options options;
    struct error error = {0};
    struct survey survey = {0};
    uint64_t seconds;
    int code;
    if (!command_options(command, &options, flags, COUNT(flags), &argc, argv, &code))
        return code;
    if (argc > 0 || !read_window(window, &seconds))
        return command_misused(command, "stat takes a time from 1 to %d seconds, and no words",
                               WINDOW_MAX_S);
    int failure = loop_create(&(struct loop_options){.name = "stat"}, &survey.loop);
    if (failure) {
        error_set(&error, "TUL1217", "cannot make an event loop: %s", strerror(-failure));
        return command_fail(&error, EXIT_FAILED);
    }
    if (!read_workloads(&survey, &options, &error)) {
        survey_fini(&survey);
        return command_fail(&error, api_exit_code(&error));
    }
    scrape(&survey, false);
    uint64_t began = clock_now_us(), until = began + seconds * 1000000;
    for (uint64_t now = began; now < until; now = clock_now_us())
        loop_turn(survey.loop, (until - now) / 1000 + 1);
    scrape(&survey, true);
    double watched = (double)(clock_now_us() - began) / 1e6;
    if (print_wants_document(&options))
        print_document_new(rows_of(&survey, watched), &options);
    else
        print_table(&survey, &options, watched);
    survey_fini(&survey);
    return EXIT_GOOD;
}

const struct command command_stat = {
    .name = "stat",
    .group = GROUP_OBSERVE,
    .words = "[-t SECONDS]",
    .takes = TAKES_NAMESPACE | TAKES_ALL | TAKES_API | TAKES_OUTPUT | TAKES_TABLE,
    .summary = "Golden metrics of each service, straight from the sidecars",
    .examples = "  tulle stat\n  tulle stat -t 10s -o json",
    .help = "SUCCESS, RPS and latencies are of the time watched; MTLS is of all hops since the "
            "sidecars started.",
    .run = stat,
};
