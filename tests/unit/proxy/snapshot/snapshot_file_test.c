#include "test.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "build/yaml.h"
#include "pb/codec.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"
#include "proxy/snapshot/snapshot_file.h"

#include <sys/stat.h>
#include <unistd.h>

struct setup {
    char folder[32];
    char *path;
    struct publisher *publisher;
    struct intake *intake;
    struct buffer bytes; /* a good file */
};

static void setup_init(struct setup *s)
{
    struct arena arena;
    struct error error = {0};
    struct intake_update update = {
        .kind = KIND_CLUSTER, .name = SLICE("c"), .version = SLICE("v7")};
    *s = (struct setup){.folder = "/tmp/tulle-file-XXXXXX", .publisher = publisher_create(NULL)};
    CHECK(mkdtemp(s->folder));
    s->path = str_format("%s/last-good", s->folder);
    s->intake = intake_create(s->publisher, &here, NULL);
    arena_init(&arena, NULL);
    update.body = pb_pack_to(
        from_yaml(&arena, &envoy__config__cluster__v3__cluster__descriptor, "{name: c}"), &arena);
    CHECK(intake_put(s->intake, &update, &error) && intake_commit(s->intake));
    arena_fini(&arena);
    CHECK(snapshot_file_save(publisher_newest(s->publisher), s->path, &error) > 0, "%s",
          error.what);
    CHECK(buffer_read_file(&s->bytes, s->path, 1 << 20) == 0);
}

static void setup_fini(struct setup *s)
{
    intake_destroy(s->intake);
    publisher_destroy(s->publisher);
    unlink(s->path);
    rmdir(s->folder);
    mem_free(s->path);
    buffer_fini(&s->bytes);
}

static bool parses(struct slice bytes, struct error *error)
{
    struct snapshot_file file;
    if (!snapshot_file_parse(bytes, &file, error))
        return false;
    snapshot_file_fini(&file);
    return true;
}

TEST(snapshot_file_is_private_and_complete)
{
    struct setup s;
    struct stat status;
    setup_init(&s);
    CHECK(stat(s.path, &status) == 0 && (status.st_mode & 0777) == 0600);
    struct snapshot_file file;
    CHECK(snapshot_file_parse(buffer_slice(&s.bytes), &file, NULL));
    CHECK(file.count == 1 && file.saved_s > 0 && slice_equals_str(file.updates[0].version, "v7"));
    CHECK(file.updates[0].kind == KIND_CLUSTER && slice_equals_str(file.updates[0].name, "c"));
    snapshot_file_fini(&file);
    setup_fini(&s);
}

TEST(snapshot_file_refuses_every_cut_and_every_flipped_bit)
{
    struct setup s;
    setup_init(&s);
    for (size_t size = 0; size < s.bytes.size; size++)
        CHECK(!parses(slice_of(s.bytes.data, size), NULL), "cut at %zu", size);
    for (size_t i = 0; i < s.bytes.size * 8; i++) {
        s.bytes.data[i / 8] = (char)(s.bytes.data[i / 8] ^ 1 << i % 8);
        CHECK(!parses(buffer_slice(&s.bytes), NULL), "bit %zu", i);
        s.bytes.data[i / 8] = (char)(s.bytes.data[i / 8] ^ 1 << i % 8);
    }
    CHECK(parses(buffer_slice(&s.bytes), NULL));
    buffer_append_byte(&s.bytes, 'x');
    struct error error = {0};
    bool ok = parses(buffer_slice(&s.bytes), &error);
    CHECK_REFUSED(ok, &error, "or something follows it", "one byte more");
    s.bytes.data[7] = 9;
    ok = parses(buffer_slice(&s.bytes), &error);
    CHECK_REFUSED(ok, &error, "has format 9", "another format");
    setup_fini(&s);
}

TEST(snapshot_file_says_why_it_cannot)
{
    struct setup s;
    struct snapshot_file file;
    struct error error = {0};
    bool missing = false;
    setup_init(&s);
    bool ok = snapshot_file_load("/no/such/file", &file, &missing, &error);
    CHECK(missing && strcmp(error.where, "/no/such/file") == 0);
    CHECK_REFUSED(ok, &error, "cannot be read", "missing");
    ok = snapshot_file_load(s.folder, &file, &missing, &error);
    CHECK(!missing);
    CHECK_REFUSED(ok, &error, "cannot be read", "a folder");
    ok = snapshot_file_save(publisher_newest(s.publisher), "/no/such/folder/file", &error) > 0;
    CHECK_REFUSED(ok, &error, "cannot be kept", "no folder");
    setup_fini(&s);
}

/* A writer that dies in between leaves the old file, and what it left is no obstacle. */
TEST(snapshot_file_replaces_whole_files_only)
{
    struct setup s;
    struct error error = {0};
    setup_init(&s);
    owned_str rest = str_format("%s.new", s.path);
    FILE *file = fopen(rest, "w");
    fputs("half of a fi", file);
    fclose(file);
    struct snapshot_file loaded;
    CHECK(snapshot_file_load(s.path, &loaded, NULL, &error));
    snapshot_file_fini(&loaded);
    CHECK(snapshot_file_save(publisher_newest(s.publisher), s.path, &error) > 0);
    CHECK(access(rest, F_OK) < 0 && snapshot_file_load(s.path, &loaded, NULL, &error));
    snapshot_file_fini(&loaded);
    setup_fini(&s);
}
