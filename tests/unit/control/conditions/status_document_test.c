#include "control/conditions/status_document.h"

#include "base/buffer.h"

#include "test.h"

static struct value *read(struct arena *arena, const char *text)
{
    struct value *value;
    struct error error = {0};
    CHECK(document_read_json(slice_str(text), "test", NULL, arena, &value, &error), "%s",
          error.what);
    return value;
}

static const char *show(const struct value *value)
{
    static struct buffer text;
    buffer_reset(&text);
    if (value)
        value_write_json(value, false, &text);
    return value ? text.data : "unchanged";
}

#define SAYS(value, text) CHECK(strcmp(show(value), text) == 0, "%s", show(value))

static const struct findings none = {.count = 0};
static const struct findings one = {.items = {{"IST0101", "ReferencedResourceNotFound",
                                               FINDING_ERROR, "Referenced host not found"}},
                                    .count = 1};
enum { NOON = 1767268800 }; /* 2026-01-01T12:00:00Z */

#define OBJECT "{\"metadata\":{\"name\":\"a\",\"generation\":3},\"spec\":{\"x\":1.0}"
#define OURS                                                                                       \
    "{\"type\":\"Reconciled\",\"status\":\"False\",\"reason\":\"ReferencedResourceNotFound\","     \
    "\"message\":\"Referenced host not found\",\"lastTransitionTime\":\"2026-01-01T12:00:00Z\","   \
    "\"observedGeneration\":3}"
#define MESSAGES                                                                                   \
    "\"validationMessages\":[{\"type\":{\"name\":\"ReferencedResourceNotFound\",\"code\":"         \
    "\"IST0101\"},\"level\":\"ERROR\",\"documentationUrl\":\"https://istio.io/latest/docs/"        \
    "reference/config/analysis/ist0101/\"}],\"observedGeneration\":3"

TEST(a_finding_becomes_istios_status_and_goes_again)
{
    struct arena arena = {0};
    struct value *clean = read(&arena, OBJECT "}");
    SAYS(status_document(clean, &none, 0, &arena), "unchanged");
    struct value *told = status_document(clean, &one, NOON * 1000000L + 5, &arena);
    SAYS(told, OBJECT ",\"status\":{\"conditions\":[" OURS "]," MESSAGES "}}");
    SAYS(status_document(told, &one, (NOON + 60) * 1000000L, &arena), "unchanged");
    SAYS(status_document(told, &none, 0, &arena), OBJECT "}");
    arena_fini(&arena);
}

TEST(what_others_wrote_into_status_stays)
{
    struct arena arena = {0};
    struct value *theirs =
        read(&arena, OBJECT ",\"status\":{\"mine\":1,\"conditions\":[{\"type\":\"Ready\"}]}}");
    SAYS(status_document(theirs, &none, 0, &arena), "unchanged");
    struct value *told = status_document(theirs, &one, NOON * 1000000L, &arena);
    SAYS(told, OBJECT ",\"status\":{\"mine\":1,\"conditions\":[{\"type\":\"Ready\"}," OURS
                      "]," MESSAGES "}}");
    SAYS(status_document(told, &none, 0, &arena),
         OBJECT ",\"status\":{\"mine\":1,\"conditions\":[{\"type\":\"Ready\"}]}}");
    arena_fini(&arena);
}

TEST(the_time_of_a_condition_is_that_of_its_beginning)
{
    struct arena arena = {0};
    struct value *told = status_document(read(&arena, OBJECT "}"), &one, NOON * 1000000L, &arena);
    struct findings other = one;
    other.items[0].text = "another";
    struct value *changed = status_document(told, &other, (NOON + 60) * 1000000L, &arena);
    CHECK(strstr(show(changed), "\"message\":\"another\",\"lastTransitionTime\":"
                                "\"2026-01-01T12:00:00Z\""),
          "%s", show(changed));
    arena_fini(&arena);
}

TEST(core_kinds_have_conditions_alone)
{
    struct arena arena = {0};
    struct value *service = read(&arena, "{\"apiVersion\":\"v1\",\"metadata\":{\"generation\":3}}");
    struct value *told = status_document(service, &one, NOON * 1000000L, &arena);
    SAYS(told,
         "{\"apiVersion\":\"v1\",\"metadata\":{\"generation\":3},\"status\":{\"conditions\":[" OURS
         "]}}");
    SAYS(status_document(told, &one, NOON * 1000000L, &arena), "unchanged");
    SAYS(status_document(told, &none, 0, &arena),
         "{\"apiVersion\":\"v1\",\"metadata\":{\"generation\":3}}");
    arena_fini(&arena);
}
