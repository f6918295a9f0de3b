/*
 * process: what Prometheus' client libraries tell about a process: CPU, memory, descriptors, start.
 */
#pragma once

#include "stats/export.h"

/* Asks the kernel now. What it does not tell (no /proc in a sandbox) is left out. */
void process_export(const struct stats_query *query, struct buffer *out);
