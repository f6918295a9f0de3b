/*
 * syncz: what each proxy acknowledged, in the JSON that istiod's /debug/syncz has.
 */
#pragma once

#include "base/attributes.h"

struct buffer;
struct push;

/* A list of objects: proxy, cluster_id, istio_version, and for each type what was sent and what was acknowledged. */
void syncz_write(struct push *push, struct buffer *out);
