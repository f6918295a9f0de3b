#include "control/api/table.h"

#include "control/api/present.h"

#include "test.h"

TEST(ages_are_written_as_kubectl_does)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {{-5, "0s"},       {0, "0s"},         {119, "119s"},         {120, "2m"},
                {302, "5m2s"},    {600, "10m"},      {10799, "179m"},       {10800, "3h"},
                {12345, "3h25m"}, {8 * 3600, "8h"},  {172799, "47h"},       {172800, "2d"},
                {200000, "2d7h"}, {8 * 86400, "8d"}, {729 * 86400, "729d"}, {730 * 86400, "2y"}};
    struct arena arena;
    arena_init(&arena, NULL);
    EACH (r, rows)
        CHECK(strcmp(age_text(r->seconds, &arena), r->text) == 0, "%lld: %s", (long long)r->seconds,
              age_text(r->seconds, &arena));
    arena_fini(&arena);
}

TEST(the_accept_header_chooses_a_form)
{
    CHECK(present_form_of(SLICE("")) == PRESENT_OBJECT);
    CHECK(present_form_of(SLICE("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")) ==
          PRESENT_TABLE);
    CHECK(present_form_of(SLICE(
              "application/json, application/json;as=Table;v=v1;g=meta.k8s.io")) == PRESENT_OBJECT);
    CHECK(present_form_of(
              SLICE("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")) ==
          PRESENT_METADATA);
}
