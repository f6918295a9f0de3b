#include "test.h"

#include "base/buffer.h"
#include "stats/counter.h"
#include "stats/export.h"
#include "stats/histogram.h"
#include "stats/registry.h"

static const struct stats_metric cluster_requests = {.name = "envoy_cluster_upstream_rq_total",
                                                     .text = "cluster.%.upstream_rq_total",
                                                     .kind = STATS_COUNTER};
static const struct stats_metric cluster_class = {.name = "envoy_cluster_upstream_rq_xx",
                                                  .text = "cluster.%.upstream_rq_%xx",
                                                  .kind = STATS_COUNTER};
static const struct stats_metric cluster_active = {.name = "envoy_cluster_upstream_cx_active",
                                                   .text = "cluster.%.upstream_cx_active",
                                                   .kind = STATS_GAUGE};
static const struct stats_metric cluster_time = {.name = "envoy_cluster_upstream_rq_time",
                                                 .text = "cluster.%.upstream_rq_time",
                                                 .kind = STATS_HISTOGRAM,
                                                 .unit = STATS_MICROSECONDS};
static const struct stats_metric istio_requests = {.name = "istio_requests_total",
                                                   .kind = STATS_COUNTER};
static const struct stats_label cluster_labels[] = {{"cluster_name", false},
                                                    {"response_code_class", false}};

struct fixture {
    struct stats_registry *registry;
    struct stats_set *set;
    uint32_t requests, class, active, time;
};

static struct fixture set_up(const char *cluster)
{
    struct fixture f = {.registry = stats_registry_create(0)};
    f.set = stats_set_create(f.registry);
    struct slice values[] = {slice_str(cluster), SLICE("2")};
    struct stats_labels *one = stats_labels_hold(f.registry, cluster_labels, values, 1);
    struct stats_labels *two = stats_labels_hold(f.registry, cluster_labels, values, 2);
    f.requests = stats_resolve(f.registry, &cluster_requests, one);
    f.active = stats_resolve(f.registry, &cluster_active, one);
    f.time = stats_resolve(f.registry, &cluster_time, one);
    f.class = stats_resolve(f.registry, &cluster_class, two);
    stats_resolve(f.registry, &istio_requests, two);
    stats_labels_release(f.registry, one);
    stats_labels_release(f.registry, two);
    return f;
}

static void tear_down(struct fixture *f)
{
    stats_set_destroy(f->set);
    stats_registry_destroy(f->registry);
}

static bool is_of_cluster(const char *name, void *to)
{
    ++*(int *)to;
    return strncmp(name, "cluster.", 8) == 0;
}

TEST(export_text_is_sorted_with_histograms_last)
{
    struct fixture f = set_up("outbound|80||web.default.svc.cluster.local");
    counter_add(f.set, f.requests, 42);
    counter_add(f.set, f.class, 40);
    gauge_add(f.set, f.active, -3);
    owned_buffer out = {0};
    stats_export_text(f.registry, NULL, &out);
    CHECK(buffer_equals(
              &out, "cluster.outbound|80||web.default.svc.cluster.local.upstream_cx_active: -3\n"
                    "cluster.outbound|80||web.default.svc.cluster.local.upstream_rq_2xx: 40\n"
                    "cluster.outbound|80||web.default.svc.cluster.local.upstream_rq_total: 42\n"
                    "istio_requests_total.cluster_name.outbound|80||web.default.svc.cluster.local."
                    "response_code_class.2: 0\n"
                    "tulle.stats.folded: 0\n"
                    "tulle.stats.series: 7\n"
                    "cluster.outbound|80||web.default.svc.cluster.local.upstream_rq_time: No "
                    "recorded values\n"),
          "%s", out.data);
    tear_down(&f);
}

TEST(export_text_asks_before_it_shows)
{
    struct fixture f = set_up("web");
    int asked = 0;
    struct stats_query query = {.is_wanted = is_of_cluster, .to = &asked, .used_only = true};
    owned_buffer out = {0};
    stats_export_text(f.registry, &query, &out);
    CHECK(buffer_equals(&out, "") && asked == 7);
    counter_increment(f.set, f.requests);
    stats_export_text(f.registry, &query, &out);
    CHECK(buffer_equals(&out, "cluster.web.upstream_rq_total: 1\n"), "%s", out.data);
    tear_down(&f);
}

TEST(export_text_shows_quantiles_and_buckets)
{
    struct fixture f = set_up("web");
    for (uint64_t i = 1; i <= 100; i++)
        histogram_record(f.set, f.time, i * 1000);
    struct stats_query query = {.used_only = true};
    owned_buffer summary = {0}, cumulative = {0}, disjoint = {0};
    stats_export_text(f.registry, &query, &summary);
    CHECK(slice_find(buffer_slice(&summary), SLICE("cluster.web.upstream_rq_time: P0(nan,")) !=
          SIZE_MAX);
    CHECK(slice_find(buffer_slice(&summary),
                     SLICE(" P50(nan,50) P75(nan,75) P90(nan,90) P95(nan,95) ")) != SIZE_MAX,
          "%s", summary.data);
    CHECK(slice_ends_with(buffer_slice(&summary), SLICE(" P100(nan,100)\n")), "%s", summary.data);
    query.buckets = STATS_CUMULATIVE;
    stats_export_text(f.registry, &query, &cumulative);
    CHECK(slice_find(buffer_slice(&cumulative),
                     SLICE(" B0.5(0,0) B1(0,1) B5(0,5) B10(0,10) B25(0,25) B50(0,50) "
                           "B100(0,100) B250(0,100) ")) != SIZE_MAX,
          "%s", cumulative.data);
    CHECK(slice_ends_with(buffer_slice(&cumulative), SLICE(" B3600000(0,100) Binf(0,100)\n")));
    query.buckets = STATS_DISJOINT;
    stats_export_text(f.registry, &query, &disjoint);
    CHECK(slice_find(buffer_slice(&disjoint),
                     SLICE(" B0.5(0,0) B1(0,1) B5(0,4) B10(0,5) B25(0,15) B50(0,25) "
                           "B100(0,50) B250(0,0) ")) != SIZE_MAX,
          "%s", disjoint.data);
    tear_down(&f);
}

TEST(export_text_keeps_a_name_on_its_line)
{
    struct fixture f = set_up("we\nb: 1");
    owned_buffer out = {0};
    stats_export_text(f.registry, NULL, &out);
    CHECK(slice_find(buffer_slice(&out), SLICE("\ncluster.we_b: 1.upstream_rq_total: 0\n")) !=
              SIZE_MAX,
          "%s", out.data);
    tear_down(&f);
}
