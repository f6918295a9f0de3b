#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/explain.h"

TEST(explain_shows_a_field_by_its_path)
{
    owned_buffer out = {0};
    owned_error error = {0};
    CHECK(explain_path(SLICE("vs.spec.http[0].route.weight"), false, &out, &error), "%s",
          error.what);
    CHECK(buffer_equals(
              &out, "KIND:    VirtualService\n"
                    "VERSION: networking.istio.io/v1\n"
                    "FIELD:   weight <int32>\n"
                    "LIMITS:  at least 0\n"
                    "ACTS:    yes\n"
                    "\n"
                    "DESCRIPTION:\n"
                    "    The share of requests, relative to the sum of all weights of the rule. 0\n"
                    "    means none; a single destination needs no weight.\n"),
          "%s", out.data);
}

TEST(explain_shows_an_object_with_its_fields)
{
    owned_buffer out = {0};
    owned_error error = {0};
    CHECK(explain_path(SLICE("DestinationRule.spec.subsets"), false, &out, &error), "%s",
          error.what);
    static const char *const parts[] = {
        "FIELD:   subsets <[]Subset>\n", "LIMITS:  at most 256 entries\n",
        "  name\t<string> (required; at most 253 bytes)\n", "  labels\t<map<string, string>>",
        "  trafficPolicy\t<TrafficPolicy>\n    How the subset's endpoints are reached"};
    EACH (part, parts)
        CHECK(strstr(out.data, *part), "%s\n%s", *part, out.data);
    buffer_reset(&out);
    CHECK(explain_path(SLICE("virtualservices"), true, &out, &error), "%s", error.what);
    CHECK(strstr(out.data, "        timeout\t<duration>") == NULL &&
              strstr(out.data, "      timeout\t<duration> (at least 0)\n"),
          "%s", out.data);
    CHECK(strstr(out.data, "retries\t<HTTPRetry> - does not act yet\n"), "%s", out.data);
}

TEST(explain_shows_the_values_of_an_enum)
{
    owned_buffer out = {0};
    owned_error error = {0};
    CHECK(explain_path(SLICE("dr.spec.trafficPolicy.loadBalancer.simple"), false, &out, &error),
          "%s", error.what);
    CHECK(strstr(out.data, "VALUES:\n  UNSPECIFIED\n"), "%s", out.data);
}

TEST(explain_says_where_a_path_ends)
{
    static const struct {
        const char *path, *what, *fix;
    } cases[] = {
        {"pod", "there is no kind \"pod\"", "tulle explain lists the kinds"},
        {"vs.spec.htp", "there is no field \"htp\" in vs.spec", "did you mean \"http\"?"},
        {"vs.spec.http.name.x", "vs.spec.http.name has no fields", NULL},
        {"", "there is no kind \"\"", "tulle explain lists the kinds"},
    };
    EACH (c, cases) {
        owned_buffer out = {0};
        owned_error error = {0};
        CHECK(!explain_path(slice_str(c->path), false, &out, &error), "%s", c->path);
        CHECK(strcmp(error.what, c->what) == 0, "%s", error.what);
        CHECK(c->fix ? error.fix && strcmp(error.fix, c->fix) == 0 : !error.fix, "%s",
              error.fix ? error.fix : "");
    }
}

/* The kinds' fields are what people read about: each has a sentence. */
static void check_documented(const struct pb_type *type, const struct pb_type **above, size_t level)
{
    CHECK(level < 16, "%s nests", type->descriptor->name);
    above[level] = type;
    CHECK(pb_type_doc(type), "%s has no comment", type->descriptor->name);
    for (size_t i = 0; i < type->descriptor->n_fields; i++) {
        const char *doc = pb_field_doc(type, i);
        CHECK(doc, "%s.%s has no comment", type->descriptor->name, pb_field_json_name(type, i));
        CHECK(doc[strlen(doc) - 1] == '.', "%s.%s: %s", type->descriptor->name,
              pb_field_json_name(type, i), doc);
        const struct pb_type *held = explain_field_type(type, i);
        bool again = false;
        for (size_t j = 0; held && j <= level; j++)
            again |= above[j] == held;
        if (held && !again)
            check_documented(held, above, level + 1);
    }
}

TEST(explain_has_a_sentence_for_every_field_that_is_served)
{
    size_t count;
    const struct pb_kind *kinds = pb_kinds(&count);
    const struct pb_type *above[16];
    for (size_t i = 0; i < count; i++)
        check_documented(kinds[i].type, above, 0);
}

TEST(explain_wrote_the_reference_that_is_in_docs)
{
    owned_buffer made = {0}, kept = {0};
    explain_reference(&made);
    if (getenv("TULLE_WRITE_DOCS")) {
        FILE *file = fopen("docs/reference/fields.md", "w");
        CHECK(file && fwrite(made.data, 1, made.size, file) == made.size && fclose(file) == 0,
              "written");
    }
    CHECK(buffer_read_file(&kept, "docs/reference/fields.md", 1 << 20) == 0,
          "docs/reference/fields.md");
    CHECK(buffer_equals(&kept, made.data),
          "docs/reference/fields.md is not what proto/ says: run make docs");
}
