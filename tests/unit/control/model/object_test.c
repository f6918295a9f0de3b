#include "control/model/object.h"

#include "base/memory.h"

#include "test.h"

static struct object *load(const char *http)
{
    struct object *object = NULL;
    struct error error = {0};
    owned_str text =
        str_format("{\"apiVersion\":\"networking.istio.io/"
                   "v1\",\"kind\":\"VirtualService\",\"metadata\":{\"name\":"
                   "\"a\",\"namespace\":\"shop\"},\"spec\":{\"hosts\":[\"a\"],\"http\":[%s]}}",
                   http);
    CHECK(object_load(SLICE("networking.istio.io/virtualservices/shop/a"), slice_str(text), 1,
                      &object, &error),
          "%s", error.what);
    return object;
}

#define TO "\"route\":[{\"destination\":{\"host\":\"a\"}}]"

static const struct {
    const char *name, *http;
    bool object, first, second;
} cases[] = {
    {"all acts", "{" TO "},{" TO "}", true, true, true},
    {"a field that does not restrict", "{\"retries\":{\"attempts\":1}," TO "},{" TO "}", true, true,
     true},
    {"a match that does not act", "{\"match\":[{\"port\":80}]," TO "},{" TO "}", true, false, true},
    {"a match of a newer version", "{" TO "},{\"match\":[{\"moon\":1}]," TO "}", true, true, false},
    {"twice in one rule", "{\"match\":[{\"port\":80},{\"port\":81}]," TO "},{" TO "}", true, false,
     true},
    {"in every rule", "{\"match\":[{\"port\":80}]," TO "},{\"match\":[{\"port\":81}]," TO "}",
     false, false, false},
    {"where rules cannot be told apart", "{" TO "},{" TO "}],\"gateways\":[\"shop/gw\"", false,
     false, false},
};

TEST(what_restricts_and_does_not_act_disables_the_rule_that_holds_it)
{
    EACH (c, cases) {
        owned(object) object = load(c->http);
        CHECK(object->disabled == !c->object, "%s", c->name);
        CHECK(object_rule_acts(object, 0) == c->first, "%s", c->name);
        CHECK(object_rule_acts(object, 1) == c->second, "%s", c->name);
    }
}
