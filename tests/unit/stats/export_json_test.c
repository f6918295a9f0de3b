#include "test.h"

#include "base/buffer.h"
#include "stats/counter.h"
#include "stats/export.h"
#include "stats/histogram.h"
#include "stats/registry.h"

static const struct stats_metric requests = {.name = "envoy_cluster_upstream_rq_total",
                                             .text = "cluster.%.upstream_rq_total",
                                             .kind = STATS_COUNTER};
static const struct stats_metric sizes = {.name = "envoy_cluster_upstream_rq_body_size",
                                          .text = "cluster.%.upstream_rq_body_size",
                                          .kind = STATS_HISTOGRAM};
static const struct stats_label labels_of_cluster[] = {{"cluster_name", false}};

struct fixture {
    struct stats_registry *registry;
    struct stats_set *set;
    uint32_t requests, sizes;
};

static struct fixture set_up(void)
{
    struct fixture f = {.registry = stats_registry_create(0)};
    f.set = stats_set_create(f.registry);
    struct slice value = SLICE("a\"b");
    struct stats_labels *labels = stats_labels_hold(f.registry, labels_of_cluster, &value, 1);
    f.requests = stats_resolve(f.registry, &requests, labels);
    f.sizes = stats_resolve(f.registry, &sizes, labels);
    stats_labels_release(f.registry, labels);
    return f;
}

static void tear_down(struct fixture *f)
{
    stats_set_destroy(f->set);
    stats_registry_destroy(f->registry);
}

TEST(export_json_is_envoys)
{
    struct fixture f = set_up();
    counter_add(f.set, f.requests, 42);
    for (uint64_t i = 0; i < 10; i++)
        histogram_record(f.set, f.sizes, 7);
    struct stats_query query = {.used_only = true};
    owned_buffer out = {0};
    stats_export_json(f.registry, &query, &out);
#define VALUE "{\"interval\":null,\"cumulative\":7}"
#define VALUES VALUE "," VALUE "," VALUE "," VALUE "," VALUE
    CHECK(buffer_equals(
              &out, "{\"stats\":["
                    "{\"name\":\"cluster.a\\\"b.upstream_rq_total\",\"value\":42},"
                    "{\"name\":\"tulle.stats.series\",\"value\":4},"
                    "{\"histograms\":{\"supported_quantiles\":[0,25,50,75,90,95,99,99.5,99.9,100],"
                    "\"computed_quantiles\":[{\"name\":\"cluster.a\\\"b.upstream_rq_body_size\","
                    "\"values\":[" VALUES "," VALUES "]}]}}]}\n"),
          "%s", out.data);
    tear_down(&f);
}

TEST(export_json_shows_buckets)
{
    struct fixture f = set_up();
    histogram_record(f.set, f.sizes, 0);
    histogram_record(f.set, f.sizes, 3);
    struct stats_query query = {.used_only = true, .buckets = STATS_CUMULATIVE};
    static const double bounds[] = {1, 2.5, 4};
    stats_set_bounds(f.registry, "envoy_cluster", bounds, 3);
    owned_buffer out = {0};
    stats_export_json(f.registry, &query, &out);
    CHECK(
        slice_ends_with(
            buffer_slice(&out),
            SLICE(
                "{\"histograms\":[{\"name\":\"cluster.a\\\"b.upstream_rq_body_size\",\"buckets\":["
                "{\"upper_bound\":1,\"interval\":0,\"cumulative\":1},"
                "{\"upper_bound\":2.5,\"interval\":0,\"cumulative\":1},"
                "{\"upper_bound\":4,\"interval\":0,\"cumulative\":2}]}]}]}\n")),
        "%s", out.data);
    tear_down(&f);
}

static bool nothing(const char *name, void *to)
{
    (void)name;
    (void)to;
    return false;
}

TEST(export_json_of_nothing_is_still_json)
{
    struct fixture f = set_up();
    struct stats_query query = {.is_wanted = nothing};
    owned_buffer out = {0};
    stats_export_json(f.registry, &query, &out);
    CHECK(buffer_equals(&out, "{\"stats\":[]}\n"), "%s", out.data);
    tear_down(&f);
}
