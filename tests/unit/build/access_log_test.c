#include "test.h"

#include "base/memory.h"
#include "build/access_log.h"
#include "build/listener.h"
#include "build/yaml.h"
#include "match/fake_request.h"

static struct arena arena;

/* A listener with that access log. */
static bool build(const char *log, struct listener **out, struct error *error)
{
    owned_str text =
        str_format("{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 80}}, "
                   "access_log: [%s], "
                   "default_filter_chain: {filters: [{name: t, typed_config: {'@type': "
                   "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, "
                   "cluster: c}}]}}",
                   log);
    return listener_build(
        from_yaml(&arena, &envoy__config__listener__v3__listener__descriptor, text), &here, out,
        error);
}

#define STDOUT                                                                                     \
    "typed_config: {'@type': "                                                                     \
    "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}"
#define FILE_AT(path, rest)                                                                        \
    "typed_config: {'@type': type.googleapis.com/"                                                 \
    "envoy.extensions.access_loggers.file.v3.FileAccessLog, path: " path rest "}"

TEST(access_log_sinks)
{
    struct error error = {0};
    owned(listener) l = NULL;
    CHECK_TAKEN(build("{" STDOUT "}, {" FILE_AT("/dev/stderr", "") "}, {" FILE_AT(
                          "/var/log/x", ", log_format: "
                                        "{json_format: {a: '%PROTOCOL%'}}") "}",
                      &l, &error),
                &error, "three");
    CHECK(l->logs.count == 3 && l->logs.items[0].sink == ACCESS_LOG_STDOUT &&
          l->logs.items[1].sink == ACCESS_LOG_STDERR);
    CHECK(l->logs.items[2].sink == ACCESS_LOG_FILE &&
          slice_equals_str(l->logs.items[2].path, "/var/log/x"));
    CHECK(l->logs.items[2].format.is_json && !l->logs.items[0].format.is_json &&
          l->logs.items[0].format.count > 10);
    arena_fini(&arena);
}

TEST(access_log_filters)
{
    static const struct fake_field fields[] = {{"x-debug", "1"}, {0}};
    static const struct {
        const char *filter;
        uint32_t status;
        uint64_t duration_ms, flags;
        bool health_check, with_request, wants;
    } cases[] = {
        {"{status_code_filter: {comparison: {op: GE, value: {default_value: 400}}}}", 404, 0, 0,
         false, false, true},
        {"{status_code_filter: {comparison: {op: GE, value: {default_value: 400}}}}", 200, 0, 0,
         false, false, false},
        {"{status_code_filter: {comparison: {op: LE, value: {default_value: 200}}}}", 200, 0, 0,
         false, false, true},
        {"{status_code_filter: {comparison: {op: EQ, value: {default_value: 200}}}}", 201, 0, 0,
         false, false, false},
        {"{status_code_filter: {comparison: {op: NE, value: {default_value: 200}}}}", 201, 0, 0,
         false, false, true},
        {"{duration_filter: {comparison: {op: GE, value: {default_value: 50}}}}", 200, 51, 0, false,
         false, true},
        {"{response_flag_filter: {flags: [NR, UH]}}", 503, 0, 1ull << FLAG_UH, false, false, true},
        {"{response_flag_filter: {flags: [NR]}}", 503, 0, 1ull << FLAG_UH, false, false, false},
        {"{response_flag_filter: {}}", 503, 0, 1ull << FLAG_UH, false, false, true},
        {"{response_flag_filter: {}}", 503, 0, 0, false, false, false},
        {"{not_health_check_filter: {}}", 200, 0, 0, true, false, false},
        {"{header_filter: {header: {name: x-debug}}}", 200, 0, 0, false, true, true},
        {"{header_filter: {header: {name: x-debug}}}", 200, 0, 0, false, false, false},
        {"{or_filter: {filters: [{not_health_check_filter: {}}, {and_filter: {filters: "
         "[{response_flag_filter: {}}, "
         "{duration_filter: {comparison: {op: GE, value: {default_value: 5}}}}]}}]}}",
         200, 6, 1, true, false, true},
        {"{or_filter: {filters: [{not_health_check_filter: {}}, {and_filter: {filters: "
         "[{response_flag_filter: {}}, "
         "{duration_filter: {comparison: {op: GE, value: {default_value: 5}}}}]}}]}}",
         200, 4, 1, true, false, false},
    };
    EACH (row, cases) {
        struct error error = {0};
        struct listener *l = NULL;
        owned_str log = str_format("{filter: %s, " STDOUT "}", row->filter);
        CHECK_TAKEN(build(log, &l, &error), &error, row->filter);
        struct match_request request = fake_request("/", fields);
        struct access_log_facts facts = {row->status, row->duration_ms, row->flags,
                                         row->health_check, row->with_request ? &request : NULL};
        CHECK(access_log_wants(&l->logs.items[0], &facts) == row->wants, "row %zu",
              (size_t)(row - cases));
        listener_unref(l);
        arena_fini(&arena);
    }
}

TEST(access_log_refuses_mistakes)
{
    static const struct {
        const char *log, *says;
    } cases[] = {
        {"{name: x}", "access_log[0].typed_config: "},
        {"{typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}", "no access log"},
        {"{" FILE_AT("''", "") "}", "path: this is required"},
        {"{" FILE_AT("/x", ", log_format: {text_format_source: {inline_string: '%FOO%'}}") "}",
         "<FileAccessLog>.log_format: %FOO% is no operator"},
        {"{" FILE_AT("/x", ", log_format: {}") "}", "say which format"},
        {"{filter: {}, " STDOUT "}", "filter: this kind of filter"},
        {"{filter: {status_code_filter: {}}, " STDOUT "}", "comparison: this is required"},
        {"{filter: {response_flag_filter: {flags: [XX]}}, " STDOUT "}", "'XX' is no response flag"},
        {"{filter: {and_filter: {filters: [{or_filter: {filters: [{}]}}]}}, " STDOUT "}",
         "filter.and_filter.filters[0].or_filter.filters[0]: "},
    };
    EACH (row, cases) {
        struct error error = {0};
        struct listener *l = NULL;
        bool ok = build(row->log, &l, &error);
        CHECK_REFUSED(ok, &error, row->says, row->log);
        arena_fini(&arena);
    }
}

TEST(access_log_flags_have_names)
{
    for (int i = 0; i < ACCESS_LOG_FLAGS; i++) {
        enum access_log_flag flag;
        const char *name = access_log_flag_name((enum access_log_flag)i);
        CHECK(name && access_log_flag_parse(slice_str(name), &flag) && (int)flag == i, "%d", i);
        CHECK(access_log_flag_long_name((enum access_log_flag)i), "%d", i);
    }
}
