#include "test.h"

#include "base/buffer.h"
#include "build/access_log.h"
#include "build/format.h"
#include "build/yaml.h"
#include "match/table_memory.h"

#include "google/protobuf/struct.pb-c.h"

/* "REQ<:method|x-a> 'text'..." */
static void describe(const struct format *format, struct buffer *out)
{
    for (uint32_t i = 0; i < format->count; i++) {
        const struct format_step *step = &format->steps[i];
        if (i > 0)
            buffer_append_byte(out, ' ');
        if (step->field == FORMAT_LITERAL) {
            buffer_format(out, "'%.*s'", SLICE_ARG(step->text));
            continue;
        }
        if (step->field == FORMAT_MEMBER) {
            buffer_format(out, "+%.*s", SLICE_ARG(step->text));
            continue;
        }
        buffer_append_str(out, format_field_name(step->field));
        if (step->header)
            buffer_format(out, "<%.*s>", SLICE_ARG(step->header->name));
        if (step->other)
            buffer_format(out, "<%.*s>", SLICE_ARG(step->other->name));
        if (step->text.size > 0)
            buffer_format(out, "(%.*s)", SLICE_ARG(step->text));
        for (uint8_t p = 0; p < step->path_count; p++)
            buffer_format(out, "[%.*s]", SLICE_ARG(step->path[p]));
        if (step->part != FORMAT_PART_ALL)
            buffer_append_str(out, step->part == FORMAT_PART_IP ? "/ip" : "/port");
        if (step->max_bytes != FORMAT_NO_LIMIT)
            buffer_format(out, ":%u", step->max_bytes);
        if (step->context == FORMAT_AS_VALUE)
            buffer_append_str(out, "=");
    }
}

static const struct {
    const char *text, *program;
} texts[] = {
    {"", ""},
    {"plain", "'plain'"},
    {"100%%", "'100%'"},
    {"%PROTOCOL%", "PROTOCOL"},
    {"a %RESPONSE_CODE%b", "'a ' RESPONSE_CODE 'b'"},
    {"%REQ(:METHOD)%", "REQ<:method>"},
    {"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):5%", "REQ<x-envoy-original-path><:path>:5"},
    {"%REQ(host)%", "REQ<host>"},
    {"%RESP(A)%%TRAILER(B?C)%", "RESP<a> TRAILER<b><c>"},
    {"%START_TIME%", "START_TIME"},
    {"%START_TIME(%Y-%m-%dT%H:%M:%S.%3f)%", "START_TIME(%Y-%m-%dT%H:%M:%S.%3f)"},
    {"%START_TIME(%s.%f (%Z))%", "START_TIME(%s.%f (%Z))"},
    {"%EMIT_TIME(%E3f%%)%", "EMIT_TIME(%E3f%%)"},
    {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "DOWNSTREAM_REMOTE_ADDRESS/ip"},
    {"%UPSTREAM_LOCAL_PORT%", "UPSTREAM_LOCAL_ADDRESS/port"},
    {"%DYNAMIC_METADATA(com.test.my_filter:a:b):12%",
     "DYNAMIC_METADATA(com.test.my_filter)[a][b]:12"},
    {"%METADATA(CLUSTER:istio:config)%", "CLUSTER_METADATA(istio)[config]"},
    {"%METADATA(ROUTE:ns)%", "LITERAL(ns)"},
    {"%FILTER_STATE(key:PLAIN)%", "FILTER_STATE(key)"},
    {"%GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS%", "GRPC_STATUS ' ' GRPC_STATUS"},
    {"%PATH(NQ:ORIG)%", "PATH(NQ)"},
    {"%HOSTNAME%!", "'proxy-1!'"},
    {"%HOSTNAME():3%", "'pro'"},
    {"%ENVIRONMENT(TULLE_NO_SUCH_VARIABLE)%", "'-'"},
    {"%CEL(request.method)%", "REQ<:method>"},
    {"%CEL(request.headers['x-foo']):3%", "REQ<x-foo>:3"},
    {"%TULLE_WHY%", "TULLE_WHY"},
    {"%UPSTREAM_REQUEST_ATTEMPT_COUNT% %DOWNSTREAM_WIRE_BYTES_SENT%",
     "UPSTREAM_REQUEST_ATTEMPT_COUNT ' ' DOWNSTREAM_WIRE_BYTES_SENT"},
};

TEST(format_compiles_text)
{
    EACH (row, texts) {
        struct table_memory memory;
        struct format format;
        owned_buffer program = {0};
        struct error error = {0};
        table_memory_init(&memory);
        CHECK(format_build_text(&format, slice_str(row->text), &here, &memory, &error), "%s: %s",
              row->text, error.what);
        describe(&format, &program);
        CHECK(buffer_equals(&program, row->program) || (program.size == 0 && !*row->program),
              "%s gives %s", row->text, program.data);
        table_memory_fini(&memory);
    }
}

TEST(format_refuses_what_it_does_not_know)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"%RESPONSE_COD%", "did you mean %RESPONSE_CODE%?"},
        {"%", "begins no operator"},
        {"%REQ(a%", "begins no operator"},
        {"% PROTOCOL%", "begins no operator"},
        {"%PROTOCOL(x)%", "takes no argument"},
        {"%REQ()%", "header name is missing"},
        {"%REQ(a b)%", "no header name"},
        {"%REQ(a?)%", "no header name"},
        {"%START_TIME(%Q)%", "no time format"},
        {"%START_TIME(%)%", "no time format"},
        {"%START_TIME(%4x)%", "no time format"},
        {"%DYNAMIC_METADATA()%", "namespace is missing"},
        {"%METADATA(FOO:a)%", "kind is one of"},
        {"%FILTER_STATE(a:b)%", "TYPED or PLAIN"},
        {"%GRPC_STATUS(x)%", "CAMEL_STRING"},
        {"%PATH(XX)%", "WQ or NQ"},
        {"%PATH(NQ:XX)%", "ORIG_OR_PATH"},
        {"%ENVIRONMENT()%", "name of a variable"},
        {"%CEL(1 + 1)%", "plain attributes"},
        {"%CEL(request.headers['a b'])%", "no header name"},
        {"%PROTOCOL:0%", "begins no operator"},
        {"%PROTOCOL:99999%", "begins no operator"},
        {"%protocol%", "begins no operator"},
    };
    EACH (row, cases) {
        struct table_memory memory;
        struct format format;
        struct error error = {0};
        table_memory_init(&memory);
        bool ok = format_build_text(&format, slice_str(row->text), &here, &memory, &error);
        CHECK_REFUSED(ok, &error, row->says, row->text);
        table_memory_fini(&memory);
    }
}

TEST(format_has_limits)
{
    static char text[FORMAT_MAX_BYTES + 1];
    struct table_memory memory;
    struct format format;
    table_memory_init(&memory);
    memset(text, 'a', sizeof(text));
    CHECK(format_build_text(&format, slice_of(text, FORMAT_MAX_BYTES), &here, &memory, NULL));
    CHECK(!format_build_text(&format, slice_of(text, FORMAT_MAX_BYTES + 1), &here, &memory, NULL));
    owned_buffer many = {0};
    for (int i = 0; i < FORMAT_MAX_STEPS; i++)
        buffer_append_str(&many, "%PROTOCOL%");
    CHECK(format_build_text(&format, buffer_slice(&many), &here, &memory, NULL));
    buffer_append_byte(&many, 'x');
    CHECK(!format_build_text(&format, buffer_slice(&many), &here, &memory, NULL));
    table_memory_fini(&memory);
}

TEST(format_compiles_both_default_formats)
{
    struct table_memory memory;
    struct format format;
    struct slice text;
    table_memory_init(&memory);
    CHECK(format_build_text(&format, access_log_default_format(), &here, &memory, NULL));
    CHECK(format_build_text(&format, access_log_istio_format(), &here, &memory, NULL));
    CHECK(format.count > 40 && !format_is_literal(&format, &text));
    CHECK(format_build_text(&format, SLICE("just text"), &here, &memory, NULL));
    CHECK(format_is_literal(&format, &text) && slice_equals(text, SLICE("just text")));
    table_memory_fini(&memory);
}

static const struct {
    const char *yaml, *program;
} objects[] = {
    {"a: '%RESPONSE_CODE%'", "'{' +\"a\": RESPONSE_CODE= '}\n'"},
    {"a: 'code %RESPONSE_CODE%!'", "'{' +\"a\": '\"code ' RESPONSE_CODE '!\"}\n'"},
    {"a: 'x\"y'", "'{' +\"a\": '\"x\\\"y\"}\n'"},
    {"a: 1\nb: true\nc: ~", "'{' +\"a\": '1' +\"b\": 'true' +\"c\": 'null}\n'"},
    {"a: {b: '%PROTOCOL%'}", "'{' +\"a\": '{' +\"b\": PROTOCOL= '}}\n'"},
    {"a: ['%PROTOCOL%', 2]", "'{' +\"a\": '[' + PROTOCOL= + '2]}\n'"},
    {"'q\"': x", "'{' +\"q\\\"\": '\"x\"}\n'"},
    {"a: '%HOSTNAME%'", "'{' +\"a\": '\"proxy-1\"}\n'"},
    {"a: ''", "'{' +\"a\": '\"\"}\n'"},
    {"a: '%%'", "'{' +\"a\": '\"%\"}\n'"},
};

TEST(format_compiles_json)
{
    EACH (row, objects) {
        struct arena arena;
        struct table_memory memory;
        struct format format;
        owned_buffer program = {0};
        struct error error = {0};
        arena_init(&arena, NULL);
        table_memory_init(&memory);
        Google__Protobuf__Struct *object =
            from_yaml(&arena, &google__protobuf__struct__descriptor, row->yaml);
        CHECK(format_build_json(&format, object, false, &here, &memory, &error), "%s: %s",
              row->yaml, error.what);
        describe(&format, &program);
        CHECK(buffer_equals(&program, row->program), "%s gives %s", row->yaml, program.data);
        table_memory_fini(&memory);
        arena_fini(&arena);
    }
}

TEST(format_says_where_in_json)
{
    struct arena arena;
    struct table_memory memory;
    struct format format;
    struct error error = {0};
    arena_init(&arena, NULL);
    table_memory_init(&memory);
    Google__Protobuf__Struct *object =
        from_yaml(&arena, &google__protobuf__struct__descriptor, "a: {b: '%NO_SUCH%'}");
    bool ok = format_build_json(&format, object, false, &here, &memory, &error);
    CHECK_REFUSED(ok, &error, "a: b: %NO_SUCH% is no operator", "nested");
    const char *deep = "{a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}";
    object = from_yaml(&arena, &google__protobuf__struct__descriptor, deep);
    ok = format_build_json(&format, object, false, &here, &memory, &error);
    CHECK_REFUSED(ok, &error, "nests at most", "deep");
    table_memory_fini(&memory);
    arena_fini(&arena);
}
