#include "control/import/directory.h"

#include "base/memory.h"
#include "control/model/feed.h"
#include "control/registry/addresses.h"
#include "control/store/sqlite.h"
#include "io/loop.h"

#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct store *store;
    struct model *model;
    struct registry *registry;
    struct addresses *addresses;
    struct feed *feed;
    struct directory *directory;
    char path[64];
};

static void on_object(void *owner, enum kind kind)
{
    struct fixture *f = owner;
    if (feed_is_ready(f->feed) && (kind == KIND_SERVICE || kind == KIND_SERVICE_ENTRY))
        addresses_check(f->addresses);
}

static void on_other(void *owner, struct slice key, struct slice value)
{
    struct fixture *f = owner;
    addresses_see(f->addresses, key, value);
}

static void on_ready(void *owner)
{
    struct fixture *f = owner;
    addresses_check(f->addresses);
    directory_start(f->directory);
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){.path = "/tmp/tulle-import-XXXXXX"};
    CHECK(mkdtemp(f->path));
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &f->loop) == 0);
    struct error error = {0};
    CHECK(sqlite_store_open(f->loop, &(struct sqlite_options){.path = ":memory:"}, &f->store,
                            &error));
    f->model = model_create();
    f->registry = registry_create(f->model);
    f->addresses = addresses_create(f->loop, f->store, f->registry);
    CHECK(directory_create(f->loop, f->store, f->model, f->path, &f->directory) == 0);
    f->feed = feed_create(
        f->loop, f->store, f->model,
        &(struct feed_listener){
            .on_object = on_object, .on_other = on_other, .on_ready = on_ready, .owner = f});
}

static void end(struct fixture *f)
{
    directory_destroy(f->directory);
    feed_destroy(f->feed);
    addresses_destroy(f->addresses);
    registry_destroy(f->registry);
    model_destroy(f->model);
    store_close(f->store);
    loop_settle(f->loop);
    loop_destroy(f->loop);
    owned_str command = str_format("rm -rf %s", f->path);
    CHECK(system(command) == 0);
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
    owned_str path = str_format("%s/%s", f->path, name);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fputs(text, file);
    fclose(file);
}

static void remove_file(struct fixture *f, const char *name)
{
    owned_str path = str_format("%s/%s", f->path, name);
    CHECK(unlink(path) == 0);
}

static const struct object *get(struct fixture *f, const char *key)
{
    return model_get(f->model, slice_str(key));
}

#define AWAIT(f, claim)                                                                            \
    do {                                                                                           \
        for (int turns = 0; turns < 3000 && !(claim); turns++)                                     \
            loop_turn((f)->loop, 5);                                                               \
        CHECK(claim);                                                                              \
    } while (0)

static char *service(const char *name, int port)
{
    return str_format("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\n"
                      "spec: {selector: {app: %s}, ports: [{name: http, port: %d}]}\n---\n",
                      name, name, port);
}

TEST(files_are_imported_changed_and_removed)
{
    struct fixture f;
    begin(&f);
    owned_str a = service("a", 80);
    owned_str b = service("b", 80);
    owned_str a2 = service("a", 81);
    owned_str both = str_format("%s%s", a, b);
    write_file(&f, "both.yaml", both);
    AWAIT(&f, get(&f, "core/services/default/a") && get(&f, "core/services/default/b"));
    CHECK(slice_ends_with(object_source(get(&f, "core/services/default/a")->document),
                          SLICE("both.yaml")));
    owned_str uid = slice_to_str(get(&f, "core/services/default/a")->uid);
    const struct service *known =
        registry_service(f.registry, NULL, SLICE("a.default.svc.cluster.local"));
    AWAIT(&f, (known = registry_service(f.registry, NULL, SLICE("a.default.svc.cluster.local"))) &&
                  known->address.size > 0);
    CHECK(slice_starts_with(known->address, SLICE("240.240.")));
    owned_str address = slice_to_str(known->address);

    write_file(&f, "both.yaml", a2);
    AWAIT(&f, !get(&f, "core/services/default/b") &&
                  get(&f, "core/services/default/a")->generation == 2);
    CHECK(slice_equals_str(get(&f, "core/services/default/a")->uid, uid));
    known = registry_service(f.registry, NULL, SLICE("a.default.svc.cluster.local"));
    CHECK(slice_equals_str(known->address, address), "an address stays");
    end(&f);
}

TEST(a_half_written_file_and_a_bad_object_leave_what_was)
{
    struct fixture f;
    begin(&f);
    owned_str a = service("a", 80);
    write_file(&f, "a.yaml", a);
    AWAIT(&f, get(&f, "core/services/default/a"));
    write_file(&f, "a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a");
    AWAIT(&f, directory_report(f.directory).problems > 0);
    CHECK(strstr(directory_report(f.directory).last_problem, "a.yaml:4"), "%s",
          directory_report(f.directory).last_problem);
    write_file(&f, "a.yaml",
               "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n");
    AWAIT(&f, strstr(directory_report(f.directory).last_problem, "prots"));
    loop_turn(f.loop, 20);
    CHECK(get(&f, "core/services/default/a")->generation == 1);
    end(&f);
}

TEST(deleting_more_than_half_is_held)
{
    struct fixture f;
    begin(&f);
    for (char c = 'a'; c < 'f'; c++) {
        char name[] = {c, 0}, file[] = {c, '.', 'y', 'a', 'm', 'l', 0};
        owned_str text = service(name, 80);
        write_file(&f, file, text);
    }
    AWAIT(&f, get(&f, "core/services/default/e") && get(&f, "core/services/default/a"));
    remove_file(&f, "a.yaml");
    AWAIT(&f, !get(&f, "core/services/default/a"));
    remove_file(&f, "b.yaml");
    remove_file(&f, "c.yaml");
    remove_file(&f, "d.yaml");
    AWAIT(&f, directory_report(f.directory).held == 3);
    CHECK(get(&f, "core/services/default/b"));
    write_file(&f, ".allow-deletes", "");
    AWAIT(&f, !get(&f, "core/services/default/b") && !get(&f, "core/services/default/d"));
    CHECK(get(&f, "core/services/default/e"));
    end(&f);
}
