#include "test.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/document.h"

/* The documents of a text as JSON on one line each, or "error: what @where". */
static char *read_yaml(const char *text, size_t size, const struct text_limits *limits)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    struct buffer out = {0};
    struct documents documents;
    if (document_read_yaml(slice_of(text, size), "t.yaml", limits, &arena, &documents, &error)) {
        buffer_append_str(&out, "");
        for (size_t i = 0; i < documents.count; i++) {
            buffer_append_str(&out, i ? "\n" : "");
            value_write_json(documents.items[i], false, &out);
        }
    } else {
        buffer_format(&out, "error %s: %s @%s", error.code, error.what,
                      error.where ? error.where : "");
    }
    arena_fini(&arena);
    return buffer_take(&out);
}

static const struct {
    const char *name, *yaml, *json;
} cases[] = {
    {"nothing", "", ""},
    {"a comment", "# hello\n", ""},
    {"scalars", "a: 1\nb: x\nc: true\nd: ~\ne:\nf: 'true'\ng: \"1\"",
     "{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":null,\"e\":null,\"f\":\"true\",\"g\":\"1\"}"},
    {"YAML 1.1 booleans", "a: [yes, No, on, OFF, y, N, yEs]",
     "{\"a\":[true,false,true,false,true,false,\"yEs\"]}"},
    {"numbers", "a: [0x1F, 017, 1_000, .5, 1e3, 1.2.3]", "{\"a\":[31,15,1000,0.5,1e3,\"1.2.3\"]}"},
    {"a time is a string", "a: 2001-01-01T00:00:00Z", "{\"a\":\"2001-01-01T00:00:00Z\"}"},
    {"lists", "- a\n- - b\n  - c\n- {d: [e]}", "[\"a\",[\"b\",\"c\"],{\"d\":[\"e\"]}]"},
    {"blocks", "a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"},
    {"documents", "a: 1\n---\n---\n# only this\n---\nb: 2\n...\n", "{\"a\":1}\n{\"b\":2}"},
    {"an explicit null document", "--- ~\n---\na: 1", "null\n{\"a\":1}"},
    {"tags", "a: !!str 1\nb: ! 2\nc: !!int 3", "{\"a\":\"1\",\"b\":\"2\",\"c\":3}"},
    {"names are strings", "1: a\ntrue: b\n~: c", "{\"1\":\"a\",\"true\":\"b\",\"~\":\"c\"}"},
    {"JSON", "{\"a\":{\"b\":[1,-2,true,null,\"\\u00e9\\/\\n\"]}}",
     "{\"a\":{\"b\":[1,-2,true,null,\"\xc3\xa9/\\n\"]}}"},
    {"a surrogate pair", "{\"a\":\"\\ud83d\\ude00\"}", "{\"a\":\"\xf0\x9f\x98\x80\"}"},
    {"tabs in JSON", "{\t\"a\":\t1\n\t}", "{\"a\":1}"},
    {"a mark of byte order",
     "\xef\xbb\xbf"
     "a: 1",
     "{\"a\":1}"},

    {"a name twice", "a: 1\nb: 2\na: 3",
     "error TUL0004: \"a\" is there twice, first in line 1 @t.yaml:3:1"},
    {"a tab as indentation", "a:\n\tb: 1",
     "error TUL0001: this is not YAML: found character that cannot start any token, while scanning "
     "for the next token in "
     "line 2 @t.yaml:2:1"},
    {"an open bracket", "a: [1, 2",
     "error TUL0001: this is not YAML: did not find expected ',' or ']', while parsing a flow "
     "sequence in line 1 @t.yaml:2:1"},
    {"an alias", "a: &x 1\nb: *x",
     "error TUL0005: aliases (*x) are not supported; write the value out @t.yaml:2:4"},
    {"a tag of others", "a: !ruby/object 1",
     "error TUL0001: the tag !ruby/object is not supported @t.yaml:1:4"},
    {"a tag on a list", "a: !!set [1]",
     "error TUL0001: the tag tag:yaml.org,2002:set is not supported @t.yaml:1:4"},
    {"a list as a name", "? [a]\n: b",
     "error TUL0001: a name is expected here, not a list @t.yaml:1:3"},
    {"NUL", "a: \"x\\0y\"", "error TUL0001: a string holds a NUL character @t.yaml:1:4"},
    {"NUL in a name", "\"x\\0y\": 1", "error TUL0001: a name holds a NUL character @t.yaml:1:1"},
    {"not UTF-8", "a: \xc0\xaf",
     "error TUL0001: this is not YAML: invalid length of a UTF-8 sequence, at byte 3 @t.yaml"},
    {"a lone surrogate", "{\"a\":\"\\ud83d\"}",
     "error TUL0001: this is not YAML: found invalid Unicode character escape code, while parsing "
     "a quoted scalar in line 1 "
     "@t.yaml:1:9"},
    {"directives", "%TAG ! tag:x,2000:\n---\na: 1",
     "error TUL0001: %TAG directives are not supported @t.yaml:1:1"},
};

TEST(document_reads_yaml)
{
    EACH (c, cases) {
        char *json = read_yaml(c->yaml, strlen(c->yaml), NULL);
        CHECK(strcmp(json, c->json) == 0, "%s: %s", c->name, json);
        mem_free(json);
    }
}

TEST(document_knows_where_everything_was_written)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    struct documents documents;
    struct slice text = SLICE("kind: X\nspec:\n  - name: \"\xc3\xa9\"\n    on: yes\n");
    CHECK(document_read_yaml(text, "t", NULL, &arena, &documents, &error), "%s", error.what);
    const struct value *root = documents.items[0];
    const struct value *item = value_get(root, "spec")->first;
    const struct value *on = value_get(item, "on");
    CHECK(on->key_line == 4 && on->key_column == 5 && on->line == 4 && on->column == 9, "%u:%u",
          on->line, on->column);
    CHECK(on->kind == VALUE_BOOL && slice_equals_str(on->raw, "yes") &&
              slice_equals_str(on->text, "true"),
          "raw");
    CHECK(item->line == 3 && item->column == 5 && item->key.size == 0, "the item");
    CHECK(value_get(item, "name")->quoted && !value_get(root, "kind")->quoted, "quoted");
    CHECK(strcmp(value_describe(on, &arena), "the boolean yes") == 0, "%s",
          value_describe(on, &arena));
    CHECK(!value_get(item, "none") && !value_get(value_get(root, "kind"), "x") &&
              !value_get(NULL, "x"),
          "none");
    arena_fini(&arena);
}

static char *repeat(const char *text, size_t count, size_t *size)
{
    struct buffer out = {0};
    for (size_t i = 0; i < count; i++)
        buffer_append_str(&out, text);
    *size = out.size;
    return buffer_take(&out);
}

TEST(document_stops_at_its_depth)
{
    for (size_t depth = 60; depth <= 70; depth++) {
        size_t size;
        char *open = repeat("[", depth, &size), *close = repeat("]", depth, &size);
        char *text = str_format("%s%s", open, close), *read = read_yaml(text, strlen(text), NULL);
        CHECK((strncmp(read, "error TUL0003", 13) == 0) == (depth > 64), "%zu: %s", depth, read);
        mem_free(open), mem_free(close), mem_free(text), mem_free(read);
    }
    /* libyaml alone would take half a minute for this. */
    static const char *const bombs[] = {"[", "{a: ", "- ", "? ", "[{"};
    EACH (bomb, bombs) {
        size_t size;
        char *text = repeat(*bomb, 200000 / strlen(*bomb), &size),
             *read = read_yaml(text, size, NULL);
        CHECK(strncmp(read, "error ", 6) == 0, "%s: %s", *bomb, read);
        mem_free(text), mem_free(read);
    }
}

TEST(document_takes_the_limit_of_bytes_and_values_and_not_one_more)
{
    struct text_limits limits = TEXT_LIMITS;
    limits.max_bytes = 6;
    char *read = read_yaml("[1, 2]", 6, &limits);
    CHECK(strcmp(read, "[1,2]") == 0, "%s", read);
    mem_free(read);
    read = read_yaml("[1, 2] ", 7, &limits);
    CHECK(strstr(read, "7 bytes, more than the limit of 6"), "%s", read);
    mem_free(read);
    limits = TEXT_LIMITS;
    limits.max_values = 3;
    read = read_yaml("[1, 2]", 6, &limits);
    CHECK(strcmp(read, "[1,2]") == 0, "%s", read);
    mem_free(read);
    read = read_yaml("[1, 2, 3]", 9, &limits);
    CHECK(strstr(read, "more than 3 values"), "%s", read);
    mem_free(read);
}

TEST(document_copies_aliases_only_as_far_as_allowed)
{
    struct text_limits limits = TEXT_LIMITS;
    limits.max_alias_values = 5;
    static const struct {
        const char *yaml, *json;
    } alias_cases[] = {
        {"a: &x [1]\nb: *x\nc: *x", "{\"a\":[1],\"b\":[1],\"c\":[1]}"},
        {"a: &x 1\nb: [*x]", "{\"a\":1,\"b\":[1]}"},
        {"a: &x [1, 2]\nb: *x\nc: *x", "error TUL0005: aliases add more than 5 values @t.yaml:3:4"},
        {"a: &x [*x]", "error TUL0005: there is no anchor &x before here @t.yaml:1:8"},
        {"a: &x 1\n---\nb: *x", "error TUL0001: this is not YAML: found undefined alias"},
        {"&x a: 1\n*x : 2", "error TUL0005: an alias cannot be a name @t.yaml:2:1"},
    };
    EACH (c, alias_cases) {
        char *read = read_yaml(c->yaml, strlen(c->yaml), &limits);
        CHECK(strncmp(read, c->json, strlen(c->json)) == 0 || strstr(read, "TUL0005"), "%s: %s",
              c->yaml, read);
        mem_free(read);
    }
    /* Nine levels of nine, the classic. */
    struct buffer bomb = {0};
    buffer_append_str(&bomb, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++)
        buffer_format(&bomb, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                      i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    limits.max_alias_values = 10000;
    char *read = read_yaml(bomb.data, bomb.size, &limits);
    CHECK(strstr(read, "aliases add more than 10000 values"), "%s", read);
    mem_free(read);
    buffer_fini(&bomb);
}

TEST(document_finds_a_repeated_name_among_very_many)
{
    struct buffer text = {0};
    for (int i = 0; i < 50000; i++)
        buffer_format(&text, "k%d: 1\n", i);
    char *read = read_yaml(text.data, text.size, NULL);
    CHECK(strncmp(read, "{\"k0\":1,", 8) == 0, "%.40s", read);
    mem_free(read);
    buffer_append_str(&text, "k777: 2\n");
    read = read_yaml(text.data, text.size, NULL);
    CHECK(strcmp(read,
                 "error TUL0004: \"k777\" is there twice, first in line 778 @t.yaml:50001:1") == 0,
          "%s", read);
    mem_free(read);
    buffer_fini(&text);
}

static const struct {
    const char *name, *text;
    const char *json; /* NULL: refused */
} json_cases[] = {
    {"an object", " {\"a\":[1,2.5,\"x\",null,true],\"b\":{}} ",
     "{\"a\":[1,2.5,\"x\",null,true],\"b\":{}}"},
    {"a scalar", "\"x\"", "\"x\""},
    {"nothing", "", NULL},
    {"a comma too many", "[1,]", NULL},
    {"YAML", "a: 1", NULL},
    {"a name twice", "{\"a\":1,\"a\":2}", NULL},
    {"a large number", "1e400", NULL},
    {"a lone surrogate", "\"\\ud800\"", NULL},
    {"NUL", "\"\\u0000\"", NULL},
    {"a mark of byte order", "\xef\xbb\xbf[]", NULL},
    {"two values", "1 2", NULL},
    {"a comment", "[] // x", NULL},
    {"not UTF-8", "\"\xff\"", NULL},
};

TEST(document_reads_strict_json)
{
    EACH (c, json_cases) {
        struct arena arena;
        arena_init(&arena, NULL);
        owned_error error = {0};
        struct value *value;
        bool read = document_read_json(slice_str(c->text), "t.json", NULL, &arena, &value, &error);
        CHECK(read == (c->json != NULL), "%s", c->name);
        if (read) {
            struct buffer out = {0};
            value_write_json(value, false, &out);
            CHECK(buffer_equals(&out, c->json), "%s: %s", c->name, out.data);
            buffer_fini(&out);
        } else {
            CHECK(error.what && error.where, "%s", c->name);
        }
        arena_fini(&arena);
    }
}

TEST(document_bounds_json_before_it_parses)
{
    struct arena arena;
    arena_init(&arena, NULL);
    size_t size;
    char *deep = repeat("[", 1000000, &size);
    owned_error error = {0}, other = {0};
    struct value *value;
    CHECK(!document_read_json(slice_of(deep, size), "t", NULL, &arena, &value, &error), "deep");
    CHECK(strstr(error.what, "nested more than 64 deep"), "%s", error.what);
    mem_free(deep);
    char *wide = repeat("1,", 1000001, &size);
    CHECK(!document_read_json(slice_of(wide, size), "t", NULL, &arena, &value, &other), "wide");
    CHECK(strstr(other.what, "more than 1000000 values"), "%s", other.what);
    mem_free(wide);
    arena_fini(&arena);
}

TEST(document_writes_yaml_that_reads_back_the_same)
{
    static const char *const texts[] = {
        "{\"a\":1,\"b\":[\"x\",{\"c\":null,\"d\":true}],\"e\":{},\"f\":[]}",
        "{\"a\":\"true\",\"b\":\"1\",\"c\":\"\",\"d\":\"~\",\"e\":\"yes\",\"f\":\"0x10\",\"g\":\" "
        "x \",\"h\":\"- y\",\"i\":\"a: b\",\"j\":\"#\"}",
        "{\"a\":\"one\\ntwo\\n\",\"b\":\"no "
        "end\\nhere\",\"c\":\"tab\\there\",\"d\":\"\xc3\xa9\",\"e\":\"\\u0001\",\"f\":\"\\r\\n\"}",
        "{\"true\":1,\"1\":2,\"\":3,\"a b\":4,\"x\\ny\":5}",
        "[\"x\",[1,[2]],{\"a\":{\"b\":{\"c\":[]}}}]",
        "\"just text\"",
        "{\"a\":\"*x\",\"b\":\"&y\",\"c\":\"!z\",\"d\":\"%e\",\"e\":\"@f\",\"f\":\"`g\",\"g\":\"---"
        "\",\"h\":\"...\"}",
    };
    EACH (text, texts) {
        struct arena arena;
        arena_init(&arena, NULL);
        owned_error error = {0};
        struct value *value;
        CHECK(document_read_json(slice_str(*text), "t", NULL, &arena, &value, &error), "%s",
              error.what);
        struct buffer yaml = {0}, before = {0};
        value_write_yaml(value, &yaml);
        value_write_json(value, false, &before);
        char *after = read_yaml(yaml.data, yaml.size, NULL);
        CHECK(buffer_equals(&before, after), "%s\n%s%s", before.data, yaml.data, after);
        mem_free(after);
        buffer_fini(&yaml), buffer_fini(&before);
        arena_fini(&arena);
    }
}

TEST(document_goes_to_jansson_and_back)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct documents documents;
    owned_error error = {0};
    struct slice text = SLICE("z: 1\na: [x, ~, true, 1.5, {}, 1.0, 1e3]\nm: {q: 'w'}");
    CHECK(document_read_yaml(text, "t", NULL, &arena, &documents, &error), "%s", error.what);
    json_t *json = value_to_json(documents.items[0]);
    char *dumped = json_dumps(json, JSON_COMPACT);
    const char *wanted = "{\"z\":1,\"a\":[\"x\",null,true,1.5,{},1.0,1000.0],\"m\":{\"q\":\"w\"}}";
    CHECK(strcmp(dumped, wanted) == 0, "%s", dumped);
    struct buffer out = {0};
    value_write_json(value_from_json(json, &arena), false, &out);
    CHECK(buffer_equals(&out, wanted), "%s", out.data);
    buffer_fini(&out);
    free(dumped);
    json_decref(json);
    CHECK(!value_to_json(value_new_number(&arena, SLICE("1e999"))), "no such number");
    arena_fini(&arena);
}
