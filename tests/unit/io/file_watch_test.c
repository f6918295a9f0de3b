#include "io/file_watch.h"

#include "base/memory.h"
#include "io/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char folder[64];
    int changes;
    struct loop *loop;
    struct file_watch *watch;
};

static void on_change(void *owner)
{
    ((struct place *)owner)->changes++;
}

static void in_folder(struct place *place, const char *command)
{
    owned_str line = str_format("cd %s && %s", place->folder, command);
    CHECK(system(line) == 0, "%s", line);
}

static void open_place(struct place *place, const char *file)
{
    *place = (struct place){.folder = "/tmp/tulle-file-watch-XXXXXX", .loop = loop_for_test()};
    CHECK(mkdtemp(place->folder), "-");
    in_folder(place, "echo 1 > a");
    owned_str path = str_format("%s%s%s", place->folder, file ? "/" : "", file ? file : "");
    CHECK(file_watch_create(place->loop, path, on_change, place, &place->watch) == 0, "%s", path);
}

static void close_place(struct place *place)
{
    file_watch_destroy(place->watch);
    loop_destroy(place->loop);
    owned_str line = str_format("rm -rf %s", place->folder);
    CHECK(system(line) == 0, "-");
}

/* What comes in one go is one report. */
static void check_one_change(struct place *place, const char *command)
{
    int before = place->changes;
    in_folder(place, command);
    WAIT_FOR(place->loop, place->changes > before);
    loop_turn(place->loop, 2 * FILE_WATCH_QUIET_MS);
    loop_turn(place->loop, 2 * FILE_WATCH_QUIET_MS);
    CHECK(place->changes == before + 1, "%s: %d", command, place->changes - before);
}

TEST(file_watch_sees_a_file_however_it_is_replaced)
{
    struct place place;
    open_place(&place, "a");
    check_one_change(&place, "echo 2 > a");
    check_one_change(&place, "echo 3 >> a; echo 4 >> a");
    check_one_change(&place, "echo 5 > new && mv new a");
    check_one_change(&place, "rm a");
    check_one_change(&place, "echo 6 > a");
    int before = place.changes;
    in_folder(&place, "echo 1 > b");
    loop_turn(place.loop, 3 * FILE_WATCH_QUIET_MS);
    CHECK(place.changes == before, "another file");
    close_place(&place);
}

TEST(file_watch_sees_the_swap_of_a_kubernetes_volume)
{
    struct place place;
    open_place(&place, "cert.pem");
    check_one_change(&place, "mkdir ..1 && echo 1 > ..1/cert.pem && ln -s ..1 ..data && "
                             "ln -s ..data/cert.pem cert.pem");
    check_one_change(&place, "mkdir ..2 && echo 2 > ..2/cert.pem && ln -s ..2 ..tmp && "
                             "mv -T ..tmp ..data && rm -r ..1");
    close_place(&place);
}

TEST(file_watch_sees_every_file_of_a_folder)
{
    struct place place;
    open_place(&place, NULL);
    check_one_change(&place, "echo 1 > one.yaml; echo 2 > two.yaml; rm a");
    close_place(&place);
}

TEST(file_watch_waits_for_a_folder_that_went_away)
{
    struct place place;
    open_place(&place, NULL);
    check_one_change(&place, "rm -r $PWD");
    CHECK(mkdir(place.folder, 0700) == 0, "-");
    int before = place.changes;
    WAIT_FOR(place.loop, place.changes > before);
    check_one_change(&place, "echo 1 > back.yaml");
    close_place(&place);
}

TEST(file_watch_needs_a_folder)
{
    struct loop *loop = loop_for_test();
    struct file_watch *watch;
    CHECK(file_watch_create(loop, "/no/such/folder/file", on_change, NULL, &watch) == -ENOENT, "-");
    loop_destroy(loop);
}
