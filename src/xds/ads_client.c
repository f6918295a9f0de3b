#include "xds/ads_client.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/loop.h"
#include "rpc/backoff.h"
#include "xds/discovery.h"

#include <stdio.h>

enum { KEEPALIVE_MS = 30000, SETTLE_MS = 10000, MAX_MESSAGE = 16 * 1024 * 1024, ERROR_MAX = 512 };

static const char method[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

struct ads_client {
    struct rpc_means means;
    struct rpc_client *channel;
    struct rpc_call *call; /* NULL between streams */
    struct delta_client *delta;
    const struct ads_consumer *consumer;
    void *owner;
    char *(*token)(void *owner);
    char *node;
    size_t node_size;
    uint32_t settle_ms;
    struct backoff backoff;
    struct timer retry;
    struct task flush, reap;
    struct arena scratch; /* of one response */
    struct buffer request;
    uint64_t began_ms;
    bool started;
    bool closed;
    bool node_sent; /* on this stream */
    struct ads_client_status status;
    char error[ERROR_MAX];
};

struct ads_client *ads_client_create(const struct rpc_means *means,
                                     const struct ads_client_config *config,
                                     const struct ads_consumer *consumer, void *owner)
{
    struct ads_client *client = mem_new(struct ads_client);
    struct rpc_client_config channel = config->channel;
    const struct delta_client_limits *limits = &config->limits;
    backoff_init(&client->backoff, channel.backoff_base_ms ? channel.backoff_base_ms : 500,
                 channel.backoff_max_ms ? channel.backoff_max_ms : 30000);
    /* One wait, not two in a row: the stream's covers failures to connect as well. */
    channel.backoff_base_ms = channel.backoff_max_ms = 1;
    channel.keepalive_ms = channel.keepalive_ms ? channel.keepalive_ms : KEEPALIVE_MS;
    channel.max_message = channel.max_message ? channel.max_message : MAX_MESSAGE;
    client->means = *means;
    client->channel = rpc_client_create(means, &channel);
    client->delta =
        delta_client_create(limits->max_resources ? limits : &delta_client_default_limits);
    client->consumer = consumer;
    client->owner = owner;
    client->token = config->token;
    client->node = slice_to_str(config->node);
    client->node_size = config->node.size;
    client->settle_ms = config->settle_ms ? config->settle_ms : SETTLE_MS;
    client->status.error = client->error;
    arena_init(&client->scratch, NULL);
    return client;
}

static void reap(struct task *task)
{
    struct ads_client *client = CONTAINER_OF(task, struct ads_client, reap);
    delta_client_destroy(client->delta);
    arena_fini(&client->scratch);
    buffer_fini(&client->request);
    mem_free(client->node);
    mem_free(client);
}

void ads_client_close(struct ads_client *client)
{
    if (!client || client->closed)
        return;
    client->closed = true;
    loop_timer_stop(client->means.loop, &client->retry);
    loop_task_cancel(&client->flush);
    rpc_call_cancel(client->call);
    client->call = NULL;
    rpc_client_close(client->channel);
    task_init(&client->reap, reap);
    loop_reap_later(client->means.loop, &client->reap);
}

/* Requests. */

static bool send_request(struct ads_client *client, const struct delta_client_request *request)
{
    struct slice node = client->node_sent ? SLICE_NONE : slice_of(client->node, client->node_size);
    buffer_reset(&client->request);
    discovery_write_delta_request(request, node, &client->request);
    client->node_sent = true;
    return rpc_call_send(client->call, buffer_slice(&client->request));
}

static void begin(struct ads_client *client);
static void on_end(void *owner, const struct rpc_end *end);

static void flush(struct task *task)
{
    struct ads_client *client = CONTAINER_OF(task, struct ads_client, flush);
    const struct delta_client_request *request;
    while (client->call) {
        if (!rpc_call_is_writable(client->call) || !delta_client_next(client->delta, &request))
            return;
        if (!send_request(client, request)) {
            struct rpc_end end = {.code = GRPC_RESOURCE_EXHAUSTED,
                                  .message = SLICE("no memory is left for a request")};
            rpc_call_cancel(client->call);
            on_end(client, &end);
        }
    }
}

static void flush_later(struct ads_client *client)
{
    client->flush.run = flush;
    if (client->call && !client->closed && !task_is_queued(&client->flush))
        loop_run_later(client->means.loop, &client->flush);
}

static void on_writable(void *owner)
{
    flush_later(owner);
}

/* Responses. */

static void note_connected(struct ads_client *client)
{
    if (client->status.connected)
        return;
    client->status.connected = true;
    client->error[0] = '\0';
    client->status.connects++;
    if (client->consumer->on_connected)
        client->consumer->on_connected(client->owner);
}

static void on_head(void *owner, const struct http_response *head)
{
    (void)head;
    note_connected(owner);
}

static void take_update(struct ads_client *client, struct delta_update *update)
{
    client->consumer->on_update(client->owner, update);
    if (client->closed)
        return;
    if (delta_client_answer(client->delta, update) == 0)
        client->status.updates[update->type]++;
    else
        client->status.rejected[update->type]++;
}

static void on_message(void *owner, struct slice message)
{
    struct ads_client *client = owner;
    struct delta_response response;
    struct delta_update update;
    struct slice identifier;
    owned_error error = {0};
    note_connected(client);
    if (client->closed)
        return;
    arena_reset(&client->scratch);
    if (!discovery_read_delta_response(message, &client->scratch, &response, &identifier, &error)) {
        /* What cannot be read has no nonce to refuse it by. */
        owned_str text = error_text(&error, true);
        struct rpc_end end = {.code = GRPC_INTERNAL, .message = slice_str(text)};
        rpc_call_cancel(client->call);
        on_end(client, &end);
        return;
    }
    if (identifier.size > 0)
        snprintf(client->status.control_plane, sizeof(client->status.control_plane), "%.*s",
                 SLICE_ARG(identifier));
    if (delta_client_read(client->delta, &response, &update))
        take_update(client, &update);
    flush_later(client);
}

/* Streams. */

static void on_retry(struct timer *timer)
{
    begin(CONTAINER_OF(timer, struct ads_client, retry));
}

static void on_end(void *owner, const struct rpc_end *end)
{
    struct ads_client *client = owner;
    uint64_t now_ms = loop_now_ms(client->means.loop);
    client->call = NULL;
    client->status.connected = false;
    client->status.failures++;
    delta_client_end(client->delta);
    char before[ERROR_MAX];
    memcpy(before, client->error, sizeof(before));
    snprintf(client->error, sizeof(client->error), "%s: %.*s", grpc_code_name(end->code),
             SLICE_ARG(end->message));
    if (now_ms - client->began_ms >= client->settle_ms)
        backoff_reset(&client->backoff);
    uint32_t wait_ms = backoff_next_ms(&client->backoff, loop_random(client->means.loop));
    loop_timer_start(client->means.loop, &client->retry, wait_ms, on_retry);
    /* A reason is news once; the attempts that follow are not. */
    log_if(strcmp(before, client->error) ? LOG_WARNING : LOG_DEBUG, "xds",
           "the control plane is away (%s); trying again in %u ms", client->error, wait_ms);
    if (client->consumer->on_disconnected)
        client->consumer->on_disconnected(client->owner, client->error);
}

static const struct rpc_call_handler handler = {
    .on_head = on_head,
    .on_message = on_message,
    .on_writable = on_writable,
    .on_end = on_end,
};

static void begin(struct ads_client *client)
{
    owned_str token = client->token ? client->token(client->owner) : NULL;
    struct rpc_header authorization = {SLICE("authorization"), slice_str(token)};
    struct rpc_call_config config = {
        .path = method, .headers = &authorization, .header_count = token ? 1 : 0};
    client->began_ms = loop_now_ms(client->means.loop);
    client->node_sent = false;
    client->call = rpc_client_grpc(client->channel, &config, &handler, client);
    delta_client_begin(client->delta);
    flush_later(client);
}

void ads_client_start(struct ads_client *client)
{
    if (client->started)
        return;
    client->started = true;
    begin(client);
}

/* Wishes. */

void ads_client_watch_all(struct ads_client *client, enum resource_type type)
{
    delta_client_watch_all(client->delta, type);
    flush_later(client);
}

void ads_client_subscribe(struct ads_client *client, enum resource_type type, struct slice name)
{
    delta_client_subscribe(client->delta, type, name);
    flush_later(client);
}

void ads_client_unsubscribe(struct ads_client *client, enum resource_type type, struct slice name)
{
    delta_client_unsubscribe(client->delta, type, name);
    flush_later(client);
}

void ads_client_hold(struct ads_client *client, enum resource_type type, struct slice name,
                     struct slice version)
{
    delta_client_hold(client->delta, type, name, version);
}

void ads_client_set_tls(struct ads_client *client, struct tls_context *tls)
{
    rpc_client_set_tls(client->channel, tls);
}

void ads_client_status(const struct ads_client *client, struct ads_client_status *status)
{
    *status = client->status;
}
