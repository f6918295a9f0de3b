#include "control/translate/fallbacks.h"

#include "base/buffer.h"
#include "base/memory.h"

#include "test.h"

#define KEY "networking.istio.io/virtualservices/shop/web"
static const char good[] = "{\"hosts\":[\"web\"],\"http\":[{\"directResponse\":{\"status\":200}}]}",
                  good_too[] =
                      "{\"hosts\":[\"web\"],\"http\":[{\"directResponse\":{\"status\":201}}]}",
                  bad[] = "{\"hosts\":[\"web\"],\"http\":[{\"headers\":{\"request\":{\"set\":{"
                          "\"x y\":\"1\"}}},\"route\":[{\"destination\":{\"host\":\"web\"}}]}]}",
                  bad_too[] =
                      "{\"hosts\":[\"web\"],\"http\":[{\"headers\":{\"request\":{\"set\":{"
                      "\"x z\":\"1\"}}},\"route\":[{\"destination\":{\"host\":\"web\"}}]}]}";

struct fixture {
    struct model *model;
    struct fallbacks *fallbacks;
    struct buffer told; /* "201 - ": the status of what is held now, "-" for nothing */
};

static const char *status_of(const struct object *version)
{
    return version->virtual_service->spec->http[0]->direct_response->status == 200 ? "200" : "201";
}

static void on_change(void *owner, struct slice key, const struct object *held)
{
    CHECK(slice_equals(key, SLICE(KEY)));
    buffer_format(&((struct fixture *)owner)->told, "%s ", held ? status_of(held) : "-");
}

static struct fixture begin(void)
{
    struct fixture f = {.model = model_create()};
    f.fallbacks = fallbacks_create(f.model);
    return f;
}

static void end(struct fixture *f)
{
    fallbacks_destroy(f->fallbacks);
    model_destroy(f->model);
    buffer_fini(&f->told);
}

static struct object *version(const char *uid, const char *spec)
{
    struct object *object = NULL;
    owned_error error = {0};
    owned_str text =
        str_format("{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\","
                   "\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"%s\"},"
                   "\"spec\":%s}",
                   uid, spec);
    CHECK(object_load(SLICE(KEY), slice_str(text), 1, &object, &error), "%s", error.what);
    return object;
}

static void put(struct fixture *f, const char *uid, const char *spec)
{
    owned(object) object = version(uid, spec);
    model_put(f->model, object);
}

/* What acts instead of the object as it is. */
static const char *held(struct fixture *f)
{
    const struct object *now = model_get(f->model, SLICE(KEY));
    const struct object *instead = fallbacks_of(f->fallbacks, NULL, now);
    return instead ? status_of(instead) : "-";
}

TEST(the_version_before_the_first_bad_one_is_held_until_a_good_one_comes)
{
    struct fixture f = begin();
    fallbacks_listen(f.fallbacks, on_change, &f);
    put(&f, "1", good);
    put(&f, "1", good_too);
    CHECK(strcmp(held(&f), "-") == 0);
    put(&f, "1", bad);
    CHECK(strcmp(held(&f), "201") == 0);
    put(&f, "1", bad_too);
    CHECK(strcmp(held(&f), "201") == 0, "a bad one is no fallback for the next");
    put(&f, "1", good);
    CHECK(strcmp(held(&f), "-") == 0);
    put(&f, "1", bad);
    CHECK(strcmp(held(&f), "200") == 0);
    CHECK(model_remove(f.model, SLICE(KEY)));
    CHECK(buffer_equals(&f.told, "201 - 200 - "), "%s", f.told.data);
    end(&f);
}

TEST(who_reads_what_is_held_is_asked_anew)
{
    struct fixture f = begin();
    struct reader reader;
    struct list queue;
    list_init(&queue);
    reader_init_in(&reader, &queue);
    put(&f, "1", bad);
    CHECK(!fallbacks_of(f.fallbacks, &reader, model_get(f.model, SLICE(KEY))), "it was never good");
    owned(object) kept = version("1", good);
    fallbacks_restore(f.fallbacks, kept);
    CHECK(facts_take(&queue) == &reader);
    CHECK(strcmp(held(&f), "200") == 0);
    reader_fini(model_facts(f.model), &reader);
    end(&f);
}

TEST(what_was_kept_of_another_object_or_is_not_needed_goes)
{
    struct fixture f = begin();
    fallbacks_listen(f.fallbacks, on_change, &f);
    owned(object) kept = version("1", good);
    fallbacks_restore(f.fallbacks, kept);
    put(&f, "2", bad);
    CHECK(strcmp(held(&f), "-") == 0, "it has another uid");
    fallbacks_tidy(f.fallbacks);
    CHECK(buffer_equals(&f.told, "- "), "%s", f.told.data);
    put(&f, "2", good);
    fallbacks_restore(f.fallbacks, kept);
    put(&f, "2", bad);
    CHECK(strcmp(held(&f), "200") == 0, "of this object");
    fallbacks_tidy(f.fallbacks);
    CHECK(buffer_equals(&f.told, "- 200 "), "%s", f.told.data);
    end(&f);
}
