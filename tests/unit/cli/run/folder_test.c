#include "cli/run/folder.h"

#include "base/memory.h"

#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *temporary(void)
{
    char path[] = "/tmp/tulle-folder-XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    return str_copy(path);
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

TEST(a_folder_is_emptied_without_following_links)
{
    owned_str top = temporary();
    owned_str outside = temporary();
    owned_str deep = str_format("%s/a/b", top);
    owned_str link = str_format("%s/a/link", top);
    owned_str kept = str_format("%s/kept", outside);
    struct error error = {0};
    CHECK(folder_make(deep, &error), "%s", error.what);
    write_text(kept, "x");
    CHECK(symlink(outside, link) == 0);
    folder_remove(top, false);
    CHECK(access(top, F_OK) == 0 && access(deep, F_OK) != 0 && access(kept, F_OK) == 0);
    folder_remove(top, true);
    folder_remove(outside, true);
    CHECK(access(top, F_OK) != 0);
}

TEST(a_lock_is_held_once)
{
    owned_str top = temporary();
    struct error error = {0};
    int lock = folder_lock(top, &error);
    CHECK(lock >= 0);
    CHECK(folder_lock(top, &error) < 0 && strcmp(error.code, "TUL1213") == 0);
    error_fini(&error);
    close(lock);
    lock = folder_lock(top, &error);
    CHECK(lock >= 0);
    close(lock);
    folder_remove(top, true);
}

TEST(a_link_is_replaced_and_removed_by_its_owner)
{
    owned_str top = temporary();
    owned_str link = str_format("%s/current", top);
    struct error error = {0};
    char text[64] = {0};
    CHECK(folder_link(link, "one", &error) && folder_link(link, "two", &error));
    CHECK(readlink(link, text, sizeof(text) - 1) == 3 && strcmp(text, "two") == 0);
    folder_unlink(link, "one");
    CHECK(readlink(link, text, sizeof(text) - 1) == 3);
    folder_unlink(link, "two");
    CHECK(readlink(link, text, sizeof(text) - 1) < 0);
    folder_remove(top, true);
}

TEST(the_tail_of_a_log)
{
    owned_str top = temporary();
    owned_str path = str_format("%s/log", top);
    write_text(path, "one\ntwo\nthree\n");
    owned_str two = folder_tail(path, 2);
    owned_str all = folder_tail(path, 9);
    owned_str none = folder_tail("/nowhere", 3);
    CHECK(strcmp(two, "two\nthree") == 0, "%s", two);
    CHECK(strcmp(all, "one\ntwo\nthree") == 0, "%s", all);
    CHECK(strcmp(none, "") == 0);
    folder_remove(top, true);
}
