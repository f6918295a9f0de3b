/*
 * proxy_rows: the rows of `tulle proxy status`, from what push knows of each connected proxy.
 *
 * What the process gives the API as api_services.proxies.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "pb/document.h"

struct push;
struct push_status;

/* Appends an object a proxy: name, cluster, cds … ecds, tulled, version, age and rejections. */
void proxy_rows(struct push *push, int64_t now_us, struct value *items, struct arena *arena);
/* One of them. */
struct value *proxy_row(const struct push_status *status, int64_t now_us, struct arena *arena);
