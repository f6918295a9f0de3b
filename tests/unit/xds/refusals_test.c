#include "xds/refusals.h"

#include "base/hash.h"
#include "test.h"
#include "xds/blob.h"

static const struct slice a = {"a", 1}, b = {"b", 1}, c = {"c", 1};

TEST(refusal_binds_the_client_and_only_two_bind_the_class)
{
    struct refusals *refusals = refusals_create();
    struct blob *bad = blob_create(RESOURCE_ROUTE, SLICE("r"), SLICE("1"));
    CHECK(!refusals_bind(refusals, bad, a));
    CHECK(refusals_note(refusals, bad, a));
    CHECK(!refusals_note(refusals, bad, a), "not news");
    CHECK(refusals_bind(refusals, bad, a) && !refusals_bind(refusals, bad, c));
    CHECK(refusals_note(refusals, bad, b));
    CHECK(refusals_bind(refusals, bad, c));
    blob_unref(bad);
    refusals_destroy(refusals);
}

TEST(refusal_no_longer_binds_the_class_once_someone_accepts)
{
    struct refusals *refusals = refusals_create();
    struct blob *bad = blob_create(RESOURCE_ROUTE, SLICE("r"), SLICE("1"));
    CHECK(refusals_note(refusals, bad, a) && refusals_note(refusals, bad, b));
    CHECK(refusals_accept(refusals, bad, c) && refusals_lifted(refusals) == 1);
    CHECK(!refusals_bind(refusals, bad, c));
    CHECK(refusals_bind(refusals, bad, a) && refusals_bind(refusals, bad, b),
          "who refused stays bound");
    CHECK(!refusals_accept(refusals, bad, c), "nothing is lifted twice");
    refusals_accept(refusals, bad, a);
    refusals_accept(refusals, bad, b);
    CHECK(refusals_count(refusals) == 0);
    blob_unref(bad);
    refusals_destroy(refusals);
}

TEST(refusals_remember_the_newest_up_to_the_limit)
{
    struct refusals *refusals = refusals_create();
    struct blob *first = blob_create(RESOURCE_ROUTE, SLICE("r"), SLICE("first"));
    refusals_note(refusals, first, a);
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        char body[16];
        snprintf(body, sizeof(body), "%u", i);
        struct blob *blob = blob_create(RESOURCE_ROUTE, SLICE("r"), slice_str(body));
        refusals_note(refusals, blob, a);
        blob_unref(blob);
    }
    CHECK(refusals_count(refusals) == REFUSALS_MAX);
    CHECK(!refusals_bind(refusals, first, a));
    blob_unref(first);
    refusals_destroy(refusals);
}
