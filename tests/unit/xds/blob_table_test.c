#include "xds/blob_table.h"

#include "base/random.h"
#include "test.h"
#include "xds/table_maker.h"

static void expect(const struct blob_table *table, const char *text)
{
    char *got = table_text(table);
    CHECK(strcmp(got, text) == 0, "%s, not %s", got, text);
    mem_free(got);
}

TEST(blob_table_edits_leave_the_old_table_as_it_was)
{
    struct blob_table *one = table_edit(RESOURCE_ROUTE, NULL, "b=2 a=1 c=3");
    struct blob_table *two = table_edit(RESOURCE_ROUTE, one, "b=9 d=4 -a");
    expect(one, "a=1 b=2 c=3");
    expect(two, "b=9 c=3 d=4");
    CHECK(blob_table_count(one) == 3 && blob_table_count(two) == 3);
    CHECK(!blob_table_find(two, SLICE("a")) && blob_table_find(two, SLICE("d")));
    blob_table_unref(one);
    expect(two, "b=9 c=3 d=4");
    blob_table_unref(two);
}

TEST(blob_table_edit_without_effect_is_the_same_table)
{
    struct blob_table *one = table_edit(RESOURCE_ROUTE, NULL, "a=1 b=2");
    struct blob_table *two = table_edit(RESOURCE_ROUTE, one, "a=1 -x");
    CHECK(one == two);
    blob_table_unref(one);
    blob_table_unref(two);
}

TEST(blob_table_version_is_that_of_its_contents)
{
    struct blob_table *whole = table_edit(RESOURCE_ROUTE, NULL, "a=1 b=2 c=3");
    struct blob_table *grown = table_edit(RESOURCE_ROUTE, NULL, "c=3 x=0");
    struct blob_table *then = table_edit(RESOURCE_ROUTE, grown, "a=1 b=0 -x");
    struct blob_table *last = table_edit(RESOURCE_ROUTE, then, "b=2");
    CHECK(hash128_equals(blob_table_version(whole), blob_table_version(last)));
    CHECK(!hash128_equals(blob_table_version(whole), blob_table_version(then)));
    struct blob_table *empty = table_edit(RESOURCE_ROUTE, last, "-a -b -c");
    CHECK(blob_table_count(empty) == 0);
    CHECK(hash128_equals(blob_table_version(empty), (struct hash128){0}));
    blob_table_unref(whole);
    blob_table_unref(grown);
    blob_table_unref(then);
    blob_table_unref(last);
    blob_table_unref(empty);
}

struct seen {
    size_t changes;
    char text[4096];
};

static void note(void *to, const struct blob *before, const struct blob *after)
{
    struct seen *seen = to;
    size_t at = strlen(seen->text);
    seen->changes++;
    if (at + 64 < sizeof(seen->text))
        snprintf(seen->text + at, sizeof(seen->text) - at, "%s%.*s ",
                 !before  ? "+"
                 : !after ? "-"
                          : "~",
                 SLICE_ARG(blob_name(before ? before : after)));
}

TEST(blob_table_diff_names_what_differs_in_order)
{
    struct blob_table *one = table_edit(RESOURCE_ROUTE, NULL, "a=1 b=2 c=3 e=5");
    struct blob_table *two = table_edit(RESOURCE_ROUTE, one, "b=9 d=4 -a");
    struct seen seen = {0};
    blob_table_diff(one, two, note, &seen);
    CHECK(strcmp(seen.text, "-a ~b +d ") == 0, "%s", seen.text);
    memset(&seen, 0, sizeof(seen));
    blob_table_diff(NULL, two, note, &seen);
    CHECK(strcmp(seen.text, "+b +c +d +e ") == 0, "%s", seen.text);
    memset(&seen, 0, sizeof(seen));
    blob_table_diff(two, NULL, note, &seen);
    CHECK(strcmp(seen.text, "-b -c -d -e ") == 0, "%s", seen.text);
    blob_table_unref(one);
    blob_table_unref(two);
}

/* Against an array that is edited in place. */
enum { NAMES = 1500 };
static void random_edits(uint64_t seed)
{
    struct random random;
    int model[NAMES] = {0}; /* 0 = absent */
    struct blob_table *table = blob_table_create();
    random_seed(&random, seed);
    for (unsigned round = 0; round < 60; round++) {
        VECTOR(struct blob_edit) edits = {0};
        int before[NAMES];
        char names[NAMES][8];
        memcpy(before, model, sizeof(model));
        unsigned likely = 1 + (unsigned)random_below(&random, round % 7 == 0 ? 3 : 400);
        size_t changed = 0;
        for (unsigned i = 0; i < NAMES; i++) {
            if (random_below(&random, likely) != 0)
                continue;
            model[i] = (int)random_below(&random, 3);
            snprintf(names[i], sizeof(names[i]), "n%05u", i);
            struct slice name = slice_str(names[i]);
            char body = (char)('0' + model[i]);
            struct blob *blob =
                model[i] ? blob_create(RESOURCE_ROUTE, name, slice_of(&body, 1)) : NULL;
            vector_push(&edits, {name, blob});
            changed += model[i] != before[i];
        }
        struct blob_table *next = blob_table_edit(table, edits.items, edits.count);
        VECTOR_EACH(edit, &edits)
        blob_unref(edit->blob);
        vector_fini(&edits);
        struct seen seen = {0};
        blob_table_diff(table, next, note, &seen);
        CHECK(seen.changes == changed, "seed %llu round %u", (unsigned long long)seed, round);
        blob_table_unref(table);
        table = next;
        size_t count = 0;
        for (unsigned i = 0; i < NAMES; i++) {
            char name[8];
            snprintf(name, sizeof(name), "n%05u", i);
            struct blob *found = blob_table_find(table, slice_str(name));
            CHECK(!!found == (model[i] != 0), "seed %llu round %u %s", (unsigned long long)seed,
                  round, name);
            CHECK(!found || blob_body(found).data[0] == '0' + model[i]);
            count += model[i] != 0;
        }
        CHECK(blob_table_count(table) == count);
    }
    blob_table_unref(table);
}

TEST(blob_table_equals_a_plain_array_after_random_edits)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        random_edits(seed);
}
