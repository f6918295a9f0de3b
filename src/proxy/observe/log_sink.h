/*
 * log_sink: access-log lines from the workers to files, without a lock and without a system call on the way.
 *
 * Each worker renders into its own bounded ring, whole lines only; one writer thread gathers all rings and writes. A full
 * ring takes no line; the caller counts it. The writer sleeps while nobody logs.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

struct log_sink;
struct log_ring;

enum { LOG_RING_BYTES = 256 * 1024, LOG_FILES_MAX = 16 };

struct log_sink *log_sink_create(void);
/* Writes what is left. Every ring's worker has ended. */
void log_sink_destroy(struct log_sink *sink);
/* Files are opened anew, for rotation (SIGUSR1). Any thread. */
void log_sink_reopen(struct log_sink *sink);
/* One a worker; lives as long as the sink. Before the workers start. */
struct log_ring *log_sink_add_ring(struct log_sink *sink);
/*
 * The number of a file ("/dev/stdout", "/var/log/x"), or -1 when there are too many. Locks: ask once and keep it. What cannot
 * be opened, a pipe without a reader too, is warned of and tried again at the next reopening.
 */
int log_sink_file(struct log_sink *sink, struct slice path);

/* The worker's thread: one line, newline included; false when it was dropped. */
bool log_ring_write(struct log_ring *ring, int file, struct slice line);
