#include "base/log.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A whole line is at most 4 KiB: a pipe takes as much in one piece, however many threads write. */
enum { LOG_ROOMS_MAX = 64, LOG_NAME_BYTES = 32, LOG_LINE_BYTES = 4096, LOG_TAIL_BYTES = 16 };

struct log_room {
    char name[LOG_NAME_BYTES];
    _Atomic int level;
};

/* The one log of the process. Rooms are only ever added; a reader sees those below `count` whole. */
static struct {
    struct log_room rooms[LOG_ROOMS_MAX];
    _Atomic size_t count;
    _Atomic int default_level;
    atomic_bool json;
    pthread_mutex_t adding;
} logs = {.default_level = LOG_INFO, .adding = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names[] = {"trace", "debug",    "info", "warning",
                                          "error", "critical", "off"};

static struct log_room *find_room(const char *room)
{
    size_t count = atomic_load_explicit(&logs.count, memory_order_acquire);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(logs.rooms[i].name, room, LOG_NAME_BYTES - 1) == 0)
            return &logs.rooms[i];
    }
    return NULL;
}

/* NULL when the table is full; such a room goes by the default level. */
COLD static struct log_room *add_room(const char *room)
{
    pthread_mutex_lock(&logs.adding);
    struct log_room *found = find_room(room);
    size_t count = atomic_load(&logs.count);
    if (!found && count < LOG_ROOMS_MAX) {
        found = &logs.rooms[count];
        strncpy(found->name, room, LOG_NAME_BYTES - 1);
        atomic_store(&found->level, atomic_load(&logs.default_level));
        atomic_store_explicit(&logs.count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&logs.adding);
    return found;
}

static struct log_room *room_of(const char *room)
{
    struct log_room *found = find_room(room);
    return found ? found : add_room(room);
}

bool log_is_on(enum log_level level, const char *room)
{
    struct log_room *found = room_of(room);
    _Atomic int *least = found ? &found->level : &logs.default_level;
    return level != LOG_OFF && (int)level >= atomic_load_explicit(least, memory_order_relaxed);
}

void log_set_level(const char *room, enum log_level level)
{
    if (room) {
        struct log_room *found = room_of(room);
        if (found)
            atomic_store(&found->level, (int)level);
        return;
    }
    atomic_store(&logs.default_level, (int)level);
    size_t count = atomic_load(&logs.count);
    for (size_t i = 0; i < count; i++)
        atomic_store(&logs.rooms[i].level, (int)level);
}

bool log_level_of(const char *name, enum log_level *level)
{
    if (strcasecmp(name, "warn") == 0)
        name = "warning";
    for (size_t i = 0; i < COUNT(level_names); i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

void log_set_json(bool json)
{
    atomic_store(&logs.json, json);
}

void log_each_room(void (*visit)(const char *room, enum log_level level, void *to), void *to)
{
    size_t count = atomic_load_explicit(&logs.count, memory_order_acquire);
    for (size_t i = 0; i < count; i++)
        visit(logs.rooms[i].name, (enum log_level)atomic_load(&logs.rooms[i].level), to);
}

/* One character at the front of the text, so that no peer can start a line or move a terminal's cursor. */
static void append_character(struct buffer *line, struct slice character, bool json)
{
    uint8_t byte = (uint8_t)character.data[0];
    bool plain = slice_utf8_length(character) > 0 && byte >= 0x20 && byte != 0x7f &&
                 !(byte == 0xc2 && (uint8_t)character.data[1] < 0xa0); /* C1 control characters */
    if (json)
        buffer_append_json(line, character);
    else if (plain)
        buffer_append_slice(line, character);
    else if (byte == '\n')
        buffer_append_str(line, "\\n");
    else
        for (size_t i = 0; i < character.size; i++)
            buffer_format(line, "\\x%02x", (uint8_t)character.data[i]);
}

static void append_text(struct buffer *line, struct slice text, bool json, bool was_cut)
{
    while (text.size > 0 && line->size < LOG_LINE_BYTES - 2 * LOG_TAIL_BYTES) {
        size_t length = slice_utf8_length(text);
        append_character(line, slice_take(&text, length ? length : 1), json);
    }
    if (text.size > 0 || was_cut)
        buffer_append_str(line, " [cut]");
}

static void write_whole(struct slice line)
{
    while (line.size > 0) {
        ssize_t count = write(STDERR_FILENO, line.data, line.size);
        if (count < 0 && errno != EINTR)
            return; /* there is nowhere left to complain */
        if (count > 0)
            slice_take(&line, (size_t)count);
    }
}

void log_write(enum log_level level, const char *room, const char *format, ...)
{
    int saved = errno; /* for %m in the format, and for the caller */
    char text[LOG_LINE_BYTES], time[32];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bool was_cut = size >= (int)sizeof(text),
         json = atomic_load_explicit(&logs.json, memory_order_relaxed);
    struct slice body = slice_of(text, was_cut ? sizeof(text) - 1 : (size_t)MAX(size, 0));

    clock_format(clock_wall_us(), time);
    owned_buffer line = {0};
    buffer_reserve(&line, LOG_LINE_BYTES);
    if (json)
        buffer_format(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"room\":\"%.32s\",\"message\":\"",
                      time, log_level_name(level), room);
    else
        buffer_format(&line, "%s  %s  %.32s  ", time, log_level_name(level), room);
    append_text(&line, body, json, was_cut);
    buffer_append_str(&line, json ? "\"}\n" : "\n");
    write_whole(buffer_slice(&line));
    errno = saved;
}
