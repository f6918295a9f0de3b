#include "proxy/snapshot/snapshot_file.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "proxy/snapshot/snapshot.h"
#include "xds/resource_type.h"

#include "tulle/snapshot.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Magic (whose last byte is the format's version), length and XXH3-128 of what follows, all little-endian. */
enum { FILE_MAGIC = 8, FILE_HEADER = FILE_MAGIC + 8 + 16 };
static const char magic[FILE_MAGIC] = {'T', 'U', 'L', 'L', 'E', 'S', 'N', 1};

/* In the order in which they are taken in again: what names others comes before what is named. */
static const struct {
    enum resource_kind kind;
    enum resource_type type;
} saved_kinds[] = {
    {KIND_CLUSTER, RESOURCE_CLUSTER},     {KIND_LISTENER, RESOURCE_LISTENER},
    {KIND_ENDPOINTS, RESOURCE_ENDPOINTS}, {KIND_ROUTE, RESOURCE_ROUTE},
    {KIND_SECRET, RESOURCE_SECRET},
};

struct saving {
    Tulle__SavedSnapshot *message;
    struct arena arena;
    enum resource_type type;
};

static void save_one(void *to, const struct resource *resource)
{
    struct saving *saving = to;
    if (resource->is_static || resource->body.size == 0)
        return; /* the bootstrap file has it, or it is made here */
    Tulle__SavedResource *saved = pb_new(&saving->arena, &tulle__saved_resource__descriptor);
    saved->type_url = (char *)(uintptr_t)resource_type_url(saving->type);
    saved->name = (char *)(uintptr_t)resource->name.text.data;
    saved->version = (char *)(uintptr_t)resource->version.data;
    PB_SET(saved, body,
           (ProtobufCBinaryData){resource->body.size, (uint8_t *)(uintptr_t)resource->body.data});
    PB_APPEND(&saving->arena, saving->message, resources, saved);
}

static void write_u64(char *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (char)(value >> (8 * i));
}

static uint64_t read_u64(const char *from)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)(uint8_t)from[i] << (8 * i);
    return value;
}

static void encode(const struct snapshot *snapshot, struct buffer *out)
{
    struct saving saving = {0};
    arena_init(&saving.arena, NULL);
    saving.message = pb_new(&saving.arena, &tulle__saved_snapshot__descriptor);
    PB_SET(saving.message, saved_s, clock_wall_us() / 1000000);
    for (size_t i = 0; i < COUNT(saved_kinds); i++) {
        saving.type = saved_kinds[i].type;
        name_tree_each(snapshot->trees[saved_kinds[i].kind], save_one, &saving);
    }
    memset(buffer_reserve(out, FILE_HEADER), 0, FILE_HEADER);
    out->size += FILE_HEADER;
    pb_pack(&saving.message->base, out);
    arena_fini(&saving.arena);

    struct hash128 hash = hash128(slice_of(out->data + FILE_HEADER, out->size - FILE_HEADER));
    memcpy(out->data, magic, FILE_MAGIC);
    write_u64(out->data + FILE_MAGIC, out->size - FILE_HEADER);
    write_u64(out->data + FILE_MAGIC + 8, hash.low);
    write_u64(out->data + FILE_MAGIC + 16, hash.high);
}

static int write_all(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        ssize_t written = write(fd, bytes.data, bytes.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes = slice_from(bytes, (size_t)written);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* So that the rename itself is on disk. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    owned_str folder =
        !slash ? str_copy(".") : str_copy_n(path, MAX((size_t)(slash - path), (size_t)1));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return error;
}

static int replace_file(const char *path, struct slice bytes)
{
    owned_str fresh = str_format("%s.new", path);
    if (unlink(fresh) < 0 && errno != ENOENT)
        return -errno;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int error = write_all(fd, bytes);
    close(fd);
    if (!error && rename(fresh, path) < 0)
        error = -errno;
    if (error) {
        unlink(fresh);
        return error;
    }
    return sync_folder(path);
}

size_t snapshot_file_save(const struct snapshot *snapshot, const char *path, struct error *error)
{
    owned_buffer bytes = {0};
    encode(snapshot, &bytes);
    if (bytes.size > SNAPSHOT_FILE_MAX) {
        error_set(error, "TUL0035", "the configuration has %zu bytes, and %d can be kept on disk",
                  bytes.size, SNAPSHOT_FILE_MAX);
        error_at(error, "%s", path);
        return 0;
    }
    int code = replace_file(path, buffer_slice(&bytes));
    if (code) {
        error_set(error, "TUL0035", "the last good configuration cannot be kept: %s",
                  strerror(-code));
        error_at(error, "%s", path);
        error_why(
            error,
            "after a restart without the control plane the proxy would have nothing to serve");
        return 0;
    }
    return bytes.size;
}

static bool check_header(struct slice bytes, struct slice *payload, struct error *error)
{
    if (bytes.size < FILE_HEADER)
        return error_set(error, "TUL0036", "the saved configuration is cut short");
    if (memcmp(bytes.data, magic, FILE_MAGIC - 1) != 0)
        return error_set(error, "TUL0036", "this is no saved configuration");
    if (bytes.data[FILE_MAGIC - 1] != magic[FILE_MAGIC - 1])
        return error_set(error, "TUL0036",
                         "the saved configuration has format %d, and this version reads %d",
                         bytes.data[FILE_MAGIC - 1], magic[FILE_MAGIC - 1]);
    *payload = slice_from(bytes, FILE_HEADER);
    if (read_u64(bytes.data + FILE_MAGIC) != payload->size)
        return error_set(error, "TUL0036",
                         "the saved configuration is cut short, or something follows it");
    struct hash128 said = {read_u64(bytes.data + FILE_MAGIC + 8),
                           read_u64(bytes.data + FILE_MAGIC + 16)};
    if (!hash128_equals(said, hash128(*payload)))
        return error_set(error, "TUL0036",
                         "the saved configuration was changed: its checksum differs");
    return true;
}

static bool kind_of(const char *url, enum resource_kind *kind)
{
    enum resource_type type;
    if (!url || !resource_type_of_url(slice_str(url), &type))
        return false;
    for (size_t i = 0; i < COUNT(saved_kinds); i++) {
        if (saved_kinds[i].type == type) {
            *kind = saved_kinds[i].kind;
            return true;
        }
    }
    return false;
}

static bool read_resources(const Tulle__SavedSnapshot *message, struct snapshot_file *file,
                           struct error *error)
{
    file->updates = mem_calloc(message->n_resources + 1, sizeof(*file->updates));
    for (size_t i = 0; i < message->n_resources; i++) {
        const Tulle__SavedResource *saved = message->resources[i];
        struct intake_update *update = &file->updates[file->count];
        if (!kind_of(saved->type_url, &update->kind))
            return error_set(error, "TUL0036",
                             "resource %zu of the saved configuration is of an unknown type", i);
        if (!saved->name || !*saved->name || !saved->has_body)
            return error_set(error, "TUL0036",
                             "resource %zu of the saved configuration has no name or no body", i);
        update->name = slice_str(saved->name);
        update->version = slice_str(pb_str(saved->version));
        update->body = pb_bytes(saved->body);
        file->count++;
    }
    return true;
}

bool snapshot_file_parse(struct slice bytes, struct snapshot_file *file, struct error *error)
{
    static const struct pb_limits limits = {SNAPSHOT_FILE_MAX, 4, (size_t)2 * SNAPSHOT_FILE_MAX};
    struct slice payload;
    *file = (struct snapshot_file){0};
    arena_init(&file->arena, NULL);
    if (!check_header(bytes, &payload, error))
        return false;
    const Tulle__SavedSnapshot *message =
        pb_decode(&tulle__saved_snapshot__descriptor, payload, &file->arena, &limits, error);
    bool ok = message && read_resources(message, file, error);
    if (!ok) {
        snapshot_file_fini(file);
        return false;
    }
    file->saved_s = PB_GET(message, saved_s, 0);
    return true;
}

bool snapshot_file_load(const char *path, struct snapshot_file *file, bool *missing,
                        struct error *error)
{
    owned_buffer bytes = {0};
    int code = buffer_read_file(&bytes, path, SNAPSHOT_FILE_MAX);
    *file = (struct snapshot_file){0};
    if (missing)
        *missing = code == -ENOENT;
    bool ok = code == 0 ? snapshot_file_parse(buffer_slice(&bytes), file, error)
                        : error_set(error, "TUL0036", "the saved configuration cannot be read: %s",
                                    strerror(-code));
    if (!ok)
        error_at(error, "%s", path);
    return ok;
}

void snapshot_file_fini(struct snapshot_file *file)
{
    mem_free(file->updates);
    arena_fini(&file->arena);
    *file = (struct snapshot_file){0};
}
