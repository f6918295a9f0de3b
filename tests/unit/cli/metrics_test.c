#include "cli/metrics.h"

#include "test.h"

#include <math.h>

static const char scrape[] =
    "# HELP istio_requests_total Requests.\n# TYPE istio_requests_total counter\n"
    "istio_requests_total{reporter=\"destination\",connection_security_policy=\"mutual_tls\","
    "response_code=\"200\"} 90\n"
    "istio_requests_total{reporter=\"destination\",connection_security_policy=\"mutual_tls\","
    "response_code=\"503\"} 10\n"
    "istio_requests_total{reporter=\"source\",connection_security_policy=\"unknown\",response_code="
    "\"200\"} 1000\n"
    "istio_tcp_connections_opened_total{reporter=\"destination\",connection_security_policy="
    "\"none\"} 4 1700000000000\n"
    "istio_request_duration_milliseconds_bucket{reporter=\"destination\",le=\"1\"} 50\n"
    "istio_request_duration_milliseconds_bucket{reporter=\"destination\",le=\"5\"} 100\n"
    "istio_request_duration_milliseconds_bucket{reporter=\"destination\",le=\"+Inf\"} 100\n"
    "broken{a=\"b\nbroken_too\nnan_value NaN\n";

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

TEST(samples_have_names_labels_and_values)
{
    struct slice text = SLICE("a{x=\"1}\\\"2\", y=\"z\"} 3.5\r\n\n# no\nb 7 99\nc{} +Inf");
    struct metric metric;
    CHECK(metric_next(&text, &metric) && slice_equals_str(metric.name, "a"));
    CHECK(is_near(metric.value, 3.5));
    CHECK(slice_equals_str(metric_label(&metric, "x"), "1}\\\"2"));
    CHECK(slice_equals_str(metric_label(&metric, "y"), "z"));
    CHECK(metric_label(&metric, "z").size == 0);
    CHECK(metric_next(&text, &metric) && is_near(metric.value, 7));
    CHECK(metric_next(&text, &metric) && isinf(metric.value));
    CHECK(!metric_next(&text, &metric));
}

TEST(golden_numbers_are_of_the_destination)
{
    struct golden golden = {0};
    golden_add(&golden, slice_str(scrape));
    CHECK(is_near(golden.requests, 100) && is_near(golden.failed, 10));
    CHECK(is_near(golden.tcp_opened, 4));
    CHECK(is_near(golden_secured(&golden), 100.0 / 104));
    CHECK(is_near(golden_quantile(&golden, 0.25), 0.5));
    CHECK(is_near(golden_quantile(&golden, 0.75), 3));
}

TEST(golden_since_takes_differences_and_survives_restarts)
{
    struct golden before = {0}, after = {0};
    golden_add(&before, slice_str(scrape));
    golden_add(&after, slice_str(scrape));
    golden_add(&after, slice_str(scrape));
    struct golden since = golden_since(&after, &before);
    CHECK(is_near(since.requests, 100));
    CHECK(is_near(golden_quantile(&since, 0.75), 3));
    since = golden_since(&before, &after);
    CHECK(is_near(since.requests, 100), "a counter that fell back began anew");
}

TEST(nothing_seen_has_no_quantile_and_no_share)
{
    struct golden none = {0};
    CHECK(golden_quantile(&none, 0.5) < 0);
    CHECK(golden_secured(&none) < 0);
}

TEST(a_ladder_longer_than_the_limit_is_cut)
{
    struct golden golden = {0};
    char line[160];
    for (int i = 0; i <= GOLDEN_BUCKETS; i++) {
        int size = snprintf(line, sizeof(line),
                            "istio_request_duration_milliseconds_bucket{reporter=\"destination\","
                            "le=\"%d\"} %d\n",
                            i, i);
        golden_add(&golden, slice_of(line, (size_t)size));
    }
    CHECK(golden.bucket_count == GOLDEN_BUCKETS);
}
