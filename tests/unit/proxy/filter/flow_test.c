#include "proxy/filter/flow.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "base/random.h"

#include "test.h"

/* Filters that do as a script says, and a log of what everyone saw. */
enum { STAGES = 3 };

struct bench;
struct script {
    struct bench *bench;
    char name;
    enum filter_verdict head, data, data_at_end, trailers;
    size_t drops; /* bytes that it takes out of each body it sees */
};
struct bench {
    struct filter_stage stages[STAGES];
    struct script scripts[STAGES];
    struct flow flow;
    struct buffer log;
    size_t credited;
    bool overflowed;
};

static struct script *script_of(struct filter_call *call)
{
    return *(struct script **)call->state;
}

static enum filter_verdict told(struct filter_call *call, const char *what, size_t size, bool end,
                                enum filter_verdict verdict)
{
    struct script *script = script_of(call);
    buffer_format(&script->bench->log, "%c:%s%zu%s ", script->name, what, size, end ? "$" : "");
    return verdict;
}

static enum filter_verdict on_request(struct filter_call *call, struct http_request *head, bool end)
{
    (void)head;
    return told(call, "h", 0, end, script_of(call)->head);
}

static enum filter_verdict on_response(struct filter_call *call, struct http_response *head,
                                       bool end)
{
    (void)head;
    return told(call, "h", 0, end, script_of(call)->head);
}

static enum filter_verdict on_data(struct filter_call *call, struct chain *body, bool end)
{
    struct script *script = script_of(call);
    enum filter_verdict verdict =
        told(call, "d", body->size, end, end ? script->data_at_end : script->data);
    chain_consume(body, MIN(script->drops, body->size));
    return verdict;
}

static enum filter_verdict on_trailers(struct filter_call *call, struct headers *trailers)
{
    (void)trailers;
    return told(call, "t", 0, true, script_of(call)->trailers);
}

static void on_complete(struct filter_call *call)
{
    (void)told(call, "c", 0, true, FILTER_CONTINUE);
}

static const struct filter all = {.on_request = on_request,
                                  .on_response = on_response,
                                  .on_data = {on_data, on_data},
                                  .on_trailers = {on_trailers, on_trailers},
                                  .on_complete = {on_complete, on_complete}};
static const struct filter heads = {.on_request = on_request, .on_response = on_response};

static void on_pass(void *owner, const struct flow_passed *passed)
{
    struct bench *bench = owner;
    buffer_format(&bench->log, "out:%s%zu%s%s ", passed->head ? "h" : "", passed->data->size,
                  passed->trailers ? "t" : "", passed->end ? "$" : "");
    chain_fini(passed->data);
}

static void on_credit(void *owner, size_t bytes)
{
    ((struct bench *)owner)->credited += bytes;
}

static void on_overflow(void *owner)
{
    ((struct bench *)owner)->overflowed = true;
}

static const struct flow_sink sink = {on_pass, on_credit, on_overflow};

static void bench_init(struct bench *bench, enum filter_side side, const struct filter *filter)
{
    *bench = (struct bench){0};
    for (int i = 0; i < STAGES; i++) {
        struct script **state = mem_alloc(sizeof(struct script *));
        *state = &bench->scripts[i];
        bench->scripts[i] = (struct script){.bench = bench, .name = (char)('a' + i)};
        bench->stages[i].filter = filter;
        bench->stages[i].call.state = state;
    }
    flow_init(&bench->flow, side, bench->stages, STAGES, &sink, bench, 10);
}

static void bench_fini(struct bench *bench)
{
    flow_fini(&bench->flow);
    for (int i = 0; i < STAGES; i++)
        mem_free(bench->stages[i].call.state);
    buffer_fini(&bench->log);
}

static void send(struct bench *bench, size_t size, bool end)
{
    static const char bytes[] = "0123456789abcdefghij";
    struct chain data = {0};
    if (size > 0)
        chain_append_static(&data, slice_of(bytes, size));
    flow_data(&bench->flow, &data, end);
}

#define CHECK_LOG(bench, expected)                                                                 \
    do {                                                                                           \
        struct slice log_ = slice_trim(buffer_slice(&(bench)->log));                               \
        CHECK(slice_equals_str(log_, expected), "got '%.*s'", SLICE_ARG(log_));                    \
        buffer_reset(&(bench)->log);                                                               \
    } while (0)

TEST(a_head_passes_in_order_and_back_in_reverse)
{
    struct bench bench;
    int head;
    bench_init(&bench, FILTER_REQUEST, &heads);
    flow_head(&bench.flow, &head, NULL, true);
    CHECK_LOG(&bench, "a:h0$ b:h0$ c:h0$ out:h0$");
    CHECK(bench.flow.is_open, "nobody wants a body");
    bench_fini(&bench);
    bench_init(&bench, FILTER_RESPONSE, &heads);
    flow_head(&bench.flow, &head, NULL, false);
    CHECK_LOG(&bench, "c:h0 b:h0 a:h0 out:h0");
    CHECK(bench.flow.is_open);
    bench_fini(&bench);
}

TEST(bodies_trailers_and_the_end_pass_every_filter)
{
    struct bench bench;
    int head, trailers;
    bench_init(&bench, FILTER_REQUEST, &all);
    flow_head(&bench.flow, &head, NULL, false);
    CHECK(!bench.flow.is_open);
    CHECK_LOG(&bench, "a:h0 b:h0 c:h0 out:h0");
    send(&bench, 3, false);
    CHECK_LOG(&bench, "a:d3 b:d3 c:d3 out:3");
    flow_trailers(&bench.flow, (struct headers *)&trailers);
    CHECK_LOG(&bench, "a:t0$ a:c0$ b:t0$ b:c0$ c:t0$ c:c0$ out:0t$");
    CHECK(bench.credited == 0 && flow_credit(&bench.flow, 3) == 3, "credit goes when bytes leave");
    bench_fini(&bench);
    bench_init(&bench, FILTER_REQUEST, &all);
    flow_head(&bench.flow, &head, NULL, false);
    send(&bench, 0, true);
    CHECK_LOG(&bench, "a:h0 b:h0 c:h0 out:h0 a:d0$ a:c0$ b:d0$ b:c0$ c:d0$ c:c0$ out:0$");
    bench_fini(&bench);
}

TEST(a_whole_message_at_once)
{
    struct bench bench;
    struct chain data = {0};
    int head;
    bench_init(&bench, FILTER_RESPONSE, &all);
    chain_append_static(&data, SLICE("body"));
    flow_head(&bench.flow, &head, &data, true);
    CHECK_LOG(&bench, "c:h0 c:d4$ c:c0$ b:h0 b:d4$ b:c0$ a:h0 a:d4$ a:c0$ out:h4$");
    bench_fini(&bench);
}

TEST(a_pause_keeps_everything_and_gives_no_credit)
{
    struct bench bench;
    int head;
    bench_init(&bench, FILTER_REQUEST, &all);
    bench.scripts[1].head = FILTER_PAUSE;
    flow_head(&bench.flow, &head, NULL, false);
    send(&bench, 4, false);
    send(&bench, 3, true);
    CHECK_LOG(&bench, "a:h0 b:h0 a:d4 a:d3$ a:c0$");
    CHECK(bench.credited == 0);
    flow_resume(&bench.flow, &bench.stages[1]);
    CHECK_LOG(&bench, "b:d7$ b:c0$ c:h0 c:d7$ c:c0$ out:h7$");
    flow_resume(&bench.flow, &bench.stages[1]);
    CHECK_LOG(&bench, "");
    CHECK(flow_credit(&bench.flow, 7) == 7);
    bench_fini(&bench);
}

TEST(a_buffering_filter_sees_the_body_whole_and_the_sender_goes_on)
{
    struct bench bench;
    int head;
    bench_init(&bench, FILTER_REQUEST, &all);
    bench.scripts[0].head = bench.scripts[0].data = FILTER_PAUSE_AND_BUFFER;
    flow_head(&bench.flow, &head, NULL, false);
    send(&bench, 4, false);
    CHECK(bench.credited == 4);
    send(&bench, 6, false);
    CHECK(bench.credited == 10 && !bench.overflowed, "as many bytes as the limit");
    CHECK_LOG(&bench, "a:h0 a:d4 a:d10");
    send(&bench, 0, true);
    CHECK_LOG(&bench, "a:d10$ a:c0$ b:h0 b:d10$ b:c0$ c:h0 c:d10$ c:c0$ out:h10$");
    CHECK(flow_credit(&bench.flow, 10) == 0, "it was given before");
    bench_fini(&bench);
}

TEST(a_buffer_has_a_limit)
{
    struct bench bench;
    int head;
    bench_init(&bench, FILTER_REQUEST, &all);
    bench.scripts[0].data = FILTER_PAUSE_AND_BUFFER;
    flow_head(&bench.flow, &head, NULL, false);
    send(&bench, 11, false);
    CHECK(bench.overflowed, "one byte more than the limit");
    CHECK_LOG(&bench, "a:h0 b:h0 c:h0 out:h0 a:d11");
    bench_fini(&bench);
}

TEST(what_a_filter_takes_away_is_credited)
{
    struct bench bench;
    int head;
    bench_init(&bench, FILTER_REQUEST, &all);
    bench.scripts[1].drops = 2;
    flow_head(&bench.flow, &head, NULL, false);
    send(&bench, 5, true);
    CHECK_LOG(&bench, "a:h0 b:h0 c:h0 out:h0 a:d5$ a:c0$ b:d5$ b:c0$ c:d3$ c:c0$ out:3$");
    CHECK(bench.credited == 2 && flow_credit(&bench.flow, 3) == 3);
    bench_fini(&bench);
}

TEST(two_filters_pause_one_after_the_other)
{
    struct bench bench;
    int head, trailers;
    bench_init(&bench, FILTER_REQUEST, &all);
    bench.scripts[0].head = FILTER_PAUSE;
    bench.scripts[2].trailers = FILTER_PAUSE;
    flow_head(&bench.flow, &head, NULL, false);
    send(&bench, 1, false);
    flow_trailers(&bench.flow, (struct headers *)&trailers);
    CHECK_LOG(&bench, "a:h0");
    flow_resume(&bench.flow, &bench.stages[0]);
    CHECK_LOG(&bench, "a:d1 a:t0$ a:c0$ b:h0 b:d1 b:t0$ b:c0$ c:h0 c:d1 c:t0$");
    flow_resume(&bench.flow, &bench.stages[2]);
    CHECK_LOG(&bench, "c:c0$ out:h1t$");
    bench_fini(&bench);
}

TEST(nothing_follows_a_reply)
{
    struct bench bench;
    int head;
    bench_init(&bench, FILTER_REQUEST, &all);
    bench.scripts[1].head = FILTER_REPLIED;
    flow_head(&bench.flow, &head, NULL, true);
    CHECK_LOG(&bench, "a:h0$ a:c0$ b:h0$");
    bench_fini(&bench);
    bench_init(&bench, FILTER_REQUEST, &all);
    bench.scripts[2].data_at_end = FILTER_REPLIED;
    flow_head(&bench.flow, &head, NULL, false);
    send(&bench, 2, true);
    CHECK_LOG(&bench, "a:h0 b:h0 c:h0 out:h0 a:d2$ a:c0$ b:d2$ b:c0$ c:d2$");
    bench_fini(&bench);
}

/* However bytes are cut and wherever filters pause, what comes out is what went in. */
TEST(every_byte_passes_once)
{
    for (unsigned seed = 0; seed < 500; seed++) {
        struct bench bench;
        struct random random;
        int head;
        bench_init(&bench, seed & 1 ? FILTER_REQUEST : FILTER_RESPONSE, &all);
        random_seed(&random, seed + 1);
        bench.flow.limit = 1000;
        size_t sent = 0;
        for (int i = 0; i < STAGES; i++) {
            bench.scripts[i].head = (enum filter_verdict)random_below(&random, 3);
            bench.scripts[i].data = (enum filter_verdict)random_below(&random, 3);
            bench.scripts[i].data_at_end = (enum filter_verdict)random_below(&random, 3);
        }
        flow_head(&bench.flow, &head, NULL, false);
        for (int turn = 0; turn < 20; turn++) {
            size_t size = random_below(&random, 20);
            send(&bench, size, turn == 19);
            sent += size;
            flow_resume(&bench.flow, &bench.stages[random_below(&random, STAGES)]);
        }
        /* A filter pauses at most thrice: at the head, at bytes, at the end. */
        for (int i = 0; i < 3 * STAGES * STAGES; i++)
            flow_resume(&bench.flow, &bench.stages[i % STAGES]);
        size_t out = 0;
        const char *at = buffer_slice(&bench.log).data;
        for (at = strstr(at, "out:"); at; at = strstr(at + 4, "out:"))
            out += (size_t)atoi(at + 4 + (at[4] == 'h'));
        size_t owed = flow_credit(&bench.flow, sent);
        CHECK(out == sent, "seed %u: %zu of %zu", seed, out, sent);
        CHECK(owed + bench.credited == sent, "seed %u: credit of %zu for %zu", seed,
              owed + bench.credited, sent);
        bench_fini(&bench);
    }
}
