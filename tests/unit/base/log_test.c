#include "test.h"

#include "base/buffer.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

/* What `act` logs, from stderr by way of a file. */
static void capture(struct buffer *out, void (*act)(void))
{
    char path[] = "/tmp/tulle-log-XXXXXX";
    int file = mkstemp(path), saved = dup(STDERR_FILENO);
    CHECK(file >= 0 && saved >= 0);
    CHECK(fcntl(file, F_SETFL, O_APPEND) == 0);
    dup2(file, STDERR_FILENO);
    act();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    CHECK(buffer_read_file(out, path, (size_t)1 << 24) == 0);
    unlink(path);
}

static const char *said;

static void say(void)
{
    log_info("xds", "%s", said);
}

TEST(log_writes_a_line_an_event)
{
    owned_buffer out = {0};
    said = "subscribed to 3 clusters";
    capture(&out, say);
    CHECK(out.size > 24 && out.data[10] == 'T' && out.data[23] == 'Z', "%s", out.data);
    CHECK(strcmp(out.data + 24, "  info  xds  subscribed to 3 clusters\n") == 0, "%s", out.data);
}

TEST(log_escapes_what_peers_send)
{
    static const struct {
        const char *said, *seen;
    } cases[] = {
        {"two\nlines", "two\\nlines"},
        {"\x1b[2Jcleared", "\\x1b[2Jcleared"},
        {"\xff\xc3\xa9", "\\xff\xc3\xa9"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},
        {"\x7f\r", "\\x7f\\x0d"},
    };
    EACH (c, cases) {
        owned_buffer out = {0};
        said = c->said;
        capture(&out, say);
        CHECK(slice_find(buffer_slice(&out), slice_str(c->seen)) != SIZE_MAX, "%s", out.data);
        CHECK(slice_find_byte(buffer_slice(&out), '\n') == out.size - 1, "one line");
    }
}

TEST(log_cuts_long_lines)
{
    for (int json = 0; json < 2; json++) {
        static const char fills[] = {'x', '\x01', '"'};
        EACH (fill, fills) {
            static char text[8192];
            memset(text, *fill, sizeof(text) - 1);
            owned_buffer out = {0};
            said = text;
            log_set_json(json);
            capture(&out, say);
            log_set_json(false);
            CHECK(out.size <= 4096 && out.size > 4000, "%zu", out.size);
            const char *end = json ? " [cut]\"}\n" : " [cut]\n";
            CHECK(slice_ends_with(buffer_slice(&out), slice_str(end)), "%s", out.data);
        }
    }
}

TEST(log_writes_json)
{
    owned_buffer out = {0};
    said = "a \"b\"\n\xff";
    log_set_json(true);
    capture(&out, say);
    log_set_json(false);
    CHECK(slice_starts_with(buffer_slice(&out), SLICE("{\"time\":\"")), "%s", out.data);
    CHECK(slice_ends_with(buffer_slice(&out),
                          SLICE("\",\"level\":\"info\",\"room\":\"xds\",\"message\":"
                                "\"a \\\"b\\\"\\n\xef\xbf\xbd\"}\n")),
          "%s", out.data);
}

TEST(log_keeps_levels_by_room)
{
    log_set_level(NULL, LOG_WARNING);
    CHECK(!log_is_on(LOG_INFO, "tcp") && log_is_on(LOG_WARNING, "tcp") &&
          log_is_on(LOG_CRITICAL, "later"));
    log_set_level("tcp", LOG_TRACE);
    CHECK(log_is_on(LOG_TRACE, "tcp") && !log_is_on(LOG_INFO, "http"));
    log_set_level("tcp", LOG_OFF);
    CHECK(!log_is_on(LOG_CRITICAL, "tcp") && !log_is_on(LOG_OFF, "tcp"));
    log_set_level(NULL, LOG_INFO);
    CHECK(log_is_on(LOG_INFO, "tcp") && !log_is_on(LOG_DEBUG, "tcp"));
}

TEST(log_knows_the_names_of_levels)
{
    enum log_level level = LOG_OFF;
    for (int i = LOG_TRACE; i <= LOG_OFF; i++)
        CHECK(log_level_of(log_level_name((enum log_level)i), &level) && (int)level == i);
    CHECK(log_level_of("WARN", &level) && level == LOG_WARNING);
    CHECK(!log_level_of("loud", &level) && level == LOG_WARNING);
}

static void count_room(const char *room, enum log_level level, void *to)
{
    (void)level;
    *(size_t *)to += strcmp(room, "counted") == 0;
}

TEST(log_lists_its_rooms_and_limits_them)
{
    size_t seen = 0;
    log_is_on(LOG_INFO, "counted");
    log_each_room(count_room, &seen);
    CHECK(seen == 1);
    for (int i = 0; i < 100; i++) {
        char name[24];
        snprintf(name, sizeof(name), "room-%d", i);
        CHECK(log_is_on(LOG_ERROR, name), "%s", name);
    }
    seen = 0;
    log_each_room(count_room, &seen);
    CHECK(seen == 1);
    log_set_level("room-99", LOG_OFF);
    CHECK(log_is_on(LOG_ERROR, "room-99"), "beyond the 64th, rooms go by the default level");
}

static void *say_often(void *word)
{
    for (int i = 0; i < 500; i++)
        log_error("threads", "%s %s", (const char *)word, (const char *)word);
    return NULL;
}

static void say_at_once(void)
{
    pthread_t threads[4];
    static const char *const words[] = {"aaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbb", "ccccccccccccccc",
                                        "ddddddddddddddd"};
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, say_often, (void *)(uintptr_t)words[i]);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

TEST(log_lines_of_many_threads_stay_whole)
{
    owned_buffer out = {0};
    capture(&out, say_at_once);
    size_t lines = 0;
    for (struct slice rest = buffer_slice(&out), line; rest.size > 0; lines++) {
        slice_cut(rest, '\n', &line, &rest);
        CHECK(line.size == 24 + strlen("  error  threads  ") + 31, "%.*s", SLICE_ARG(line));
        CHECK(slice_equals(slice_from(line, line.size - 15),
                           slice_first(slice_from(line, line.size - 31), 15)));
    }
    CHECK(lines == 2000, "%zu", lines);
}

static int errno_after;

static void say_errno(void)
{
    errno = ENOENT;
    log_error("xds", "cannot read: %m");
    errno_after = errno;
}

TEST(log_leaves_errno_alone)
{
    owned_buffer out = {0};
    capture(&out, say_errno);
    CHECK(errno_after == ENOENT);
    CHECK(slice_find(buffer_slice(&out), SLICE("No such file")) != SIZE_MAX, "%s", out.data);
}
