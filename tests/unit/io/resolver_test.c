#include "io/resolver.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "io/datagram.h"
#include "io/waiting.h"

/* --- a name server that says what the test wants --------------------------------------------- */

enum { REFUSED = 5, NXDOMAIN = 3, SERVFAIL = 2 };

struct name_server {
    struct datagram *datagram;
    int questions;
    bool is_silent;
    int code;
    uint32_t ttl_s;
    const char *v4[4]; /* NULL-terminated */
};

static void put16(struct buffer *out, unsigned value)
{
    buffer_append_byte(out, (char)(value >> 8));
    buffer_append_byte(out, (char)value);
}

static void put_record(struct buffer *out, const char *ip, uint32_t ttl_s)
{
    struct address address;
    CHECK(address_parse_ip(slice_str(ip), 0, &address), "-");
    put16(out, 0xc00c); /* the name of the question */
    put16(out, 1);      /* A */
    put16(out, 1);
    put16(out, ttl_s >> 16);
    put16(out, ttl_s & 0xffff);
    put16(out, 4);
    buffer_append_slice(out, address_ip(&address));
}

static void on_question(void *owner, const struct datagram_path *path, struct slice bytes)
{
    struct name_server *server = owner;
    server->questions++;
    if (server->is_silent)
        return;
    /* The question ends after its name, type and class; what follows (EDNS) is not answered. */
    size_t end = 12;
    while (end < bytes.size && bytes.data[end])
        end += 1 + (uint8_t)bytes.data[end];
    end += 5;
    CHECK(end <= bytes.size, "a whole question");
    bool asks_a = bytes.data[end - 3] == 1;
    unsigned answers = 0;
    while (server->code == 0 && asks_a && server->v4[answers])
        answers++;
    struct buffer out = {0};
    buffer_append(&out, bytes.data, 2);
    put16(&out, 0x8180u | (unsigned)server->code);
    put16(&out, 1);
    put16(&out, answers);
    put16(&out, 0);
    put16(&out, 0);
    buffer_append(&out, bytes.data + 12, end - 12);
    for (unsigned i = 0; i < answers; i++)
        put_record(&out, server->v4[i], server->ttl_s);
    CHECK(datagram_send(server->datagram, path, buffer_slice(&out)) == 0, "-");
    buffer_fini(&out);
}

/* --- one who asks ---------------------------------------------------------------------------- */

struct asker {
    int count;
    enum resolve_status status;
    struct address addresses[8];
    size_t address_count;
    unsigned ttl_s;
    struct resolver *resolver;
    handle cancels;
};

static void on_answer(void *owner, const struct resolve_answer *answer)
{
    struct asker *asker = owner;
    asker->count++;
    asker->status = answer->status;
    asker->address_count = MIN(answer->count, COUNT(asker->addresses));
    for (size_t i = 0; i < asker->address_count; i++)
        asker->addresses[i] = answer->addresses[i];
    asker->ttl_s = answer->ttl_s;
    CHECK((answer->status == RESOLVE_OK) == (answer->why[0] == '\0'), "a reason for a failure");
    if (asker->cancels)
        resolver_cancel(asker->resolver, asker->cancels);
}

struct scene {
    struct loop *loop;
    struct name_server server;
    struct resolver *resolver;
};

static void open_scene(struct scene *scene, struct resolver_options options)
{
    *scene = (struct scene){.loop = loop_for_test(),
                            .server = {.ttl_s = 60, .v4 = {"10.0.0.2", "10.0.0.1", "10.0.0.2"}}};
    struct datagram_options at = {.address = address_v4(INADDR_LOOPBACK, 0)};
    CHECK(datagram_create(scene->loop, &at, on_question, &scene->server, &scene->server.datagram) ==
              0,
          "-");
    char text[ADDRESS_TEXT];
    struct address address = datagram_address(scene->server.datagram);
    address_format(&address, text);
    options.servers = text;
    options.is_hosts_ignored = true;
    CHECK(resolver_create(scene->loop, &options, &scene->resolver) == 0, "%s", text);
}

static void close_scene(struct scene *scene)
{
    resolver_destroy(scene->resolver);
    datagram_destroy(scene->server.datagram);
    loop_destroy(scene->loop);
}

static struct asker ask_for(struct scene *scene, const char *name, enum resolve_family family)
{
    struct asker asker = {0};
    resolver_lookup(scene->resolver, slice_str(name), family, on_answer, &asker);
    CHECK(asker.count == 0, "a call never calls back");
    WAIT_FOR(scene->loop, asker.count == 1);
    return asker;
}

TEST(resolver_answers_sorted_without_doubles)
{
    struct scene scene;
    open_scene(&scene, (struct resolver_options){0});
    struct asker asker = ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(asker.status == RESOLVE_OK && asker.address_count == 2, "%d", asker.status);
    struct address first = address_v4(0x0a000001, 0), second = address_v4(0x0a000002, 0);
    CHECK(address_equals(&asker.addresses[0], &first), "-");
    CHECK(address_equals(&asker.addresses[1], &second), "-");
    CHECK(asker.ttl_s == 60, "%u", asker.ttl_s);
    asker = ask_for(&scene, "both.test.", RESOLVE_ANY);
    CHECK(asker.status == RESOLVE_OK && asker.address_count == 2, "%d", asker.status);
    asker = ask_for(&scene, "six.test.", RESOLVE_V6);
    CHECK(asker.status == RESOLVE_NO_NAME && asker.address_count == 0, "%d", asker.status);
    close_scene(&scene);
}

TEST(resolver_asks_once_for_many)
{
    struct scene scene;
    struct asker askers[50] = {0};
    open_scene(&scene, (struct resolver_options){0});
    for (size_t i = 0; i < COUNT(askers); i++)
        resolver_lookup(scene.resolver, slice_str(i % 2 ? "Cart.test." : "cart.TEST."), RESOLVE_V4,
                        on_answer, &askers[i]);
    WAIT_FOR(scene.loop, askers[49].count);
    for (size_t i = 0; i < COUNT(askers); i++)
        CHECK(askers[i].count == 1 && askers[i].status == RESOLVE_OK, "%zu", i);
    CHECK(scene.server.questions == 1, "%d", scene.server.questions);
    ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(scene.server.questions == 1, "cached");
    resolver_flush(scene.resolver);
    ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(scene.server.questions == 2, "flushed");
    close_scene(&scene);
}

TEST(resolver_holds_ttl_between_floor_and_ceiling)
{
    struct scene scene;
    open_scene(&scene, (struct resolver_options){.ttl_floor_s = 5, .ttl_ceiling_s = 100});
    scene.server.ttl_s = 0;
    struct asker asker = ask_for(&scene, "low.test.", RESOLVE_V4);
    CHECK(asker.ttl_s == 5, "%u", asker.ttl_s);
    scene.server.ttl_s = 86400;
    asker = ask_for(&scene, "high.test.", RESOLVE_V4);
    CHECK(asker.ttl_s == 100, "%u", asker.ttl_s);
    close_scene(&scene);
}

TEST(resolver_keeps_the_last_good_answer)
{
    struct scene scene;
    open_scene(&scene, (struct resolver_options){.tries = 1, .negative_ttl_s = 3});
    ask_for(&scene, "cart.test.", RESOLVE_V4);
    scene.server.code = SERVFAIL;
    resolver_flush(scene.resolver);
    struct asker asker = ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(asker.status == RESOLVE_STALE && asker.address_count == 2, "%d", asker.status);
    CHECK(asker.ttl_s == 3, "%u", asker.ttl_s);
    resolver_flush(scene.resolver);
    asker = ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(asker.ttl_s == 6, "backs off: %u", asker.ttl_s);
    scene.server.code = 0;
    resolver_flush(scene.resolver);
    asker = ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(asker.status == RESOLVE_OK && asker.ttl_s == 60, "%u", asker.ttl_s);
    scene.server.code = NXDOMAIN;
    resolver_flush(scene.resolver);
    asker = ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(asker.status == RESOLVE_NO_NAME && asker.address_count == 0, "%d", asker.status);
    close_scene(&scene);
}

TEST(resolver_remembers_failures)
{
    struct scene scene;
    open_scene(&scene, (struct resolver_options){.negative_ttl_s = 30});
    scene.server.code = NXDOMAIN;
    struct asker asker = ask_for(&scene, "none.test.", RESOLVE_V4);
    CHECK(asker.status == RESOLVE_NO_NAME, "%d", asker.status);
    int questions = scene.server.questions;
    ask_for(&scene, "none.test.", RESOLVE_V4);
    CHECK(scene.server.questions == questions, "not asked again");
    close_scene(&scene);
}

TEST(resolver_gives_up_on_a_silent_server)
{
    struct scene scene;
    open_scene(&scene, (struct resolver_options){.timeout_ms = 50, .tries = 2});
    scene.server.is_silent = true;
    struct asker asker = ask_for(&scene, "cart.test.", RESOLVE_V4);
    CHECK(asker.status == RESOLVE_FAILED && scene.server.questions == 2, "%d questions",
          scene.server.questions);
    close_scene(&scene);
}

TEST(resolver_bounds_its_questions)
{
    struct scene scene;
    struct asker askers[4] = {0};
    static const char *const names[] = {"a.test.", "b.test.", "c.test.", "d.test."};
    open_scene(&scene, (struct resolver_options){
                           .timeout_ms = 50, .tries = 1, .max_active = 1, .max_waiting = 2});
    scene.server.is_silent = true;
    for (size_t i = 0; i < COUNT(names); i++)
        resolver_lookup(scene.resolver, slice_str(names[i]), RESOLVE_V4, on_answer, &askers[i]);
    WAIT_FOR(scene.loop, askers[3].count);
    CHECK(askers[3].status == RESOLVE_FULL && askers[0].count == 0, "%d", askers[3].status);
    WAIT_FOR(scene.loop, askers[2].count);
    CHECK(askers[0].status == RESOLVE_FAILED && askers[2].status == RESOLVE_FAILED, "-");
    close_scene(&scene);
}

TEST(resolver_forgets_names_beyond_its_limit)
{
    struct scene scene;
    open_scene(&scene, (struct resolver_options){.max_names = 2});
    ask_for(&scene, "a.test.", RESOLVE_V4);
    ask_for(&scene, "b.test.", RESOLVE_V4);
    ask_for(&scene, "a.test.", RESOLVE_V4);
    ask_for(&scene, "c.test.", RESOLVE_V4);
    CHECK(scene.server.questions == 3, "%d", scene.server.questions);
    ask_for(&scene, "a.test.", RESOLVE_V4);
    CHECK(scene.server.questions == 3, "used last, so kept");
    ask_for(&scene, "b.test.", RESOLVE_V4);
    CHECK(scene.server.questions == 4, "forgotten");
    close_scene(&scene);
}

TEST(resolver_literals_and_bad_names_need_no_server)
{
    struct scene scene;
    char longest[255];
    open_scene(&scene, (struct resolver_options){0});
    struct asker asker = ask_for(&scene, "10.1.2.3", RESOLVE_ANY);
    CHECK(asker.status == RESOLVE_OK && asker.address_count == 1, "-");
    CHECK(ask_for(&scene, "10.1.2.3", RESOLVE_V6).status == RESOLVE_NO_NAME, "-");
    CHECK(ask_for(&scene, "fd00::1", RESOLVE_V6).status == RESOLVE_OK, "-");
    CHECK(ask_for(&scene, "", RESOLVE_ANY).status == RESOLVE_NO_NAME, "-");
    CHECK(ask_for(&scene, "a b", RESOLVE_ANY).status == RESOLVE_NO_NAME, "-");
    CHECK(ask_for(&scene, "unix:/x\n", RESOLVE_ANY).status == RESOLVE_NO_NAME, "-");
    memset(longest, 'a', sizeof(longest));
    longest[254] = '\0'; /* one byte more than the 253 of a name */
    CHECK(ask_for(&scene, longest, RESOLVE_ANY).status == RESOLVE_NO_NAME, "-");
    CHECK(scene.server.questions == 0, "-");
    close_scene(&scene);
}

TEST(resolver_cancels)
{
    struct scene scene;
    open_scene(&scene, (struct resolver_options){0});
    struct asker first = {.resolver = scene.resolver}, second = {0}, third = {0};
    resolver_lookup(scene.resolver, SLICE("a.test."), RESOLVE_V4, on_answer, &first);
    first.cancels =
        resolver_lookup(scene.resolver, SLICE("a.test."), RESOLVE_V4, on_answer, &second);
    resolver_cancel(scene.resolver, resolver_lookup(scene.resolver, SLICE("b.test."), RESOLVE_V4,
                                                    on_answer, &third));
    WAIT_FOR(scene.loop, first.count);
    WAIT_FOR(scene.loop, scene.server.questions == 2);
    for (int i = 0; i < 5; i++)
        loop_turn(scene.loop, 10);
    CHECK(second.count == 0 && third.count == 0, "-");
    resolver_cancel(scene.resolver, first.cancels); /* stale: ignored */
    resolver_lookup(scene.resolver, SLICE("c.test."), RESOLVE_V4, on_answer, &third);
    close_scene(&scene); /* under way: ends without an answer */
    CHECK(third.count == 0, "-");
}
