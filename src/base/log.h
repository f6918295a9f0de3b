/*
 * log: what the process tells its operator, a line an event, on stderr.
 *
 * A line is `2026-01-31T12:00:00.123Z  info  xds  text` or, with LOG_JSON, one object. Levels are kept per room and
 * may change while running (admin /logging). Lines are written whole; peers' bytes are escaped and cut at 4 KiB.
 * Logging may block and is for events that are rare: never once a request.
 */
#pragma once

#include "base/attributes.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL, LOG_OFF };

/* Rooms are named by string, "xds"; unknown ones are registered at first use (at most 64). */
void log_write(enum log_level level, const char *room, const char *format, ...) PRINTF(3, 4);
bool log_is_on(enum log_level level, const char *room);
/* room NULL = all. False when the name is unknown to log_level_of. */
void log_set_level(const char *room, enum log_level level);
MUST_USE bool log_level_of(const char *name, enum log_level *level);
const char *log_level_name(enum log_level level);
void log_set_json(bool json);
/* Calls visit for every known room. */
void log_each_room(void (*visit)(const char *room, enum log_level level, void *to), void *to);

#define log_trace(room, ...) log_if(LOG_TRACE, room, __VA_ARGS__)
#define log_debug(room, ...) log_if(LOG_DEBUG, room, __VA_ARGS__)
#define log_info(room, ...) log_if(LOG_INFO, room, __VA_ARGS__)
#define log_warning(room, ...) log_if(LOG_WARNING, room, __VA_ARGS__)
#define log_error(room, ...) log_if(LOG_ERROR, room, __VA_ARGS__)
#define log_critical(room, ...) log_if(LOG_CRITICAL, room, __VA_ARGS__)
#define log_if(level, room, ...)                                                                   \
    do {                                                                                           \
        if (log_is_on(level, room))                                                                \
            log_write(level, room, __VA_ARGS__);                                                   \
    } while (0)
