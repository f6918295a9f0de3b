/* Watches as clients see them: every change once, in order, for what they selected, also when tulled is killed meanwhile. */
#include "control/api/api_fixture.h"

#include "base/random.h"
#include "rpc/call.h"

#define SVC "/api/v1/namespaces/shop/services"

struct follower {
    struct fixture *fixture;
    struct rpc_call *call;
    struct buffer text; /* of the answer, from the first line that was not read */
    struct buffer seen; /* "ADDED cart;MODIFIED cart;" */
    char revision[24];  /* of the last event */
    unsigned failure;   /* code of an ERROR event */
    unsigned bookmarks;
    bool ended;
};

static void note(struct follower *w, const struct value *event)
{
    const char *type = value_str(value_get(event, "type"), "?");
    struct slice revision = tree_text(event, "object.metadata.resourceVersion");
    int64_t code = 0;
    if (strcmp(type, "ERROR") == 0) {
        CHECK(value_to_i64(tree_at(event, "object.code"), &code));
        w->failure = (unsigned)code;
        return;
    }
    snprintf(w->revision, sizeof(w->revision), "%.*s", SLICE_ARG(revision));
    if (strcmp(type, "BOOKMARK") == 0)
        w->bookmarks++;
    else
        buffer_format(&w->seen, "%s %.*s;", type,
                      SLICE_ARG(tree_text(event, "object.metadata.name")));
}

static void on_data(void *owner, struct slice bytes)
{
    struct follower *w = owner;
    buffer_append_slice(&w->text, bytes);
    struct slice rest = buffer_slice(&w->text), line;
    size_t used = 0;
    while (slice_cut(rest, '\n', &line, &rest)) {
        struct arena arena;
        struct value *event;
        struct error error = {0};
        arena_init(&arena, NULL);
        CHECK(document_read_json(line, "event", NULL, &arena, &event, &error), "%s", error.what);
        note(w, event);
        arena_fini(&arena);
        used += line.size + 1;
    }
    memmove(w->text.data, w->text.data + used, w->text.size - used);
    w->text.size -= used;
}

static void on_end(void *owner, const struct rpc_end *end)
{
    struct follower *w = owner;
    (void)end;
    w->ended = true;
    w->call = NULL;
}

static void follow(struct follower *w, struct fixture *f, const char *path)
{
    static const struct rpc_call_handler handler = {.on_data = on_data, .on_end = on_end};
    struct rpc_call_config config = {.path = path};
    w->fixture = f;
    w->ended = false;
    w->failure = 0;
    buffer_reset(&w->text);
    w->call = rpc_client_http(f->client, &config, SLICE_NONE, &handler, w);
}

static void leave(struct follower *w)
{
    rpc_call_cancel(w->call);
    w->call = NULL;
    buffer_fini(&w->text);
    buffer_fini(&w->seen);
}

static void wait_seen(struct follower *w, const char *expected)
{
    for (int i = 0; i < 500 && !(w->seen.size > 0 && buffer_equals(&w->seen, expected)); i++)
        loop_turn(w->fixture->loop, 10);
    CHECK(w->seen.size > 0 && buffer_equals(&w->seen, expected), "%s, not %s", w->seen.data,
          expected);
}

static unsigned put_service(struct fixture *f, const char *name, const char *app, unsigned port)
{
    owned_str body = str_format(
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
        "\"app\":\"%s\"}},\"spec\":{\"ports\":[{\"port\":%u}]}}",
        name, app, port);
    owned_str path = str_format(SVC "/%s", name);
    if (ask(f, "PUT", path, body) == 404)
        return ask(f, "POST", SVC, body);
    return f->status;
}

static unsigned drop_service(struct fixture *f, const char *name)
{
    owned_str path = str_format(SVC "/%s", name);
    return ask(f, "DELETE", path, NULL);
}

TEST(a_watch_tells_what_is_there_and_what_changes)
{
    struct fixture f = {0};
    struct follower w = {0};
    begin(&f);
    put_service(&f, "cart", "shop", 80);
    follow(&w, &f, SVC "?watch=true");
    wait_seen(&w, "ADDED cart;");
    put_service(&f, "pay", "shop", 80);
    put_service(&f, "pay", "shop", 80);
    put_service(&f, "pay", "shop", 81);
    drop_service(&f, "cart");
    wait_seen(&w, "ADDED cart;ADDED pay;MODIFIED pay;DELETED cart;");
    leave(&w);
    finish(&f);
}

TEST(an_object_that_leaves_the_selection_is_deleted_for_its_watcher)
{
    struct fixture f = {0};
    struct follower w = {0};
    begin(&f);
    CHECK(ask(&f, "GET", SVC, NULL) == 200);
    owned_str path = str_format(SVC "?watch=1&labelSelector=app%%3Dshop&resourceVersion=%s",
                                told(&f, "metadata.resourceVersion"));
    follow(&w, &f, path);
    put_service(&f, "a", "shop", 80);
    put_service(&f, "b", "bank", 80);
    put_service(&f, "a", "bank", 80);
    put_service(&f, "b", "shop", 80);
    drop_service(&f, "a");
    drop_service(&f, "b");
    wait_seen(&w, "ADDED a;DELETED a;ADDED b;DELETED b;");
    leave(&w);
    finish(&f);
}

TEST(a_watch_from_before_the_history_is_told_to_list)
{
    struct fixture f = {.history = 4};
    struct follower w = {0};
    begin(&f);
    for (unsigned i = 1; i < 40; i++)
        put_service(&f, "cart", "shop", i);
    follow(&w, &f, SVC "?watch=true&resourceVersion=2");
    run_until(&f, &w.ended);
    CHECK(w.failure == 410, "%u", w.failure);
    leave(&w);
    finish(&f);
}

TEST(a_watch_ends_with_its_time_and_a_bookmark)
{
    struct fixture f = {0};
    struct follower w = {0};
    begin(&f);
    put_service(&f, "cart", "shop", 80);
    follow(&w, &f, SVC "?watch=true&timeoutSeconds=1&allowWatchBookmarks=true");
    run_until(&f, &w.ended);
    CHECK(w.bookmarks > 0 && w.failure == 0);
    CHECK(buffer_equals(&w.seen, "ADDED cart;"), "%s", w.seen.data);
    leave(&w);
    finish(&f);
}

/* The events of random writes, seen by a watcher whose server is stopped now and then and who goes on from where it stood. */
TEST(a_watch_tells_every_change_once_across_restarts)
{
    struct fixture f = {0};
    struct follower w = {0};
    struct random random;
    owned_buffer expected = {0};
    bool there[5] = {false};
    random_seed(&random, 11);
    begin(&f);
    CHECK(ask(&f, "GET", SVC, NULL) == 200);
    snprintf(w.revision, sizeof(w.revision), "%s", told(&f, "metadata.resourceVersion"));
    for (int round = 0; round < 8; round++) {
        owned_str path = str_format(SVC "?watch=true&resourceVersion=%s", w.revision);
        follow(&w, &f, path);
        for (int i = 0; i < 25; i++) {
            uint64_t which = random_below(&random, 5);
            char name[8];
            snprintf(name, sizeof(name), "s%d", (int)which);
            if (there[which] && random_below(&random, 3) == 0) {
                CHECK(drop_service(&f, name) == 200);
                buffer_format(&expected, "DELETED %s;", name);
                there[which] = false;
            } else {
                CHECK(put_service(&f, name, "x", (unsigned)(round * 25 + i + 1)) < 300, "%s",
                      f.text.data);
                buffer_format(&expected, "%s %s;", there[which] ? "MODIFIED" : "ADDED", name);
                there[which] = true;
            }
            /* Sometimes it is stopped while the watcher has not seen everything. */
            if (round % 2 && i == 20)
                rpc_call_cancel(w.call), w.call = NULL;
        }
        if (w.call)
            wait_seen(&w, expected.data);
        rpc_call_cancel(w.call);
        close_api(&f);
        open_api(&f);
    }
    owned_str path = str_format(SVC "?watch=true&resourceVersion=%s", w.revision);
    follow(&w, &f, path);
    wait_seen(&w, expected.data);
    leave(&w);
    finish(&f);
}

TEST(a_watcher_that_does_not_read_is_cut_off)
{
    struct fixture f = {0};
    struct follower w = {0};
    begin(&f);
    follow(&w, &f, SVC "?watch=true");
    put_service(&f, "cart", "shop", 80);
    wait_seen(&w, "ADDED cart;");
    rpc_call_pause(w.call);
    owned_buffer big = {0};
    buffer_append_str(&big, "{\"metadata\":{\"annotations\":{\"x\":\"");
    while (big.size < 200 << 10)
        buffer_append_byte(&big, 'x');
    size_t from = big.size;
    for (int i = 0; i < 60; i++) {
        big.size = from;
        buffer_format(&big, "%d\"}}}", i);
        CHECK(ask_with(&f, "PATCH", SVC "/cart", "application/merge-patch+json", NULL, big.data) ==
                  200,
              "%s", f.text.data);
    }
    rpc_call_resume(w.call);
    run_until(&f, &w.ended);
    leave(&w);
    finish(&f);
}
