#include "http/h2.h"

#include "base/slab_heap.h"
#include "recorder.h"
#include "test.h"

/* Run twice, as tests/unit/base/slab_heap_test.c is: under the sanitizers a buffer that rests is overwritten. */

/* A client and a server that answers, joined in memory. */
struct pair {
    struct memory_budget budget;
    struct block_pool *pool;
    struct slab_heap heap;
    struct recorder client, server;
    struct arena arena; /* client streams' */
};

static void begin(struct pair *pair)
{
    *pair = (struct pair){.pool = block_pool_create(NULL)};
    slab_heap_init(&pair->heap, &pair->budget);
    pair->client.pool = pair->server.pool = pair->pool;
    pair->client.codec = h2_create(HTTP_CLIENT, &recorder_codec_events, &recorder_consumer,
                                   &http_limits_default, pair->pool, &pair->heap, &pair->client);
    pair->server.codec = h2_create(HTTP_SERVER, &recorder_codec_events, &recorder_consumer,
                                   &http_limits_default, pair->pool, &pair->heap, &pair->server);
    pair->client.codec->established = pair->server.codec->established = true;
    pair->server.answers = true;
    arena_init(&pair->arena, pair->pool);
}

static void end(struct pair *pair)
{
    recorder_fini(&pair->client);
    recorder_fini(&pair->server);
    arena_fini(&pair->arena);
    block_pool_destroy(pair->pool);
    slab_heap_trim(&pair->heap);
    CHECK(slab_heap_held(&pair->heap) == 0 && pair->budget.in_use == 0, "all of it came back");
    slab_heap_fini(&pair->heap);
}

static bool move_wire(struct recorder *from, struct recorder *to)
{
    recorder_run(from);
    if (from->wire.size == 0)
        return false;
    struct buffer wire = from->wire;
    from->wire = (struct buffer){0};
    recorder_feed(to, buffer_slice(&wire), wire.size);
    http_codec_sent(from->codec, wire.size, 0);
    buffer_fini(&wire);
    return true;
}

static void talk(struct pair *pair)
{
    for (bool goes_on = true; goes_on;) {
        goes_on = move_wire(&pair->client, &pair->server);
        goes_on |= move_wire(&pair->server, &pair->client);
    }
}

static struct http_stream *ask(struct pair *pair, unsigned number)
{
    struct http_request head;
    struct http_stream *stream = http_codec_open(pair->client.codec, &pair->arena);
    CHECK(stream);
    stream->events = &recorder_events;
    stream->owner = &pair->client;
    char path[16];
    snprintf(path, sizeof(path), "/%u", number);
    http_request_init(&head);
    http_request_set_method(&head, HTTP_GET);
    head.scheme = SLICE("http");
    head.authority = SLICE("a");
    head.path = slice_str(path);
    http_stream_send_request(stream, &head, true);
    return stream;
}

static void rest(struct pair *pair)
{
    h2_rest(pair->client.codec);
    h2_rest(pair->server.codec);
}

static bool was_answered(struct pair *pair)
{
    bool was = pair->client.log.data && strstr(pair->client.log.data, "200");
    buffer_reset(&pair->client.log);
    return was;
}

TEST(a_connection_that_rested_goes_on)
{
    struct pair pair;
    begin(&pair);
    talk(&pair);
    for (unsigned i = 0; i < 20; i++) {
        rest(&pair);
        rest(&pair);
        for (unsigned streams = 0; streams <= i; streams++)
            ask(&pair, i);
        talk(&pair);
        CHECK(was_answered(&pair), "exchange %u", i);
    }
    end(&pair);
}

TEST(what_rests_costs_nothing_but_with_a_stream_it_does_not_rest)
{
    struct pair pair;
    begin(&pair);
    ask(&pair, 0);
    rest(&pair);
    talk(&pair);
    CHECK(was_answered(&pair));
    size_t held = slab_heap_held(&pair.heap);
    pair.server.answers = false;
    struct http_stream *stream = ask(&pair, 1);
    rest(&pair);
    talk(&pair);
    rest(&pair);
    CHECK(slab_heap_held(&pair.heap) >= held, "a stream is open");
    http_stream_reset(stream, HTTP_RESET_CANCEL);
    talk(&pair);
    recorder_release(&pair.client, stream);
    rest(&pair);
    CHECK(slab_heap_held(&pair.heap) <= held);
    pair.server.answers = true;
    ask(&pair, 2);
    talk(&pair);
    CHECK(was_answered(&pair));
    end(&pair);
}

TEST(a_connection_that_gets_its_memory_back_no_more_is_broken)
{
    struct pair pair;
    begin(&pair);
    ask(&pair, 0);
    talk(&pair);
    CHECK(was_answered(&pair));
    size_t held = slab_heap_held(&pair.heap);
    rest(&pair);
    bool has_rested = slab_heap_held(&pair.heap) < held; /* not under the sanitizers */
    ask(&pair, 1);
    pair.budget.limit = 1;
    talk(&pair);
    CHECK(!has_rested || pair.client.codec->broken);
    end(&pair);
}

TEST(a_session_is_not_made_where_memory_is_refused)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct recorder client = {.pool = pool};
    for (size_t limit = 1; limit < 200000; limit = limit * 3 / 2 + 1) {
        struct memory_budget budget = {.limit = limit};
        struct slab_heap heap;
        slab_heap_init(&heap, &budget);
        client.codec = h2_create(HTTP_CLIENT, &recorder_codec_events, &recorder_consumer,
                                 &http_limits_default, pool, &heap, &client);
        if (client.codec)
            http_codec_destroy(client.codec);
        slab_heap_trim(&heap);
        CHECK(budget.in_use == 0, "limit %zu", limit);
        slab_heap_fini(&heap);
    }
    CHECK(client.codec != NULL, "with enough it is");
    block_pool_destroy(pool);
}
