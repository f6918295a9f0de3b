#include "proxy/http_profile.h"

#include "base/memory.h"
#include "build/cluster.h"
#include "build/hcm.h"

#include <string.h>

static uint32_t clamp_ms(uint64_t ms)
{
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void begin(struct http_profile *profile)
{
    memset(profile, 0, sizeof(*profile));
    profile->limits = http_limits_default;
    profile->options = http_connection_defaults;
    profile->options.limits = NULL; /* the same for all, as long as they are compared */
}

static bool is_like(const struct http_profile *profile, const struct http_profile *wanted)
{
    struct http_connection_options options = profile->options;
    options.limits = NULL;
    return profile->series == wanted->series &&
           slice_equals(slice_of(&profile->limits, sizeof(profile->limits)),
                        slice_of(&wanted->limits, sizeof(wanted->limits))) &&
           slice_equals(slice_of(&options, sizeof(options)),
                        slice_of(&wanted->options, sizeof(wanted->options)));
}

struct http_profile *http_profile_ref(struct http_profile *profile)
{
    profile->references++;
    return profile;
}

/* The worker's own that says the same, or a new one. */
static struct http_profile *share(struct list *profiles, const struct http_profile *wanted)
{
    LIST_EACH(node, profiles)
    {
        struct http_profile *profile = LIST_ENTRY(node, struct http_profile, node);
        if (!is_like(profile, wanted))
            continue;
        list_remove(&profile->node);
        list_push_front(profiles, &profile->node);
        return http_profile_ref(profile);
    }
    struct http_profile *profile = mem_new(struct http_profile);
    *profile = *wanted;
    profile->references = 1;
    profile->options.limits = &profile->limits;
    list_push_front(profiles, &profile->node);
    return profile;
}

static void apply_http2(struct http_profile *profile, const struct http2_options *http2)
{
    if (http2->max_streams)
        profile->limits.max_streams = http2->max_streams;
    if (http2->stream_window)
        profile->limits.stream_window = http2->stream_window;
    if (http2->connection_window)
        profile->limits.connection_window = http2->connection_window;
    profile->limits.allow_connect |= http2->allow_connect;
    profile->limits.offer_extended_connect |= http2->allow_connect;
    profile->options.ping_interval_ms = clamp_ms(http2->ping_interval_ms);
    profile->options.ping_timeout_ms = clamp_ms(http2->ping_timeout_ms);
}

static void apply_common(struct http_profile *profile, const struct http_options *options)
{
    if (options->max_headers)
        profile->limits.max_headers = options->max_headers;
    profile->options.idle_timeout_ms = clamp_ms(options->idle_timeout_ms);
    profile->options.max_requests = options->max_requests;
    profile->options.max_age_ms = clamp_ms(options->max_connection_ms);
    profile->limits.refuse_underscore_twins = options->underscores == HTTP_UNDERSCORES_REFUSE;
}

/* What HTTP/1 may hold before its consumer took it: the configured limit, and not more than the default. */
static void limit_buffer(struct http_profile *profile, uint32_t buffer_limit)
{
    profile->limits.receive_window = MIN(profile->limits.receive_window, MAX(buffer_limit, 1024u));
}

struct http_profile *http_profile_of_hcm(struct list *profiles, const struct hcm *hcm,
                                         uint32_t buffer_limit, struct http_series *series)
{
    struct http_profile made, *profile = &made;
    begin(profile);
    profile->series = series;
    limit_buffer(profile, buffer_limit);
    apply_common(profile, &hcm->options);
    apply_http2(profile, &hcm->http2);
    if (hcm->max_head_kb)
        profile->limits.max_head_bytes = hcm->max_head_kb * 1024;
    profile->options.stream_idle_timeout_ms = clamp_ms(hcm->stream_idle_ms);
    profile->options.write_stall_timeout_ms = clamp_ms(hcm->flush_ms);
    profile->options.drain_grace_ms = clamp_ms(hcm->drain_ms);
    profile->options.linger_ms = clamp_ms(hcm->delayed_close_ms);
    if (hcm->request_headers_ms)
        profile->options.head_timeout_ms = clamp_ms(hcm->request_headers_ms);
    for (uint32_t i = 0; i < hcm->upgrade_count; i++) {
        bool is_connect = slice_equals(hcm->upgrades[i].kind, SLICE("connect"));
        profile->limits.allow_connect |= is_connect;
        profile->limits.offer_extended_connect |= !is_connect;
    }
    switch (hcm->codec) {
    case HCM_CODEC_AUTO: profile->options.choice = HTTP_CHOOSE; break;
    case HCM_CODEC_HTTP1: profile->options.choice = HTTP_ONLY_1; break;
    case HCM_CODEC_HTTP2: profile->options.choice = HTTP_ONLY_2; break;
    }
    return share(profiles, profile);
}

struct http_profile *http_profile_of_cluster(struct list *profiles, const struct cluster *cluster,
                                             enum http_choice choice)
{
    struct http_profile made, *profile = &made;
    begin(profile);
    limit_buffer(profile, cluster->buffer_limit);
    apply_common(profile, &cluster->options);
    apply_http2(profile, &cluster->http2);
    profile->options.head_timeout_ms =
        0; /* the route's timeout decides how long an answer may take */
    profile->options.stream_idle_timeout_ms = 0;
    profile->options.choice = (uint8_t)choice;
    return share(profiles, profile);
}

void http_profile_unref(struct http_profile *profile)
{
    if (!profile || --profile->references > 0)
        return;
    list_remove(&profile->node);
    mem_free(profile);
}
