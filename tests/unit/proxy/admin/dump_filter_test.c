#include "proxy/admin/dump_filter.h"

#include "base/buffer.h"
#include "match/regex.h"

#include "test.h"

static const char dumps[] =
    "[{\"@type\":\"type.googleapis.com/"
    "envoy.admin.v3.BootstrapConfigDump\",\"bootstrap\":{\"node\":"
    "{\"id\":\"a\",\"cluster\":\"b\"}}},"
    "{\"@type\":\"type.googleapis.com/envoy.admin.v3.ClustersConfigDump\",\"static_clusters\":["
    "{\"cluster\":{\"@type\":\"t\",\"name\":\"one\",\"connect_timeout\":\"1s\"},\"last_updated\":"
    "\"now\"},{\"cluster\":{\"@type\":\"t\",\"name\":\"two\"},\"last_updated\":\"now\"}]},"
    "{\"@type\":\"type.googleapis.com/envoy.admin.v3.ListenersConfigDump\",\"dynamic_listeners\":["
    "{\"name\":\"in\",\"active_state\":{\"version_info\":\"7\",\"listener\":{\"@type\":\"l\","
    "\"name\":\"in\",\"stat_prefix\":\"x\"}}},{\"name\":\"bad\",\"error_state\":{\"details\":\"d\","
    "\"version_info\":\"8\"}}]}]";

/* What is left, or the refusal's status and text. */
static const char *filtered(const char *resource, const char *mask, const char *regex)
{
    static struct buffer text;
    struct arena arena = {0};
    struct error error = {0};
    struct value *configs, *out;
    struct regex *names = NULL;
    struct dump_refusal refusal = {0};
    CHECK(document_read_json(slice_str(dumps), "test", NULL, &arena, &configs, &error));
    CHECK(!regex || regex_compile(slice_str(regex), false, &names, &error));
    struct dump_query query = {slice_str(resource), slice_str(mask), names, false};
    buffer_reset(&text);
    if (dump_filter(configs, &query, &arena, &out, &refusal))
        value_write_json(out, false, &text);
    else
        buffer_format(&text, "%u %s", refusal.status, refusal.text);
    regex_destroy(names);
    arena_fini(&arena);
    return text.data;
}

#define STATIC "\"@type\":\"type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster\""
#define DYNAMIC                                                                                    \
    "\"@type\":\"type.googleapis.com/envoy.admin.v3.ListenersConfigDump.DynamicListener\""
#define CLUSTERS "\"@type\":\"type.googleapis.com/envoy.admin.v3.ClustersConfigDump\""
#define BOOTSTRAP "\"@type\":\"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump\""

static const struct {
    const char *resource, *mask, *regex, *left;
} cases[] = {
    {"static_clusters", "cluster.name", "t.*",
     "[{" STATIC ",\"cluster\":{\"@type\":\"t\",\"name\":\"two\"}}]"},
    {"static_clusters", "cluster.connect_timeout,last_updated", "one",
     "[{" STATIC ",\"cluster\":{\"@type\":\"t\",\"connect_timeout\":\"1s\"},\"last_updated\":"
     "\"now\"}]"},
    {"static_clusters", "", "on", "[]"}, /* of the whole name */
    {"dynamic_active_clusters", "", NULL, "[]"},
    {"dynamic_listeners", "name,active_state.listener.stat_prefix", NULL,
     "[{" DYNAMIC ",\"name\":\"in\",\"active_state\":{\"listener\":{\"@type\":\"l\","
     "\"stat_prefix\":\"x\"}}},{" DYNAMIC ",\"name\":\"bad\"}]"},
    {"dynamic_listeners", "error_state.details", "bad",
     "[{" DYNAMIC ",\"error_state\":{\"details\":\"d\"}}]"},
    {"", "bootstrap.node.id", NULL, "[{" BOOTSTRAP ",\"bootstrap\":{\"node\":{\"id\":\"a\"}}}]"},
    {"", "static_clusters", "two",
     "[{" CLUSTERS ",\"static_clusters\":[{\"cluster\":{\"@type\":\"t\",\"name\":\"two\"},"
     "\"last_updated\":\"now\"}]}]"},
    {"nothing", "", NULL, "404 nothing not found in config dump\n"},
    {"static_endpoint_configs", "", NULL, "404 static_endpoint_configs not found in config dump\n"},
    {"bootstrap", "", NULL,
     "400 bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field\n"},
    {"static_clusters", "nope", NULL, "400 FieldMask nope could not be successfully used.\n"},
    {"static_clusters", "cluster.nope", NULL,
     "400 FieldMask cluster.nope could not be successfully used.\n"},
    {"static_clusters", "cluster.load_assignment.endpoints.locality", NULL,
     "400 FieldMask cluster.load_assignment.endpoints.locality could not be successfully used.\n"},
    {"", "static_clusters.cluster", NULL,
     "400 FieldMask static_clusters.cluster could not be successfully applied to any configs.\n"},
    {"", "static_clusters,bootstrap", NULL,
     "400 FieldMask static_clusters,bootstrap could not be successfully applied to any "
     "configs.\n"},
};

TEST(a_dump_is_filtered_as_envoy_does)
{
    EACH (c, cases) {
        const char *left = filtered(c->resource, c->mask, c->regex);
        CHECK(strcmp(left, c->left) == 0, "resource=%s mask=%s: %s", c->resource, c->mask, left);
    }
}

TEST(a_mask_has_a_limit)
{
    char mask[2 * DUMP_MASK_MAX + 2];
    for (size_t i = 0; i < sizeof(mask); i++)
        mask[i] = i % 2 ? ',' : 'x';
    mask[2 * DUMP_MASK_MAX + 1] = '\0';
    CHECK(strcmp(filtered("", mask, NULL), "400 the mask has more than 64 paths\n") == 0);
    mask[2 * DUMP_MASK_MAX - 1] = '\0';
    CHECK(strstr(filtered("", mask, NULL), "could not be successfully applied"));
}
