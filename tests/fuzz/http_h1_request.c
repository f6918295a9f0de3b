/*
 * A client's bytes on an HTTP/1 server connection. The first byte says how they are cut and what the consumer does.
 * Whatever is accepted must read the same however it was cut, and the same again on the next hop.
 */
#include "http_relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct block_pool *pool;
static struct http_limits limits;

/* One request on its way to the next hop. */
struct hop {
    struct h1 up;
    struct listener listener; /* what `up` writes */
    struct account account;
    struct arena arena;
    struct http_stream *down, *stream;
    bool is_tunnel;
};

struct attack {
    struct h1 h1;
    struct buffer log; /* all that was accepted */
    struct hop *hop;
    unsigned mode;
    bool is_refused;
};

static void end_hop(struct attack *attack, bool is_checked)
{
    struct hop *hop = attack->hop;
    if (!hop)
        return;
    attack->hop = NULL;
    /* HTTP/1.0 may come without a host, which no HTTP/1.1 hop would take. */
    if (is_checked && hop->down->request->authority.size > 0)
        check_next_hop(pool, &limits, buffer_slice(&hop->listener.wire), &hop->account);
    buffer_append_slice(&attack->log, buffer_slice(&hop->account.text));
    buffer_append_str(&attack->log, hop->account.is_whole ? "\n==\n" : "\n~~\n");
    http_stream_release(hop->down);
    if (hop->stream)
        http_stream_release(hop->stream);
    http_codec_destroy(&hop->up.codec);
    arena_fini(&hop->arena);
    buffer_fini(&hop->account.text);
    buffer_fini(&hop->listener.wire);
    free(hop);
}

/* The request is whole: it is answered, in one of several ways. */
static void answer(struct attack *attack)
{
    struct hop *hop = attack->hop;
    struct http_response head;
    hop->account.is_whole = true;
    http_response_init(&head, attack->mode & 8 ? 426 : 200);
    http_stream_send_response(hop->down, &head, true);
    end_hop(attack, true);
}

static void on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct attack *attack = stream->owner;
    struct hop *hop = attack->hop;
    account_data(&hop->account, data);
    http_stream_consumed(stream, data->size);
    http_stream_send_data(hop->stream, data, is_end);
    if (is_end && hop->is_tunnel)
        end_hop(attack, false);
    else if (is_end)
        answer(attack);
}
static void on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct attack *attack = stream->owner;
    buffer_append_str(&attack->hop->account.text, "\n--\n");
    account_fields(&attack->hop->account, trailers);
    http_stream_send_trailers(attack->hop->stream, trailers);
    answer(attack);
}
static void on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct attack *attack = stream->owner;
    (void)reset;
    attack->is_refused = true;
    end_hop(attack, false);
}
static const struct http_stream_events events = {
    .on_data = on_data, .on_trailers = on_trailers, .on_reset = on_reset};

static void on_request(struct http_codec *codec, struct http_stream *stream)
{
    struct attack *attack = codec->owner;
    struct hop *hop = calloc(1, sizeof(*hop));
    require(!attack->hop && hop);
    attack->hop = hop;
    hop->down = stream;
    stream->events = &events;
    stream->owner = attack;
    arena_init(&hop->arena, pool);
    h1_init(&hop->up, HTTP_CLIENT, &listen_codec_events, &listen_consumer, &limits, pool,
            &hop->listener);
    hop->stream = http_codec_open(&hop->up.codec, &hop->arena);
    hop->stream->events = &listen_events;
    hop->stream->owner = &hop->account;
    account_request(&hop->account, stream->request);
    bool is_tunnel = stream->in == HTTP_OPEN &&
                     (stream->method == HTTP_CONNECT || stream->request->upgrade.size > 0);
    http_stream_send_request(hop->stream, stream->request, stream->in == HTTP_ENDED);
    if (stream->in == HTTP_ENDED) {
        answer(attack);
        return;
    }
    hop->is_tunnel = is_tunnel;
    if (!is_tunnel)
        return;
    /* A tunnel is accepted or declined at once. */
    struct http_response head;
    bool is_accepted = attack->mode & 16;
    http_response_init(&head, !is_accepted ? 404 : stream->method == HTTP_CONNECT ? 200 : 101);
    head.upgrade = stream->request->upgrade;
    http_stream_send_response(stream, &head, !is_accepted);
    if (stream->method != HTTP_CONNECT) {
        hop->account.is_whole = false;
        check_next_hop(pool, &limits, buffer_slice(&hop->listener.wire), &hop->account);
    }
    if (!is_accepted)
        end_hop(attack, false);
}
static void on_refused(struct http_codec *codec, enum http_refusal refusal)
{
    struct attack *attack = codec->owner;
    require(http_refusal_status(refusal) >= 400);
    attack->is_refused = true;
}
static const struct http_codec_consumer consumer = {.on_request = on_request,
                                                    .on_refused = on_refused};
static void write_nowhere(struct http_codec *codec, struct chain *bytes)
{
    (void)codec;
    chain_fini(bytes);
}
static const struct http_codec_events codec_events = {
    .write = write_nowhere, .wake = listen_wake, .wake_next = listen_wake};

static void attack_with(struct attack *attack, struct slice bytes, unsigned mode, size_t cut)
{
    *attack = (struct attack){.mode = mode};
    h1_init(&attack->h1, HTTP_SERVER, &codec_events, &consumer, &limits, pool, attack);
    feed(&attack->h1.codec, pool, bytes, cut);
    for (int i = 0; i < 3; i++)
        http_codec_run(&attack->h1.codec);
    http_codec_eof(&attack->h1.codec, mode & 4);
    http_codec_run(&attack->h1.codec);
    end_hop(attack, false);
    require(http_codec_is_idle(&attack->h1.codec));
    http_codec_destroy(&attack->h1.codec);
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
    limits.max_head_bytes = 4096; /* so that limits are reached */
    limits.max_headers = 24;
    limits.max_trailer_bytes = 1000;
    limits.refuse_underscore_twins = mode & 32;
    struct attack whole, cut;
    attack_with(&whole, slice_of(data + 1, size - 1), mode, SIZE_MAX);
    attack_with(&cut, slice_of(data + 1, size - 1), mode, cuts[mode % 4]);
    /* In one piece a fault may be found before the head's end is there. */
    if (whole.is_refused == cut.is_refused)
        require(slice_equals(buffer_slice(&whole.log), buffer_slice(&cut.log)));
    buffer_fini(&whole.log);
    buffer_fini(&cut.log);
    require(block_pool_in_use(pool) == 0);
    block_pool_destroy(pool);
    return 0;
}
