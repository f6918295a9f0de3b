#include "cli/apply.h"

#include "base/memory.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/print.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

static const char *const action_names[] = {"created", "configured", "unchanged"};

/* What the API keeps by itself is taken over, so that a replacement changes only what the file says. */
static void keep_metadata(json_t *wanted, const json_t *there)
{
    static const char *const kept[] = {"resourceVersion", "uid", "creationTimestamp", "generation"};
    const json_t *from = json_object_get(there, "metadata");
    json_t *to = json_object_get(wanted, "metadata");
    for (size_t i = 0; i < COUNT(kept); i++)
        if (json_object_get(from, kept[i]))
            json_object_set(to, kept[i], json_object_get(from, kept[i]));
    if (json_object_get(there, "status") && !json_object_get(wanted, "status"))
        json_object_set(wanted, "status", json_object_get(there, "status"));
}

bool apply_json(struct api *api, const char *path, const char *folder, json_t *wanted, bool dry,
                enum apply_action *action, struct error *error)
{
    json_t *there = NULL, *after = NULL;
    const char *query = dry ? "?dryRun=All&fieldManager=tulle" : "?fieldManager=tulle";
    unsigned status = 0;
    bool is_good = api_json(api, "GET", path, NULL, &there, &status, error);
    if (is_good) {
        keep_metadata(wanted, there);
        owned_str put = str_format("%s%s", path, query);
        is_good = api_json(api, "PUT", put, wanted, &after, NULL, error);
        const char *before = json_string_value(
            json_object_get(json_object_get(there, "metadata"), "resourceVersion"));
        const char *now = json_string_value(
            json_object_get(json_object_get(after, "metadata"), "resourceVersion"));
        *action = before && now && strcmp(before, now) == 0 ? APPLY_UNCHANGED : APPLY_CONFIGURED;
    } else if (status == 404) {
        error_fini(error);
        *error = (struct error){0};
        owned_str post = str_format("%s%s", folder, query);
        is_good = api_json(api, "POST", post, wanted, &after, NULL, error);
        *action = APPLY_CREATED;
    }
    json_decref(there);
    json_decref(after);
    return is_good;
}

static bool apply_one(struct api *api, const struct object *object, bool dry,
                      enum apply_action *action, struct error *error)
{
    owned_str path =
        object_path(object->kind, object->api_version, object->name_space, object->name);
    owned_str folder = object_path(object->kind, object->api_version, object->name_space, NULL);
    json_t *wanted = value_to_json(object->document);
    bool is_good = apply_json(api, path, folder, wanted, dry, action, error);
    json_decref(wanted);
    if (is_good)
        return true;
    owned_str label = object_label(object->name_space, object->name);
    error_at(error, "%s:%u:%u (%s %s)", object->file, object->document->line,
             object->document->column, object->kind->kind, label);
    return false;
}

bool apply_objects(struct api *api, const struct objects *objects, struct error *error)
{
    enum apply_action action;
    for (size_t i = 0; i < objects->count; i++)
        if (!apply_one(api, &objects->items[i], false, &action, error))
            return false;
    return true;
}

/* All or nothing: everything is tried dry before anything is written. */
static int apply_all(struct api *api, const struct objects *objects, const struct options *options)
{
    struct error error = {0};
    enum apply_action action;
    owned(table) table = table_create("KIND|NAME|ACTION");
    json_t *rows = json_array();
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < objects->count; i++) {
            const struct object *object = &objects->items[i];
            owned_str label = object_label(object->name_space, object->name);
            if (!apply_one(api, object, pass == 0, &action, &error)) {
                error_why(&error,
                          pass == 0 ? "nothing was applied" : "what stands above it was applied");
                json_decref(rows);
                return command_fail(&error, api_exit_code(&error));
            }
            if (pass == 0)
                continue;
            table_cell(table, "%s", object->kind->kind);
            table_cell(table, "%s", label);
            table_cell(table, "%s", action_names[action]);
            json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "kind", object->kind->kind,
                                                  "name", label, "action", action_names[action]));
        }
    }
    if (print_wants_document(options))
        print_document(rows, options);
    else if (!options->quiet)
        table_print(table, options);
    json_decref(rows);
    return EXIT_GOOD;
}

static int apply(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct objects objects;
    struct error error = {0};
    int code;
    if (!objects_of_command(command, &options, &objects, argc, argv, &code))
        return code;
    struct api *api;
    if (!api_open(&options, NULL, &api, &error)) {
        objects_fini(&objects);
        return command_fail(&error, EXIT_USAGE);
    }
    code = apply_all(api, &objects, &options);
    api_close(api);
    objects_fini(&objects);
    return code;
}

const struct command command_apply = {
    .name = "apply",
    .group = GROUP_CONFIGURE,
    .words = "-f FILE",
    .takes = TAKES_NAMESPACE | TAKES_FILES | TAKES_API | TAKES_OUTPUT | TAKES_TABLE,
    .summary = "Put objects from YAML files in force, all or nothing",
    .examples = "  tulle apply -f samples/shop/mesh/\n  tulle apply -n shop -f - < product.yaml",
    .run = apply,
};
