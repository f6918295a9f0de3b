#include "proxy/http_profile.h"

#include "test.h"

#include "build/cluster.h"
#include "build/hcm.h"

/* A stalled reader once held HTTP/2's window over HTTP/1, which needs a quarter of it. */
TEST(http2_windows_say_nothing_about_http1)
{
    struct hcm hcm = {.http2 = {.stream_window = 1 << 24, .connection_window = 1 << 25}};
    struct http_profile *profile = http_profile_of_hcm(&hcm, 1 << 20);
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
    EACH (row, rows) {
        struct hcm hcm = {.max_head_kb = 8};
        struct cluster cluster = {.buffer_limit = row->limit};
        struct http_profile *down = http_profile_of_hcm(&hcm, row->limit);
        struct http_profile *up = http_profile_of_cluster(&cluster, HTTP_ONLY_1);
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
