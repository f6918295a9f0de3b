#include "test.h"

#include "base/buffer.h"
#include "stats/counter.h"
#include "stats/export.h"
#include "stats/histogram.h"
#include "stats/registry.h"

static const struct stats_metric requests = {.name = "istio_requests_total",
                                             .help = "Requests.\nAll \"of\" them, \\.",
                                             .kind = STATS_COUNTER};
static const struct stats_metric active = {.name = "envoy_active", .kind = STATS_GAUGE};
static const struct stats_metric times = {.name = "istio_request_duration_milliseconds",
                                          .kind = STATS_HISTOGRAM,
                                          .unit = STATS_MICROSECONDS};
static const struct stats_metric sizes = {.name = "istio_request_bytes", .kind = STATS_HISTOGRAM};
static const struct stats_label names[] = {{"reporter", false}, {"source_workload", true}};

struct fixture {
    struct stats_registry *registry;
    struct stats_set *set;
    struct stats_labels *labels;
    struct buffer out;
};

static struct fixture set_up(const char *workload)
{
    struct fixture f = {.registry = stats_registry_create(0)};
    f.set = stats_set_create(f.registry);
    struct slice values[] = {SLICE("source"), slice_str(workload)};
    f.labels = stats_labels_hold(f.registry, names, values, 2);
    return f;
}

static bool is_ours(const char *name, void *to)
{
    (void)to;
    return strncmp(name, "process_", 8) != 0 && strncmp(name, "tulle", 5) != 0;
}

static void export(struct fixture *f, bool used_only)
{
    struct stats_query query = {.is_wanted = is_ours, .used_only = used_only};
    buffer_reset(&f->out);
    stats_export_prometheus(f->registry, &query, &f->out);
}

static void tear_down(struct fixture *f)
{
    stats_labels_release(f->registry, f->labels);
    stats_set_destroy(f->set);
    stats_registry_destroy(f->registry);
    buffer_fini(&f->out);
}

TEST(export_prometheus_groups_by_metric)
{
    struct fixture f = set_up("web \"1\"\\\n");
    uint32_t bare = stats_resolve(f.registry, &requests, NULL);
    uint32_t labelled = stats_resolve(f.registry, &requests, f.labels);
    uint32_t gauge = stats_resolve(f.registry, &active, NULL);
    counter_add(f.set, bare, 1);
    counter_add(f.set, labelled, 2);
    gauge_set(f.set, gauge, -5);
    export(&f, false);
    CHECK(buffer_equals(&f.out, "# TYPE envoy_active gauge\n"
                                "envoy_active -5\n"
                                "# HELP istio_requests_total Requests.\\nAll \"of\" them, \\\\.\n"
                                "# TYPE istio_requests_total counter\n"
                                "istio_requests_total 1\n"
                                "istio_requests_total{reporter=\"source\","
                                "source_workload=\"web \\\"1\\\"\\\\\\n\"} 2\n"),
          "%s", f.out.data);
    tear_down(&f);
}

TEST(export_prometheus_shows_buckets_in_milliseconds)
{
    struct fixture f = set_up("web");
    uint32_t slot = stats_resolve(f.registry, &times, f.labels);
    static const uint64_t values[] = {0,     500,   501,        1000,      1001,
                                      25000, 25001, 3600000000, 3600000001};
    EACH (value, values)
        histogram_record(f.set, slot, *value);
    export(&f, false);
#define NAME "istio_request_duration_milliseconds"
#define LABELS "reporter=\"source\",source_workload=\"web\""
#define BUCKET(bound, count) NAME "_bucket{" LABELS ",le=\"" bound "\"} " count "\n"
    CHECK(buffer_equals(&f.out,
                        "# TYPE " NAME " histogram\n" BUCKET("0.5", "2") BUCKET("1", "4")
                            BUCKET("5", "5") BUCKET("10", "5") BUCKET("25", "6") BUCKET("50", "7")
                                BUCKET("100", "7") BUCKET("250", "7") BUCKET("500", "7")
                                    BUCKET("1000", "7") BUCKET("2500", "7") BUCKET("5000", "7")
                                        BUCKET("10000", "7") BUCKET("30000", "7")
                                            BUCKET("60000", "7") BUCKET("300000", "7")
                                                BUCKET("600000", "7") BUCKET("1800000", "7")
                                                    BUCKET("3600000", "8") BUCKET("+Inf", "9") NAME
                        "_sum{" LABELS "} 7200053.004\n" NAME "_count{" LABELS "} 9\n"),
          "%s", f.out.data);
    tear_down(&f);
}

TEST(export_prometheus_shows_plain_histograms_without_labels)
{
    struct fixture f = set_up("web");
    static const double bounds[] = {10, 1000}, shorter[] = {1};
    stats_set_bounds(f.registry, "istio_request", bounds, 2);
    stats_set_bounds(f.registry, "istio", shorter, 1);
    uint32_t slot = stats_resolve(f.registry, &sizes, NULL);
    histogram_record(f.set, slot, 1000);
    histogram_record(f.set, slot, 10);
    export(&f, false);
    CHECK(buffer_equals(&f.out, "# TYPE istio_request_bytes histogram\n"
                                "istio_request_bytes_bucket{le=\"10\"} 1\n"
                                "istio_request_bytes_bucket{le=\"1000\"} 2\n"
                                "istio_request_bytes_bucket{le=\"+Inf\"} 2\n"
                                "istio_request_bytes_sum 1010\n"
                                "istio_request_bytes_count 2\n"),
          "%s", f.out.data);
    tear_down(&f);
}

TEST(export_prometheus_can_leave_out_what_is_unused)
{
    struct fixture f = set_up("web");
    uint32_t slot = stats_resolve(f.registry, &requests, f.labels);
    stats_resolve(f.registry, &requests, NULL);
    stats_resolve(f.registry, &times, NULL);
    export(&f, true);
    CHECK(buffer_equals(&f.out, ""), "%s", f.out.data);
    counter_increment(f.set, slot);
    export(&f, true);
    CHECK(slice_ends_with(buffer_slice(&f.out), SLICE("{" LABELS "} 1\n")), "%s", f.out.data);
    CHECK(slice_find(buffer_slice(&f.out), SLICE("istio_requests_total 0")) == SIZE_MAX);
    tear_down(&f);
}

TEST(export_prometheus_shows_seconds_where_the_metric_has_seconds)
{
    static const struct stats_metric seconds = {
        .name = "pilot_debounce_time", .kind = STATS_HISTOGRAM, .unit = STATS_SECONDS};
    static const double bounds[] = {0.1, 1};
    struct fixture f = set_up("w");
    uint32_t slot = stats_resolve(f.registry, &seconds, NULL);
    stats_set_bounds(f.registry, "pilot_", bounds, 2);
    histogram_record(f.set, slot, 100000);
    histogram_record(f.set, slot, 400050);
    export(&f, false);
    CHECK(strstr(f.out.data, "pilot_debounce_time_bucket{le=\"0.1\"} 1\n"), "%s", f.out.data);
    CHECK(strstr(f.out.data, "pilot_debounce_time_bucket{le=\"1\"} 2\n"), "%s", f.out.data);
    CHECK(strstr(f.out.data, "pilot_debounce_time_sum 0.500050\n"), "%s", f.out.data);
    stats_release(f.registry, slot);
    tear_down(&f);
}
