#include "test.h"

#include "base/buffer.h"
#include "stats/export.h"
#include "stats/registry.h"

static const struct stats_metric requests = {.name = "requests_total", .kind = STATS_COUNTER};
static const struct stats_label names[] = {{"a", false}, {"b", true}};

/* The value of label a as Prometheus shows it. */
static void shown(struct buffer *out, struct slice value)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct stats_labels *labels = stats_labels_hold(registry, names, &value, 1);
    uint32_t slot = stats_resolve(registry, &requests, labels);
    owned_buffer text = {0};
    stats_export_prometheus(registry, NULL, &text);
    struct slice all = buffer_slice(&text);
    size_t start = slice_find(all, SLICE("requests_total{a=\"")) + 18;
    size_t end = slice_find(slice_from(all, start), SLICE("\"} 0\n"));
    CHECK(start < text.size && end != SIZE_MAX, "%s", text.data);
    buffer_reset(out);
    buffer_append_slice(out, slice_first(slice_from(all, start), end));
    stats_release(registry, slot);
    stats_labels_release(registry, labels);
    stats_registry_destroy(registry);
}

TEST(labels_with_the_same_values_are_the_same)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct slice xy[] = {SLICE("x"), SLICE("y")}, yx[] = {SLICE("y"), SLICE("x")},
                 joined[] = {SLICE("xy"), SLICE("")};
    struct stats_labels *a = stats_labels_hold(registry, names, xy, 2),
                        *b = stats_labels_hold(registry, names, xy, 2);
    struct stats_labels *c = stats_labels_hold(registry, names, yx, 2),
                        *d = stats_labels_hold(registry, names, joined, 2);
    static const struct stats_label others[] = {{"a", false}, {"c", true}};
    struct stats_labels *e = stats_labels_hold(registry, others, xy, 2);
    CHECK(a == b && a != c && a != d && c != d && a != e);
    CHECK(stats_labels_hold(registry, names, xy, 0) == NULL);
    struct stats_labels *all[] = {a, b, c, d, e, NULL};
    for (size_t i = 0; i < COUNT(all); i++)
        stats_labels_release(registry, all[i]);
    stats_registry_destroy(registry);
}

TEST(labels_are_made_fit_to_be_shown)
{
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        {{"plain", 5}, "plain"},
        {{"a\"b\\c\nd", 7}, "a\\\"b\\\\c\\nd"},
        {{"\xff", 1}, "\xef\xbf\xbd"},
        {{"a\0b", 3},
         "a\xef\xbf\xbd"
         "b"},
        {{"\xc3\xa9", 2}, "\xc3\xa9"},
        {{"", 0}, ""},
        {{NULL, 0}, ""},
    };
    EACH (c, cases) {
        owned_buffer out = {0};
        shown(&out, c->in);
        CHECK(buffer_equals(&out, c->out), "%s", out.data);
    }
}

TEST(labels_are_cut_at_their_limit)
{
    owned_buffer value = {0}, out = {0};
    for (size_t i = 0; i < STATS_LABEL_BYTES_MAX; i++)
        buffer_append_byte(&value, 'x');
    shown(&out, buffer_slice(&value));
    CHECK(out.size == STATS_LABEL_BYTES_MAX);
    buffer_append_byte(&value, 'y');
    shown(&out, buffer_slice(&value));
    CHECK(out.size == STATS_LABEL_BYTES_MAX, "one byte more is cut");
    value.size = STATS_LABEL_BYTES_MAX - 1;
    buffer_append_str(&value, "\xe2\x82\xac");
    shown(&out, buffer_slice(&value));
    CHECK(out.size == STATS_LABEL_BYTES_MAX - 1, "no character is cut in two");
}
