/* What the admin interface prints of the configuration. */
#pragma once

#include "base/buffer.h"
#include "proxy/admin/dump_filter.h"

struct process;

/* /config_dump: the HTTP status, with what is asked for or why it cannot be had. */
unsigned dump_config(const struct process *process, const struct dump_query *query,
                     struct buffer *out);
/* /clusters, as text or JSON. */
void dump_clusters(const struct process *process, bool json, struct buffer *out);
void dump_listeners(const struct process *process, bool json, struct buffer *out);
void dump_certificates(const struct process *process, struct buffer *out);
/* /workers: which version of the configuration each of them has reached, and how its loop does. */
void dump_workers(const struct process *process, struct buffer *out);
