#include "control/api/patch.h"

#include "base/random.h"
#include "control/model/revise.h"

#include "test.h"

static struct value *read(const char *json, struct arena *arena)
{
    struct value *value = NULL;
    struct error error = {0};
    CHECK(document_read_json(slice_str(json), "test", NULL, arena, &value, &error), "%s: %s", json,
          error.what);
    return value;
}

static const char *written(const struct value *value, struct arena *arena)
{
    owned_buffer text = {0};
    value_write_json(value, false, &text);
    return arena_copy(arena, buffer_slice(&text));
}

/* RFC 7386, appendix A, and what order the members keep. */
static const struct {
    const char *target, *patch, *result;
} merges[] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    {"{\"z\":1,\"y\":0.0,\"x\":{\"n\":null}}", "{\"y\":0}", "{\"z\":1,\"y\":0,\"x\":{\"n\":null}}"},
};

TEST(merge_patches_give_what_the_rfc_says)
{
    EACH (c, merges) {
        struct arena arena;
        arena_init(&arena, NULL);
        const struct value *target = read(c->target, &arena), *patch = read(c->patch, &arena);
        const char *result = written(patch_merge(target, patch, &arena), &arena);
        CHECK(strcmp(result, c->result) == 0, "%s + %s = %s", c->target, c->patch, result);
        CHECK(strcmp(written(target, &arena), c->target) == 0, "the target was changed");
        arena_fini(&arena);
    }
}

/* RFC 6902, appendix A, and RFC 6901's escapes. */
static const struct {
    const char *target, *patch, *result;
    enum patch_status status;
} patches[] = {
    {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
     "{\"foo\":\"bar\",\"baz\":\"qux\"}", PATCH_DONE},
    {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
     "{\"foo\":[\"bar\",\"qux\",\"baz\"]}", PATCH_DONE},
    {"{\"foo\":[1]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[2]}]", "{\"foo\":[1,[2]]}",
     PATCH_DONE},
    {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
     "{\"foo\":\"bar\"}", PATCH_DONE},
    {"{\"foo\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]", "{\"foo\":[1,3]}",
     PATCH_DONE},
    {"{\"a\":1,\"b\":2}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":3}]", "{\"a\":3,\"b\":2}",
     PATCH_DONE},
    {"{\"foo\":{\"bar\":\"baz\",\"w\":1},\"qux\":{\"c\":2}}",
     "[{\"op\":\"move\",\"from\":\"/foo/w\",\"path\":\"/qux/thud\"}]",
     "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"c\":2,\"thud\":1}}", PATCH_DONE},
    {"{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
     "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
     "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}", PATCH_DONE},
    {"{\"a\":{\"b\":1}}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"}]",
     "{\"a\":{\"b\":1},\"c\":{\"b\":1}}", PATCH_DONE},
    {"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
     "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},{\"op\":\"test\",\"path\":\"/foo/1\","
     "\"value\":2}]",
     "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}", PATCH_DONE},
    {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]", "",
     PATCH_FAILED},
    {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":1}]", "", PATCH_FAILED},
    {"{\"a/b\":1,\"m~n\":2}",
     "[{\"op\":\"replace\",\"path\":\"/a~1b\",\"value\":3},{\"op\":\"remove\",\"path\":\"/m~0n\"}]",
     "{\"a/b\":3}", PATCH_DONE},
    {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}", PATCH_DONE},
    {"{\"a\":[]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":1}]", "", PATCH_FAILED},
    {"{\"a\":[1,2]}", "[{\"op\":\"replace\",\"path\":\"/a/01\",\"value\":1}]", "", PATCH_FAILED},
    {"{\"a\":[1,2]}", "[{\"op\":\"replace\",\"path\":\"/a/2\",\"value\":1}]", "", PATCH_FAILED},
    {"{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", "", PATCH_FAILED},
    {"{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "", PATCH_FAILED},
    {"{}", "[{\"op\":\"increment\",\"path\":\"/a\"}]", "", PATCH_MALFORMED},
    {"{}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", "", PATCH_MALFORMED},
    {"{}", "[{\"op\":\"add\",\"path\":\"/a~2\",\"value\":1}]", "", PATCH_MALFORMED},
    {"{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", "", PATCH_MALFORMED},
    {"{}", "{\"a\":1}", "", PATCH_MALFORMED},
};

TEST(json_patches_give_what_the_rfc_says)
{
    EACH (c, patches) {
        struct arena arena;
        arena_init(&arena, NULL);
        struct error error = {0};
        struct value *result = NULL;
        const struct value *target = read(c->target, &arena);
        enum patch_status status =
            patch_json(target, read(c->patch, &arena), &arena, &result, &error);
        CHECK(status == c->status, "%s: %d %s", c->patch, status, error.what);
        CHECK((status == PATCH_DONE) == !error.what, "%s", c->patch);
        if (status == PATCH_DONE)
            CHECK(strcmp(written(result, &arena), c->result) == 0, "%s: %s", c->patch,
                  written(result, &arena));
        CHECK(strcmp(written(target, &arena), c->target) == 0, "the target was changed");
        error_fini(&error);
        arena_fini(&arena);
    }
}

/* Each copy doubles the document: the bytes that copies add are bounded, and so is the depth. */
TEST(json_patches_cannot_make_a_document_explode)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct error error = {0};
    struct value *result;
    owned_buffer text = {0};
    buffer_append_str(&text, "[");
    for (int i = 0; i < 40; i++)
        buffer_format(&text, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/%d\"}", i ? "," : "",
                      i);
    buffer_append_str(&text, "]");
    const struct value *target = read("{\"a\":{\"x\":\"0123456789\"}}", &arena);
    CHECK(patch_json(target, read(text.data, &arena), &arena, &result, &error) == PATCH_FAILED);
    CHECK(strstr(error.what, "copies are too large") != NULL, "%s", error.what);
    error_fini(&error);

    buffer_reset(&text);
    buffer_append_str(&text, "[");
    for (int i = 0; i < 70; i++)
        buffer_format(
            &text,
            "%s{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"},{\"op\":\"add\",\"path\":"
            "\"/a\",\"value\":{}},{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a/n\"}",
            i ? "," : "");
    buffer_append_str(&text, "]");
    CHECK(patch_json(target, read(text.data, &arena), &arena, &result, &error) == PATCH_FAILED);
    CHECK(strstr(error.what, "too deep") != NULL, "%s", error.what);
    error_fini(&error);

    buffer_reset(&text);
    buffer_append_str(&text, "[");
    for (int i = 0; i <= PATCH_OPERATIONS_MAX; i++)
        buffer_format(&text, "%s{\"op\":\"test\",\"path\":\"\",\"value\":1}", i ? "," : "");
    buffer_append_str(&text, "]");
    CHECK(patch_json(read("1", &arena), read(text.data, &arena), &arena, &result, &error) ==
          PATCH_MALFORMED);
    error_fini(&error);
    arena_fini(&arena);
}

static struct value *random_value(struct random *random, unsigned depth, struct arena *arena)
{
    uint64_t kind = random_below(random, depth ? 5 : 3);
    struct value *value;
    if (kind < 3)
        return value_new_i64(arena, (int64_t)random_below(random, 4));
    value = value_new(arena, kind == 3 ? VALUE_LIST : VALUE_OBJECT);
    for (uint64_t i = random_below(random, 4); i > 0; i--) {
        char key[2] = {(char)('a' + random_below(random, 5)), 0};
        if (kind == 3)
            value_append(value, random_value(random, depth - 1, arena));
        else if (!value_get(value, key))
            value_put(arena, value, slice_str(key), random_value(random, depth - 1, arena));
    }
    return value;
}

/* Merging the same patch twice is merging it once; an empty one changes nothing. */
TEST(merge_patches_are_idempotent)
{
    struct random random;
    random_seed(&random, 7);
    for (int i = 0; i < 2000; i++) {
        struct arena arena;
        arena_init(&arena, NULL);
        struct value *target = random_value(&random, 4, &arena);
        struct value *patch = random_value(&random, 4, &arena);
        struct value *once = patch_merge(target, patch, &arena);
        CHECK(value_means_the_same(once, patch_merge(once, patch, &arena)), "round %d", i);
        if (target->kind == VALUE_OBJECT)
            CHECK(value_means_the_same(
                target, patch_merge(target, value_new(&arena, VALUE_OBJECT), &arena)));
        arena_fini(&arena);
    }
}
