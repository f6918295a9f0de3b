#include "control/conditions/conditions.h"

#include "base/memory.h"
#include "control/model/feed.h"
#include "control/store/sqlite.h"
#include "io/loop.h"

#include "test.h"

struct fixture {
    struct loop *loop;
    struct store *store;
    struct model *model;
    struct registry *registry;
    struct conditions *conditions;
    struct feed *feed;
    bool written;
    unsigned objects;
};

static void on_object(void *owner, enum kind kind)
{
    struct fixture *f = owner;
    (void)kind;
    f->objects++;
    conditions_note(f->conditions);
}

static void on_other(void *owner, struct slice key, struct slice value)
{
    (void)owner;
    (void)key;
    (void)value;
}

static void on_ready(void *owner)
{
    struct fixture *f = owner;
    conditions_start(f->conditions);
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){0};
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &f->loop) == 0);
    struct error error = {0};
    CHECK(sqlite_store_open(f->loop, &(struct sqlite_options){.path = ":memory:"}, &f->store,
                            &error));
}

static void watch(struct fixture *f)
{
    f->model = model_create();
    f->registry = registry_create(f->model);
    struct findings_sources sources = {f->model, f->registry, NULL};
    f->conditions = conditions_create(f->loop, f->store, f->model, &sources,
                                      &(struct conditions_options){.quiet_ms = 10, .most_ms = 50});
    f->feed = feed_create(
        f->loop, f->store, f->model,
        &(struct feed_listener){
            .on_object = on_object, .on_other = on_other, .on_ready = on_ready, .owner = f});
}

static void unwatch(struct fixture *f)
{
    feed_destroy(f->feed);
    conditions_destroy(f->conditions);
    registry_destroy(f->registry);
    model_destroy(f->model);
}

static void end(struct fixture *f)
{
    unwatch(f);
    store_close(f->store);
    loop_settle(f->loop);
    loop_destroy(f->loop);
}

#define AWAIT(f, claim)                                                                            \
    do {                                                                                           \
        for (int turns = 0; turns < 3000 && !(claim); turns++)                                     \
            loop_turn((f)->loop, 5);                                                               \
        CHECK(claim);                                                                              \
    } while (0)

static void on_written(void *owner, const struct store_written *written)
{
    CHECK(written->status == STORE_OK, "%s", written->reason);
    ((struct fixture *)owner)->written = true;
}

static void put(struct fixture *f, const char *key, const char *text)
{
    struct store_put put = {slice_str(key), slice_str(text), 0};
    f->written = false;
    store_txn(f->store, &(struct store_txn){.puts = &put, .put_count = 1}, on_written, f);
    AWAIT(f, f->written);
}

static void drop(struct fixture *f, const char *key)
{
    struct slice gone = slice_str(key);
    f->written = false;
    store_txn(f->store, &(struct store_txn){.deletes = &gone, .delete_count = 1}, on_written, f);
    AWAIT(f, f->written);
}

#define CART "networking.istio.io/virtualservices/shop/cart"
static const char cart[] =
    "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":{\"name\":"
    "\"cart\",\"namespace\":\"shop\",\"generation\":1},\"spec\":{\"hosts\":[\"cart\"],\"http\":[{"
    "\"route\":[{\"destination\":{\"host\":\"cart\"}}]}]}}";
#define SERVICE "core/services/shop/cart"
static const char service[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"cart\",\"namespace\":"
    "\"shop\"},\"spec\":{\"ports\":[{\"name\":\"http\",\"port\":80}]}}";

static bool has_status(struct fixture *f, const char *key)
{
    const struct object *object = model_get(f->model, slice_str(key));
    return object && value_get(object->document, "status");
}

static bool is_settled(const struct fixture *f)
{
    return conditions_report(f->conditions).settled;
}

TEST(status_comes_goes_and_wakes_nobody)
{
    struct fixture f;
    begin(&f);
    watch(&f);
    put(&f, CART, cart);
    AWAIT(&f, has_status(&f, CART) && is_settled(&f));
    CHECK(f.objects == 1, "a status alone is no change of an object");
    CHECK(conditions_report(f.conditions).objects == 1);
    put(&f, SERVICE, service);
    AWAIT(&f, !has_status(&f, CART) && is_settled(&f));
    for (int i = 0; i < 50; i++)
        loop_turn(f.loop, 5);
    CHECK(conditions_report(f.conditions).writes == 2, "%llu",
          (unsigned long long)conditions_report(f.conditions).writes);
    end(&f);
}

TEST(a_restart_writes_nothing_that_is_true_and_mends_what_is_not)
{
    struct fixture f;
    begin(&f);
    watch(&f);
    put(&f, CART, cart);
    AWAIT(&f, has_status(&f, CART));
    unwatch(&f);
    watch(&f);
    AWAIT(&f, feed_is_ready(f.feed) && is_settled(&f) && has_status(&f, CART));
    CHECK(conditions_report(f.conditions).writes == 0);
    unwatch(&f);
    put(&f, SERVICE, service);
    watch(&f);
    AWAIT(&f, feed_is_ready(f.feed) && is_settled(&f) && !has_status(&f, CART));
    CHECK(conditions_report(f.conditions).writes == 1);
    end(&f);
}

TEST(changes_in_a_row_are_one_write)
{
    struct fixture f;
    begin(&f);
    watch(&f);
    put(&f, CART, cart);
    for (int i = 0; i < 5; i++) {
        put(&f, SERVICE, service);
        drop(&f, SERVICE);
    }
    AWAIT(&f, has_status(&f, CART) && is_settled(&f));
    CHECK(conditions_report(f.conditions).writes <= 3, "%llu",
          (unsigned long long)conditions_report(f.conditions).writes);
    drop(&f, CART);
    AWAIT(&f, is_settled(&f) && !model_get(f.model, SLICE(CART)));
    CHECK(conditions_report(f.conditions).objects == 0);
    end(&f);
}

TEST(many_objects_are_told_at_once)
{
    struct fixture f;
    begin(&f);
    watch(&f);
    enum { MANY = 200 };
    for (unsigned i = 0; i < MANY; i++) {
        owned_str key = str_format("networking.istio.io/virtualservices/shop/v%u", i);
        owned_str text = str_format(
            "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":{"
            "\"name\":\"v%u\",\"namespace\":\"shop\"},\"spec\":{\"hosts\":[\"h%u\"],\"http\":[{"
            "\"route\":[{\"destination\":{\"host\":\"cart\"}}]}]}}",
            i, i);
        put(&f, key, text);
    }
    AWAIT(&f, conditions_report(f.conditions).objects == MANY && is_settled(&f));
    put(&f, SERVICE, service);
    AWAIT(&f, conditions_report(f.conditions).objects == 0 && is_settled(&f));
    CHECK(!has_status(&f, "networking.istio.io/virtualservices/shop/v7"));
    end(&f);
}
