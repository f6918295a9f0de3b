#include "base/clock.h"
#include "base/memory.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/fetch.h"
#include "cli/print.h"
#include "cli/run/folder.h"
#include "cli/run/pod.h"
#include "cli/run/sidecar.h"
#include "io/loop.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum grade { GRADE_GOOD, GRADE_WARNING, GRADE_BAD };

struct checkup {
    struct options options;
    bool is_document, has_unicode, has_color;
    const char *group; /* that was printed last */
    json_t *rows;
    unsigned bad;
    uint64_t began_us;
};

static void print_row(struct checkup *checkup, const char *group, enum grade grade,
                      const char *what, const char *fix)
{
    static const char *const signs[] = {"√", "‼", "×"}, *const words[] = {"ok  ", "warn", "FAIL"};
    static const char *const colors[] = {"32", "33", "31"};
    if (checkup->group != group) {
        printf("%s%s\n%.*s\n", checkup->group ? "\n" : "", group, (int)strlen(group),
               "----------------------------------");
        checkup->group = group;
    }
    const char *sign = checkup->has_unicode ? signs[grade] : words[grade];
    if (checkup->has_color)
        printf("\033[%sm%s\033[0m %-72s %4.0fms\n", colors[grade], sign, what,
               (double)(clock_now_us() - checkup->began_us) / 1000);
    else
        printf("%s %-72s %4.0fms\n", sign, what,
               (double)(clock_now_us() - checkup->began_us) / 1000);
    if (fix)
        printf("    fix: %s\n", fix);
}

static void note(struct checkup *checkup, const char *group, enum grade grade, const char *what,
                 const char *fix)
{
    static const char *const names[] = {"good", "warning", "bad"};
    checkup->bad += grade == GRADE_BAD;
    if (checkup->is_document)
        json_array_append_new(checkup->rows,
                              json_pack("{s:s, s:s, s:s, s:s?}", "group", group, "check", what,
                                        "result", names[grade], "fix", fix));
    else
        print_row(checkup, group, grade, what, fix);
    checkup->began_us = clock_now_us();
}

static void check_machine(struct checkup *checkup)
{
    static const char group[] = "this machine";
    owned_error error = {0};
    struct pod *pod = NULL;
    if (pod_create(&pod, &error)) {
        note(checkup, group, GRADE_GOOD,
             "services can have a network of their own, captured without root", NULL);
        pod_destroy(pod);
    } else {
        note(checkup, group, GRADE_BAD, error.what, error.fix);
    }
    static const char *const programs[] = {"tulled", "tulle-proxy"};
    owned_str folder = folder_of_program();
    for (size_t i = 0; i < COUNT(programs); i++) {
        owned_str path = str_format("%s/%s", folder, programs[i]);
        bool is_there = access(path, X_OK) == 0;
        owned_str what = str_format("%s is %s%s", programs[i], is_there ? "" : "not at ", path);
        note(checkup, group, is_there ? GRADE_GOOD : GRADE_BAD, what, is_there ? NULL : "make");
    }
}

static void check_sidecars(struct checkup *checkup, struct api *api, struct loop *loop)
{
    static const char group[] = "data plane";
    owned_error error = {0};
    json_t *list = NULL;
    if (!api_json(api, "GET", "/apis/networking.istio.io/v1/workloadentries", NULL, &list, NULL,
                  &error)) {
        note(checkup, group, GRADE_BAD, error.what, error.fix);
        return;
    }
    const json_t *items = json_object_get(list, "items");
    size_t ready = 0, count = json_array_size(items);
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(items, i);
        const char *address =
            json_string_value(json_object_get(json_object_get(entry, "spec"), "address"));
        const char *name =
            json_string_value(json_object_get(json_object_get(entry, "metadata"), "name"));
        owned_str admin = str_format("%s:%d", address ? address : "", SIDECAR_ADMIN_PORT);
        owned_buffer body = {0};
        if (fetch(loop, admin, "/ready", 2000, &body) == 200) {
            ready++;
            continue;
        }
        owned_str what = str_format("the sidecar of %s is not ready", name ? name : admin);
        note(checkup, group, GRADE_BAD, what,
             "its log is in the folder of its mesh, sidecars/NAME/sidecar.log");
    }
    owned_str what = str_format("%zu of %zu sidecars are ready", ready, count);
    note(checkup, group, ready == count ? GRADE_GOOD : GRADE_BAD, what, NULL);
    json_decref(list);
}

static void check_mesh(struct checkup *checkup)
{
    static const char group[] = "control plane";
    owned_error error = {0};
    struct loop *loop = NULL;
    struct api *api = NULL;
    if (loop_create(&(struct loop_options){.name = "check"}, &loop) != 0)
        return;
    if (!api_open(&checkup->options, loop, &api, &error)) {
        note(checkup, group, GRADE_BAD, error.what, error.fix);
    } else if (!api_json(api, "GET", "/version", NULL, NULL, NULL, &error)) {
        note(checkup, group, GRADE_BAD, error.what, error.fix);
    } else {
        owned_str what = str_format("it answers at %s", api_address(api));
        note(checkup, group, GRADE_GOOD, what, NULL);
        check_sidecars(checkup, api, loop);
    }
    api_close(api);
    loop_settle(loop);
    loop_destroy(loop);
}

static int check(const struct command *command, int argc, char **argv)
{
    bool is_pre = false;
    const struct flag flags[] = {
        {0, "pre", NULL, "only whether this machine can run a mesh", NULL, &is_pre}};
    struct checkup checkup = {0};
    int code;
    if (!command_options(command, &checkup.options, flags, COUNT(flags), &argc, argv, &code))
        return code;
    if (argc > 0)
        return command_misused(command, "check takes no words");
    checkup.is_document = print_wants_document(&checkup.options);
    checkup.has_unicode = options_want_unicode();
    checkup.has_color = options_want_color(&checkup.options, STDOUT_FILENO);
    checkup.rows = json_array();
    checkup.began_us = clock_now_us();
    check_machine(&checkup);
    if (!is_pre)
        check_mesh(&checkup);
    if (checkup.is_document)
        print_document(checkup.rows, &checkup.options);
    json_decref(checkup.rows);
    return checkup.bad ? EXIT_FINDINGS : EXIT_GOOD;
}

const struct command command_check = {
    .name = "check",
    .group = GROUP_DEBUG,
    .words = "[--pre]",
    .takes = TAKES_API | TAKES_OUTPUT,
    .summary = "Whether this machine and the mesh are well",
    .examples = "  tulle check --pre     before the first start\n  tulle check -o json",
    .run = check,
};
