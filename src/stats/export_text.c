#include "stats/export.h"

#include "base/memory.h"
#include "stats/scrape_internal.h"

/* We keep no interval of its own, so the first of each pair, Envoy's last interval, is always empty. */
static void append_summary(struct buffer *out, const struct stats_shown *shown,
                           const struct histogram_totals *totals)
{
    double scale = scrape_scale(shown->family);
    if (totals->count == 0)
        buffer_append_str(out, " No recorded values");
    for (size_t i = 0; i < SCRAPE_QUANTILES && totals->count > 0; i++) {
        buffer_append_str(out, " P");
        scrape_append_number(out, scrape_quantiles[i] * 100);
        buffer_append_str(out, "(nan,");
        scrape_append_number(out, histogram_quantile(totals, scrape_quantiles[i]) / scale);
        buffer_append_byte(out, ')');
    }
}

static void append_buckets(struct buffer *out, const struct stats_shown *shown,
                           const struct histogram_totals *totals, enum stats_buckets buckets)
{
    size_t count;
    const double *bounds = scrape_bounds(shown, &count);
    uint64_t *below = scrape_buckets(shown, totals, buckets, &count);
    for (size_t i = 0; i <= count; i++) {
        buffer_append_str(out, " B");
        if (i < count)
            scrape_append_number(out, bounds[i]);
        else
            buffer_append_str(out, "inf");
        buffer_append_str(out, "(0,");
        buffer_append_u64(out, below[i]);
        buffer_append_byte(out, ')');
    }
    mem_free(below);
}

static void append_line(const struct stats_scrape *scrape, const struct stats_query *query,
                        const struct stats_named *named, struct buffer *out)
{
    const struct stats_shown *shown = named->shown;
    bool used_only = query && query->used_only;
    if (!stats_named_is_histogram(named)) {
        uint64_t value = scrape_value(scrape, shown->series);
        if (used_only && value == 0)
            return;
        buffer_append_str(out, named->name);
        buffer_append_str(out, ": ");
        scrape_append_value(out, shown->family, value);
    } else {
        struct histogram_totals totals;
        scrape_collect(scrape, shown->series, &totals);
        if (used_only && totals.count == 0)
            return;
        buffer_append_str(out, named->name);
        buffer_append_byte(out, ':');
        if (query && query->buckets != STATS_SUMMARY)
            append_buckets(out, shown, &totals, query->buckets);
        else
            append_summary(out, shown, &totals);
    }
    buffer_append_byte(out, '\n');
}

void stats_export_text(struct stats_registry *registry, const struct stats_query *query,
                       struct buffer *out)
{
    struct stats_scrape scrape;
    struct stats_names all;
    scrape_begin(&scrape, registry);
    scrape_names(&scrape, query, &all);
    VECTOR_EACH(named, &all.series)
    append_line(&scrape, query, named, out);
    stats_names_fini(&all);
    scrape_end(&scrape);
}
