#include "control/conditions/keeper.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "control/model/feed.h"
#include "control/store/sqlite.h"
#include "control/store/store.h"
#include "control/translate/fallbacks.h"
#include "io/loop.h"

#include "test.h"

#define KEY "networking.istio.io/virtualservices/shop/web"

struct fixture {
    struct loop *loop;
    struct store *store;
    struct model *model;
    struct fallbacks *fallbacks;
    struct keeper *keeper;
    struct feed *feed;
    bool ready, done;
    struct buffer kept; /* what the store has for KEY */
};

static void on_object(void *owner, enum kind kind)
{
    (void)owner;
    (void)kind;
}

static void on_other(void *owner, struct slice key, struct slice value)
{
    struct fixture *f = owner;
    CHECK(keeper_see(f->keeper, key, value));
    CHECK(slice_equals(key, SLICE(KEEPER_PREFIX KEY)));
}

static void on_ready(void *owner)
{
    struct fixture *f = owner;
    keeper_start(f->keeper);
    f->ready = true;
}

static void start(struct fixture *f)
{
    static const char *const others[] = {KEEPER_PREFIX, NULL};
    f->ready = false;
    f->model = model_create();
    f->fallbacks = fallbacks_create(f->model);
    f->keeper = keeper_create(f->loop, f->store, f->fallbacks);
    f->feed = feed_create(f->loop, f->store, f->model,
                          &(struct feed_listener){.on_object = on_object,
                                                  .on_other = on_other,
                                                  .on_ready = on_ready,
                                                  .owner = f,
                                                  .others = others});
    for (int turns = 0; turns < 3000 && !f->ready; turns++)
        loop_turn(f->loop, 5);
    CHECK(f->ready);
}

static void stop(struct fixture *f)
{
    feed_destroy(f->feed);
    keeper_destroy(f->keeper);
    fallbacks_destroy(f->fallbacks);
    model_destroy(f->model);
}

static void on_written(void *owner, const struct store_written *written)
{
    CHECK(written->status == STORE_OK);
    ((struct fixture *)owner)->done = true;
}

static void write(struct fixture *f, const char *rule)
{
    owned_str text =
        str_format("{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\","
                   "\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"1\"},"
                   "\"spec\":{\"hosts\":[\"web\"],\"http\":[%s]}}",
                   rule);
    struct store_put put = {.key = SLICE(KEY), .value = slice_str(text)};
    f->done = false;
    store_txn(f->store, &(struct store_txn){.puts = &put, .put_count = 1}, on_written, f);
    for (int turns = 0; turns < 3000 && !f->done; turns++)
        loop_turn(f->loop, 5);
    CHECK(f->done);
}

static void on_page(void *owner, const struct store_page *page)
{
    struct fixture *f = owner;
    buffer_reset(&f->kept);
    if (page->count > 0)
        buffer_append_slice(&f->kept, page->entries[0].value);
    f->done = true;
}

/* Until the store has such a text for KEY; NULL: nothing. */
static void await_kept(struct fixture *f, const char *part)
{
    for (int tries = 0; tries < 1000; tries++) {
        f->done = false;
        store_get(f->store, SLICE(KEEPER_PREFIX KEY), on_page, f);
        while (!f->done)
            loop_turn(f->loop, 5);
        if (part ? f->kept.size > 0 && strstr(f->kept.data, part) : f->kept.size == 0)
            return;
    }
    CHECK(false, "%s", f->kept.size ? f->kept.data : "nothing");
}

#define GOOD "{\"directResponse\":{\"status\":201}}"
#define BAD                                                                                        \
    "{\"headers\":{\"request\":{\"set\":{\"x y\":\"1\"}}},\"route\":[{\"destination\":{\"host\":"  \
    "\"web\"}}]}"

TEST(the_last_good_version_is_in_the_store_as_long_as_it_is_needed)
{
    struct fixture f = {0};
    struct error error = {0};
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &f.loop) == 0);
    CHECK(
        sqlite_store_open(f.loop, &(struct sqlite_options){.path = ":memory:"}, &f.store, &error));
    start(&f);
    write(&f, GOOD);
    await_kept(&f, NULL);
    write(&f, BAD);
    await_kept(&f, "201");
    stop(&f);

    start(&f);
    const struct object *now = model_get(f.model, SLICE(KEY));
    CHECK(now && fallbacks_of(f.fallbacks, NULL, now), "it acts again after a restart");
    await_kept(&f, "201");
    write(&f, GOOD);
    await_kept(&f, NULL);
    stop(&f);

    start(&f);
    CHECK(!fallbacks_of(f.fallbacks, NULL, model_get(f.model, SLICE(KEY))));
    stop(&f);
    buffer_fini(&f.kept);
    store_close(f.store);
    loop_settle(f.loop);
    loop_destroy(f.loop);
}
