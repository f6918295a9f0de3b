/* A hostile upstream's bytes on an HTTP/2 client connection with some requests under way, of which one waits for 100. */
#include "http_relay.h"

#include "base/slab_heap.h"
#include "http/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 4 };

struct exchange {
    struct http_stream *stream;
    struct arena arena;
    struct account account;
    unsigned heads;
    bool is_over, leaves_early;
};

static void leave(struct exchange *exchange)
{
    http_stream_release(exchange->stream);
    exchange->stream = NULL;
    arena_fini(&exchange->arena);
}
static void end(struct exchange *exchange)
{
    require(!exchange->is_over);
    exchange->is_over = true;
    if (exchange->leaves_early)
        leave(exchange);
}
static void on_response(struct http_stream *stream, struct http_response *head, bool is_end)
{
    struct exchange *exchange = stream->owner;
    require(!exchange->is_over && head->status >= 100 && head->status <= 999);
    require(++exchange->heads <= 20);
    account_response(&exchange->account, head);
    if (is_end)
        end(exchange);
}
static void on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct exchange *exchange = stream->owner;
    require(!exchange->is_over);
    http_stream_consumed(stream, data->size);
    if (is_end)
        end(exchange);
}
static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct exchange *exchange = stream->owner;
    account_fields(&exchange->account, trailers);
    end(exchange);
}
static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    (void)reset;
    struct exchange *exchange = stream->owner;
    exchange->is_over = true;
    if (exchange->leaves_early)
        leave(exchange);
}
static const struct http_stream_events events = {.on_response = on_response,
                                                 .on_data = on_data,
                                                 .on_trailers = on_trailers,
                                                 .on_reset = on_reset};
static void on_write(struct http_codec *codec, struct chain *bytes)
{
    (void)codec;
    chain_fini(bytes);
}
static const struct http_codec_events codec_events = {
    .write = on_write, .wake = listen_wake, .wake_next = listen_wake};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned mode = data[0];
    static const size_t cuts[] = {16000, 1, 17, 1000};
    static const enum http_method methods[STREAMS] = {HTTP_GET, HTTP_POST, HTTP_HEAD, HTTP_CONNECT};
    struct block_pool *pool = block_pool_create(NULL);
    struct slab_heap heap;
    slab_heap_init(&heap, NULL);
    struct http_limits limits = http_limits_default;
    limits.max_head_bytes = 4096;
    limits.max_headers = 24;
    limits.glitch_burst = 50;
    struct exchange exchanges[STREAMS] = {0};
    struct http_codec *codec =
        h2_create(HTTP_CLIENT, &codec_events, &listen_consumer, &limits, pool, &heap, NULL);
    codec->established = true;
    http_codec_run(codec);
    for (unsigned i = 0; i < STREAMS; i++) {
        struct exchange *exchange = &exchanges[i];
        struct http_request head;
        arena_init(&exchange->arena, pool);
        exchange->leaves_early = mode >> 4 >> i & 1;
        exchange->stream = http_codec_open(codec, &exchange->arena);
        exchange->stream->events = &events;
        exchange->stream->owner = exchange;
        http_request_init(&head);
        http_request_set_method(&head, methods[i]);
        head.authority = SLICE("a:1");
        head.path = SLICE("/");
        http_stream_send_request(exchange->stream, &head, i == 0 || i == 2);
        if (i == 1) {
            struct chain body = {0};
            chain_append_static(&body, SLICE("part of a body"));
            http_stream_send_data(exchange->stream, &body, mode & 4);
        }
    }
    http_codec_run(codec);
    feed(codec, pool, SLICE("\0\0\0\4\0\0\0\0\0"), 16000);
    feed(codec, pool, slice_of(data + 1, size - 1), cuts[mode % 4]);
    http_codec_eof(codec, mode & 8);
    http_codec_run(codec);
    for (unsigned i = 0; i < STREAMS; i++) {
        if (exchanges[i].stream)
            leave(&exchanges[i]);
        buffer_fini(&exchanges[i].account.text);
    }
    http_codec_run(codec);
    require(http_codec_is_idle(codec));
    http_codec_destroy(codec);
    require(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
    slab_heap_fini(&heap);
    return 0;
}
