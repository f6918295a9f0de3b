#include "control/api/selector.h"

#include "base/buffer.h"

#include "test.h"

static const char document[] = "{\"metadata\":{\"name\":\"cart\",\"namespace\":\"shop\",\"labels\":"
                               "{\"app\":\"cart\",\"tier\":\"web\",\"empty\":\"\"}}}";

static const struct {
    const char *text;
    int expected; /* -1: refused */
} labels[] =
    {
        {"", 1},
        {"app=cart", 1},
        {"app==cart", 1},
        {"app=web", 0},
        {"app!=cart", 0},
        {"app!=web", 1},
        {"absent!=web", 1},
        {"app", 1},
        {"absent", 0},
        {"!app", 0},
        {"!absent", 1},
        {"app in (a, cart)", 1},
        {"app in (a)", 0},
        {"app notin (a)", 1},
        {"app notin (cart,b)", 0},
        {"absent notin (a)", 1},
        {"app=cart,tier=web", 1},
        {"app=cart,tier in (x,y)", 0},
        {" app = cart , tier = web ", 1},
        {"empty=", 1},
        {"app=cart,", -1},
        {"=x", -1},
        {"app in cart", -1},
        {"app in (cart", -1},
        {"a b=c", -1},
        {"app>3", -1},
},
  fields[] = {
      {"metadata.name=cart", 1},
      {"metadata.name!=cart", 0},
      {"metadata.namespace=shop,metadata.name=cart", 1},
      {"metadata.namespace=other", 0},
      {"spec.host=x", -1},
      {"metadata.name", -1},
};

static int answer(const char *text, bool field)
{
    struct arena arena;
    arena_init(&arena, NULL);
    struct selector selector = {0};
    struct error error = {0};
    struct value *value = NULL;
    CHECK(document_read_json(slice_str(document), "test", NULL, &arena, &value, &error));
    bool good = (field ? selector_read_fields : selector_read_labels)(&selector, slice_str(text),
                                                                      &arena, &error);
    CHECK(good == !error.what, "%s", text);
    int result = good ? selector_matches(&selector, value) : -1;
    error_fini(&error);
    arena_fini(&arena);
    return result;
}

TEST(selectors_choose_by_labels_and_names)
{
    EACH (c, labels)
        CHECK(answer(c->text, false) == c->expected, "%s: %d", c->text, answer(c->text, false));
    EACH (c, fields)
        CHECK(answer(c->text, true) == c->expected, "%s: %d", c->text, answer(c->text, true));
}

TEST(selectors_have_limits)
{
    owned_buffer text = {0};
    for (int i = 0; i < SELECTOR_TERMS_MAX; i++)
        buffer_format(&text, "%sapp", i ? "," : "");
    CHECK(answer(text.data, false) == 1);
    buffer_append_str(&text, ",app");
    CHECK(answer(text.data, false) == -1, "one term more");
    buffer_reset(&text);
    buffer_append_str(&text, "app in (a");
    for (int i = 1; i < SELECTOR_VALUES_MAX; i++)
        buffer_append_str(&text, ",a");
    owned_buffer more = {0};
    buffer_format(&more, "%s,a)", text.data);
    buffer_append_str(&text, ")");
    CHECK(answer(text.data, false) == 0);
    CHECK(answer(more.data, false) == -1, "one value more");
    buffer_reset(&text);
    buffer_append_str(&text, "app");
    while (text.size < SELECTOR_BYTES_MAX)
        buffer_append_byte(&text, ' ');
    CHECK(answer(text.data, false) == 1);
    buffer_append_byte(&text, ' ');
    CHECK(answer(text.data, false) == -1, "one byte more");
}
