#include "stats/export.h"

#include "base/memory.h"
#include "stats/process.h"
#include "stats/scrape_internal.h"

static void append_escaped(struct buffer *out, const char *text, bool in_quotes)
{
    for (; *text; text++) {
        if (*text == '\n')
            buffer_append_str(out, "\\n");
        else if (*text == '\\' || (in_quotes && *text == '"'))
            buffer_append(out, (char[2]){'\\', *text}, 2);
        else
            buffer_append_byte(out, *text);
    }
}

/* a="b",c="d" */
static void append_labels(struct buffer *out, const struct stats_labels *labels)
{
    const char *value = labels ? labels->values : NULL;
    for (size_t i = 0; labels && i < labels->shape->count; i++, value += strlen(value) + 1) {
        if (i > 0)
            buffer_append_byte(out, ',');
        buffer_append_str(out, labels->shape->names[i]);
        buffer_append_str(out, "=\"");
        append_escaped(out, value, true);
        buffer_append_byte(out, '"');
    }
}

static void append_header(struct buffer *out, const struct stats_metric *metric)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    if (metric->help) {
        buffer_append_str(out, "# HELP ");
        buffer_append_str(out, metric->name);
        buffer_append_byte(out, ' ');
        append_escaped(out, metric->help, false);
        buffer_append_byte(out, '\n');
    }
    buffer_format(out, "# TYPE %s %s\n", metric->name, types[metric->kind]);
}

/* NAMEsuffix{labels[,le="bound"]} and a blank, before the value. */
static void append_series(struct buffer *out, const char *name, const char *suffix,
                          const struct buffer *labels)
{
    buffer_append_str(out, name);
    buffer_append_str(out, suffix);
    if (labels->size > 0) {
        buffer_append_byte(out, '{');
        buffer_append_slice(out, buffer_slice(labels));
        buffer_append_byte(out, '}');
    }
    buffer_append_byte(out, ' ');
}

static void append_sum(struct buffer *out, const struct stats_family *family, uint64_t sum)
{
    uint64_t scale = (uint64_t)scrape_scale(family);
    buffer_append_u64(out, sum / scale);
    if (sum % scale != 0)
        buffer_format(out, ".%0*lu", scale == 1000 ? 3 : 6, (unsigned long)(sum % scale));
    buffer_append_byte(out, '\n');
}

static void append_count(struct buffer *out, uint64_t count)
{
    buffer_append_u64(out, count);
    buffer_append_byte(out, '\n');
}

static void append_histogram(struct buffer *out, const struct stats_shown *shown,
                             const struct histogram_totals *totals, struct buffer *labels)
{
    const char *name = shown->family->metric.name;
    size_t count, size = labels->size;
    const double *bounds = scrape_bounds(shown, &count);
    uint64_t *below = mem_calloc(count, sizeof(*below));
    scrape_count_below(shown, totals, below);
    for (size_t i = 0; i <= count; i++) {
        buffer_append_str(labels, size > 0 ? ",le=\"" : "le=\"");
        if (i < count)
            scrape_append_number(labels, bounds[i]);
        else
            buffer_append_str(labels, "+Inf");
        buffer_append_byte(labels, '"');
        append_series(out, name, "_bucket", labels);
        append_count(out, i < count ? below[i] : totals->count);
        labels->size = size;
    }
    append_series(out, name, "_sum", labels);
    append_sum(out, shown->family, totals->sum);
    append_series(out, name, "_count", labels);
    append_count(out, totals->count);
    mem_free(below);
}

/* `last` is the family whose header was written last. */
static void append_shown(const struct stats_scrape *scrape, const struct stats_shown *shown,
                         bool used_only, const struct stats_family **last, struct buffer *out)
{
    const struct stats_family *family = shown->family;
    struct histogram_totals totals;
    uint64_t value = 0;
    if (family->metric.kind == STATS_HISTOGRAM)
        scrape_collect(scrape, shown->series, &totals);
    else
        value = scrape_value(scrape, shown->series);
    if (used_only && (family->metric.kind == STATS_HISTOGRAM ? totals.count : value) == 0)
        return;
    if (*last != family)
        append_header(out, &family->metric);
    *last = family;

    owned_buffer labels = {0};
    append_labels(&labels, shown->series->labels);
    if (family->metric.kind == STATS_HISTOGRAM) {
        append_histogram(out, shown, &totals, &labels);
        return;
    }
    append_series(out, family->metric.name, "", &labels);
    scrape_append_value(out, family, value);
    buffer_append_byte(out, '\n');
}

void stats_export_prometheus(struct stats_registry *registry, const struct stats_query *query,
                             struct buffer *out)
{
    struct stats_scrape scrape;
    const struct stats_family *last = NULL;
    owned_buffer name = {0};
    scrape_begin(&scrape, registry);
    VECTOR_EACH(shown, &scrape.shown)
    {
        if (query && query->is_wanted)
            scrape_name(shown->series, &name);
        if (scrape_wants(query, &name))
            append_shown(&scrape, shown, query && query->used_only, &last, out);
    }
    scrape_end(&scrape);
    process_export(query, out);
}
