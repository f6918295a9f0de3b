/*
 * xds_streams: many delta ADS streams to one control plane, each over a connection of its own, in one thread.
 *
 *   xds_streams PORT STREAMS SERVICES WATCHED NAMESPACE
 *
 * Stream i is the sidecar of a workload 10.200.x.y; it watches all clusters and listeners, and subscribes to the endpoints of
 * WATCHED of the SERVICES services s0, s1 ... and to the routes of port 80. On stdout a line each:
 *
 *   ready MS             every stream has everything that it asked for, so long after the first connected
 *   got US STREAM TYPE COUNT NAME   after that: an update, at this monotonic time, with its first name
 *   lost STREAM REASON
 *
 * Ends when stdin does.
 */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/program.h"
#include "io/interfaces.h"
#include "io/loop.h"
#include "net/dialer.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "xds/ads_client.h"

#include "envoy/config/core/v3/core.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct load;

struct stream {
    struct load *load;
    unsigned number;
    struct ads_client *client;
    unsigned endpoints, routes, clusters, listeners; /* resources that came */
    bool is_ready;
};

struct load {
    struct loop *loop;
    const char *name_space;
    unsigned streams, services, watched, ready;
    uint64_t began_us, bytes, resources;
    struct stream *items;
};

/* Every service has as many subscribers as any other, and no two streams the same set. */
static unsigned service_of(const struct load *load, unsigned stream, unsigned index)
{
    return (stream * 7 + index * (load->services / load->watched)) % load->services;
}

static void check_ready(struct stream *stream)
{
    struct load *load = stream->load;
    if (stream->is_ready || stream->endpoints < load->watched || stream->routes == 0 ||
        stream->clusters < load->services || stream->listeners == 0)
        return;
    stream->is_ready = true;
    if (++load->ready == load->streams)
        printf("ready %llu resources %llu bytes %llu\n",
               (unsigned long long)(clock_now_us() - load->began_us) / 1000,
               (unsigned long long)load->resources, (unsigned long long)load->bytes);
}

static void on_update(void *owner, struct delta_update *update)
{
    struct stream *stream = owner;
    struct load *load = stream->load;
    unsigned count = (unsigned)update->added_count;
    load->resources += count;
    for (unsigned i = 0; i < count; i++)
        load->bytes += update->added[i]->body.size;
    if (load->ready == load->streams) {
        struct slice name = count                   ? update->added[0]->name
                            : update->removed_count ? update->removed[0]
                                                    : SLICE("-");
        printf("got %llu %u %s %zu %.*s\n", (unsigned long long)clock_now_us(), stream->number,
               resource_type_short(update->type), update->added_count + update->removed_count,
               SLICE_ARG(name));
        return;
    }
    stream->endpoints += update->type == RESOURCE_ENDPOINTS ? count : 0;
    stream->routes += update->type == RESOURCE_ROUTE ? count : 0;
    stream->clusters += update->type == RESOURCE_CLUSTER ? count : 0;
    stream->listeners += update->type == RESOURCE_LISTENER ? count : 0;
    check_ready(stream);
}

static void on_disconnected(void *owner, const char *reason)
{
    struct stream *stream = owner;
    printf("lost %u %s\n", stream->number, reason);
}

static const struct ads_consumer consumer = {.on_update = on_update,
                                             .on_disconnected = on_disconnected};

static void pack_node(const struct load *load, unsigned number, struct buffer *out)
{
    struct arena arena = {0};
    Envoy__Config__Core__V3__Node *node =
        pb_new(&arena, &envoy__config__core__v3__node__descriptor);
    char *address = arena_format(&arena, "10.200.%u.%u", number / 250, number % 250 + 1);
    node->id = arena_format(&arena, "sidecar~%s~client-%u.%s~%s.svc.cluster.local", address, number,
                            load->name_space, load->name_space);
    node->metadata = pb_struct_new(&arena);
    pb_struct_put(&arena, node->metadata, "NAMESPACE", pb_value_str(&arena, load->name_space));
    pb_struct_put(&arena, node->metadata, "INSTANCE_IPS", pb_value_str(&arena, address));
    pb_pack(&node->base, out);
    arena_fini(&arena);
}

static void start_stream(struct load *load, const struct rpc_means *means, uint16_t port,
                         unsigned number)
{
    struct stream *stream = &load->items[number];
    owned_buffer node = {0};
    *stream = (struct stream){.load = load, .number = number};
    pack_node(load, number, &node);
    struct ads_client_config config = {
        .channel = {.target = {.host = "127.0.0.1", .port = port}, .protocol = RPC_HTTP2},
        .node = buffer_slice(&node)};
    stream->client = ads_client_create(means, &config, &consumer, stream);
    ads_client_watch_all(stream->client, RESOURCE_CLUSTER);
    ads_client_watch_all(stream->client, RESOURCE_LISTENER);
    for (unsigned i = 0; i < load->watched; i++) {
        owned_str name = str_format("outbound|80||s%u.%s.svc.cluster.local",
                                    service_of(load, number, i), load->name_space);
        ads_client_subscribe(stream->client, RESOURCE_ENDPOINTS, slice_str(name));
    }
    ads_client_subscribe(stream->client, RESOURCE_ROUTE, SLICE("80"));
    ads_client_start(stream->client);
}

struct input {
    struct watch watch;
    struct loop *loop;
};

static void on_stdin(struct watch *watch, unsigned ready)
{
    char bytes[64];
    (void)ready;
    if (read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0)
        loop_stop(CONTAINER_OF(watch, struct input, watch)->loop);
}

static unsigned number_of(const char *text)
{
    uint64_t number;
    if (slice_to_u64(slice_str(text), 100000, &number) && number > 0)
        return (unsigned)number;
    fprintf(stderr, "xds_streams: \"%s\" is no number\n", text);
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "xds_streams PORT STREAMS SERVICES WATCHED NAMESPACE\n");
        return EXIT_FAILURE;
    }
    struct load load = {.streams = number_of(argv[2]),
                        .services = number_of(argv[3]),
                        .watched = number_of(argv[4]),
                        .name_space = argv[5]};
    struct input input = {0};
    struct interfaces *interfaces = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(NULL, LOG_WARNING);
    program_raise_open_files();
    if (loop_create(&(struct loop_options){.name = "streams"}, &load.loop) != 0 ||
        interfaces_create(load.loop, &interfaces) != 0)
        return EXIT_FAILURE;
    struct rpc_means means = {.loop = load.loop};
    means.dialer =
        dialer_create(&(struct dialer_options){.loop = load.loop, .interfaces = interfaces});
    load.items = mem_calloc(load.streams, sizeof(*load.items));
    load.began_us = clock_now_us();
    for (unsigned i = 0; i < load.streams; i++)
        start_stream(&load, &means, (uint16_t)number_of(argv[1]), i);
    input.loop = load.loop;
    if (loop_watch(load.loop, &input.watch, STDIN_FILENO, LOOP_READABLE, on_stdin) != 0)
        return EXIT_FAILURE;
    loop_run(load.loop);
    loop_unwatch(load.loop, &input.watch);
    for (unsigned i = 0; i < load.streams; i++)
        ads_client_close(load.items[i].client);
    loop_settle(load.loop);
    dialer_destroy(means.dialer);
    interfaces_destroy(interfaces);
    loop_settle(load.loop);
    loop_destroy(load.loop);
    mem_free(load.items);
    return EXIT_SUCCESS;
}
