#include "proxy/http_profile.h"

#include "test.h"

#include "build/cluster.h"
#include "build/hcm.h"

/* A stalled reader once held HTTP/2's window over HTTP/1, which needs a quarter of it. */
TEST(http2_windows_say_nothing_about_http1)
{
    struct hcm hcm = {.http2 = {.stream_window = 1 << 24, .connection_window = 1 << 25}};
    struct list profiles;
    list_init(&profiles);
    struct http_profile *profile = http_profile_of_hcm(&profiles, &hcm, 1 << 20, NULL);
    CHECK(profile->limits.receive_window == http_limits_default.receive_window, "%u",
          profile->limits.receive_window);
    CHECK(profile->limits.stream_window == 1 << 24);
    CHECK(profile->limits.connection_window == 1 << 25);
    http_profile_unref(profile);
}

TEST(buffer_limits_narrow_what_http1_holds)
{
    static const struct {
        uint32_t limit, window;
    } rows[] = {{1 << 20, 64 * 1024}, {64 * 1024, 64 * 1024}, {4096, 4096}, {0, 1024}};
    struct list profiles;
    list_init(&profiles);
    EACH (row, rows) {
        struct hcm hcm = {.max_head_kb = 8};
        struct cluster cluster = {.buffer_limit = row->limit};
        struct http_profile *down = http_profile_of_hcm(&profiles, &hcm, row->limit, NULL);
        struct http_profile *up = http_profile_of_cluster(&profiles, &cluster, HTTP_ONLY_1);
        CHECK(down->limits.receive_window == row->window, "%u", down->limits.receive_window);
        CHECK(up->limits.receive_window == row->window, "%u", up->limits.receive_window);
        CHECK(down->limits.max_head_bytes == 8192);
        CHECK(up->options.choice == HTTP_ONLY_1 && up->options.head_timeout_ms == 0);
        http_profile_unref(http_profile_ref(down));
        http_profile_unref(down);
        http_profile_unref(up);
    }
    http_profile_unref(NULL);
}

/* Each connection once had limits of its own, 128 bytes that said the same. */
TEST(connections_share_what_is_equal)
{
    struct list profiles;
    list_init(&profiles);
    struct hcm hcm = {.max_head_kb = 8}, same = hcm, other = {.max_head_kb = 9};
    struct http_profile *first = http_profile_of_hcm(&profiles, &hcm, 4096, NULL);
    struct http_profile *third = http_profile_of_hcm(&profiles, &other, 4096, NULL);
    struct http_profile *second = http_profile_of_hcm(&profiles, &same, 4096, NULL);
    CHECK(first == second && first != third);
    CHECK(first->options.limits == &first->limits && third->options.limits == &third->limits);
    http_profile_unref(first);
    CHECK(second->limits.max_head_bytes == 8192, "the other one holds it");
    char counted_elsewhere[1];
    struct http_profile *fourth =
        http_profile_of_hcm(&profiles, &hcm, 4096, (struct http_series *)(void *)counted_elsewhere);
    CHECK(fourth != second);
    http_profile_unref(second);
    http_profile_unref(third);
    http_profile_unref(fourth);
    CHECK(list_is_empty(&profiles));
}

TEST(timeouts_of_a_connection_manager_act)
{
    struct hcm hcm = {.options = {.idle_timeout_ms = 1, .max_connection_ms = 2},
                      .stream_idle_ms = 3,
                      .request_headers_ms = 4,
                      .drain_ms = 5,
                      .flush_ms = 6,
                      .delayed_close_ms = 7};
    struct list profiles;
    list_init(&profiles);
    struct http_profile *profile = http_profile_of_hcm(&profiles, &hcm, 1 << 20, NULL);
    const struct http_connection_options *options = &profile->options;
    CHECK(options->idle_timeout_ms == 1 && options->max_age_ms == 2 &&
          options->stream_idle_timeout_ms == 3 && options->head_timeout_ms == 4 &&
          options->drain_grace_ms == 5 && options->write_stall_timeout_ms == 6 &&
          options->linger_ms == 7);
    http_profile_unref(profile);
}
