#include "http/h2.h"

#include "base/poison.h"
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

static void join(struct pair *pair, struct slab_heap *client, struct slab_heap *server)
{
    pair->pool = block_pool_create(NULL);
    pair->client.pool = pair->server.pool = pair->pool;
    pair->client.codec = h2_create(HTTP_CLIENT, &recorder_codec_events, &recorder_consumer,
                                   &http_limits_default, pair->pool, client, &pair->client);
    pair->server.codec = h2_create(HTTP_SERVER, &recorder_codec_events, &recorder_consumer,
                                   &http_limits_default, pair->pool, server, &pair->server);
    pair->client.codec->established = pair->server.codec->established = true;
    pair->server.answers = true;
    arena_init(&pair->arena, pair->pool);
}

static void part(struct pair *pair)
{
    recorder_fini(&pair->client);
    recorder_fini(&pair->server);
    arena_fini(&pair->arena);
    CHECK(block_pool_in_use(pair->pool) == 0);
    block_pool_destroy(pair->pool);
}

static void begin(struct pair *pair)
{
    *pair = (struct pair){0};
    slab_heap_init(&pair->heap, &pair->budget);
    join(pair, &pair->heap, &pair->heap);
}

static void end_heap(struct slab_heap *heap, const struct memory_budget *budget)
{
    slab_heap_trim(heap);
    CHECK(slab_heap_held(heap) == 0 && budget->in_use == 0, "all of it came back");
    slab_heap_fini(heap);
}

static void end(struct pair *pair)
{
    part(pair);
    end_heap(&pair->heap, &pair->budget);
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

/* --- H2-09: a table grows while memory is refused ------------------------------------------------------------------ */

#ifdef POISON_WORKS
enum { STEP_BYTES = 24 }; /* every piece is charged by itself */
#else
enum { STEP_BYTES = 4096 };
#endif
enum { EXCHANGES = 6, FIELDS = 8 };

/* One of a pair starves; a neighbour has its memory from the same heap, and everybody else's is plenty. */
struct famine {
    struct memory_budget budget, unlimited;
    struct slab_heap heap, plenty;
    struct pair pair, neighbour;
    bool server_starves;
    unsigned answers;
    bool has_goaway;
    uint32_t goaway;
};

static struct recorder *starving(struct famine *f)
{
    return f->server_starves ? &f->pair.server : &f->pair.client;
}

/* Names and values that no table has yet: each is inserted, and the first of them are driven out again. */
static void add_new_fields(struct famine *f, struct headers *headers, unsigned number)
{
    for (unsigned i = 0; i < FIELDS; i++) {
        char *name = arena_try_alloc(&f->pair.arena, 16);
        char *value = arena_try_alloc(&f->pair.arena, 16 * FIELDS);
        CHECK(name && value);
        int size = snprintf(name, 16, "x-%u-%u", number, i);
        memset(value, 'a' + (int)i, 16 * FIELDS);
        CHECK(headers_add(headers, &f->pair.arena, slice_of(name, (size_t)size),
                          slice_of(value, 16 * (i + 1))));
    }
}

/* What the starving one has written: whether a GOAWAY is among it. */
static void look_for_goaway(struct famine *f, struct slice wire)
{
    enum { HEAD = 9, GOAWAY = 7 };
    const uint8_t *at = (const uint8_t *)wire.data;
    if (wire.size >= 24 && memcmp(at, "PRI", 3) == 0)
        slice_take(&wire, 24);
    while (wire.size >= HEAD) {
        at = (const uint8_t *)wire.data;
        size_t size = HEAD + ((size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2]);
        CHECK(size <= wire.size, "frames are written whole");
        if (at[3] == GOAWAY) {
            f->has_goaway = true;
            f->goaway =
                (uint32_t)at[13] << 24 | (uint32_t)at[14] << 16 | (uint32_t)at[15] << 8 | at[16];
        }
        slice_take(&wire, size);
    }
}

static void talk_and_look(struct famine *f)
{
    for (bool goes_on = true; goes_on;) {
        recorder_run(starving(f));
        look_for_goaway(f, buffer_slice(&starving(f)->wire));
        goes_on = move_wire(&f->pair.client, &f->pair.server);
        recorder_run(starving(f));
        look_for_goaway(f, buffer_slice(&starving(f)->wire));
        goes_on |= move_wire(&f->pair.server, &f->pair.client);
    }
}

static bool has_ended(struct famine *f)
{
    const struct http_codec *codec = starving(f)->codec;
    return codec->broken || codec->closing;
}

static void exchange(struct famine *f, unsigned number)
{
    struct pair *pair = &f->pair;
    struct http_request head;
    struct http_response answer;
    struct http_stream *stream = http_codec_open(pair->client.codec, &pair->arena);
    if (!stream)
        return; /* the client has heard that it is over */
    stream->events = &recorder_events;
    stream->owner = &pair->client;
    pair->client.stream = stream;
    http_request_init(&head);
    http_request_set_method(&head, HTTP_GET);
    head.scheme = SLICE("http");
    head.authority = SLICE("a");
    head.path = SLICE("/");
    add_new_fields(f, &head.headers, number);
    http_stream_send_request(stream, &head, true);
    talk_and_look(f);
    if (pair->server.stream) {
        http_response_init(&answer, 200);
        add_new_fields(f, &answer.headers, number + EXCHANGES);
        http_stream_send_response(pair->server.stream, &answer, true);
        recorder_release(&pair->server, pair->server.stream);
    }
    talk_and_look(f);
    if (has_ended(f)) { /* as its connection does then */
        http_codec_fail(pair->server.codec, HTTP_RESET_DISCONNECTED, NULL);
        http_codec_fail(pair->client.codec, HTTP_RESET_DISCONNECTED, NULL);
    }
    CHECK(!pair->client.stream, "request %u has no end", number);
    f->answers += was_answered(pair);
}

/* How many were answered with so many bytes. */
static unsigned starve(bool server_starves, size_t spare, unsigned *goaways)
{
    struct famine f = {.server_starves = server_starves};
    slab_heap_init(&f.heap, &f.budget);
    slab_heap_init(&f.plenty, &f.unlimited);
    join(&f.pair, server_starves ? &f.plenty : &f.heap, server_starves ? &f.heap : &f.plenty);
    join(&f.neighbour, &f.plenty, &f.heap);
    f.pair.server.answers = false;
    ask(&f.neighbour, 1);
    talk(&f.neighbour);
    CHECK(was_answered(&f.neighbour));
    talk(&f.pair);
    f.budget.limit = f.budget.in_use + spare;
    for (unsigned i = 0; i < EXCHANGES && !has_ended(&f); i++)
        exchange(&f, i);
    CHECK(!f.has_goaway || f.goaway == 2, "spare %zu: GOAWAY %u", spare, f.goaway);
    part(&f.pair);
    ask(&f.neighbour, 2);
    talk(&f.neighbour);
    CHECK(was_answered(&f.neighbour), "spare %zu: the neighbour starves, too", spare);
    part(&f.neighbour);
    end_heap(&f.heap, &f.budget);
    end_heap(&f.plenty, &f.unlimited);
    *goaways += f.has_goaway;
    return f.answers;
}

/* Wherever it happens: the connection ends, with its streams, and nothing else; all of its memory comes back. */
TEST(a_table_that_finds_no_memory_ends_its_connection_and_no_other)
{
    for (int server_starves = 0; server_starves < 2; server_starves++) {
        unsigned goaways = 0;
        size_t spare = 0;
        CHECK(starve(server_starves, spare, &goaways) < EXCHANGES, "memory was refused");
        while (starve(server_starves, spare, &goaways) < EXCHANGES)
            spare += STEP_BYTES;
        CHECK(goaways > 0, "who was heard to the end of its memory says so");
    }
}
