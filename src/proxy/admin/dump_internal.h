/* What the admin interface prints of the configuration. */
#pragma once

#include "base/buffer.h"

struct process;

/* /config_dump; endpoints too when include_eds. */
void dump_config(const struct process *process, bool include_eds, struct buffer *out);
/* /clusters, as text or JSON. */
void dump_clusters(const struct process *process, bool json, struct buffer *out);
void dump_listeners(const struct process *process, bool json, struct buffer *out);
void dump_certificates(const struct process *process, struct buffer *out);
/* /workers: which version of the configuration each of them has reached, and how its loop does. */
void dump_workers(const struct process *process, struct buffer *out);
