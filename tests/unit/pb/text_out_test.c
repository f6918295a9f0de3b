#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/any.h"
#include "pb/message.h"
#include "pb/text_in.h"
#include "pb/text_out.h"

#include "envoy/admin/v3/admin.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"
#include "tulle/every_type.pb-c.h"

#define SECRET &envoy__extensions__transport_sockets__tls__v3__secret__descriptor
#define DUMP &envoy__admin__v3__config_dump__descriptor

static void *read_sample(struct arena *arena, const ProtobufCMessageDescriptor *type,
                         const char *yaml)
{
    owned_error error = {0};
    void *message = text_read_yaml(slice_str(yaml), "t", type, TEXT_STRICT, arena, &error);
    CHECK(message, "%s", error.what);
    return message;
}

static void check_json(const ProtobufCMessage *message, struct text_style style, const char *wanted)
{
    owned_buffer out = {0};
    style.one_line = true;
    text_write_json(message, &style, &out);
    CHECK(buffer_equals(&out, wanted), "%s", out.data);
}

TEST(text_out_prints_no_secret_unless_told_to)
{
    struct arena arena;
    arena_init(&arena, NULL);
    ProtobufCMessage *secret = read_sample(
        &arena, SECRET,
        "{name: default, tls_certificate: {certificate_chain: {inline_string: PEM}, private_key: "
        "{inline_string: KEY}, password: {inline_bytes: S0VZ}}}");
    check_json(secret, (struct text_style){.original_names = true},
               "{\"name\":\"default\",\"tls_certificate\":{\"certificate_chain\":{\"inline_"
               "string\":\"PEM\"},"
               "\"private_key\":{\"inline_string\":\"[redacted]\"},\"password\":{\"inline_bytes\":"
               "\"[redacted]\"}}}");
    check_json(
        secret, (struct text_style){.show_secrets = true},
        "{\"name\":\"default\",\"tlsCertificate\":{\"certificateChain\":{\"inlineString\":\"PEM\"},"
        "\"privateKey\":{\"inlineString\":\"KEY\"},\"password\":{\"inlineBytes\":\"S0VZ\"}}}");
    /* Also within an Any, as /config_dump holds it. */
    Envoy__Admin__V3__ConfigDump *dump = pb_new(&arena, DUMP);
    PB_APPEND(&arena, dump, configs, pb_any_pack(secret, &arena));
    owned_buffer out = {0};
    text_write_yaml(&dump->base, NULL, &out);
    CHECK(!strstr(out.data, "KEY") && !strstr(out.data, "S0VZ") && strstr(out.data, "PEM"), "%s",
          out.data);
    /* A map's keys are names, not secrets. */
    ProtobufCMessage *generic =
        read_sample(&arena, SECRET, "generic_secret: {secrets: {token: {inline_string: KEY}}}");
    check_json(generic, (struct text_style){0},
               "{\"genericSecret\":{\"secrets\":{\"token\":{\"inlineString\":\"[redacted]\"}}}}");
    arena_fini(&arena);
}

TEST(text_out_prints_an_any_of_unknown_type_as_base64)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Envoy__Admin__V3__ConfigDump *dump = pb_new(&arena, DUMP);
    Google__Protobuf__Any *any = pb_new(&arena, &google__protobuf__any__descriptor);
    any->type_url = arena_format(&arena, "type.googleapis.com/no.such.Type");
    any->value = (ProtobufCBinaryData){3, (uint8_t *)arena_format(&arena, "abc")};
    PB_APPEND(&arena, dump, configs, any);
    const char *json =
        "{\"configs\":[{\"@type\":\"type.googleapis.com/no.such.Type\",\"value\":\"YWJj\"}]}";
    check_json(&dump->base, (struct text_style){0}, json);
    owned_error error = {0};
    Envoy__Admin__V3__ConfigDump *back =
        text_read_json(slice_str(json), "t", DUMP, TEXT_LENIENT, &arena, &error);
    CHECK(back && pb_equal(&back->base, &dump->base), "and back, from other systems");
    arena_fini(&arena);
}

TEST(text_out_ends_what_nests_without_end)
{
    struct arena arena;
    arena_init(&arena, NULL);
    Tulle__EveryType *every = pb_new(&arena, &tulle__every_type__descriptor);
    for (int i = 0; i < 200; i++) { /* each in an Any, so that no guard sees the depth */
        Tulle__EveryType *outer = pb_new(&arena, &tulle__every_type__descriptor);
        outer->any = pb_any_pack(&every->base, &arena);
        every = outer;
    }
    owned_buffer out = {0};
    text_write_json(&every->base, NULL, &out);
    size_t depth = 0;
    for (const char *at = out.data; (at = strstr(at, "@type")); at++)
        depth++;
    CHECK(depth > 10 && depth < 64 && strstr(out.data, "\"value\": \""), "%zu", depth);
    arena_fini(&arena);
}
