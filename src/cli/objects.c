#include "cli/objects.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "base/vector.h"
#include "cli/command.h"
#include "pb/admit.h"
#include "pb/problem.h"
#include "pb/text_in.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool refuse(struct error *error, const char *file, const struct value *at, const char *code,
                   const char *what)
{
    error_set(error, code, "%s", what);
    error_at(error, "%s:%u:%u", file, at->line, at->column);
    return false;
}

static bool check(struct objects *objects, const struct object *object, struct error *error)
{
    struct problems problems = {.arena = &objects->arena, .name = object->file};
    (void)!text_decode(object->document, object->kind->type->descriptor, TEXT_STRICT, &problems);
    admit_check(object->document, object->kind->type->descriptor, TEXT_STRICT, &problems);
    return problems_are_none(&problems, error);
}

static bool add(struct objects *objects, const struct options *options, const char *file,
                const struct value *document, struct error *error)
{
    const char *version = value_str(value_get(document, "apiVersion"), ""),
               *kind = value_str(value_get(document, "kind"), "");
    const struct value *metadata = value_get(document, "metadata");
    struct object object = {.document = document,
                            .kind = pb_kind_find(slice_str(version), slice_str(kind)),
                            .file = file,
                            .api_version = version,
                            .name = value_str(value_get(metadata, "name"), NULL)};
    if (!object.kind) {
        owned_str what = str_format("the kind \"%s\" of \"%s\" is not served", kind, version);
        return refuse(error, file, document, "TUL0014", what);
    }
    if (!object.name)
        return refuse(error, file, document, "TUL0012", "metadata.name is missing");
    if (!object.kind->cluster_scoped)
        object.name_space = value_str(value_get(metadata, "namespace"), options->name_space);
    if (objects->count == OBJECTS_MAX)
        return refuse(error, file, document, "TUL0013", "more than 10,000 objects");
    if (!check(objects, &object, error))
        return false;
    objects->items[objects->count++] = object;
    return true;
}

static bool read_one(struct objects *objects, const struct options *options, const char *path,
                     struct error *error)
{
    owned_buffer text = {0};
    struct documents documents;
    int failure =
        buffer_read_file(&text, strcmp(path, "-") == 0 ? "/dev/stdin" : path, OBJECTS_FILE_MAX);
    if (failure)
        return error_set(error, "TUL0002", "cannot read %s: %s", path, strerror(-failure));
    char *bytes = arena_copy(&objects->arena, buffer_slice(&text));
    const char *file = arena_copy_str(&objects->arena, path);
    if (!document_read_yaml(slice_of(bytes, text.size), file, NULL, &objects->arena, &documents,
                            error))
        return false;
    for (size_t i = 0; i < documents.count; i++)
        if (!add(objects, options, file, documents.items[i], error))
            return false;
    return true;
}

static bool is_yaml(const char *name)
{
    struct slice s = slice_str(name);
    return name[0] != '.' &&
           (slice_ends_with(s, SLICE(".yaml")) || slice_ends_with(s, SLICE(".yml")) ||
            slice_ends_with(s, SLICE(".json")));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_folder(struct objects *objects, const struct options *options, const char *path,
                        struct error *error)
{
    VECTOR(char *) names = {0};
    DIR *folder = opendir(path);
    const struct dirent *entry;
    bool is_good = folder || error_set(error, "TUL0002", "cannot read the folder %s", path);
    while (folder && (entry = readdir(folder)))
        if (is_yaml(entry->d_name))
            vector_push(&names, str_format("%s/%s", path, entry->d_name));
    if (folder)
        closedir(folder);
    if (names.count)
        qsort(names.items, names.count, sizeof(*names.items), by_name);
    for (size_t i = 0; i < names.count; i++) {
        is_good = is_good && read_one(objects, options, names.items[i], error);
        mem_free(names.items[i]);
    }
    vector_fini(&names);
    return is_good;
}

bool objects_read(const struct options *options, struct objects *objects, struct error *error)
{
    *objects = (struct objects){.count = 0};
    arena_init(&objects->arena, NULL);
    objects->items = mem_calloc(OBJECTS_MAX, sizeof(*objects->items));
    for (size_t i = 0; i < options->file_count; i++) {
        struct stat status;
        const char *path = options->files[i];
        bool is_folder =
            strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
        if (!(is_folder ? read_folder : read_one)(objects, options, path, error)) {
            objects_fini(objects);
            return false;
        }
    }
    return true;
}

bool objects_of_command(const struct command *command, struct options *options,
                        struct objects *objects, int argc, char **argv, int *code)
{
    struct error error = {0};
    if (!command_options(command, options, NULL, 0, &argc, argv, code))
        return false;
    if (argc > 0 || options->file_count == 0)
        *code = command_misused(command, "%s needs -f FILE, and nothing else", command->name);
    else if (!objects_read(options, objects, &error))
        *code = command_fail(&error, EXIT_BAD_INPUT);
    else
        return true;
    return false;
}

void objects_fini(struct objects *objects)
{
    arena_fini(&objects->arena);
    mem_free(objects->items);
    *objects = (struct objects){.count = 0};
}

int objects_unknown_kind(const char *word)
{
    size_t count;
    const struct pb_kind *kinds = pb_kinds(&count);
    VECTOR(const char *) names = {0};
    for (size_t i = 0; i < count; i++) {
        vector_push(&names, kinds[i].singular);
        vector_push(&names, kinds[i].plural);
    }
    struct error error = {0};
    error_set(&error, "TUL0014", "there is no kind \"%s\"", word);
    const char *near = nearest_word(slice_str(word), names.items, names.count);
    if (near)
        error_fix(&error, "did you mean %s?", near);
    else
        error_fix(&error, "tulle explain lists them");
    vector_fini(&names);
    return command_fail(&error, EXIT_USAGE);
}

char *object_path(const struct pb_kind *kind, const char *api_version, const char *name_space,
                  const char *name)
{
    const char *slash = api_version ? strrchr(api_version, '/') : NULL;
    const char *version = slash ? slash + 1 : api_version ? api_version : kind->versions[0];
    bool is_core = *kind->group == '\0';
    return str_format("/%s%s%s/%s%s%s/%s%s%s", is_core ? "api" : "apis", is_core ? "" : "/",
                      kind->group, version, name_space ? "/namespaces/" : "",
                      name_space ? name_space : "", kind->plural, name ? "/" : "",
                      name ? name : "");
}

const char *object_name(const json_t *object)
{
    const char *name =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
    return name ? name : "";
}

char *object_label(const char *name_space, const char *name)
{
    return name_space ? str_format("%s/%s", name_space, name) : str_copy(name);
}
