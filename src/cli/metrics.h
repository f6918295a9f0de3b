/*
 * metrics: what sidecars say in Prometheus' text format, summed into golden numbers.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

/* One sample, borrowed: `labels` is what stands between the braces. */
struct metric {
    struct slice name, labels;
    double value;
};
/* Cuts the next sample off *text, skipping comments and lines that are none; false at the end. */
MUST_USE bool metric_next(struct slice *text, struct metric *metric);
/* The value of one label as it is written (escapes stay), or empty. */
struct slice metric_label(const struct metric *metric, const char *name);

enum { GOLDEN_BUCKETS = 40 };
/* Of requests as their servers' sidecars saw them. */
struct golden {
    double requests, failed; /* failed: 5xx, and those without a response */
    double tcp_opened, tcp_closed;
    double secured, plain; /* requests and TCP connections, by mutual TLS or not */
    struct {
        double le, count; /* cumulative, as written; le INFINITY is the last */
    } buckets[GOLDEN_BUCKETS];
    unsigned bucket_count;
};
/* Adds one scrape. */
void golden_add(struct golden *golden, struct slice text);
/* after - before, bucket by bucket; a counter that fell back (a restart) counts from zero. */
struct golden golden_since(const struct golden *after, const struct golden *before);
/* Milliseconds below which the share `q` stays, interpolated within its bucket; -1 when nothing was seen. */
double golden_quantile(const struct golden *golden, double q);
/* Share of hops by mutual TLS; -1 when there were none. */
double golden_secured(const struct golden *golden);
