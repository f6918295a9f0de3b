#include "http/h2.h"

#include "base/memory.h"
#include "base/slab_heap.h"
#include "recorder.h"
#include "test.h"

#include <nghttp2/nghttp2.h>

/* A client and a server joined in memory. */
struct bench {
    struct block_pool *pool;
    struct slab_heap heap;
    struct http_limits limits;
    struct recorder client, server;
    struct arena arena; /* client streams' */
    uint64_t now_ms;
};

static void begin(struct bench *bench)
{
    struct block_pool *pool = block_pool_create(NULL);
    struct http_limits limits = bench->limits;
    *bench = (struct bench){.pool = pool, .limits = limits};
    slab_heap_init(&bench->heap, NULL);
    bench->client.pool = bench->server.pool = pool;
    bench->client.codec = h2_create(HTTP_CLIENT, &recorder_codec_events, &recorder_consumer,
                                    &bench->limits, pool, &bench->heap, &bench->client);
    bench->server.codec = h2_create(HTTP_SERVER, &recorder_codec_events, &recorder_consumer,
                                    &bench->limits, pool, &bench->heap, &bench->server);
    bench->client.codec->established = bench->server.codec->established = true;
    arena_init(&bench->arena, pool);
}

static void begin_usual(struct bench *bench)
{
    bench->limits = http_limits_default;
    begin(bench);
}

static void end(struct bench *bench)
{
    recorder_fini(&bench->client);
    recorder_fini(&bench->server);
    arena_fini(&bench->arena);
    CHECK(block_pool_in_use(bench->pool) == 0, "%zu bytes are still lent out",
          block_pool_in_use(bench->pool));
    block_pool_destroy(bench->pool);
    slab_heap_fini(&bench->heap);
}

static bool move_wire(struct recorder *from, struct recorder *to, size_t cut)
{
    recorder_run(from);
    if (from->wire.size == 0)
        return false;
    struct buffer wire = from->wire;
    from->wire = (struct buffer){0};
    recorder_feed(to, buffer_slice(&wire), cut);
    http_codec_sent(from->codec, wire.size, 0);
    buffer_fini(&wire);
    return true;
}

/* Until neither has anything to say. */
static void talk(struct bench *bench, size_t cut)
{
    for (bool goes_on = true; goes_on;) {
        goes_on = move_wire(&bench->client, &bench->server, cut);
        goes_on |= move_wire(&bench->server, &bench->client, cut);
    }
}

static const char *said(const struct recorder *recorder)
{
    return recorder->log.data ? recorder->log.data : "";
}

static struct http_stream *open_stream(struct bench *bench)
{
    struct http_stream *stream = http_codec_open(bench->client.codec, &bench->arena);
    CHECK(stream);
    stream->events = &recorder_events;
    stream->owner = &bench->client;
    bench->client.stream = stream;
    return stream;
}

static void head_of(struct http_request *head, enum http_method method)
{
    http_request_init(head);
    http_request_set_method(head, method);
    head->scheme = SLICE("http");
    head->authority = SLICE("a");
    head->path = SLICE("/x?y");
}

static struct http_stream *ask(struct bench *bench, enum http_method method, bool is_end)
{
    struct http_request head;
    struct http_stream *stream = open_stream(bench);
    head_of(&head, method);
    http_stream_send_request(stream, &head, is_end);
    return stream;
}

static void send_text(struct http_stream *stream, const char *text, bool is_end)
{
    struct chain data = {0};
    chain_append_static(&data, slice_str(text));
    http_stream_send_data(stream, &data, is_end);
    CHECK(chain_is_empty(&data));
}

static void respond(struct bench *bench, unsigned status, bool is_end)
{
    struct http_response head;
    http_response_init(&head, status);
    http_stream_send_response(bench->server.stream, &head, is_end);
}

TEST(an_exchange_reads_the_same_however_it_is_cut)
{
    static const size_t cuts[] = {1, 2, 3, 9, 100, 16384};
    EACH (cut, cuts) {
        struct bench bench;
        begin_usual(&bench);
        bench.client.log = bench.server.log = (struct buffer){0};
        struct http_stream *stream = open_stream(&bench);
        struct http_request head;
        head_of(&head, HTTP_POST);
        CHECK(headers_add(&head.headers, &bench.arena, SLICE("X-Upper"), SLICE("v")));
        CHECK(headers_add(&head.headers, &bench.arena, SLICE("te"), SLICE("trailers")));
        http_stream_send_request(stream, &head, false);
        send_text(stream, "hello ", false);
        talk(&bench, *cut);
        send_text(stream, "world", true);
        talk(&bench, *cut);
        CHECK(strcmp(said(&bench.server),
                     "request POST /x?y host a length -1\n  x-upper: v\n  te: trailers\n"
                     "data hello world\nend\n") == 0,
              "by %zu: %s", *cut, said(&bench.server));
        struct http_response answer;
        http_response_init(&answer, 103);
        CHECK(headers_add(&answer.headers, &bench.arena, SLICE("Link"), SLICE("x")));
        http_stream_send_response(bench.server.stream, &answer, false);
        respond(&bench, 200, false);
        send_text(bench.server.stream, "body", false);
        talk(&bench, *cut);
        struct headers trailers = {0};
        CHECK(headers_add(&trailers, &bench.arena, SLICE("Grpc-Status"), SLICE("0")));
        http_stream_send_trailers(bench.server.stream, &trailers);
        recorder_release(&bench.server, bench.server.stream);
        talk(&bench, *cut);
        CHECK(strcmp(said(&bench.client),
                     "sent 6\nsent 5\nresponse 103 length -1\n  link: x\nresponse 200 length -1\n"
                     "data body\ntrailers\n  grpc-status: 0\nend\n") == 0,
              "by %zu: %s", *cut, said(&bench.client));
        CHECK(http_codec_is_idle(bench.client.codec) && http_codec_is_idle(bench.server.codec));
        end(&bench);
    }
}

static const struct header *field_of(const struct bench *bench, const char *name)
{
    const struct http_request *request = bench->server.stream->request;
    const struct header *header = headers_find_name(&request->headers, slice_str(name));
    CHECK(header != NULL, "%s", name);
    return header;
}

TEST(fields_that_are_in_no_table_come_as_such)
{
    static const struct {
        const char *name, *value;
        bool is_sensitive, is_kept_out;
    } rows[] = {
        {"X-Secret", "s", true, true},          {"cookie", "a=b; c=d, a long one", true, true},
        {"X-Request-Id", "1-2-3", false, true}, {"traceparent", "00-1-2-01", false, true},
        {"x-plain", "v", false, false},         {"User-Agent", "u", false, false},
    };
    struct bench bench;
    begin_usual(&bench);
    for (int round = 0; round < 2; round++) {
        struct http_request head;
        struct http_stream *stream = open_stream(&bench);
        head_of(&head, HTTP_GET);
        EACH (row, rows) {
            CHECK(headers_add(&head.headers, &bench.arena, slice_str(row->name),
                              slice_str(row->value)));
            if (row->is_sensitive)
                head.headers.items[head.headers.count - 1].flags |= HEADER_SENSITIVE;
        }
        http_stream_send_request(stream, &head, true);
        talk(&bench, 16384);
        EACH (row, rows) {
            const struct header *header = field_of(&bench, row->name);
            CHECK(slice_equals(header_value(header), slice_str(row->value)), "%s", row->name);
            CHECK(!(header->flags & HEADER_SENSITIVE) == !row->is_kept_out, "%s", row->name);
            CHECK(header->name[0] != 'X' && header->name[0] != 'U', "%s in lower case", row->name);
        }
        respond(&bench, 200, true);
        talk(&bench, 16384);
        recorder_release(&bench.server, bench.server.stream);
    }
    end(&bench);
}

TEST(many_streams_share_a_connection)
{
    struct bench bench;
    begin_usual(&bench);
    bench.server.answers = true;
    bench.server.answer_body = "0123456789";
    for (int round = 0; round < 20; round++) {
        unsigned asked = 0;
        while (http_codec_room(bench.client.codec) > 0) {
            ask(&bench, HTTP_GET, true);
            asked++;
        }
        CHECK(asked == 100, "%u", asked);
        talk(&bench, 1000);
    }
    size_t ends = 0;
    for (const char *at = said(&bench.client); (at = strstr(at, "data 0123456789\nend\n")); at++)
        ends++;
    CHECK(ends == 2000, "%zu", ends);
    CHECK(!bench.client.codec->closing && !bench.server.codec->closing);
    end(&bench);
}

static struct chain bytes_of(struct bench *bench, size_t size)
{
    struct chain data = {0};
    while (size > 0) {
        size_t piece = MIN(size, (size_t)BLOCK_LARGE_CAPACITY);
        char *at = chain_reserve(&data, bench->pool, piece);
        memset(at, 'x', piece);
        chain_commit(&data, piece);
        size -= piece;
    }
    return data;
}

TEST(a_stalled_stream_holds_its_own_window_and_no_siblings)
{
    struct bench bench;
    begin_usual(&bench);
    bench.server.holds_credit = true;
    struct http_stream *stalled = ask(&bench, HTTP_POST, false);
    struct chain data = bytes_of(&bench, 300000);
    http_stream_send_data(stalled, &data, true);
    talk(&bench, 16384);
    struct http_stream *stream = bench.server.stream;
    CHECK(stream->unconsumed == bench.limits.stream_window, "%zu", stream->unconsumed);
    CHECK(stalled->unsent == 300000 - bench.limits.stream_window);
    bench.server.holds_credit = false;
    for (int i = 0; i < 30; i++) {
        struct http_stream *sibling = ask(&bench, HTTP_POST, false);
        data = bytes_of(&bench, 60000);
        http_stream_send_data(sibling, &data, true);
        talk(&bench, 16384);
        CHECK(sibling->unsent == 0, "sibling %d", i);
        recorder_release(&bench.server, bench.server.stream);
        talk(&bench, 16384);
    }
    for (int i = 0; i < 100 && stalled->unsent > 0; i++) {
        http_stream_consumed(stream, stream->unconsumed);
        talk(&bench, 16384);
    }
    CHECK(stalled->unsent == 0 && stream->in == HTTP_ENDED);
    http_stream_release(stream);
    talk(&bench, 16384);
    http_stream_release(stalled);
    end(&bench);
}

TEST(frames_are_packed_only_ahead_of_a_short_backlog)
{
    struct bench bench;
    begin_usual(&bench);
    bench.limits.stream_window = 1 << 20;
    end(&bench);
    begin(&bench);
    struct http_stream *stream = ask(&bench, HTTP_POST, false);
    talk(&bench, 16384);
    struct chain data = bytes_of(&bench, 1000000);
    http_stream_send_data(stream, &data, true);
    recorder_run(&bench.client);
    CHECK(bench.client.wire.size <= 64 * 1024 + 16384 + 9, "%zu", bench.client.wire.size);
    talk(&bench, 16384);
    CHECK(stream->unsent == 0);
    end(&bench);
}

/* A piece is an entry of a vectored write, and often a block of its own. */
TEST(small_frames_of_a_turn_lie_together)
{
    static const struct {
        size_t body, pieces;
    } cases[] = {{7, 2}, {1024, 6}, {BLOCK_SMALL_CAPACITY - 9, 6}};
    EACH (c, cases) {
        struct bench bench;
        begin_usual(&bench);
        bench.server.answers = true;
        talk(&bench, 16384);
        for (int i = 0; i < 100; i++) {
            struct http_stream *stream = ask(&bench, HTTP_POST, false);
            struct chain body = bytes_of(&bench, c->body);
            http_stream_send_data(stream, &body, true);
        }
        bench.client.pieces = 0;
        recorder_run(&bench.client);
        CHECK(bench.client.wire.size >= MIN(100 * c->body, (size_t)64 * 1024));
        CHECK(bench.client.pieces <= c->pieces, "%zu bytes: %zu pieces", c->body,
              bench.client.pieces);
        talk(&bench, 16384);
        CHECK(bench.server.codec->requests == 100);
        end(&bench);
    }
}

/* --- ends --------------------------------------------------------------------------------------------------- */

TEST(a_client_that_leaves_cancels)
{
    struct bench bench;
    begin_usual(&bench);
    struct http_stream *stream = ask(&bench, HTTP_GET, true);
    talk(&bench, 999);
    recorder_release(&bench.client, stream);
    talk(&bench, 999);
    CHECK(strstr(said(&bench.server), "reset cancel\n"), "%s", said(&bench.server));
    CHECK(http_codec_is_idle(bench.server.codec));
    end(&bench);
}

TEST(a_server_that_refuses_says_that_it_did_nothing)
{
    struct bench bench;
    begin_usual(&bench);
    ask(&bench, HTTP_POST, true);
    talk(&bench, 999);
    http_stream_reset(bench.server.stream, HTTP_RESET_REFUSED);
    recorder_release(&bench.server, bench.server.stream);
    talk(&bench, 999);
    CHECK(strcmp(said(&bench.client), "reset refused unseen\n") == 0, "%s", said(&bench.client));
    end(&bench);
}

TEST(a_response_before_the_requests_end_is_whole_and_the_rest_is_not_wanted)
{
    struct bench bench;
    begin_usual(&bench);
    struct http_stream *stream = ask(&bench, HTTP_POST, false);
    send_text(stream, "half", false);
    talk(&bench, 999);
    respond(&bench, 413, false);
    send_text(bench.server.stream, "too large", true);
    recorder_release(&bench.server, bench.server.stream);
    talk(&bench, 999);
    CHECK(strstr(said(&bench.client), "response 413 length -1\ndata too large\nend\n"), "%s",
          said(&bench.client));
    CHECK(strstr(said(&bench.client), "reset no_error\n"), "%s", said(&bench.client));
    CHECK(http_codec_is_idle(bench.server.codec) && !bench.server.codec->closing);
    end(&bench);
}

TEST(a_server_that_gives_up_resets)
{
    struct bench bench;
    begin_usual(&bench);
    ask(&bench, HTTP_GET, true);
    talk(&bench, 999);
    respond(&bench, 200, false);
    send_text(bench.server.stream, "half", false);
    talk(&bench, 999);
    recorder_release(&bench.server, bench.server.stream);
    talk(&bench, 999);
    CHECK(strstr(said(&bench.client), "data half\nreset internal\n"), "%s", said(&bench.client));
    end(&bench);
}

TEST(what_was_ended_still_leaves_after_release)
{
    struct bench bench;
    begin_usual(&bench);
    ask(&bench, HTTP_GET, true);
    talk(&bench, 999);
    respond(&bench, 200, false);
    struct chain data = bytes_of(&bench, 500000);
    http_stream_send_data(bench.server.stream, &data, true);
    recorder_release(&bench.server, bench.server.stream);
    buffer_reset(&bench.client.log);
    talk(&bench, 16384);
    CHECK(bench.client.log.size == sizeof("response 200 length -1\ndata \nend\n") - 1 + 500000,
          "%zu", bench.client.log.size);
    end(&bench);
}

TEST(a_lost_connection_tells_which_requests_were_not_seen)
{
    struct bench bench;
    begin_usual(&bench);
    talk(&bench, 999);
    struct http_stream *first = ask(&bench, HTTP_GET, true);
    talk(&bench, 999);
    ask(&bench, HTTP_GET, true);
    bench.client.stream = NULL;
    bench.client.codec->turn += 2;
    recorder_run(&bench.client);
    buffer_reset(&bench.client.log);
    http_codec_fail(bench.client.codec, HTTP_RESET_DISCONNECTED, NULL);
    CHECK(strcmp(said(&bench.client), "reset disconnected\nreset disconnected unseen\n") == 0, "%s",
          said(&bench.client));
    (void)first;
    end(&bench);
}

TEST(a_server_drains_in_two_steps_and_loses_nothing)
{
    struct bench bench;
    begin_usual(&bench);
    bench.server.answers = false;
    ask(&bench, HTTP_GET, true);
    talk(&bench, 999);
    struct http_stream *first = bench.server.stream;
    http_codec_drain(bench.server.codec);
    recorder_run(&bench.server);
    /* Sent before the client could know. */
    ask(&bench, HTTP_GET, true);
    bench.client.stream = NULL;
    talk(&bench, 999);
    CHECK(http_codec_room(bench.client.codec) == 0 && bench.client.codec->draining);
    struct http_stream *second = bench.server.stream;
    CHECK(second && second != first);
    bench.server.stream = first;
    respond(&bench, 200, true);
    recorder_release(&bench.server, first);
    bench.server.stream = second;
    respond(&bench, 200, true);
    recorder_release(&bench.server, second);
    talk(&bench, 999);
    CHECK(strcmp(said(&bench.client), "response 200 length 0\n  content-length: 0\nend\n"
                                      "response 200 length 0\n  content-length: 0\nend\n") == 0,
          "%s", said(&bench.client));
    CHECK(bench.server.codec->closing && bench.client.codec->closing);
    end(&bench);
}

TEST(a_ping_is_answered)
{
    struct bench bench;
    begin_usual(&bench);
    talk(&bench, 999);
    h2_ping(bench.client.codec);
    CHECK(h2_ping_is_open(bench.client.codec));
    talk(&bench, 999);
    CHECK(!h2_ping_is_open(bench.client.codec));
    end(&bench);
}

TEST(a_silent_stream_expires_with_408)
{
    struct bench bench;
    begin_usual(&bench);
    ask(&bench, HTTP_POST, false);
    talk(&bench, 999);
    http_codec_expire(bench.server.codec, bench.server.stream);
    CHECK(strstr(said(&bench.server), "reset idle_timeout\n"), "%s", said(&bench.server));
    talk(&bench, 999);
    CHECK(strstr(said(&bench.client), "response 408"), "%s", said(&bench.client));
    CHECK(http_codec_is_idle(bench.server.codec));
    end(&bench);
}

/* --- tunnels ------------------------------------------------------------------------------------------------ */

TEST(an_extended_connect_reads_as_an_upgrade)
{
    for (int accepts = 0; accepts < 2; accepts++) {
        struct bench bench;
        bench.limits = http_limits_default;
        bench.limits.offer_extended_connect = true;
        begin(&bench);
        talk(&bench, 999);
        struct http_stream *stream = open_stream(&bench);
        struct http_request head;
        head_of(&head, HTTP_GET);
        head.upgrade = SLICE("websocket");
        http_stream_send_request(stream, &head, false);
        send_text(stream, "early", false);
        talk(&bench, 999);
        CHECK(strcmp(said(&bench.server),
                     "request GET /x?y host a length -1 upgrade websocket\n") == 0,
              "%s", said(&bench.server));
        respond(&bench, accepts ? 101 : 404, !accepts);
        if (accepts)
            send_text(bench.server.stream, "down", true);
        talk(&bench, 999);
        if (accepts) {
            CHECK(strstr(said(&bench.server), "data early"), "%s", said(&bench.server));
            CHECK(strstr(said(&bench.client), "response 101 length -1 upgrade websocket\n"
                                              "data down\nend\n"),
                  "%s", said(&bench.client));
            send_text(stream, "late", true);
            talk(&bench, 999);
            CHECK(strstr(said(&bench.server), "data late\nend\n"), "%s", said(&bench.server));
        } else {
            CHECK(!strstr(said(&bench.server), "early"));
            CHECK(strstr(said(&bench.client), "response 404"), "%s", said(&bench.client));
        }
        end(&bench);
    }
}

TEST(an_extended_connect_that_is_not_offered_is_not_sent)
{
    struct bench bench;
    begin_usual(&bench);
    talk(&bench, 999);
    struct http_stream *stream = open_stream(&bench);
    struct http_request head;
    head_of(&head, HTTP_GET);
    head.upgrade = SLICE("websocket");
    http_stream_send_request(stream, &head, false);
    talk(&bench, 999);
    CHECK(strcmp(said(&bench.client), "reset internal unseen\n") == 0, "%s", said(&bench.client));
    end(&bench);
}

/* --- a peer that is not ours: raw frames ---------------------------------------------------------------------- */

struct raw {
    struct bench bench;
    nghttp2_hd_deflater *deflater;
    struct buffer out;
    uint32_t next_id;
};

static void frame(struct raw *raw, uint8_t type, uint8_t flags, uint32_t id, struct slice payload)
{
    char head[9] = {(char)(payload.size >> 16),
                    (char)(payload.size >> 8),
                    (char)payload.size,
                    (char)type,
                    (char)flags,
                    (char)(id >> 24),
                    (char)(id >> 16),
                    (char)(id >> 8),
                    (char)id};
    buffer_append(&raw->out, head, sizeof(head));
    buffer_append_slice(&raw->out, payload);
}

static void begin_raw(struct raw *raw, const struct http_limits *limits)
{
    *raw = (struct raw){.next_id = 1};
    raw->bench.limits = *limits;
    begin(&raw->bench);
    CHECK(nghttp2_hd_deflate_new(&raw->deflater, 4096) == 0);
    buffer_append_slice(&raw->out, h2_preface());
    frame(raw, NGHTTP2_SETTINGS, 0, 0, SLICE_NONE);
}

static void send_raw(struct raw *raw)
{
    recorder_run(&raw->bench.server);
    recorder_feed(&raw->bench.server, buffer_slice(&raw->out), 16000);
    buffer_reset(&raw->out);
    recorder_run(&raw->bench.server);
    http_codec_sent(raw->bench.server.codec, raw->bench.server.wire.size, 0);
}

static void end_raw(struct raw *raw)
{
    nghttp2_hd_deflate_del(raw->deflater);
    buffer_fini(&raw->out);
    end(&raw->bench);
}

/* name, value, name, value... as a header block. */
static void headers(struct raw *raw, uint8_t flags, uint32_t id, const char *const *fields)
{
    nghttp2_nv nv[140];
    size_t count = 0;
    for (; fields[count * 2]; count++)
        nv[count] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)fields[count * 2],
                                 .value = (uint8_t *)(uintptr_t)fields[count * 2 + 1],
                                 .namelen = strlen(fields[count * 2]),
                                 .valuelen = strlen(fields[count * 2 + 1])};
    static uint8_t block[100000];
    ssize_t size = nghttp2_hd_deflate_hd(raw->deflater, block, sizeof(block), nv, count);
    CHECK(size > 0);
    frame(raw, NGHTTP2_HEADERS, flags, id, slice_of(block, (size_t)size));
}

enum { WHOLE = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM };
#define GET_FIELDS ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"
#define POST_FIELDS ":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"

/* What the server sent, frame by frame, in a line each: "RST 1 1". */
static struct buffer frames_of(const struct recorder *server)
{
    struct buffer text = {0};
    struct slice wire = buffer_slice(&server->wire);
    nghttp2_hd_inflater *inflater;
    CHECK(nghttp2_hd_inflate_new(&inflater) == 0);
    while (wire.size >= 9) {
        const uint8_t *head = (const uint8_t *)wire.data;
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        uint32_t id =
            (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
        CHECK(wire.size >= 9 + size);
        const uint8_t *payload = head + 9;
        if (head[3] == NGHTTP2_RST_STREAM)
            buffer_format(&text, "RST %u %u\n", id, payload[3]);
        if (head[3] == NGHTTP2_GOAWAY)
            buffer_format(&text, "GOAWAY %u\n", payload[7]);
        if (head[3] == NGHTTP2_HEADERS) {
            nghttp2_nv nv;
            int flags = 0;
            ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, payload, size, 1);
            CHECK(used > 0);
            buffer_format(&text, "HEADERS %u %.*s\n", id, (int)nv.valuelen, nv.value);
            while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
                payload += used;
                size -= (size_t)used;
                used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, payload, size, 1);
            }
            nghttp2_hd_inflate_end_headers(inflater);
        }
        slice_take(&wire, 9 + (((size_t)(uint8_t)wire.data[0] << 16) |
                               ((size_t)(uint8_t)wire.data[1] << 8) | (uint8_t)wire.data[2]));
    }
    nghttp2_hd_inflate_del(inflater);
    buffer_append_str(&text, "");
    return text;
}

/* For which streams the last GOAWAY speaks; -1: there is none. */
static int64_t last_of_goaway(const struct recorder *server)
{
    int64_t last = -1;
    struct slice wire = buffer_slice(&server->wire);
    while (wire.size >= 9) {
        const uint8_t *head = (const uint8_t *)wire.data;
        if (head[3] == NGHTTP2_GOAWAY)
            last = (int64_t)head[9] << 24 | head[10] << 16 | head[11] << 8 | head[12];
        slice_take(&wire, 9 + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]));
    }
    return last;
}

static unsigned requests_of(const struct recorder *server)
{
    unsigned count = 0;
    for (const char *at = said(server); (at = strstr(at, "request ")); at++)
        count++;
    return count;
}

/* The PING's answer may come before requests that were asked for before the client knew: it is sent first. */
TEST(a_goaway_speaks_for_every_request_that_was_begun)
{
    static const char *const get[] = {GET_FIELDS, NULL};
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    struct recorder *server = &raw.bench.server;
    server->answers = true;
    headers(&raw, WHOLE, 1, get);
    send_raw(&raw);
    http_codec_drain(server->codec);
    send_raw(&raw);
    CHECK(last_of_goaway(server) == INT32_MAX);
    frame(&raw, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, SLICE("\0\0\0\0\0\0\0\0"));
    headers(&raw, WHOLE, 3, get);
    send_raw(&raw);
    CHECK(requests_of(server) == 2 && last_of_goaway(server) == 3, "%lld",
          (long long)last_of_goaway(server));
    end_raw(&raw);
}

/* It waits behind what a slow peer has not taken. */
TEST(a_request_behind_a_goaway_that_waits_is_not_begun)
{
    static const char *const get[] = {GET_FIELDS, NULL};
    static const char large[100000];
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    struct recorder *server = &raw.bench.server;
    headers(&raw, WHOLE, 1, get);
    recorder_feed(server, buffer_slice(&raw.out), 16000);
    buffer_reset(&raw.out);
    struct chain body = {0};
    chain_append_static(&body, slice_of(large, sizeof(large)));
    respond(&raw.bench, 200, false);
    http_stream_send_data(server->stream, &body, true);
    recorder_run(server);
    http_codec_drain(server->codec);
    recorder_run(server);
    frame(&raw, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, SLICE("\0\0\0\0\0\0\0\0"));
    recorder_feed(server, buffer_slice(&raw.out), 16000);
    buffer_reset(&raw.out);
    headers(&raw, WHOLE, 3, get);
    recorder_feed(server, buffer_slice(&raw.out), 16000);
    buffer_reset(&raw.out);
    CHECK(last_of_goaway(server) == -1, "it waits");
    CHECK(requests_of(server) == 1);
    http_codec_sent(server->codec, server->wire.size, 0);
    recorder_run(server);
    CHECK(last_of_goaway(server) == 1, "%lld", (long long)last_of_goaway(server));
    end_raw(&raw);
}

static const struct {
    const char *name;
    const char *fields[24];
    const char *answer; /* first line of what the server sends for stream 1; NULL: accepted */
} heads[] = {
    {"a plain GET", {GET_FIELDS}, NULL},
    {"H2-34 no path", {":method", "GET", ":scheme", "http", ":authority", "a"}, "RST 1 1"},
    {"H2-34 twice", {GET_FIELDS, ":path", "/b"}, "RST 1 1"},
    {"H2-34 unknown", {GET_FIELDS, ":foo", "b"}, "RST 1 1"},
    {"H2-34 after", {":method", "GET", ":scheme", "http", "x", "y", ":path", "/"}, "RST 1 1"},
    {"H2-34 status", {GET_FIELDS, ":status", "200"}, "RST 1 1"},
    {"H2-35 CR", {GET_FIELDS, "x", "a\rb"}, "RST 1 1"},
    {"H2-35 LF", {GET_FIELDS, "x", "a\nb"}, "RST 1 1"},
    {"H2-35 control", {GET_FIELDS, "x", "a\x01"}, "RST 1 1"},
    {"H2-35 DEL", {GET_FIELDS, "x", "a\x7f"}, "RST 1 1"},
    {"H2-35 colon in name", {GET_FIELDS, "x:y", "a"}, "RST 1 1"},
    {"H2-35 blank in name", {GET_FIELDS, "x y", "a"}, "RST 1 1"},
    {"H2-35 blank before value", {GET_FIELDS, "x", " a"}, "RST 1 1"},
    {"H2-35 method",
     {":method", "GET / HTTP/1.1", ":scheme", "http", ":path", "/", ":authority", "a"},
     "RST 1 1"},
    {"H2-35 path",
     {":method", "GET", ":scheme", "http", ":path", "/a b", ":authority", "a"},
     "RST 1 1"},
    {"PTH-14",
     {":method", "GET", ":scheme", "http", ":path", "/a#b", ":authority", "a"},
     "RST 1 1"},
    {"PTH-17",
     {":method", "GET", ":scheme", "http", ":path", "http://x/a", ":authority", "a"},
     "RST 1 1"},
    {"*", {":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "a"}, NULL},
    {"* for GET",
     {":method", "GET", ":scheme", "http", ":path", "*", ":authority", "a"},
     "RST 1 1"},
    {"H2-37 differ", {GET_FIELDS, "host", "b"}, "RST 1 1"},
    {"H2-37 agree", {GET_FIELDS, "host", "A"}, NULL},
    {"H2-37 host only", {":method", "GET", ":scheme", "http", ":path", "/", "host", "a"}, NULL},
    {"H2-37 two hosts",
     {":method", "GET", ":scheme", "http", ":path", "/", "host", "a", "host", "a"},
     "RST 1 1"},
    {"H2-37 neither", {":method", "GET", ":scheme", "http", ":path", "/"}, "RST 1 1"},
    {"H2-37 userinfo",
     {":method", "GET", ":scheme", "http", ":path", "/", ":authority", "u@a"},
     "RST 1 1"},
    {"H2-37 blank",
     {":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a b"},
     "RST 1 1"},
    {"H2-38 scheme",
     {":method", "GET", ":scheme", "http://x/?", ":path", "/", ":authority", "a"},
     "RST 1 1"},
    {"H2-38 empty", {":method", "GET", ":scheme", "", ":path", "/", ":authority", "a"}, "RST 1 1"},
    {"H2-39 connection", {GET_FIELDS, "connection", "close"}, "RST 1 1"},
    {"H2-39 upgrade", {GET_FIELDS, "upgrade", "x"}, "RST 1 1"},
    {"H2-39 keep-alive", {GET_FIELDS, "keep-alive", "1"}, "RST 1 1"},
    {"H2-39 te", {GET_FIELDS, "te", "gzip"}, "RST 1 1"},
    {"H2-39 coding", {GET_FIELDS, "transfer-encoding", "chunked"}, "RST 1 1"},
    {"H2-40 not offered",
     {":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/", ":authority",
      "a"},
     "RST 1 1"},
    {"CONNECT", {":method", "CONNECT", ":authority", "a:443"}, "HEADERS 1 405"},
    {"CONNECT without port", {":method", "CONNECT", ":authority", "a"}, "RST 1 1"},
    {"length differs", {GET_FIELDS, "content-length", "5"}, "RST 1 1"},
    {"two lengths", {GET_FIELDS, "content-length", "0", "content-length", "0"}, "RST 1 1"},
    {"expectation", {GET_FIELDS, "expect", "x"}, "HEADERS 1 417"},
    {"SMG-17 twin", {GET_FIELDS, "content_length", "5"}, NULL},
};

TEST(a_server_refuses_malformed_requests_and_lives_on)
{
    EACH (row, heads) {
        struct raw raw;
        begin_raw(&raw, &http_limits_default);
        raw.bench.server.answers = true;
        headers(&raw, WHOLE, 1, row->fields);
        static const char *const good[] = {GET_FIELDS, NULL};
        headers(&raw, WHOLE, 3, good);
        send_raw(&raw);
        struct buffer frames = frames_of(&raw.bench.server);
        char expected[64];
        snprintf(expected, sizeof(expected), "%s\n", row->answer ? row->answer : "HEADERS 1 200");
        CHECK(strstr(frames.data, expected), "%s: got %s", row->name, frames.data);
        CHECK(strstr(frames.data, "HEADERS 3 200\n"), "%s: got %s", row->name, frames.data);
        const char *log = said(&raw.bench.server);
        size_t requests = 0;
        for (const char *at = log; (at = strstr(at, "request ")); at++)
            requests++;
        CHECK(requests == (row->answer ? 1 : 2), "%s: %s", row->name, log);
        CHECK((strstr(log, "refused ") != NULL) == (row->answer != NULL), "%s: %s", row->name, log);
        buffer_fini(&frames);
        end_raw(&raw);
    }
}

/* Behind an HTTP/1 hop it becomes the value of Upgrade, which is a list with blanks and parameters. */
TEST(a_protocol_that_is_no_token_is_refused)
{
    struct http_limits limits = http_limits_default;
    limits.offer_extended_connect = true;
    static const char *const protocols[] = {"web socket", "[", "a, b", "a;b"};
    EACH (protocol, protocols) {
        const char *fields[] = {":method", "CONNECT", ":protocol",  *protocol, ":scheme", "http",
                                ":path",   "/",       ":authority", "a",       NULL};
        struct raw raw;
        begin_raw(&raw, &limits);
        headers(&raw, NGHTTP2_FLAG_END_HEADERS, 1, fields);
        send_raw(&raw);
        struct buffer frames = frames_of(&raw.bench.server);
        CHECK(strstr(frames.data, "RST 1 1\n"), "%s: %s", *protocol, frames.data);
        buffer_fini(&frames);
        end_raw(&raw);
    }
}

TEST(cookie_crumbs_become_one_field)
{
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    static const char *const fields[] = {GET_FIELDS, "cookie", "a=1", "x",
                                         "y",        "cookie", "b=2", NULL};
    headers(&raw, WHOLE, 1, fields);
    send_raw(&raw);
    CHECK(strcmp(said(&raw.bench.server), "request GET / host a length -1\n  cookie: a=1; b=2\n"
                                          "  x: y\nend\n") == 0,
          "%s", said(&raw.bench.server));
    end_raw(&raw);
}

/* At the end one would leave a blank, with which a next hop refuses the whole request. */
TEST(cookie_crumbs_that_are_empty_say_nothing)
{
    static const struct {
        const char *first, *second, *third, *joined;
    } cases[] = {{"", "a=1", "", "  cookie: a=1\n"},
                 {"a=1", "", "b=2", "  cookie: a=1; b=2\n"},
                 {"", "", "", "  cookie: \n"}};
    EACH (c, cases) {
        struct raw raw;
        begin_raw(&raw, &http_limits_default);
        const char *const fields[] = {GET_FIELDS, "cookie", c->first, "cookie",
                                      c->second,  "cookie", c->third, NULL};
        headers(&raw, WHOLE, 1, fields);
        send_raw(&raw);
        CHECK(strstr(said(&raw.bench.server), c->joined), "%s", said(&raw.bench.server));
        end_raw(&raw);
    }
}

/* H2-05, H2-06: what counts is what the fields are when unpacked, checked for each. */
TEST(a_head_may_have_so_many_fields_and_bytes_and_not_one_more)
{
    static char value[61440];
    memset(value, 'x', sizeof(value));
    for (int more = 0; more < 2; more++) {
        struct raw raw;
        begin_raw(&raw, &http_limits_default);
        raw.bench.server.answers = true;
        const char *many[300] = {GET_FIELDS};
        for (int i = 0; i < 100 + more; i++) {
            many[8 + i * 2] = i % 2 ? "cookie" : "x";
            many[9 + i * 2] = "";
        }
        headers(&raw, WHOLE, 1, many);
        size_t pseudo = sizeof(":methodGET:schemehttp:path/:authoritya") - 1 + 4 * 4;
        char *exact = str_copy_n(value, 61440 - pseudo - 5 + (size_t)more);
        const char *large[] = {GET_FIELDS, "x", exact, NULL};
        nghttp2_nv none;
        (void)none;
        headers(&raw, WHOLE & ~NGHTTP2_FLAG_END_HEADERS, 3, large);
        mem_free(exact);
        /* One frame of 60 KB is too large: cut it into CONTINUATIONs. */
        char *bytes = raw.out.data;
        size_t at = raw.out.size;
        while (at > 0 && memcmp(bytes + at - 9 + 3, "\x01\x01\0\0\0\x03", 6) != 0)
            at--;
        at -= 9;
        struct slice block = slice_of(bytes + at + 9, raw.out.size - at - 9);
        struct buffer copy = {0};
        buffer_append_slice(&copy, block);
        raw.out.size = at;
        struct slice rest = buffer_slice(&copy);
        bool is_first = true;
        while (rest.size > 0) {
            struct slice piece = slice_take(&rest, MIN(rest.size, (size_t)16384));
            uint8_t flags = rest.size == 0 ? NGHTTP2_FLAG_END_HEADERS : 0;
            frame(&raw, is_first ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION,
                  is_first ? (uint8_t)(flags | NGHTTP2_FLAG_END_STREAM) : flags, 3, piece);
            is_first = false;
        }
        buffer_fini(&copy);
        send_raw(&raw);
        struct buffer frames = frames_of(&raw.bench.server);
        CHECK(strstr(frames.data, more ? "HEADERS 1 431\n" : "HEADERS 1 200\n"), "%s", frames.data);
        CHECK(strstr(frames.data, more ? "HEADERS 3 431\n" : "HEADERS 3 200\n"), "%s", frames.data);
        buffer_fini(&frames);
        end_raw(&raw);
    }
}

static void check_calm(struct raw *raw, const char *name)
{
    struct buffer frames = frames_of(&raw->bench.server);
    CHECK(strstr(frames.data, "GOAWAY 11\n"), "%s: %.300s", name, frames.data);
    CHECK(raw->bench.server.codec->closing, "%s", name);
    buffer_fini(&frames);
}

TEST(floods_end_the_connection)
{
    static const char *const good[] = {GET_FIELDS, NULL};
    static const char *const bad[] = {GET_FIELDS, "te", "x", NULL};
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    for (uint32_t i = 0; i < 2000; i++) {
        headers(&raw, WHOLE, i * 2 + 1, good);
        frame(&raw, NGHTTP2_RST_STREAM, 0, i * 2 + 1, SLICE("\0\0\0\x08"));
    }
    send_raw(&raw);
    check_calm(&raw, "H2-01 rapid reset");
    end_raw(&raw);

    begin_raw(&raw, &http_limits_default);
    for (uint32_t i = 0; i < 2000; i++)
        headers(&raw, WHOLE, i * 2 + 1, bad);
    send_raw(&raw);
    check_calm(&raw, "H2-02 malformed requests");
    end_raw(&raw);

    static const struct {
        const char *name;
        uint8_t type;
        struct slice payload;
        uint32_t id;
    } frames[] = {
        {"H2-15 empty DATA", NGHTTP2_DATA, {"", 0}, 1},
        {"H2-16 PRIORITY", NGHTTP2_PRIORITY, {"\0\0\0\0\x10", 5}, 1},
        {"H2-17 WINDOW_UPDATE", NGHTTP2_WINDOW_UPDATE, {"\0\0\0\x01", 4}, 1},
        {"SETTINGS", NGHTTP2_SETTINGS, {"", 0}, 0},
        {"H2-14 PING", NGHTTP2_PING, {"12345678", 8}, 0},
    };
    EACH (row, frames) {
        begin_raw(&raw, &http_limits_default);
        headers(&raw, NGHTTP2_FLAG_END_HEADERS, 1, good);
        send_raw(&raw);
        for (int i = 0; i < 6000; i++)
            frame(&raw, row->type, 0, row->id, row->payload);
        if (row->type == NGHTTP2_PING || row->type == NGHTTP2_SETTINGS) {
            /* Nobody reads the answers. */
            recorder_feed(&raw.bench.server, buffer_slice(&raw.out), 16000);
            CHECK(raw.bench.server.codec->broken || raw.bench.server.codec->closing);
        } else {
            send_raw(&raw);
            check_calm(&raw, row->name);
        }
        end_raw(&raw);
    }
}

/* Fewer resets than half of the requests are a client that changes its mind. */
TEST(a_client_that_cancels_now_and_then_is_left_alone)
{
    static const char *const good[] = {GET_FIELDS, NULL};
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    raw.bench.server.answers = true;
    for (uint32_t i = 0; i < 3000; i++) {
        headers(&raw, WHOLE, i * 2 + 1, good);
        if (i % 3 == 0)
            frame(&raw, NGHTTP2_RST_STREAM, 0, i * 2 + 1, SLICE("\0\0\0\x08"));
        if (i % 50 == 0)
            send_raw(&raw);
    }
    send_raw(&raw);
    CHECK(!raw.bench.server.codec->closing && !raw.bench.server.codec->broken);
    end_raw(&raw);
}

/* H2-46: a turn takes up so many requests, whatever lies there. */
TEST(one_turn_takes_up_so_many_requests)
{
    static const char *const good[] = {GET_FIELDS, NULL};
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    raw.bench.server.answers = true;
    recorder_run(&raw.bench.server);
    for (uint32_t i = 0; i < 90; i++)
        headers(&raw, WHOLE, i * 2 + 1, good);
    struct block *block = block_alloc(raw.bench.pool, BLOCK_LARGE);
    CHECK(raw.out.size < BLOCK_LARGE_CAPACITY);
    memcpy(block->bytes, raw.out.data, raw.out.size);
    raw.bench.server.codec->turn++;
    http_codec_read(raw.bench.server.codec, block, block->bytes, raw.out.size);
    for (int turn = 1; turn <= 3; turn++) {
        size_t requests = 0;
        for (const char *at = said(&raw.bench.server); (at = strstr(at, "request ")); at++)
            requests++;
        CHECK(requests == MIN(32u * (unsigned)turn, 90u), "turn %d: %zu", turn, requests);
        CHECK(raw.bench.server.codec->wants_read == (turn == 3));
        raw.bench.server.codec->turn++;
        http_codec_run(raw.bench.server.codec);
    }
    end_raw(&raw);
}

static const struct {
    const char *name;
    uint8_t type, flags;
    uint32_t id;
    struct slice payload;
    const char *answer;
} bad_frames[] = {
    {"H2-07 index 0", NGHTTP2_HEADERS, WHOLE, 1, {"\x80", 1}, "GOAWAY 9"},
    {"H2-07 large index", NGHTTP2_HEADERS, WHOLE, 1, {"\xff\xff\xff\xff\x7f", 5}, "GOAWAY 9"},
    {"H2-13 window", NGHTTP2_SETTINGS, 0, 0, {"\0\4\x80\0\0\0", 6}, "GOAWAY 3"},
    {"H2-13 frame size", NGHTTP2_SETTINGS, 0, 0, {"\0\5\0\0\0\0", 6}, "GOAWAY 1"},
    {"H2-13 push", NGHTTP2_SETTINGS, 0, 0, {"\0\2\0\0\0\2", 6}, "GOAWAY 1"},
    {"H2-13 length", NGHTTP2_SETTINGS, 0, 0, {"\0\2\0", 3}, "GOAWAY 6"},
    {"H2-13 ACK with body", NGHTTP2_SETTINGS, 1, 0, {"\0\2\0\0\0\0", 6}, "GOAWAY 6"},
    {"H2-14 length", NGHTTP2_PING, 0, 0, {"1234567", 7}, "GOAWAY 6"},
    {"H2-22 padding", NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, {"\5abc", 4}, "GOAWAY 1"},
    {"H2-24 DATA on 0", NGHTTP2_DATA, 0, 0, {"x", 1}, "GOAWAY 1"},
    {"H2-24 SETTINGS on 1", NGHTTP2_SETTINGS, 0, 1, {"", 0}, "GOAWAY 1"},
    {"H2-24 even id", NGHTTP2_HEADERS, WHOLE, 2, {"\x82", 1}, "GOAWAY 1"},
    {"H2-24 push", NGHTTP2_PUSH_PROMISE, 4, 1, {"\0\0\0\2\x82", 5}, "GOAWAY 1"},
    {"H2-25 idle", NGHTTP2_DATA, 0, 5, {"x", 1}, "GOAWAY"},
    {"H2-29 short", NGHTTP2_HEADERS, NGHTTP2_FLAG_PRIORITY | 4, 1, {"\0\0\0\0", 4}, "GOAWAY 6"},
    {"PRIORITY on 0", NGHTTP2_PRIORITY, 0, 0, {"\0\0\0\1\0", 5}, "GOAWAY 1"},
    {"PRIORITY on itself", NGHTTP2_PRIORITY, 0, 7, {"\0\0\0\7\0", 5}, "GOAWAY 1"},
    {"PRIORITY on another", NGHTTP2_PRIORITY, 0, 7, {"\0\0\0\5\0", 5}, NULL},
    {"H2-27 unknown", 0x0b, 0, 1, {"x", 1}, NULL},
    {"H2-27 altsvc", 0x0a, 0, 1, {"x", 1}, NULL},
};

TEST(frames_that_break_the_rules_end_the_connection)
{
    EACH (row, bad_frames) {
        struct raw raw;
        begin_raw(&raw, &http_limits_default);
        frame(&raw, row->type, row->flags, row->id, row->payload);
        send_raw(&raw);
        struct buffer frames = frames_of(&raw.bench.server);
        const char *log = frames.data ? frames.data : "";
        if (row->answer)
            CHECK(strstr(log, row->answer), "%s: %s", row->name, log);
        else
            CHECK(!strstr(log, "GOAWAY"), "%s: %s", row->name, log);
        bool is_over = raw.bench.server.codec->closing || raw.bench.server.codec->broken;
        CHECK(is_over == (row->answer != NULL), "%s", row->name);
        buffer_fini(&frames);
        end_raw(&raw);
    }
}

TEST(text_where_the_preface_should_be_ends_the_connection)
{
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    buffer_reset(&raw.out);
    buffer_append_str(&raw.out, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    send_raw(&raw);
    CHECK(raw.bench.server.codec->closing && raw.bench.server.codec->unread);
    CHECK(raw.bench.server.codec->refusal == HTTP_REFUSAL_PREFACE);
    end_raw(&raw);
}

/* Bytes of one request to the end, and its answer. */
static void exchange_raw(struct raw *raw, uint32_t id)
{
    headers(raw, WHOLE, id, (const char *const[]){GET_FIELDS, NULL});
    send_raw(raw);
    respond(&raw->bench, 200, true);
    recorder_release(&raw->bench.server, raw->bench.server.stream);
    send_raw(raw);
}

TEST(frames_on_streams_that_the_peer_has_ended_end_the_connection)
{
    static const struct {
        const char *name;
        uint8_t type;
        uint32_t id;
        bool resets;
    } rows[] = {
        {"DATA", NGHTTP2_DATA, 5, false},
        {"HEADERS", NGHTTP2_HEADERS, 5, false},
        {"DATA after its RST_STREAM", NGHTTP2_DATA, 7, true},
        {"HEADERS after its RST_STREAM", NGHTTP2_HEADERS, 7, true},
        {"HEADERS on a stream that was passed over", NGHTTP2_HEADERS, 3, false},
    };
    for (int together = 0; together < 2; together++) {
        EACH (row, rows) {
            struct raw raw;
            begin_raw(&raw, &http_limits_default);
            exchange_raw(&raw, 5);
            if (row->resets) {
                headers(&raw, NGHTTP2_FLAG_END_HEADERS, 7, (const char *const[]){GET_FIELDS, NULL});
                send_raw(&raw);
                frame(&raw, NGHTTP2_RST_STREAM, 0, 7, slice_of("\0\0\0\10", 4));
                if (!together)
                    send_raw(&raw);
            }
            if (row->type == NGHTTP2_HEADERS)
                headers(&raw, WHOLE, row->id, (const char *const[]){GET_FIELDS, NULL});
            else
                frame(&raw, NGHTTP2_DATA, 0, row->id, SLICE("x"));
            send_raw(&raw);
            struct buffer frames = frames_of(&raw.bench.server);
            CHECK(strstr(frames.data, "GOAWAY 5"), "%s: %s", row->name, frames.data);
            CHECK(raw.bench.server.codec->closing, "%s", row->name);
            buffer_fini(&frames);
            end_raw(&raw);
        }
    }
}

TEST(what_was_on_its_way_to_a_stream_that_we_ended_is_no_fault)
{
    struct raw raw;
    begin_raw(&raw, &http_limits_default);
    for (uint32_t id = 1; id < 80; id += 2) {
        headers(&raw, NGHTTP2_FLAG_END_HEADERS, id, (const char *const[]){GET_FIELDS, NULL});
        send_raw(&raw);
        http_stream_reset(raw.bench.server.stream, HTTP_RESET_REFUSED);
        recorder_release(&raw.bench.server, raw.bench.server.stream);
        send_raw(&raw);
    }
    for (uint32_t id = 1; id < 80; id += 2)
        frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, SLICE("late"));
    send_raw(&raw);
    struct buffer frames = frames_of(&raw.bench.server);
    CHECK(!strstr(frames.data, "GOAWAY"), "%s", frames.data);
    buffer_fini(&frames);
    end_raw(&raw);
}

/* nghttp2 says no end of a frame whose stream we have reset meanwhile; its bytes are nobody else's body. */
TEST(bytes_of_a_stream_that_was_reset_within_a_frame_reach_no_other)
{
    for (int gap = 0; gap < 2; gap++) { /* what comes behind: data, or an empty frame that ends */
        struct raw raw;
        begin_raw(&raw, &http_limits_default);
        headers(&raw, NGHTTP2_FLAG_END_HEADERS, 1, (const char *const[]){POST_FIELDS, NULL});
        send_raw(&raw);
        struct http_stream *first = raw.bench.server.stream;
        headers(&raw, NGHTTP2_FLAG_END_HEADERS, 3, (const char *const[]){POST_FIELDS, NULL});
        frame(&raw, NGHTTP2_DATA, 0, 1, SLICE("foreign bytes"));
        raw.out.size -= strlen("ign bytes");
        send_raw(&raw);
        http_stream_reset(first, HTTP_RESET_REFUSED);
        recorder_release(&raw.bench.server, first);
        buffer_reset(&raw.bench.server.log);
        buffer_append_str(&raw.out, "ign bytes");
        frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, gap ? SLICE_NONE : SLICE("own"));
        /* The reset has not left yet. */
        recorder_feed(&raw.bench.server, buffer_slice(&raw.out), 16000);
        buffer_reset(&raw.out);
        CHECK(!strstr(said(&raw.bench.server), "ign"), "%s", said(&raw.bench.server));
        CHECK(gap || strstr(said(&raw.bench.server), "own"), "%s", said(&raw.bench.server));
        end_raw(&raw);
    }
}
