#include "build/routes_internal.h"

#include "build/matchers_internal.h"
#include "build/values_internal.h"

#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb-c.h"

enum { RETRY_BACK_OFF_MS = 25, RETRY_STATUS_MAX = 64, RETRY_HOST_ATTEMPTS_MAX = 100 };

bool retry_on_parse(struct slice text, uint32_t *mask, struct error *error)
{
    static const struct {
        struct slice word;
        uint32_t bit;
    } words[] = {
        {SLICE("5xx"), RETRY_5XX},
        {SLICE("gateway-error"), RETRY_GATEWAY_ERROR},
        {SLICE("reset"), RETRY_RESET},
        {SLICE("reset-before-request"), RETRY_RESET_BEFORE_REQUEST},
        {SLICE("connect-failure"), RETRY_CONNECT_FAILURE},
        {SLICE("refused-stream"), RETRY_REFUSED_STREAM},
        {SLICE("retriable-4xx"), RETRY_RETRIABLE_4XX},
        {SLICE("retriable-status-codes"), RETRY_STATUS_CODES},
        {SLICE("retriable-headers"), RETRY_HEADERS},
        {SLICE("envoy-ratelimited"), RETRY_ENVOY_RATELIMITED},
        {SLICE("http3-post-connect-failure"), RETRY_HTTP3_CONNECT_FAILURE},
        {SLICE("cancelled"), RETRY_GRPC_CANCELLED},
        {SLICE("deadline-exceeded"), RETRY_GRPC_DEADLINE_EXCEEDED},
        {SLICE("internal"), RETRY_GRPC_INTERNAL},
        {SLICE("resource-exhausted"), RETRY_GRPC_RESOURCE_EXHAUSTED},
        {SLICE("unavailable"), RETRY_GRPC_UNAVAILABLE},
    };
    uint32_t bits = 0;
    while (text.size > 0) {
        struct slice word;
        slice_cut(text, ',', &word, &text);
        word = slice_trim(word);
        size_t i = 0;
        while (i < COUNT(words) && !slice_equals(word, words[i].word))
            i++;
        if (i < COUNT(words))
            bits |= words[i].bit;
        else if (word.size > 0)
            return error_set(error, NULL, "'%.*s' is no reason to retry",
                             (int)MIN(word.size, (size_t)64), word.data);
    }
    *mask = bits;
    return true;
}

static bool build_codes(struct builder *b, const RetryPolicyMessage *message,
                        struct retry_policy *policy)
{
    size_t count = message->n_retriable_status_codes;
    if (count > RETRY_STATUS_MAX)
        return build_fail_at(b, "retriable_status_codes", "there are %zu, and the limit is %d",
                             count, RETRY_STATUS_MAX);
    uint16_t *codes = build_array(b, uint16_t, count);
    for (size_t i = 0; i < count; i++) {
        if (message->retriable_status_codes[i] < 100 || message->retriable_status_codes[i] > 599)
            return build_fail_at(b, "retriable_status_codes", "%u is no status",
                                 message->retriable_status_codes[i]);
        codes[i] = (uint16_t)message->retriable_status_codes[i];
    }
    policy->status_codes = codes;
    policy->status_code_count = (uint32_t)count;
    return true;
}

static bool build_back_off(struct builder *b,
                           const Envoy__Config__Route__V3__RetryPolicy__RetryBackOff *message,
                           struct retry_policy *policy)
{
    policy->back_off_ms = RETRY_BACK_OFF_MS;
    policy->back_off_max_ms = 10 * RETRY_BACK_OFF_MS;
    if (!message)
        return true;
    if (!build_enter(b, "retry_back_off") ||
        !build_honours(b, message, "base_interval", "max_interval") ||
        !build_ms(b, "base_interval", message->base_interval, 0, &policy->back_off_ms) ||
        !build_ms(b, "max_interval", message->max_interval, 10 * policy->back_off_ms,
                  &policy->back_off_max_ms))
        return false;
    if (policy->back_off_ms == 0)
        return build_fail_at(b, "base_interval", "this is required and above 0");
    if (policy->back_off_max_ms < policy->back_off_ms)
        return build_fail_at(b, "max_interval", "the longest interval is shorter than the first");
    build_leave(b);
    return true;
}

static bool build_predicates(struct builder *b, const RetryPolicyMessage *message,
                             struct retry_policy *policy)
{
    for (size_t i = 0; i < message->n_retry_host_predicate; i++) {
        const Envoy__Config__Route__V3__RetryPolicy__RetryHostPredicate *predicate =
            message->retry_host_predicate[i];
        const char *url =
            predicate->config_type_case ? pb_str(predicate->typed_config->type_url) : "";
        const char *known = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
        const char *type = strrchr(url, '/');
        if (!type || strcmp(type + 1, known) != 0)
            return build_fail_at(b, "retry_host_predicate", "only %s acts yet", known);
        policy->other_hosts = true;
    }
    return true;
}

bool build_retry_policy(struct builder *b, const RetryPolicyMessage *message,
                        const struct retry_policy **out)
{
    *out = NULL;
    if (!message)
        return true;
    struct retry_policy *policy = arena_new(&b->memory->arena, struct retry_policy);
    int64_t attempts = PB_GET(message, host_selection_retry_max_attempts, 0);
    if (!build_enter(b, "retry_policy") ||
        !build_honours(b, message, "retry_on", "num_retries", "per_try_timeout",
                       "retry_host_predicate", "host_selection_retry_max_attempts",
                       "retriable_status_codes", "retry_back_off", "per_try_idle_timeout") ||
        !build_ok_at(b, "retry_on",
                     retry_on_parse(slice_str(pb_str(message->retry_on)), &policy->on, b->error)) ||
        !build_u32(b, "num_retries", message->num_retries, 1, 0, UINT32_MAX, &policy->retries) ||
        !build_ms(b, "per_try_timeout", message->per_try_timeout, 0, &policy->per_try_ms) ||
        !build_ms(b, "per_try_idle_timeout", message->per_try_idle_timeout, 0,
                  &policy->per_try_idle_ms) ||
        !build_codes(b, message, policy) || !build_back_off(b, message->retry_back_off, policy) ||
        !build_predicates(b, message, policy))
        return false;
    if (policy->retries > ROUTE_RETRIES_MAX)
        return build_fail_at(b, "num_retries", "%u is more than %d", policy->retries,
                             ROUTE_RETRIES_MAX);
    if (attempts < 0 || attempts > RETRY_HOST_ATTEMPTS_MAX)
        return build_fail_at(b, "host_selection_retry_max_attempts", "%ld is not between 0 and %d",
                             attempts, RETRY_HOST_ATTEMPTS_MAX);
    policy->host_attempts = attempts ? (uint32_t)attempts : 1;
    build_leave(b);
    *out = policy;
    return true;
}
