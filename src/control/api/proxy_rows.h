/*
 * proxy_rows: the rows of `tulle proxy status`, from what push knows of each connected proxy.
 *
 * What the process gives the API as api_services.proxies.
 */
#pragma once

#include "base/arena.h"
#include "base/attributes.h"
#include "pb/document.h"

struct ads_peer;
struct push;
struct push_status;

/* Appends an object a proxy: name, cluster, cds … ecds, tulled, version, age and rejections. */
void proxy_rows(struct push *push, int64_t now_us, struct value *items, struct arena *arena);
/* "web-1.shop" of Istio's node ID sidecar~ADDRESS~NAME.NAMESPACE~DOMAIN; any other is shown as it is. */
struct slice proxy_name(const char *node_id);
/* The Kubernetes cluster (or what stands for one) that the proxy says it is in; else what its node calls its cluster. */
const char *proxy_cluster(const struct ads_peer *peer, struct arena *arena);
/* One of them. */
struct value *proxy_row(const struct push_status *status, int64_t now_us, struct arena *arena);
