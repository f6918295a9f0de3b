#include "control/import/directory.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/vector.h"
#include "control/model/revise.h"
#include "control/model/validate.h"
#include "control/store/store.h"
#include "io/file_watch.h"
#include "io/loop.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ALLOW_DELETES ".allow-deletes"

enum { FILE_BYTES_MAX = 16 << 20, BATCH = 32, RETRY_MS = 500 };

struct directory {
    struct loop *loop;
    struct store *store;
    struct model *model;
    struct file_watch *watch;
    char *path;
    uint64_t ticket; /* a write under way */
    bool started;
    struct timer retry;
    struct directory_report report;
    char *last_problem;
};

/* One reading of the directory. */
struct reading {
    struct directory *directory;
    struct arena arena;
    struct map *wanted; /* key: struct wanted */
    struct map
        *kept; /* sources ("dir:FILE") and keys that stay as they are, for they cannot be read */
};
struct wanted {
    struct value *document;
    struct admitted admitted;
    const char *source;
};

static void complain(struct directory *directory, const char *text)
{
    directory->report.problems++;
    if (!directory->last_problem || strcmp(directory->last_problem, text) != 0)
        log_warning("import", "%s", text);
    mem_free(directory->last_problem);
    directory->last_problem = str_copy(text);
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static void take_object(struct reading *reading, const struct value *document, const char *file,
                        const char *source)
{
    struct problems problems = {.arena = &reading->arena, .name = file};
    struct wanted *wanted = arena_new(&reading->arena, struct wanted);
    wanted->document = (struct value *)(uintptr_t)document;
    wanted->source = source;
    bool good = object_admit(document, SLICE_NONE, &problems, &wanted->admitted);
    if (!good) {
        owned_error error = {0};
        if (problems_are_none(&problems, &error))
            error_set(&error, NULL, "the object is refused");
        owned_str text = error_text(&error, true);
        complain(reading->directory, text);
    }
    if (wanted->admitted.key.size == 0)
        return;
    if (!good) {
        map_put(reading->kept, wanted->admitted.key, reading);
        return;
    }
    const struct wanted *twin = map_get(reading->wanted, wanted->admitted.key);
    if (twin) {
        complain(reading->directory,
                 arena_format(&reading->arena, "%s: %.*s is in %s already; the first acts", file,
                              SLICE_ARG(wanted->admitted.key), twin->source + strlen("dir:")));
        return;
    }
    map_put(reading->wanted, wanted->admitted.key, wanted);
}

static void read_file(struct reading *reading, const char *name)
{
    char *file = arena_format(&reading->arena, "%s/%s", reading->directory->path, name);
    char *source = arena_format(&reading->arena, "dir:%s", file);
    owned_buffer text = {0};
    owned_error error = {0};
    struct documents documents;
    int status = buffer_read_file(&text, file, FILE_BYTES_MAX);
    if (status < 0)
        error_set(&error, NULL, "%s cannot be read: %s", file, strerror(-status));
    struct slice bytes = slice_of(arena_copy(&reading->arena, buffer_slice(&text)), text.size);
    if (status < 0 || !document_read_yaml(bytes, file, NULL, &reading->arena, &documents, &error)) {
        owned_str line = error_text(&error, true);
        complain(reading->directory, line);
        map_put(reading->kept, slice_str(source), reading);
        return;
    }
    for (size_t i = 0; i < documents.count; i++)
        take_object(reading, documents.items[i], file, source);
}

static int is_config(const struct dirent *entry)
{
    struct slice name = slice_str(entry->d_name);
    return name.data[0] != '.' &&
           (slice_ends_with(name, SLICE(".yaml")) || slice_ends_with(name, SLICE(".yml")) ||
            slice_ends_with(name, SLICE(".json")));
}

/* False when the directory itself cannot be read: then nothing is known. */
static bool read_directory(struct reading *reading)
{
    struct dirent **names = NULL;
    int count = scandir(reading->directory->path, &names, is_config, alphasort);
    if (count < 0) {
        complain(reading->directory,
                 arena_format(&reading->arena, "%s cannot be read: %s; what was imported stays",
                              reading->directory->path, strerror(errno)));
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (i < DIRECTORY_FILES_MAX)
            read_file(reading, names[i]->d_name);
        else
            complain(reading->directory, "there are too many files; the rest is not read");
        free(names[i]);
    }
    free(names);
    return count <= DIRECTORY_FILES_MAX;
}

/* --- comparing ------------------------------------------------------------------------------------------------------- */

struct owned_objects {
    const struct reading *reading;
    struct slice prefix; /* "dir:/etc/mesh/" */
    size_t count;
    VECTOR(const struct object *) gone;
};

static void look_at(const struct object *object, void *to)
{
    struct owned_objects *owned = to;
    struct slice source = object_source(object->document);
    if (!slice_starts_with(source, owned->prefix))
        return;
    owned->count++;
    if (!map_get(owned->reading->wanted, object->key) &&
        !map_get(owned->reading->kept, object->key) && !map_get(owned->reading->kept, source))
        vector_push(&owned->gone, object);
}

struct changes {
    struct store_compare compares[BATCH];
    struct store_put puts[BATCH];
    struct slice deletes[BATCH];
    size_t compare_count, put_count, delete_count;
    bool more;
};

static void add_compare(struct changes *changes, struct slice key, uint64_t revision)
{
    changes->compares[changes->compare_count++] = (struct store_compare){key, revision};
}

static void change_one(struct reading *reading, const struct wanted *wanted,
                       struct changes *changes)
{
    struct directory *directory = reading->directory;
    const struct object *stored = model_get(directory->model, wanted->admitted.key);
    struct slice owner = stored ? object_source(stored->document) : SLICE_NONE;
    if (stored && owner.size == 0) {
        complain(directory,
                 arena_format(&reading->arena,
                              "%s: %.*s was made by the API, and stays as it is: delete "
                              "it there to have it from the file",
                              wanted->source + strlen("dir:"), SLICE_ARG(wanted->admitted.key)));
        return;
    }
    char uid[37];
    random_uuid(loop_random(directory->loop), uid);
    struct revision_maker maker = {.now_s = loop_wall_us(directory->loop) / 1000000,
                                   .uid = arena_copy_str(&reading->arena, uid),
                                   .source = slice_str(wanted->source)};
    struct value *made = object_revise(stored ? stored->document : NULL, wanted->document,
                                       &wanted->admitted, REVISE_OBJECT, &maker, &reading->arena);
    if (!made)
        return;
    if (changes->compare_count == BATCH) {
        changes->more = true;
        return;
    }
    owned_buffer text = {0};
    value_write_json(made, false, &text);
    add_compare(changes, wanted->admitted.key, stored ? stored->revision : 0);
    changes->puts[changes->put_count++] = (struct store_put){
        .key = wanted->admitted.key,
        .value = slice_of(arena_copy(&reading->arena, buffer_slice(&text)), text.size)};
}

static bool may_delete(struct directory *directory, const struct owned_objects *owned)
{
    owned_str allow = str_format("%s/%s", directory->path, ALLOW_DELETES);
    if (owned->count < DIRECTORY_HOLD_LEAST || owned->gone.count * 2 <= owned->count ||
        access(allow, F_OK) == 0) {
        directory->report.held = 0;
        return true;
    }
    if (directory->report.held != owned->gone.count)
        log_error("import",
                  "%zu of %zu objects of %s would go at once: they are kept until the files are "
                  "back, or a file %s is there",
                  owned->gone.count, owned->count, directory->path, ALLOW_DELETES);
    directory->report.held = owned->gone.count;
    return false;
}

static void compare(struct reading *reading, struct changes *changes)
{
    struct directory *directory = reading->directory;
    struct map_iterator it = {0};
    while (map_next(reading->wanted, &it))
        change_one(reading, it.value, changes);
    struct owned_objects owned = {
        .reading = reading,
        .prefix = slice_str(arena_format(&reading->arena, "dir:%s/", directory->path))};
    model_each(directory->model, look_at, &owned);
    bool allowed = may_delete(directory, &owned);
    for (size_t i = 0; allowed && i < owned.gone.count; i++) {
        if (changes->compare_count == BATCH) {
            changes->more = true;
            break;
        }
        add_compare(changes, owned.gone.items[i]->key, owned.gone.items[i]->revision);
        changes->deletes[changes->delete_count++] = owned.gone.items[i]->key;
    }
    vector_fini(&owned.gone);
}

/* --- the directory ---------------------------------------------------------------------------------------------------- */

static void check(struct directory *directory);

static void on_retry(struct timer *timer)
{
    check(CONTAINER_OF(timer, struct directory, retry));
}

static void on_written(void *owner, const struct store_written *written)
{
    struct directory *directory = owner;
    directory->ticket = 0;
    if (written->status != STORE_OK && written->status != STORE_CONFLICT) {
        owned_str text = str_format("%s cannot be imported: %s", directory->path, written->reason);
        complain(directory, text);
    }
    /* The model learns of the write by its watch; then there is nothing left to do, or the rest. */
    loop_timer_start(directory->loop, &directory->retry, written->status == STORE_OK ? 5 : RETRY_MS,
                     on_retry);
}

static void check(struct directory *directory)
{
    if (directory->ticket)
        return; /* a check follows when the write is done */
    directory->report.problems = 0;
    struct reading reading = {.directory = directory, .wanted = map_create(), .kept = map_create()};
    struct changes *changes = mem_new(struct changes);
    if (read_directory(&reading))
        compare(&reading, changes);
    directory->report.objects = map_count(reading.wanted);
    directory->report.settled = changes->compare_count == 0;
    if (changes->compare_count > 0)
        directory->ticket = store_txn(directory->store,
                                      &(struct store_txn){.compares = changes->compares,
                                                          .compare_count = changes->compare_count,
                                                          .puts = changes->puts,
                                                          .put_count = changes->put_count,
                                                          .deletes = changes->deletes,
                                                          .delete_count = changes->delete_count},
                                      on_written, directory);
    mem_free(changes);
    map_destroy(reading.wanted);
    map_destroy(reading.kept);
    arena_fini(&reading.arena);
}

static void on_change(void *owner)
{
    struct directory *directory = owner;
    if (directory->started)
        check(directory);
}

int directory_create(struct loop *loop, struct store *store, struct model *model, const char *path,
                     struct directory **out)
{
    char *real = realpath(path, NULL);
    if (!real)
        return -errno;
    struct directory *directory = mem_new(struct directory);
    *directory =
        (struct directory){.loop = loop, .store = store, .model = model, .path = str_copy(real)};
    free(real);
    int error = file_watch_create(loop, directory->path, on_change, directory, &directory->watch);
    if (error) {
        directory_destroy(directory);
        return error;
    }
    *out = directory;
    return 0;
}

void directory_destroy(struct directory *directory)
{
    if (!directory)
        return;
    store_cancel(directory->store, directory->ticket);
    loop_timer_stop(directory->loop, &directory->retry);
    file_watch_destroy(directory->watch);
    mem_free(directory->path);
    mem_free(directory->last_problem);
    mem_free(directory);
}

void directory_start(struct directory *directory)
{
    directory->started = true;
    check(directory);
}

void directory_check(struct directory *directory)
{
    if (directory->started)
        loop_timer_start(directory->loop, &directory->retry, 0, on_retry);
}

struct directory_report directory_report(const struct directory *directory)
{
    struct directory_report report = directory->report;
    report.last_problem = directory->last_problem ? directory->last_problem : "";
    return report;
}
