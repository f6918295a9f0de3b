#include "build/access_log.h"

#include "build/access_logs_internal.h"
#include "build/edits_internal.h"
#include "build/matchers_internal.h"
#include "build/values_internal.h"

#include "envoy/extensions/access_loggers/file/v3/file.pb-c.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb-c.h"

static const struct {
    const char *name, *long_name;
} flags[ACCESS_LOG_FLAGS] = {
    [FLAG_LH] = {"LH", "FailedLocalHealthCheck"},
    [FLAG_UH] = {"UH", "NoHealthyUpstream"},
    [FLAG_UT] = {"UT", "UpstreamRequestTimeout"},
    [FLAG_LR] = {"LR", "LocalReset"},
    [FLAG_UR] = {"UR", "UpstreamRemoteReset"},
    [FLAG_UF] = {"UF", "UpstreamConnectionFailure"},
    [FLAG_UC] = {"UC", "UpstreamConnectionTermination"},
    [FLAG_UO] = {"UO", "UpstreamOverflow"},
    [FLAG_NR] = {"NR", "NoRouteFound"},
    [FLAG_DI] = {"DI", "DelayInjected"},
    [FLAG_FI] = {"FI", "FaultInjected"},
    [FLAG_RL] = {"RL", "RateLimited"},
    [FLAG_UAEX] = {"UAEX", "UnauthorizedExternalService"},
    [FLAG_RLSE] = {"RLSE", "RateLimitServiceError"},
    [FLAG_DC] = {"DC", "DownstreamConnectionTermination"},
    [FLAG_URX] = {"URX", "UpstreamRetryLimitExceeded"},
    [FLAG_SI] = {"SI", "StreamIdleTimeout"},
    [FLAG_IH] = {"IH", "InvalidEnvoyRequestHeaders"},
    [FLAG_DPE] = {"DPE", "DownstreamProtocolError"},
    [FLAG_UMSDR] = {"UMSDR", "UpstreamMaxStreamDurationReached"},
    [FLAG_RFCF] = {"RFCF", "ResponseFromCacheFilter"},
    [FLAG_NFCF] = {"NFCF", "NoFilterConfigFound"},
    [FLAG_DT] = {"DT", "DurationTimeout"},
    [FLAG_UPE] = {"UPE", "UpstreamProtocolError"},
    [FLAG_NC] = {"NC", "NoClusterFound"},
    [FLAG_OM] = {"OM", "OverloadManagerTerminated"},
    [FLAG_DF] = {"DF", "DnsResolutionFailed"},
    [FLAG_DO] = {"DO", "DropOverload"},
    [FLAG_UDPE] = {"UDPE", "UnconditionalDropOverload"},
    [FLAG_DR] = {"DR", "DownstreamRemoteReset"},
};

const char *access_log_flag_name(enum access_log_flag flag)
{
    return flags[flag].name;
}

const char *access_log_flag_long_name(enum access_log_flag flag)
{
    return flags[flag].long_name;
}

bool access_log_flag_parse(struct slice name, enum access_log_flag *flag)
{
    for (int i = 0; i < ACCESS_LOG_FLAGS; i++) {
        if (slice_equals_str(name, flags[i].name)) {
            *flag = (enum access_log_flag)i;
            return true;
        }
    }
    return false;
}

#define REQUEST_PART                                                                               \
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "             \
    "%RESPONSE_CODE% %RESPONSE_FLAGS% "
#define SIZES_PART                                                                                 \
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "              \
    "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" "                    \
    "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\""

struct slice access_log_default_format(void)
{
    return SLICE(REQUEST_PART SIZES_PART "\n");
}

struct slice access_log_istio_format(void)
{
    return SLICE(REQUEST_PART
                 "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
                 "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" " SIZES_PART
                 " %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% "
                 "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n");
}

static bool compares(enum access_log_compare how, uint64_t value, uint64_t with)
{
    switch (how) {
    case ACCESS_LOG_EQ: return value == with;
    case ACCESS_LOG_GE: return value >= with;
    case ACCESS_LOG_LE: return value <= with;
    case ACCESS_LOG_NE: return value != with;
    }
    return false;
}

static bool test_holds(const void *rule, const void *input)
{
    const struct access_log_test *test = rule;
    const struct access_log_facts *facts = input;
    switch (test->kind) {
    case ACCESS_LOG_STATUS: return compares(test->compare, facts->status, test->value);
    case ACCESS_LOG_DURATION: return compares(test->compare, facts->duration_ms, test->value);
    case ACCESS_LOG_FLAG:
        return test->flags ? (facts->flags & test->flags) != 0 : facts->flags != 0;
    case ACCESS_LOG_HEADER:
        return facts->request && header_match_test(&test->header, facts->request);
    case ACCESS_LOG_NOT_HEALTH_CHECK: return !facts->health_check;
    }
    return false;
}

bool access_log_wants(const struct access_log *log, const struct access_log_facts *facts)
{
    return predicate_holds(&log->filter, test_holds, facts);
}

static bool build_comparison(struct builder *b,
                             const Envoy__Config__Accesslog__V3__ComparisonFilter *message,
                             struct access_log_test *test)
{
    if (!message || !message->value)
        return build_fail_at(b, "comparison", "this is required");
    uint32_t op = (uint32_t)PB_GET(message, op, 0);
    if (op > ACCESS_LOG_NE)
        return build_fail_at(b, "comparison.op", "%u is no comparison", op);
    test->compare = (enum access_log_compare)op;
    test->value = PB_GET(message->value, default_value, 0);
    return true;
}

static bool build_flags(struct builder *b,
                        const Envoy__Config__Accesslog__V3__ResponseFlagFilter *message,
                        struct access_log_test *test)
{
    for (size_t i = 0; i < message->n_flags; i++) {
        enum access_log_flag flag;
        if (!access_log_flag_parse(slice_str(message->flags[i]), &flag))
            return build_fail_at(b, "flags", "'%.32s' is no response flag", message->flags[i]);
        test->flags |= 1ULL << flag;
    }
    return true;
}

static bool build_filter(struct builder *b, const char *field,
                         const AccessLogFilterMessage *message, struct predicate_node *node);

static bool build_set(struct builder *b, const char *field, AccessLogFilterMessage *const *messages,
                      size_t count, enum predicate_kind kind, struct predicate_node *node)
{
    if (!build_enter(b, field))
        return false;
    struct predicate_node *children = arena_calloc(&b->scratch, count + 1, sizeof(*children));
    *node = (struct predicate_node){.kind = kind, .children = children, .child_count = count};
    for (size_t i = 0; i < count; i++) {
        if (!build_enter_at(b, "filters", i) || !build_filter(b, NULL, messages[i], &children[i]))
            return false;
        build_leave(b);
    }
    build_leave(b);
    return true;
}

#define FILTER(name) ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_##name

static bool build_test(struct builder *b, const AccessLogFilterMessage *message,
                       struct predicate_node *node)
{
    struct access_log_test *test = arena_new(&b->memory->arena, struct access_log_test);
    *node = (struct predicate_node){.kind = PREDICATE_TEST, .test = test};
    switch ((int)message->filter_specifier_case) {
    case FILTER(STATUS_CODE_FILTER):
        test->kind = ACCESS_LOG_STATUS;
        return build_comparison(b, message->status_code_filter->comparison, test);
    case FILTER(DURATION_FILTER):
        test->kind = ACCESS_LOG_DURATION;
        return build_comparison(b, message->duration_filter->comparison, test);
    case FILTER(NOT_HEALTH_CHECK_FILTER): test->kind = ACCESS_LOG_NOT_HEALTH_CHECK; return true;
    case FILTER(RESPONSE_FLAG_FILTER):
        test->kind = ACCESS_LOG_FLAG;
        return build_flags(b, message->response_flag_filter, test);
    case FILTER(HEADER_FILTER):
        test->kind = ACCESS_LOG_HEADER;
        if (!message->header_filter->header)
            return build_fail_at(b, "header_filter.header", "this is required");
        if (!build_enter(b, "header_filter.header") ||
            !build_header_match(b, message->header_filter->header, &test->header))
            return false;
        build_leave(b);
        return true;
    default: return build_fail(b, "this kind of filter does not act here yet");
    }
}

/* The depth of messages bounds the recursion: pb/guard.h. field NULL: entered already. */
static bool build_filter(struct builder *b, const char *field,
                         const AccessLogFilterMessage *message, struct predicate_node *node)
{
    if (field && !build_enter(b, field))
        return false;
    bool ok = build_honours(b, message, "status_code_filter", "duration_filter",
                            "not_health_check_filter", "and_filter", "or_filter", "header_filter",
                            "response_flag_filter");
    if (!ok)
        return false;
    switch ((int)message->filter_specifier_case) {
    case FILTER(AND_FILTER):
        ok = build_set(b, "and_filter", message->and_filter->filters,
                       message->and_filter->n_filters, PREDICATE_AND, node);
        break;
    case FILTER(OR_FILTER):
        ok = build_set(b, "or_filter", message->or_filter->filters, message->or_filter->n_filters,
                       PREDICATE_OR, node);
        break;
    default: ok = build_test(b, message, node); break;
    }
    if (ok && field)
        build_leave(b);
    return ok;
}

typedef Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog FileMessage;
typedef Envoy__Extensions__AccessLoggers__Stream__V3__StdoutAccessLog StdoutMessage;
typedef Envoy__Extensions__AccessLoggers__Stream__V3__StderrAccessLog StderrMessage;

static bool build_file(struct builder *b, const FileMessage *message, struct access_log *log,
                       const FormatStringMessage **format)
{
    if (!build_honours(b, message, "path", "log_format") ||
        !build_required(b, "path", message->path, 4096))
        return false;
    log->sink = ACCESS_LOG_FILE;
    if (strcmp(message->path, "/dev/stdout") == 0)
        log->sink = ACCESS_LOG_STDOUT;
    else if (strcmp(message->path, "/dev/stderr") == 0)
        log->sink = ACCESS_LOG_STDERR;
    else
        log->path = build_text(b, message->path);
    *format = message->access_log_format_case ? message->log_format : NULL;
    return true;
}

static bool build_sink(struct builder *b, const AnyMessage *any, struct access_log *log)
{
    const FormatStringMessage *format = NULL;
    ProtobufCMessage *message = build_any(b, "typed_config", any);
    if (!message)
        return false;
    if (message->descriptor ==
        &envoy__extensions__access_loggers__file__v3__file_access_log__descriptor) {
        if (!build_file(b, (const FileMessage *)message, log, &format))
            return false;
    } else if (message->descriptor ==
               &envoy__extensions__access_loggers__stream__v3__stdout_access_log__descriptor) {
        const StdoutMessage *out = (const StdoutMessage *)message;
        log->sink = ACCESS_LOG_STDOUT;
        format = out->access_log_format_case ? out->log_format : NULL;
    } else if (message->descriptor ==
               &envoy__extensions__access_loggers__stream__v3__stderr_access_log__descriptor) {
        const StderrMessage *out = (const StderrMessage *)message;
        log->sink = ACCESS_LOG_STDERR;
        format = out->access_log_format_case ? out->log_format : NULL;
    } else {
        return build_fail(b, "this is no access log that can be written");
    }
    if (format ? !build_format(b, "log_format", format, &log->format)
               : !build_ok(b, format_build_text(&log->format, access_log_default_format(),
                                                b->options, b->memory, b->error)))
        return false;
    build_leave_any(b);
    return true;
}

bool build_access_logs(struct builder *b, const char *field, AccessLogMessage *const *messages,
                       size_t count, struct access_logs *out)
{
    if (count > ACCESS_LOGS_MAX)
        return build_fail_at(b, field, "there are %zu logs, and the limit is %d", count,
                             ACCESS_LOGS_MAX);
    struct access_log *logs = build_array(b, struct access_log, count);
    for (size_t i = 0; i < count; i++) {
        struct predicate_node root = {.kind = PREDICATE_ALWAYS};
        const AccessLogMessage *message = messages[i];
        if (!build_enter_at(b, field, i) ||
            !build_honours(b, message, "name", "filter", "typed_config"))
            return false;
        if (message->filter && !build_filter(b, "filter", message->filter, &root))
            return false;
        if (!build_ok_at(b, "filter",
                         predicate_build(&logs[i].filter, &root, b->memory, b->error)) ||
            !build_sink(b, message->config_type_case ? message->typed_config : NULL, &logs[i]))
            return false;
        build_leave(b);
    }
    *out = (struct access_logs){logs, count};
    return true;
}
