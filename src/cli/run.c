#include "base/buffer.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/run/place.h"
#include "cli/run/runner.h"
#include "cli/run/session.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

enum { TURN_MS = 200, STATM_MAX = 128 };

/* Resident memory in MB, by /proc; 0 when the process is gone. */
static double resident_mb(pid_t pid)
{
    owned_buffer text = {0};
    struct slice size, rest, resident;
    uint64_t pages;
    owned_str path = str_format("/proc/%d/statm", pid);
    if (buffer_read_file(&text, path, STATM_MAX) != 0)
        return 0;
    slice_cut(buffer_slice(&text), ' ', &size, &rest);
    slice_cut(rest, ' ', &resident, &rest);
    return slice_to_u64(resident, UINT64_MAX, &pages) ? (double)pages * 4096 / 1e6 : 0;
}

static void print_table(const struct runner *runner, const struct options *options)
{
    owned(table) table = table_create("NAME|>PID|STATE|>SIDECAR|>PORT|LISTEN|>RESTARTS");
    for (unsigned i = 0; i < runner_sidecars(runner); i++) {
        const struct place *place = runner_place(runner, i);
        const struct spec_instance *instance = place_instance(place);
        table_cell(table, "%s", instance->name);
        table_cell(table, "%d", place_pid(place));
        table_cell(table, "%s", place_is_ready(place) ? "ready" : "starting");
        table_cell(table, "%.1f MB", resident_mb(place_sidecar_pid(place)));
        table_cell(table, "%u", instance->port);
        if (!instance->publish)
            table_cell(table, "(inside)");
        else if (strcmp(instance->protocol, "http") == 0)
            table_cell(table, "http://127.0.0.1:%u", instance->publish);
        else
            table_cell(table, "127.0.0.1:%u", instance->publish);
        table_cell(table, "%u", place_restarts(place));
    }
    table_print(table, options);
    fflush(stdout);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct session session;
    struct error error = {0};
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    if (argc > 1)
        return command_misused(command, "run takes one file");
    struct session_options how = {.options = &options,
                                  .file = argc == 1 ? argv[0] : "tulle.yaml",
                                  .is_quiet = options.quiet,
                                  .is_silent = options.quiet};
    if (session_start(&session, &how, &error)) {
        if (!options.quiet)
            print_table(session.runner, &options);
        while (!session.is_interrupted)
            runner_turn(session.runner, TURN_MS);
        code = EXIT_GOOD;
    } else {
        code = session.is_interrupted ? EXIT_INTERRUPTED
               : session.loop         ? EXIT_FAILED
                                      : EXIT_BAD_INPUT;
    }
    session_end(&session);
    return error_is_set(&error) ? command_fail(&error, code) : code;
}

const struct command command_run = {
    .name = "run",
    .group = GROUP_START,
    .words = "[FILE]",
    .takes = TAKES_TABLE,
    .summary = "Run services beside sidecars, from one YAML file",
    .examples = "  tulle run                          what ./tulle.yaml says\n  tulle run "
                "samples/shop/tulle.yaml",
    .help = "Each instance gets a network of its own without root; Ctrl-C stops everything. State "
            "and logs are in\n"
            "${TULLE_HOME:-~/.tulle}/MESH, and `tulle get`, `apply`, `stat` and `ps` speak to the "
            "mesh started last.",
    .run = run,
};
