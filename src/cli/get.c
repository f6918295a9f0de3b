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

/* What one kind has; a list, or one object that was asked for by name. */
struct found {
    const struct pb_kind *kind;
    json_t *value;
};
enum { KINDS_MAX = 32 };
struct asked {
    struct found items[KINDS_MAX];
    size_t count;
    bool is_several; /* names are then shown with their kind */
};

static size_t count_of(const struct found *found)
{
    const json_t *items = json_object_get(found->value, "items");
    return items ? json_array_size(items) : 1;
}

static const json_t *item_of(const struct found *found, size_t index)
{
    const json_t *items = json_object_get(found->value, "items");
    return items ? json_array_get(items, index) : found->value;
}

static void print_table(const struct found *found, bool shows_kind, const struct options *options)
{
    const struct pb_kind *kind = found->kind;
    bool shows_namespace = !kind->cluster_scoped && options->all_namespaces;
    bool is_wide = options->output == OUTPUT_WIDE;
    owned_str columns = str_format("%sNAME|CREATED|>GENERATION%s",
                                   shows_namespace ? "NAMESPACE|" : "", is_wide ? "|PROBLEM" : "");
    owned(table) table = table_create(columns);
    for (size_t i = 0; i < count_of(found); i++) {
        const json_t *object = item_of(found, i);
        const json_t *generation =
            json_object_get(json_object_get(object, "metadata"), "generation");
        if (shows_namespace)
            table_cell(table, "%s", metadata_of(object, "namespace"));
        table_cell(table, "%s%s%s", shows_kind ? kind->singular : "", shows_kind ? "/" : "",
                   metadata_of(object, "name"));
        table_cell(table, "%s", metadata_of(object, "creationTimestamp"));
        table_cell(table, "%lld",
                   json_is_integer(generation) ? (long long)json_integer_value(generation) : 1LL);
        if (is_wide)
            table_cell(table, "%s", problem_of(object));
    }
    table_print(table, options);
}

static void say_none(const struct asked *asked, const struct options *options)
{
    bool everywhere = options->all_namespaces || asked->items[0].kind->cluster_scoped;
    fprintf(stderr, "no %s%s%s\n", asked->is_several ? "objects" : asked->items[0].kind->plural,
            everywhere ? "" : " in ", everywhere ? "" : options->name_space);
}

static void print_tables(const struct asked *asked, const struct options *options)
{
    bool had_any = false;
    for (size_t i = 0; i < asked->count; i++) {
        if (count_of(&asked->items[i]) == 0)
            continue;
        if (had_any)
            putchar('\n');
        print_table(&asked->items[i], asked->is_several, options);
        had_any = true;
    }
    if (!had_any && !options->quiet)
        say_none(asked, options);
}

static void print_names(const struct asked *asked)
{
    for (size_t i = 0; i < asked->count; i++)
        for (size_t k = 0; k < count_of(&asked->items[i]); k++)
            printf("%s/%s\n", asked->items[i].kind->singular,
                   metadata_of(item_of(&asked->items[i], k), "name"));
}

/* As kubectl puts several kinds into one document. */
static json_t *list_of_all(const struct asked *asked)
{
    json_t *items = json_array();
    for (size_t i = 0; i < asked->count; i++)
        for (size_t k = 0; k < count_of(&asked->items[i]); k++)
            json_array_append(items, (json_t *)(uintptr_t)item_of(&asked->items[i], k));
    return json_pack("{s:s, s:s, s:{}, s:o}", "apiVersion", "v1", "kind", "List", "metadata",
                     "items", items);
}

static void print(const struct asked *asked, const struct options *options)
{
    if (print_wants_document(options) && asked->is_several)
        print_document_new(list_of_all(asked), options);
    else if (print_wants_document(options))
        print_document(asked->items[0].value, options);
    else if (options->output == OUTPUT_NAME)
        print_names(asked);
    else
        print_tables(asked, options);
}

/* --- which kinds -------------------------------------------------------------------------------------------------------- */

static bool is_in_category(const struct pb_kind *kind, struct slice word)
{
    /* Whatever lives in a namespace; kubectl's "all" of the API server leaves most of it out. */
    if (slice_equals(word, SLICE("all")))
        return !kind->cluster_scoped;
    for (const char *const *category = kind->categories; *category; category++)
        if (slice_equals_str(word, *category))
            return true;
    return false;
}

static void ask_for(struct asked *asked, const struct pb_kind *kind)
{
    for (size_t i = 0; i < asked->count; i++)
        if (asked->items[i].kind == kind)
            return;
    if (asked->count < KINDS_MAX)
        asked->items[asked->count++].kind = kind;
}

/* One word: a kind in any spelling, or a category of several. */
static bool add_kinds(struct asked *asked, struct slice word)
{
    const struct pb_kind *kind = pb_kind_by_name(word);
    size_t count, before = asked->count;
    const struct pb_kind *all = pb_kinds(&count);
    if (kind)
        ask_for(asked, kind);
    for (size_t i = 0; !kind && i < count; i++)
        if (is_in_category(&all[i], word))
            ask_for(asked, &all[i]);
    asked->is_several = asked->is_several || (!kind && asked->count > before);
    return kind || asked->count > before;
}

/* "vs,dr", "all". Returns EXIT_GOOD, or what to end with. */
static int read_kinds(struct asked *asked, const char *text)
{
    struct slice rest = slice_str(text), word;
    asked->is_several = strchr(text, ',') != NULL;
    do {
        slice_cut(rest, ',', &word, &rest);
        if (add_kinds(asked, word))
            continue;
        owned_str unknown = slice_to_str(word);
        return objects_unknown_kind(unknown);
    } while (rest.size > 0);
    return EXIT_GOOD;
}

/* --- asking ------------------------------------------------------------------------------------------------------------- */

static bool fetch(struct api *api, struct found *found, const char *name,
                  const struct options *options, struct error *error)
{
    const char *name_space =
        found->kind->cluster_scoped || options->all_namespaces ? NULL : options->name_space;
    owned_str path = object_path(found->kind, NULL, name_space, name);
    owned_str query = options->selector ? str_format("%s?labelSelector=%s", path, options->selector)
                                        : str_copy(path);
    return api_json(api, "GET", query, NULL, &found->value, NULL, error);
}

static int get(const struct command *command, int argc, char **argv)
{
    struct options options;
    struct error error = {0};
    struct asked asked = {0};
    struct api *api;
    int code;
    if (!command_options(command, &options, NULL, 0, &argc, argv, &code))
        return code;
    if (argc < 1 || argc > 2)
        return command_misused(command, "get needs KIND, and perhaps NAME");
    code = read_kinds(&asked, argv[0]);
    if (code != EXIT_GOOD)
        return code;
    if (!api_open(&options, NULL, &api, &error))
        return command_fail(&error, EXIT_USAGE);
    bool is_good = true;
    for (size_t i = 0; is_good && i < asked.count; i++)
        is_good = fetch(api, &asked.items[i], argc == 2 ? argv[1] : NULL, &options, &error);
    api_close(api);
    if (is_good)
        print(&asked, &options);
    for (size_t i = 0; i < asked.count; i++)
        json_decref(asked.items[i].value);
    return is_good ? EXIT_GOOD : command_fail(&error, api_exit_code(&error));
}

const struct command command_get = {
    .name = "get",
    .group = GROUP_CONFIGURE,
    .words = "KIND[,KIND...]|all [NAME]",
    .takes = TAKES_NAMESPACE | TAKES_ALL | TAKES_SELECTOR | TAKES_API | TAKES_OUTPUT | TAKES_TABLE,
    .summary = "Show objects",
    .examples = "  tulle get vs,dr -A -o wide\n  tulle get virtualservice product -o yaml",
    .help = "KIND is a name in any spelling (virtualservice, vs), several with commas, a category "
            "(istio-io), or all: everything that lives in a namespace.",
    .run = get,
};
