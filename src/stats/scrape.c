#include "stats/scrape_internal.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

/* Envoy's, for times in milliseconds and for sizes alike. */
static const double default_bounds[] = {0.5,   1,      5,      10,      25,     50,    100,
                                        250,   500,    1000,   2500,    5000,   10000, 30000,
                                        60000, 300000, 600000, 1800000, 3600000};

static int by_metric(const void *a, const void *b)
{
    const struct stats_shown *x = a, *y = b;
    int order = strcmp(x->family->metric.name, y->family->metric.name);
    return order ? order
                 : (x->series->place > y->series->place) - (x->series->place < y->series->place);
}

/* What the registry knows about itself, in the first set's cells. */
static void count_itself(const struct stats_registry *registry)
{
    const struct stats_set *first = registry->sets.items[0];
    atomic_store_explicit(stats_cell(first, registry->series_slot), registry->series_count,
                          memory_order_relaxed);
    atomic_store_explicit(stats_cell(first, registry->folded_slot), registry->folded,
                          memory_order_relaxed);
}

void scrape_begin(struct stats_scrape *scrape, struct stats_registry *registry)
{
    *scrape = (struct stats_scrape){.registry = registry};
    pthread_mutex_lock(&registry->lock);
    registry->scrapes++;
    count_itself(registry);
    for (size_t i = 0; i < registry->sets.count; i++)
        vector_push(&scrape->sets, registry->sets.items[i]);
    struct map_iterator it = {0};
    while (map_next(registry->families, &it)) {
        const struct stats_family *family = it.value;
        for (size_t i = 0; i < family->series.count; i++)
            vector_push(&scrape->shown, {family->series.items[i], family, family->bounds});
    }
    pthread_mutex_unlock(&registry->lock);
    qsort(scrape->shown.items, scrape->shown.count, sizeof(*scrape->shown.items), by_metric);
}

void scrape_end(struct stats_scrape *scrape)
{
    struct stats_registry *registry = scrape->registry;
    vector_fini(&scrape->sets);
    vector_fini(&scrape->shown);
    pthread_mutex_lock(&registry->lock);
    if (--registry->scrapes == 0)
        stats_sets_reap(registry);
    pthread_mutex_unlock(&registry->lock);
}

/* Label values may hold anything; a line break in a name would be a line of its own. */
static void append_label(struct buffer *name, const char *value)
{
    for (; *value; value++) {
        bool control = (uint8_t)*value < 0x20 || *value == 0x7f;
        buffer_append_byte(name, control ? '_' : *value);
    }
}

/* Fills the value of a label into each % of the text. */
static void fill_text(struct buffer *name, const char *text, const struct stats_labels *labels)
{
    const char *value = labels ? labels->values : NULL;
    size_t left = labels ? labels->shape->count : 0;
    for (; *text; text++) {
        if (*text != '%') {
            buffer_append_byte(name, *text);
        } else if (left > 0) {
            append_label(name, value);
            value += strlen(value) + 1;
            left--;
        }
    }
}

void scrape_name(const struct stats_series *series, struct buffer *name)
{
    const struct stats_metric *metric = &series->family->metric;
    const struct stats_labels *labels = series->labels;
    buffer_reset(name);
    if (metric->text) {
        fill_text(name, metric->text, labels);
        return;
    }
    buffer_append_str(name, metric->name);
    const char *value = labels ? labels->values : NULL;
    for (size_t i = 0; labels && i < labels->shape->count; i++, value += strlen(value) + 1) {
        buffer_append_byte(name, '.');
        buffer_append_str(name, labels->shape->names[i]);
        buffer_append_byte(name, '.');
        append_label(name, value);
    }
}

bool scrape_wants(const struct stats_query *query, const struct buffer *name)
{
    return !query || !query->is_wanted || query->is_wanted(name->data, query->to);
}

uint64_t scrape_value(const struct stats_scrape *scrape, const struct stats_series *series)
{
    return stats_sets_sum(scrape->sets.items, scrape->sets.count, series->slot);
}

void scrape_collect(const struct stats_scrape *scrape, const struct stats_series *series,
                    struct histogram_totals *totals)
{
    stats_sets_collect(scrape->sets.items, scrape->sets.count, series->slot, totals);
}

const double *scrape_bounds(const struct stats_shown *shown, size_t *count)
{
    *count = shown->bounds ? shown->bounds->count : COUNT(default_bounds);
    return shown->bounds ? shown->bounds->bounds : default_bounds;
}

double scrape_scale(const struct stats_family *family)
{
    switch (family->metric.unit) {
    case STATS_PLAIN: break;
    case STATS_MICROSECONDS: return 1000;
    case STATS_SECONDS: return 1000000;
    }
    return 1;
}

void scrape_count_below(const struct stats_shown *shown, const struct histogram_totals *totals,
                        uint64_t *below)
{
    size_t count;
    const double *bounds = scrape_bounds(shown, &count);
    double scale = scrape_scale(shown->family), *scaled = mem_calloc(count, sizeof(*scaled));
    for (size_t i = 0; i < count; i++)
        scaled[i] = bounds[i] * scale;
    histogram_count_below(totals, scaled, count, below);
    mem_free(scaled);
}

uint64_t *scrape_buckets(const struct stats_shown *shown, const struct histogram_totals *totals,
                         enum stats_buckets buckets, size_t *count)
{
    scrape_bounds(shown, count);
    uint64_t *below = mem_calloc(*count + 1, sizeof(*below));
    scrape_count_below(shown, totals, below);
    below[*count] = totals->count;
    for (size_t i = *count; buckets == STATS_DISJOINT && i > 0; i--)
        below[i] -= below[i - 1];
    return below;
}

static int by_name(const void *a, const void *b)
{
    const struct stats_named *x = a, *y = b;
    int order = (int)stats_named_is_histogram(x) - (int)stats_named_is_histogram(y);
    return order ? order : strcmp(x->name, y->name);
}

void scrape_names(const struct stats_scrape *scrape, const struct stats_query *query,
                  struct stats_names *names)
{
    owned_buffer name = {0};
    *names = (struct stats_names){0};
    VECTOR_EACH(shown, &scrape->shown)
    {
        scrape_name(shown->series, &name);
        if (scrape_wants(query, &name))
            vector_push(&names->series, {str_copy_n(name.data, name.size), shown});
    }
    if (names->series.count > 0)
        qsort(names->series.items, names->series.count, sizeof(*names->series.items), by_name);
}

void stats_names_fini(struct stats_names *names)
{
    VECTOR_EACH(named, &names->series)
    mem_free(named->name);
    vector_fini(&names->series);
}

const double scrape_quantiles[SCRAPE_QUANTILES] = {0,    0.25, 0.5,   0.75,  0.9,
                                                   0.95, 0.99, 0.995, 0.999, 1};

void scrape_append_value(struct buffer *out, const struct stats_family *family, uint64_t value)
{
    if (family->metric.kind == STATS_GAUGE)
        buffer_format(out, "%lld", (long long)value);
    else
        buffer_append_u64(out, value);
}

void scrape_append_number(struct buffer *out, double number)
{
    if (isnan(number))
        buffer_append_str(out, "nan");
    else if (number == floor(number) && fabs(number) < 1e15)
        buffer_format(out, "%.0f", number);
    else
        buffer_format(out, "%.6g", number);
}
