#include "stats/export.h"

#include "base/memory.h"
#include "stats/scrape_internal.h"

/* Puts a comma before every element but the first. */
static void next_element(struct buffer *out, bool *first)
{
    if (!*first)
        buffer_append_byte(out, ',');
    *first = false;
}

static void append_json_name(struct buffer *out, const struct stats_named *named)
{
    buffer_append_str(out, "{\"name\":\"");
    buffer_append_json(out, slice_str(named->name));
    buffer_append_str(out, "\",");
}

static void append_json_summary(struct buffer *out, const struct stats_shown *shown,
                                const struct histogram_totals *totals)
{
    double scale = scrape_scale(shown->family);
    buffer_append_str(out, "\"values\":[");
    for (size_t i = 0; i < SCRAPE_QUANTILES; i++) {
        buffer_append_str(out, i > 0 ? ",{\"interval\":null,\"cumulative\":"
                                     : "{\"interval\":null,\"cumulative\":");
        if (totals->count > 0)
            scrape_append_number(out, histogram_quantile(totals, scrape_quantiles[i]) / scale);
        else
            buffer_append_str(out, "null");
        buffer_append_byte(out, '}');
    }
    buffer_append_str(out, "]}");
}

static void append_json_buckets(struct buffer *out, const struct stats_shown *shown,
                                const struct histogram_totals *totals, enum stats_buckets buckets)
{
    size_t count;
    const double *bounds = scrape_bounds(shown, &count);
    uint64_t *below = scrape_buckets(shown, totals, buckets, &count);
    buffer_append_str(out, "\"buckets\":[");
    for (size_t i = 0; i < count; i++) {
        buffer_append_str(out, i > 0 ? ",{\"upper_bound\":" : "{\"upper_bound\":");
        scrape_append_number(out, bounds[i]);
        buffer_append_str(out, ",\"interval\":0,\"cumulative\":");
        buffer_append_u64(out, below[i]);
        buffer_append_byte(out, '}');
    }
    buffer_append_str(out, "]}");
    mem_free(below);
}

static void append_json_histogram(const struct stats_scrape *scrape,
                                  const struct stats_query *query, const struct stats_named *named,
                                  bool *first, struct buffer *out)
{
    struct histogram_totals totals;
    scrape_collect(scrape, named->shown->series, &totals);
    if (query && query->used_only && totals.count == 0)
        return;
    next_element(out, first);
    append_json_name(out, named);
    if (query && query->buckets != STATS_SUMMARY)
        append_json_buckets(out, named->shown, &totals, query->buckets);
    else
        append_json_summary(out, named->shown, &totals);
}

/* The last element of Envoy's list holds every histogram, and is absent when there is none. */
static void append_json_histograms(const struct stats_scrape *scrape,
                                   const struct stats_query *query, const struct stats_named *at,
                                   const struct stats_named *end, bool *first, struct buffer *out)
{
    owned_buffer list = {0};
    bool first_in_list = true;
    for (; at < end; at++)
        append_json_histogram(scrape, query, at, &first_in_list, &list);
    if (first_in_list)
        return;
    next_element(out, first);
    if (query && query->buckets != STATS_SUMMARY) {
        buffer_append_str(out, "{\"histograms\":[");
        buffer_append_slice(out, buffer_slice(&list));
        buffer_append_str(out, "]}");
        return;
    }
    buffer_append_str(out, "{\"histograms\":{\"supported_quantiles\":[");
    for (size_t i = 0; i < SCRAPE_QUANTILES; i++) {
        if (i > 0)
            buffer_append_byte(out, ',');
        scrape_append_number(out, scrape_quantiles[i] * 100);
    }
    buffer_append_str(out, "],\"computed_quantiles\":[");
    buffer_append_slice(out, buffer_slice(&list));
    buffer_append_str(out, "]}}");
}

void stats_export_json(struct stats_registry *registry, const struct stats_query *query,
                       struct buffer *out)
{
    struct stats_scrape scrape;
    struct stats_names all;
    bool first = true;
    scrape_begin(&scrape, registry);
    scrape_names(&scrape, query, &all);
    const struct stats_named *named = all.series.items, *end = all.series.items + all.series.count;
    buffer_append_str(out, "{\"stats\":[");
    for (; named < end && !stats_named_is_histogram(named); named++) {
        uint64_t value = scrape_value(&scrape, named->shown->series);
        if (query && query->used_only && value == 0)
            continue;
        next_element(out, &first);
        append_json_name(out, named);
        buffer_append_str(out, "\"value\":");
        scrape_append_value(out, named->shown->family, value);
        buffer_append_byte(out, '}');
    }
    append_json_histograms(&scrape, query, named, end, &first, out);
    buffer_append_str(out, "]}\n");
    stats_names_fini(&all);
    scrape_end(&scrape);
}
