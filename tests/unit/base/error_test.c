#include "test.h"

#include "base/error.h"
#include "base/memory.h"

static bool fail_deep(struct error *error)
{
    error_at(error, "cart.yaml:%d:%d", 9, 7);
    return error_set(error, "TUL0007", "unknown field \"%s\"", "retires");
}

TEST(error_says_what_where_why_and_fix)
{
    owned_error error = {0};
    CHECK(!error_is_set(&error) && !error_is_set(NULL));
    CHECK(!fail_deep(&error) && error_is_set(&error));
    error_why(&error, "nothing was applied");
    error_fix(&error, "did you mean \"%s\"?", "retries");
    owned_str text = error_text(&error, false);
    CHECK(strcmp(text, "error TUL0007: unknown field \"retires\"\n --> cart.yaml:9:7\n"
                       "why: nothing was applied\nfix: did you mean \"retries\"?") == 0,
          "%s", text);
    owned_str brief = error_text(&error, true);
    CHECK(strchr(brief, '\n') == NULL, "%s", brief);
}

TEST(error_keeps_the_first_cause)
{
    owned_error error = {0};
    error_set(&error, NULL, "first");
    error_set(&error, "TUL0001", "second");
    error_at(&error, "here");
    error_at(&error, "there");
    error_prefix(&error, "cluster %s", "web");
    CHECK(error.code == NULL);
    CHECK(strcmp(error.what, "cluster web: first") == 0);
    CHECK(strcmp(error.where, "here") == 0);
}

TEST(error_may_be_absent)
{
    CHECK(!fail_deep(NULL));
    error_why(NULL, "x");
    error_fix(NULL, "x");
    error_prefix(NULL, "x");
    owned_error none = {0};
    error_prefix(&none, "x");
    CHECK(!error_is_set(&none));
}

TEST(error_moves)
{
    owned_error from = {0}, to = {0};
    error_set(&to, NULL, "old");
    error_set(&from, NULL, "new");
    error_move(&to, &from);
    CHECK(strcmp(to.what, "new") == 0 && !error_is_set(&from));
    error_move(NULL, &to);
    CHECK(!error_is_set(&to));
}

TEST(nearest_word_is_near)
{
    static const char *const words[] = {"timeout", "retries", "match",
                                        "route",   "headers", "mirror"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"retires", "retries"},
        {"Timeout", "timeout"},
        {"header", "headers"},
        {"mach", "match"},
        {"zzz", NULL},
        {"", NULL},
        {"r", NULL},
        {"route", "route"},
    };
    EACH (c, cases) {
        const char *nearest = nearest_word(slice_str(c->word), words, 6);
        CHECK(c->nearest ? nearest && strcmp(nearest, c->nearest) == 0 : !nearest, "%s: %s",
              c->word, nearest ? nearest : "none");
    }
    char longest[129];
    memset(longest, 'a', sizeof(longest));
    char near[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    const char *const same[] = {near};
    CHECK(nearest_word(slice_of(longest, 128), same, 1) == same[0]);
    CHECK(nearest_word(slice_of(longest, 129), same, 1) == NULL, "one byte over the limit");
}
