/*
 * Real threads: a model thread, two xDS threads and the proxies' own, over loopback TCP. An endpoint change reaches
 * exactly the proxies that can see it. TULLE_SCALE=1 takes 1,000 services and 500 streams and prints what it measured.
 */
#include "control/push/push.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "io/interfaces.h"
#include "io/loop.h"
#include "io/thread.h"
#include "net/dialer.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "rpc/server.h"
#include "stats/registry.h"
#include "test.h"
#include "xds/ads_client.h"
#include "xds/blob.h"

#include "envoy/config/core/v3/core.pb-c.h"

enum { THREADS = 2, CLASSES = 10, SHARED = 20 };

struct side {
    struct loop *loop;
    struct thread *thread;
    struct rpc_server *server;
    struct push_thread *push;
    uint16_t port;
};

/* Services below SHARED are seen by everyone, others by the class of their number. */
struct city {
    struct side model, xds[THREADS];
    struct stats_registry *stats;
    struct push *push;
    unsigned services, streams;
    /* The model thread's. */
    struct blob_table *tables[CLASSES][RESOURCE_TYPES];
    uint64_t generation;
    /* The proxies', on the test's own thread. */
    struct loop *loop;
    struct interfaces *interfaces;
    struct dialer *dialer;
    struct citizen *citizens;
    uint64_t taken; /* resources, all citizens */
};

struct citizen {
    struct city *city;
    struct ads_client *client;
    unsigned class;
    unsigned endpoints; /* resources of EDS that it took */
    char last[16];      /* the body of the last */
};

static bool is_seen(unsigned service, unsigned class)
{
    return service < SHARED || service % CLASSES == class;
}

static void set_service(struct city *city, enum resource_type type, unsigned service,
                        const char *body)
{
    char name[48];
    snprintf(name, sizeof(name), "outbound|80||service-%05u.default.svc", service);
    struct blob *blob = blob_create(type, slice_str(name), slice_str(body));
    struct blob_edit edit = {slice_str(name), blob};
    for (unsigned c = 0; c < CLASSES; c++) {
        if (!is_seen(service, c))
            continue;
        struct blob_table *next = blob_table_edit(city->tables[c][type], &edit, 1);
        blob_table_unref(city->tables[c][type]);
        city->tables[c][type] = next;
    }
    blob_unref(blob);
}

static const struct view *view_of(struct city *city, unsigned class)
{
    return view_create(city->tables[class], ++city->generation);
}

static bool classify(void *owner, struct push_proxy *proxy, struct buffer *key,
                     enum grpc_code *code, char **reason)
{
    (void)owner, (void)code, (void)reason;
    buffer_append_str(key, proxy->peer->cluster);
    return true;
}
static void on_proxy_gone(void *owner, struct push_proxy *proxy)
{
    (void)owner, (void)proxy;
}
static const struct view *build(void *owner, struct slice key)
{
    return view_of(owner, (unsigned)(key.data[0] - '0'));
}
static void forget(void *owner, struct slice key)
{
    (void)owner, (void)key;
}
static void refresh(void *owner, enum push_lane lane)
{
    struct city *city = owner;
    (void)lane;
    for (unsigned c = 0; c < CLASSES; c++) {
        char key = (char)('0' + c);
        const struct view *view = view_of(city, c);
        push_publish(city->push, slice_of(&key, 1), view);
        view_unref(view);
    }
}
static const struct push_source source = {classify, on_proxy_gone, build, forget, refresh, NULL};

/* Orders to the model thread. */
struct order {
    struct mail mail;
    struct city *city;
    unsigned service;
    char body[16];
};

static void deliver_order(struct mail *mail)
{
    struct order *order = CONTAINER_OF(mail, struct order, mail);
    set_service(order->city, RESOURCE_ENDPOINTS, order->service, order->body);
    push_note(order->city->push, PUSH_ENDPOINTS, "endpoint");
    mem_free(order);
}
static void deliver_ready(struct mail *mail)
{
    struct order *order = CONTAINER_OF(mail, struct order, mail);
    push_set_ready(order->city->push, true);
    mem_free(order);
}
static struct order *order_create(struct city *city, void (*deliver)(struct mail *))
{
    struct order *order = mem_new(struct order);
    order->city = city;
    order->mail.deliver = deliver;
    return order;
}

static void run_loop(void *argument)
{
    loop_run(argument);
}

/* Proxies. */

static void on_update(void *owner, struct delta_update *update)
{
    struct citizen *citizen = owner;
    citizen->city->taken += update->added_count;
    for (size_t i = 0; i < update->added_count; i++) {
        const struct delta_resource *resource = update->added[i];
        if (update->type == RESOURCE_CLUSTER) {
            ads_client_subscribe(citizen->client, RESOURCE_ENDPOINTS, resource->name);
        } else {
            citizen->endpoints++;
            snprintf(citizen->last, sizeof(citizen->last), "%.*s", SLICE_ARG(resource->body));
        }
    }
}
static const struct ads_consumer consumer = {.on_update = on_update};

static void citizen_open(struct city *city, unsigned number)
{
    struct citizen *citizen = &city->citizens[number];
    struct rpc_means means = {.loop = city->loop, .dialer = city->dialer};
    struct arena arena;
    arena_init(&arena, NULL);
    citizen->city = city;
    citizen->class = number % CLASSES;
    Envoy__Config__Core__V3__Node *node =
        pb_new(&arena, &envoy__config__core__v3__node__descriptor);
    node->id = arena_format(&arena, "proxy-%u", number);
    node->cluster = arena_format(&arena, "%u", citizen->class);
    struct ads_client_config config = {
        .channel = {.target = {.host = "127.0.0.1", .port = city->xds[number % THREADS].port}},
        .node = pb_pack_to(&node->base, &arena)};
    citizen->client = ads_client_create(&means, &config, &consumer, citizen);
    ads_client_watch_all(citizen->client, RESOURCE_CLUSTER);
    ads_client_start(citizen->client);
    arena_fini(&arena);
}

/* The city. */

static void side_open(struct side *side, const char *name)
{
    CHECK(loop_create(&(struct loop_options){.name = name}, &side->loop) == 0);
}

static void side_run(struct side *side, const char *name)
{
    CHECK(thread_create(name, run_loop, side->loop, &side->thread) == 0);
}

static void side_stop(struct side *side)
{
    loop_stop(side->loop);
    thread_destroy(side->thread);
}

static struct city *city_open(unsigned services, unsigned streams)
{
    struct city *city = mem_new(struct city);
    struct push_config config = {.identifier = "tulled test"};
    log_set_level(NULL, LOG_OFF);
    city->services = services;
    city->streams = streams;
    city->stats = stats_registry_create(0);
    for (unsigned c = 0; c < CLASSES; c++) {
        city->tables[c][RESOURCE_CLUSTER] = blob_table_create();
        city->tables[c][RESOURCE_ENDPOINTS] = blob_table_create();
    }
    for (unsigned s = 0; s < services; s++) {
        set_service(city, RESOURCE_CLUSTER, s, "cluster");
        set_service(city, RESOURCE_ENDPOINTS, s, "0");
    }
    side_open(&city->model, "model");
    city->push = push_create(city->model.loop, city->stats, &config, &source, city);
    for (unsigned i = 0; i < THREADS; i++) {
        struct side *side = &city->xds[i];
        side_open(side, "xds");
        struct rpc_means means = {.loop = side->loop};
        side->server = rpc_server_create(&means, NULL);
        int listener =
            rpc_server_listen(side->server, &(struct rpc_listen){.address = "127.0.0.1"}, NULL);
        CHECK(listener >= 0);
        side->port = rpc_server_port(side->server, listener);
        side->push = push_add_thread(city->push, side->loop, side->server);
    }
    side_run(&city->model, "model");
    for (unsigned i = 0; i < THREADS; i++)
        side_run(&city->xds[i], "xds");

    CHECK(loop_create(&(struct loop_options){.name = "proxies"}, &city->loop) == 0);
    CHECK(interfaces_create(city->loop, &city->interfaces) == 0);
    city->dialer =
        dialer_create(&(struct dialer_options){.loop = city->loop, .interfaces = city->interfaces});
    city->citizens = mem_calloc(streams, sizeof(*city->citizens));
    for (unsigned i = 0; i < streams; i++)
        citizen_open(city, i);
    return city;
}

static void city_close(struct city *city)
{
    for (unsigned i = 0; i < city->streams; i++)
        ads_client_close(city->citizens[i].client);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(city->loop, 10);
    for (unsigned i = 0; i < THREADS; i++)
        side_stop(&city->xds[i]);
    side_stop(&city->model);
    for (unsigned i = 0; i < THREADS; i++) {
        push_remove_thread(city->xds[i].push);
        rpc_server_close(city->xds[i].server);
        loop_settle(city->xds[i].loop);
        loop_destroy(city->xds[i].loop);
    }
    loop_destroy(city->model.loop);
    push_destroy(city->push);
    dialer_destroy(city->dialer);
    interfaces_destroy(city->interfaces);
    loop_destroy(city->loop);
    for (unsigned c = 0; c < CLASSES; c++) {
        blob_table_unref(city->tables[c][RESOURCE_CLUSTER]);
        blob_table_unref(city->tables[c][RESOURCE_ENDPOINTS]);
    }
    stats_registry_destroy(city->stats);
    mem_free(city->citizens);
    mem_free(city);
}

/* Turns the proxies' loop until all have taken `taken` resources; how long that took, in microseconds. */
static uint64_t run_until(struct city *city, uint64_t taken, uint64_t most_us)
{
    uint64_t from_us = clock_now_us();
    while (city->taken < taken && clock_now_us() - from_us < most_us)
        loop_turn(city->loop, 20);
    uint64_t took_us = clock_now_us() - from_us;
    CHECK(city->taken == taken, "%llu of %llu resources after %llu us",
          (unsigned long long)city->taken, (unsigned long long)taken, (unsigned long long)took_us);
    return took_us;
}

static uint64_t seen_services(const struct city *city, unsigned class)
{
    uint64_t count = 0;
    for (unsigned s = 0; s < city->services; s++)
        count += is_seen(s, class);
    return count;
}

/* Changes the endpoints of one service, and checks that its proxies, and no others, take one resource each. */
static uint64_t change(struct city *city, unsigned service, unsigned round)
{
    unsigned expected = 0;
    unsigned *before = mem_calloc(city->streams, sizeof(*before));
    struct order *order = order_create(city, deliver_order);
    order->service = service;
    snprintf(order->body, sizeof(order->body), "%u", round);
    for (unsigned i = 0; i < city->streams; i++) {
        before[i] = city->citizens[i].endpoints;
        expected += is_seen(service, city->citizens[i].class);
    }
    loop_post(city->model.loop, &order->mail);
    uint64_t took_us = run_until(city, city->taken + expected, 10000000);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(city->loop, 5); /* what should not come has had its chance */
    for (unsigned i = 0; i < city->streams; i++) {
        const struct citizen *citizen = &city->citizens[i];
        bool sees = is_seen(service, citizen->class);
        CHECK(citizen->endpoints == before[i] + sees, "proxy %u, service %u", i, service);
        CHECK(!sees || atoi(citizen->last) == (int)round);
    }
    mem_free(before);
    return took_us;
}

TEST(push_over_threads_reaches_exactly_the_subscribers)
{
    bool is_large = getenv("TULLE_SCALE") != NULL;
    struct city *city = is_large ? city_open(1000, 500) : city_open(60, 24);
    uint64_t all = 0, slowest_us = 0, slowest_scoped_us = 0;
    loop_post(city->model.loop, &order_create(city, deliver_ready)->mail);
    for (unsigned i = 0; i < city->streams; i++)
        all += 2 * seen_services(city, city->citizens[i].class);
    uint64_t start_us = run_until(city, all, 60000000);
    for (unsigned round = 1; round <= 40; round++) {
        uint64_t shared_us = change(city, round % SHARED, round);
        uint64_t scoped_us = change(city, SHARED + round % (city->services - SHARED), round);
        slowest_us = MAX(slowest_us, shared_us);
        slowest_scoped_us = MAX(slowest_scoped_us, scoped_us);
    }
    if (is_large)
        printf("%u services, %u streams: first view everywhere in %llu ms; a change to all in at "
               "most %llu us, to its "
               "tenth in at most %llu us\n",
               city->services, city->streams, (unsigned long long)start_us / 1000,
               (unsigned long long)slowest_us, (unsigned long long)slowest_scoped_us);
    CHECK(!is_large || slowest_us < 1000000, "%llu us", (unsigned long long)slowest_us);
    city_close(city);
}
