/*
 * A client's bytes on an HTTP/2 server connection, behind a good preface unless the first byte says otherwise. A request
 * that is accepted must read the same on an HTTP/1 hop: nothing in it may end a line or a message early.
 */
#include "http_relay.h"

#include "base/slab_heap.h"
#include "http/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct block_pool *pool;
static struct slab_heap heap;
static struct http_limits limits;

struct hop {
    struct list node;
    struct attack *attack;
    struct h1 up;
    struct listener listener;
    struct account account;
    struct arena arena;
    struct http_stream *down, *stream;
    bool is_tunnel;
};

struct attack {
    struct list hops;
    unsigned mode, requests;
    size_t wire;
};

static void end_hop(struct hop *hop, bool is_checked)
{
    if (is_checked)
        check_next_hop(pool, &limits, buffer_slice(&hop->listener.wire), &hop->account);
    list_remove(&hop->node);
    http_stream_release(hop->down);
    http_stream_release(hop->stream);
    http_codec_destroy(&hop->up.codec);
    arena_fini(&hop->arena);
    buffer_fini(&hop->account.text);
    buffer_fini(&hop->listener.wire);
    free(hop);
}

static void answer(struct hop *hop)
{
    struct http_response head;
    hop->account.is_whole = true;
    http_response_init(&head, 200);
    if (hop->attack->mode & 4) {
        struct chain data = {0};
        http_stream_send_response(hop->down, &head, false);
        chain_append_static(&data, SLICE("some bytes of an answer"));
        http_stream_send_data(hop->down, &data, true);
    } else {
        http_stream_send_response(hop->down, &head, true);
    }
    end_hop(hop, true);
}

static void on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct hop *hop = stream->owner;
    account_data(&hop->account, data);
    if (!(hop->attack->mode & 8))
        http_stream_consumed(stream, data->size);
    http_stream_send_data(hop->stream, data, is_end);
    if (is_end && hop->is_tunnel)
        end_hop(hop, false);
    else if (is_end)
        answer(hop);
}
static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct hop *hop = stream->owner;
    buffer_append_str(&hop->account.text, "\n--\n");
    account_fields(&hop->account, trailers);
    http_stream_send_trailers(hop->stream, trailers);
    hop->account.is_whole = true;
    struct http_response head;
    http_response_init(&head, 200);
    http_stream_send_response(hop->down, &head, true);
    end_hop(hop, stream->request->content_length < 0);
}
static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    (void)reset;
    end_hop(stream->owner, false);
}
static const struct http_stream_events events = {
    .on_data = on_data, .on_trailers = on_trailers, .on_reset = on_reset};

static void on_request(struct http_codec *codec, struct http_stream *stream)
{
    struct attack *attack = codec->owner;
    struct hop *hop = calloc(1, sizeof(*hop));
    require(hop != NULL);
    hop->attack = attack;
    hop->down = stream;
    attack->requests++;
    list_push_back(&attack->hops, &hop->node);
    stream->events = &events;
    stream->owner = hop;
    arena_init(&hop->arena, pool);
    h1_init(&hop->up, HTTP_CLIENT, &listen_codec_events, &listen_consumer, &limits, pool,
            &hop->listener);
    hop->stream = http_codec_open(&hop->up.codec, &hop->arena);
    hop->stream->events = &listen_events;
    hop->stream->owner = &hop->account;
    account_request(&hop->account, stream->request);
    http_stream_send_request(hop->stream, stream->request, stream->in == HTTP_ENDED);
    bool is_tunnel = stream->method == HTTP_CONNECT || stream->request->upgrade.size > 0;
    hop->is_tunnel = is_tunnel;
    if (is_tunnel) {
        struct http_response head;
        http_response_init(&head, attack->mode & 16 ? 101 : 404);
        head.upgrade = stream->request->upgrade;
        http_stream_send_response(stream, &head, head.status == 404);
        if (head.status == 404 || stream->in == HTTP_ENDED)
            end_hop(hop, stream->method != HTTP_CONNECT && stream->in != HTTP_ENDED);
    } else if (stream->in == HTTP_ENDED) {
        answer(hop);
    }
}
static void on_refused(struct http_codec *codec, enum http_refusal refusal)
{
    (void)codec;
    require(http_refusal_status(refusal) >= 400);
}
static void on_write(struct http_codec *codec, struct chain *bytes)
{
    struct attack *attack = codec->owner;
    attack->wire += bytes->size;
    chain_fini(bytes);
}
static const struct http_codec_consumer consumer = {.on_request = on_request,
                                                    .on_refused = on_refused};
static const struct http_codec_events codec_events = {
    .write = on_write, .wake = listen_wake, .wake_next = listen_wake};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned mode = data[0];
    static const size_t cuts[] = {16000, 1, 17, 1000};
    pool = block_pool_create(NULL);
    slab_heap_init(&heap, NULL);
    limits = http_limits_default;
    limits.allow_connect = true;
    limits.offer_extended_connect = true;
    limits.max_head_bytes = 4096;
    limits.max_headers = 24;
    limits.glitch_burst = 50;
    limits.reset_burst = 20;
    struct attack attack = {.mode = mode};
    list_init(&attack.hops);
    struct http_codec *codec =
        h2_create(HTTP_SERVER, &codec_events, &consumer, &limits, pool, &heap, &attack);
    http_codec_run(codec);
    if (!(mode & 32)) {
        feed(codec, pool, h2_preface(), 16000);
        feed(codec, pool, SLICE("\0\0\0\4\0\0\0\0\0"), 16000);
    }
    struct slice bytes = slice_of(data + 1, size - 1);
    while (bytes.size > 0) {
        feed(codec, pool, slice_take(&bytes, MIN(bytes.size, (size_t)3000)), cuts[mode % 4]);
        size_t wire = attack.wire;
        attack.wire = 0;
        http_codec_sent(codec, wire, mode & 64 ? wire : 0);
    }
    if (mode & 128)
        http_codec_drain(codec);
    http_codec_run(codec);
    http_codec_eof(codec, false);
    http_codec_run(codec);
    while (!list_is_empty(&attack.hops))
        end_hop(LIST_ENTRY(attack.hops.next, struct hop, node), false);
    http_codec_destroy(codec);
    require(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
    slab_heap_fini(&heap);
    return 0;
}
