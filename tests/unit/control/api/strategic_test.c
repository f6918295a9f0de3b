#include "control/api/strategic.h"

#include "control/model/kind.h"

#include "test.h"

#define PORTS "\"ports\":[{\"name\":\"a\",\"port\":1,\"targetPort\":9},{\"name\":\"b\",\"port\":2}]"

static const struct {
    const char *name, *target, *patch, *result; /* NULL: refused */
} cases[] = {
    {"a port is changed in its place", "{\"spec\":{" PORTS "}}",
     "{\"spec\":{\"ports\":[{\"port\":1,\"targetPort\":8}]}}",
     "{\"spec\":{\"ports\":[{\"name\":\"a\",\"port\":1,\"targetPort\":8},{\"name\":\"b\",\"port\":"
     "2}]}}"},
    {"a port is added", "{\"spec\":{" PORTS "}}", "{\"spec\":{\"ports\":[{\"port\":3}]}}",
     "{\"spec\":{"
     "\"ports\":[{\"name\":\"a\",\"port\":1,\"targetPort\":9},{\"name\":\"b\",\"port\":2},{"
     "\"port\":3}]}}"},
    {"a port is deleted", "{\"spec\":{" PORTS "}}",
     "{\"spec\":{\"ports\":[{\"$patch\":\"delete\",\"port\":1}]}}",
     "{\"spec\":{\"ports\":[{\"name\":\"b\",\"port\":2}]}}"},
    {"a list is replaced", "{\"spec\":{" PORTS "}}",
     "{\"spec\":{\"ports\":[{\"$patch\":\"replace\"},{\"port\":7}]}}",
     "{\"spec\":{\"ports\":[{\"port\":7}]}}"},
    {"the order is set", "{\"spec\":{" PORTS "}}",
     "{\"spec\":{\"$setElementOrder/ports\":[{\"port\":2},{\"port\":1}]}}",
     "{\"spec\":{\"ports\":[{\"name\":\"b\",\"port\":2},{\"name\":\"a\",\"port\":1,\"targetPort\":"
     "9}]}}"},
    {"other lists are replaced whole", "{\"spec\":{\"externalIPs\":[\"1\",\"2\"]}}",
     "{\"spec\":{\"externalIPs\":[\"3\"]}}", "{\"spec\":{\"externalIPs\":[\"3\"]}}"},
    {"words are merged", "{\"metadata\":{\"finalizers\":[\"x\",\"y\"]}}",
     "{\"metadata\":{\"$deleteFromPrimitiveList/"
     "finalizers\":[\"x\"],\"finalizers\":[\"z\",\"y\"]}}",
     "{\"metadata\":{\"finalizers\":[\"y\",\"z\"]}}"},
    {"null deletes, maps merge", "{\"spec\":{\"selector\":{\"a\":\"1\",\"b\":\"2\"}}}",
     "{\"spec\":{\"selector\":{\"a\":null,\"c\":\"3\"}}}",
     "{\"spec\":{\"selector\":{\"b\":\"2\",\"c\":\"3\"}}}"},
    {"a map is replaced", "{\"spec\":{\"selector\":{\"a\":\"1\"}}}",
     "{\"spec\":{\"selector\":{\"$patch\":\"replace\",\"c\":\"3\"}}}",
     "{\"spec\":{\"selector\":{\"c\":\"3\"}}}"},
    {"only the named keys stay", "{\"spec\":{\"type\":\"A\",\"clusterIP\":\"x\"}}",
     "{\"spec\":{\"$retainKeys\":[\"type\"],\"type\":\"B\"}}", "{\"spec\":{\"type\":\"B\"}}"},
    {"an item needs its key", "{\"spec\":{" PORTS "}}", "{\"spec\":{\"ports\":[{\"name\":\"x\"}]}}",
     NULL},
    {"an unknown directive", "{\"spec\":{}}", "{\"spec\":{\"$patch\":\"explode\"}}", NULL},
    {"no object", "{}", "[]", NULL},
};

static struct value *read(const char *json, struct arena *arena)
{
    struct value *value = NULL;
    struct error error = {0};
    CHECK(document_read_json(slice_str(json), "test", NULL, arena, &value, &error), "%s: %s", json,
          error.what);
    return value;
}

TEST(strategic_patches_merge_lists_by_their_keys)
{
    EACH (c, cases) {
        struct arena arena;
        arena_init(&arena, NULL);
        struct error error = {0};
        struct value *result;
        owned_buffer text = {0};
        bool good = strategic_patch(read(c->target, &arena), read(c->patch, &arena),
                                    kind_schema(KIND_SERVICE)->type, &arena, &result, &error);
        CHECK(good == (c->result != NULL), "%s: %s", c->name, error.what);
        if (good) {
            value_write_json(result, false, &text);
            CHECK(buffer_equals(&text, c->result), "%s: %s", c->name, text.data);
        }
        error_fini(&error);
        arena_fini(&arena);
    }
}
