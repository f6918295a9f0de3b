/*
 * An upstream's bytes on an HTTP/1 client connection. The first byte says how they are cut and what was asked. What is
 * accepted must read the same however it was cut, and the same again downstream.
 */
#include "http_relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct block_pool *pool;
static struct http_limits limits;

struct attack {
    struct h1 up, down;
    struct listener listener; /* what `down` writes to its client */
    struct account account;
    struct arena arena;
    struct http_stream *stream, *answer;
    bool is_over;
};

static void on_response(struct http_stream *stream, struct http_response *head, bool is_end)
{
    struct attack *attack = stream->owner;
    require(!attack->is_over && head->status >= 100 && head->status <= 999);
    account_response(&attack->account, head);
    http_stream_send_response(attack->answer, head, is_end);
    attack->is_over = attack->account.is_whole = is_end;
}
static void on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct attack *attack = stream->owner;
    require(!attack->is_over);
    account_data(&attack->account, data);
    http_stream_consumed(stream, data->size);
    http_stream_send_data(attack->answer, data, is_end);
    attack->is_over = attack->account.is_whole = is_end;
}
static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct attack *attack = stream->owner;
    require(!attack->is_over);
    buffer_append_str(&attack->account.text, "\n--\n");
    account_fields(&attack->account, trailers);
    http_stream_send_trailers(attack->answer, trailers);
    attack->is_over = attack->account.is_whole = true;
}
static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct attack *attack = stream->owner;
    (void)reset;
    require(!attack->is_over);
    attack->is_over = attack->account.is_reset = true;
}
static const struct http_stream_events events = {.on_response = on_response,
                                                 .on_data = on_data,
                                                 .on_trailers = on_trailers,
                                                 .on_reset = on_reset};

/* What the client downstream reads of what we wrote. */
static void check_client(struct attack *attack, enum http_method method, bool upgrades)
{
    struct h1 h1;
    struct listener listener = {0};
    struct arena arena;
    struct http_request head;
    struct http_limits wide = limits;
    wide.max_head_bytes += 4096;
    wide.max_headers += 16;
    arena_init(&arena, pool);
    h1_init(&h1, HTTP_CLIENT, &listen_codec_events, &listen_consumer, &wide, pool, &listener);
    h1.codec.established = true;
    struct http_stream *stream = http_codec_open(&h1.codec, &arena);
    stream->events = &listen_events;
    stream->owner = &listener.account;
    http_request_init(&head);
    http_request_set_method(&head, method);
    head.path = SLICE("/");
    head.authority = SLICE("a:1");
    if (upgrades)
        head.upgrade = SLICE("x");
    http_stream_send_request(stream, &head, !upgrades && method != HTTP_CONNECT);
    feed(&h1.codec, pool, buffer_slice(&attack->listener.wire), 16000);
    if (attack->account.is_whole && !listener.account.is_whole)
        http_codec_eof(&h1.codec, false); /* a tunnel's end, or HTTP/1.0's */
    require(!listener.account.is_reset && listener.account.is_whole);
    require(
        slice_equals(buffer_slice(&listener.account.text), buffer_slice(&attack->account.text)));
    http_stream_release(stream);
    http_codec_destroy(&h1.codec);
    arena_fini(&arena);
    buffer_fini(&listener.account.text);
    buffer_fini(&listener.wire);
}

static void attack_with(struct attack *attack, struct slice bytes, unsigned mode, size_t cut)
{
    static const enum http_method methods[] = {HTTP_GET, HTTP_HEAD, HTTP_CONNECT, HTTP_POST};
    static const char *const asked[] = {
        "GET / HTTP/1.1\r\nHost: a:1\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "POST / HTTP/1.1\r\nHost: a:1\r\n\r\n"};
    static const char upgrade[] =
        "GET / HTTP/1.1\r\nHost: a:1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    enum http_method method = methods[mode >> 2 & 3];
    bool upgrades = method == HTTP_GET && (mode & 64);
    *attack = (struct attack){0};
    h1_init(&attack->down, HTTP_SERVER, &listen_codec_events, &listen_consumer, &limits, pool,
            &attack->listener);
    feed(&attack->down.codec, pool, slice_str(upgrades ? upgrade : asked[mode >> 2 & 3]), 16000);
    attack->answer = attack->listener.stream;
    require(attack->answer != NULL);
    struct listener quiet = {0};
    arena_init(&attack->arena, pool);
    h1_init(&attack->up, HTTP_CLIENT, &listen_codec_events, &listen_consumer, &limits, pool,
            &quiet);
    attack->up.codec.established = true;
    attack->stream = http_codec_open(&attack->up.codec, &attack->arena);
    attack->stream->events = &events;
    attack->stream->owner = attack;
    http_stream_send_request(attack->stream, attack->answer->request,
                             attack->answer->in == HTTP_ENDED);
    buffer_reset(&attack->listener.account.text);
    feed(&attack->up.codec, pool, bytes, cut);
    http_codec_eof(&attack->up.codec, mode & 32);
    http_codec_run(&attack->up.codec);
    if (attack->account.is_whole && !attack->down.codec.broken)
        check_client(attack, method, upgrades);
    http_stream_release(attack->stream);
    http_stream_release(attack->answer);
    http_codec_run(&attack->up.codec);
    http_codec_destroy(&attack->up.codec);
    http_codec_destroy(&attack->down.codec);
    arena_fini(&attack->arena);
    buffer_fini(&quiet.wire);
    buffer_fini(&attack->listener.wire);
    buffer_fini(&attack->listener.account.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned mode = data[0];
    static const size_t cuts[] = {1, 3, 17, 1000};
    pool = block_pool_create(NULL);
    limits = http_limits_default;
    limits.allow_connect = true;
    limits.max_head_bytes = 4096;
    limits.max_headers = 24;
    limits.max_trailer_bytes = 1000;
    struct attack whole, cut;
    attack_with(&whole, slice_of(data + 1, size - 1), mode, SIZE_MAX);
    attack_with(&cut, slice_of(data + 1, size - 1), mode, cuts[mode % 4]);
    require(whole.account.is_whole == cut.account.is_whole);
    if (whole.account.is_whole)
        require(slice_equals(buffer_slice(&whole.account.text), buffer_slice(&cut.account.text)));
    buffer_fini(&whole.account.text);
    buffer_fini(&cut.account.text);
    require(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
    return 0;
}
