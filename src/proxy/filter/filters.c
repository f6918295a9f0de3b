#include "proxy/filter/filters.h"

#include "build/listener.h"
#include "net/transport.h"
#include "proxy/downstream/deadlines.h"
#include "proxy/downstream/downstream.h"
#include "proxy/downstream/exchange.h"
#include "proxy/downstream/forward.h"
#include "proxy/filter/flow.h"
#include "proxy/route/view.h"
#include "proxy/snapshot/resource.h"

#include <stddef.h>
#include <string.h>

enum { BUFFER_LIMIT_BYTES = 1 << 20 };

/* Kinds without an entry are read where they act: the router ends the chain, statistics belong to the observer, and
 * istio.alpn to the choice of a connection. */
static const struct filter *const kinds[HTTP_FILTER_KINDS] = {
    [HTTP_FILTER_RBAC] = &filter_rbac,
    [HTTP_FILTER_GRPC_WEB] = &filter_grpc_web,
};

/* The filters of an exchange of which at least one wants more than heads. */
struct filters {
    struct exchange *exchange;
    struct flow flows[FILTER_SIDES];
    uint32_t count;
    struct filter_stage stages[];
};

static const struct filter *filter_of(const struct http_filter *config)
{
    return config->disabled ? NULL : kinds[config->kind];
}

/* --- where what passed goes ------------------------------------------------------------------------------------ */

static void on_request_passed(void *owner, const struct flow_passed *passed)
{
    const struct filters *filters = owner;
    struct exchange *exchange = filters->exchange;
    chain_move(&exchange->body, passed->data);
    exchange->request_ended = passed->end;
    exchange->trailers = passed->trailers;
    exchange->has_trailers = passed->trailers != NULL;
    if (passed->head) {
        exchange_act(exchange);
        return;
    }
    if (passed->end)
        deadlines_request_ended(exchange);
    forward_request(exchange);
}

static void on_response_passed(void *owner, const struct flow_passed *passed)
{
    const struct filters *filters = owner;
    exchange_pass_response(filters->exchange, passed->head, passed->data, passed->trailers,
                           passed->end);
}

static void on_request_credit(void *owner, size_t bytes)
{
    const struct filters *filters = owner;
    http_stream_consumed(filters->exchange->stream, bytes);
}

static void on_response_credit(void *owner, size_t bytes)
{
    const struct filters *filters = owner;
    exchange_credit_upstream(filters->exchange, bytes);
}

static void on_request_overflow(void *owner)
{
    const struct filters *filters = owner;
    exchange_reply(filters->exchange, 413, "request_payload_too_large",
                   "the request's body is larger than the %zu bytes that a filter may keep",
                   filters->flows[FILTER_REQUEST].limit);
}

static void on_response_overflow(void *owner)
{
    const struct filters *filters = owner;
    exchange_reply(filters->exchange, 500, "response_payload_too_large",
                   "the response's body is larger than the %zu bytes that a filter may keep",
                   filters->flows[FILTER_RESPONSE].limit);
}

static const struct flow_sink sinks[FILTER_SIDES] = {
    [FILTER_REQUEST] = {.on_pass = on_request_passed,
                        .on_credit = on_request_credit,
                        .on_overflow = on_request_overflow},
    [FILTER_RESPONSE] = {.on_pass = on_response_passed,
                         .on_credit = on_response_credit,
                         .on_overflow = on_response_overflow},
};

/* --- beginning ------------------------------------------------------------------------------------------------- */

static size_t state_bytes_of(const struct filter *filter)
{
    const size_t align = _Alignof(max_align_t);
    return (filter->state_size + align - 1) / align * align;
}

/* Only filters that act get a stage. NULL when memory is refused. */
static struct filters *make(struct exchange *exchange, uint32_t count, size_t state_bytes)
{
    struct arena *arena = exchange_arena(exchange);
    const struct hcm *hcm = exchange->hcm;
    const size_t align = _Alignof(max_align_t);
    size_t size = sizeof(struct filters) + count * sizeof(struct filter_stage);
    size = (size + align - 1) / align * align;
    struct filters *filters = arena_try_alloc(arena, size + state_bytes);
    if (!filters)
        return NULL;
    memset(filters, 0, size + state_bytes);
    char *state = (char *)filters + size;
    filters->exchange = exchange;
    for (uint32_t i = 0; i < hcm->filter_count; i++) {
        const struct filter *filter = filter_of(&hcm->filters[i]);
        if (!filter)
            continue;
        struct filter_stage *stage = &filters->stages[filters->count++];
        stage->filter = filter;
        stage->call =
            (struct filter_call){.exchange = exchange, .config = &hcm->filters[i], .state = state};
        state += state_bytes_of(filter);
    }
    size_t limit = exchange->listener->listener->buffer_limit;
    for (int side = 0; side < FILTER_SIDES; side++)
        flow_init(&filters->flows[side], (enum filter_side)side, filters->stages, filters->count,
                  &sinks[side], filters, limit ? limit : BUFFER_LIMIT_BYTES);
    return filters;
}

static bool run_heads(struct exchange *exchange, struct view *view)
{
    const struct hcm *hcm = exchange->hcm;
    for (uint32_t i = 0; i < hcm->filter_count; i++) {
        const struct filter *filter = filter_of(&hcm->filters[i]);
        struct filter_call call = {.exchange = exchange, .config = &hcm->filters[i], .view = view};
        if (filter && filter->on_request &&
            filter->on_request(&call, exchange->head, exchange->request_ended) != FILTER_CONTINUE)
            return false;
    }
    return true;
}

static void set_view(struct filters *filters, struct view *view)
{
    for (uint32_t i = 0; i < filters->count; i++)
        filters->stages[i].call.view = view;
}

/* The view that routing made lives as long as the call of filters_request. */
static struct filters *later(struct exchange *exchange)
{
    struct filters *filters = exchange->filters;
    if (filters->stages[0].call.view)
        set_view(filters, NULL);
    return filters;
}

void filters_request(struct exchange *exchange, struct view *view)
{
    const struct hcm *hcm = exchange->hcm;
    uint32_t count = 0;
    size_t state_bytes = 0;
    bool heads_only = true;
    for (uint32_t i = 0; i < hcm->filter_count; i++) {
        const struct filter *filter = filter_of(&hcm->filters[i]);
        if (!filter)
            continue;
        count++;
        heads_only = heads_only && filter->heads_only;
        state_bytes += state_bytes_of(filter);
        exchange->filters_response = exchange->filters_response || filter->on_response;
    }
    if (heads_only) {
        if (count == 0 || run_heads(exchange, view))
            exchange_act(exchange);
        return;
    }
    struct filters *filters = make(exchange, count, state_bytes);
    if (!filters) {
        exchange_reply(exchange, 503, "out_of_memory", "there is no memory left for this request");
        return;
    }
    exchange->filters = filters;
    set_view(filters, view);
    flow_head(&filters->flows[FILTER_REQUEST], exchange->head, NULL, exchange->request_ended);
}

/* --- passing --------------------------------------------------------------------------------------------------- */

static bool run_response_heads(struct exchange *exchange, struct http_response *head, bool end)
{
    const struct hcm *hcm = exchange->hcm;
    for (uint32_t i = hcm->filter_count; i-- > 0;) {
        const struct filter *filter = filter_of(&hcm->filters[i]);
        struct filter_call call = {.exchange = exchange, .config = &hcm->filters[i]};
        if (filter && filter->on_response &&
            filter->on_response(&call, head, end) != FILTER_CONTINUE)
            return false;
    }
    return true;
}

bool filters_response(struct exchange *exchange, struct http_response *head, struct chain *body,
                      bool end)
{
    struct filters *filters = exchange->filters;
    if (exchange->is_answering)
        return false;
    exchange->is_answering = true;
    if (!filters)
        return exchange->filters_response && !run_response_heads(exchange, head, end);
    flow_head(&later(exchange)->flows[FILTER_RESPONSE], head, body, end);
    return true;
}

bool filters_data(struct exchange *exchange, enum filter_side side, struct chain *data, bool end)
{
    struct flow *flow = &later(exchange)->flows[side];
    if (flow->is_open || !flow->has_begun)
        return false;
    flow_data(flow, data, end);
    return true;
}

bool filters_trailers(struct exchange *exchange, enum filter_side side, struct headers *trailers)
{
    struct flow *flow = &later(exchange)->flows[side];
    if (flow->is_open || !flow->has_begun)
        return false;
    flow_trailers(flow, trailers);
    return true;
}

bool filters_have_end(const struct exchange *exchange)
{
    return exchange->filters->flows[FILTER_RESPONSE].has_end;
}

size_t filters_credit(struct exchange *exchange, enum filter_side side, size_t bytes)
{
    return flow_credit(&exchange->filters->flows[side], bytes);
}

void filters_end(struct exchange *exchange)
{
    struct filters *filters = later(exchange);
    struct handle_table *handles = loop_handles(exchange_loop(exchange));
    for (uint32_t i = 0; i < filters->count; i++) {
        struct filter_stage *stage = &filters->stages[i];
        handle_drop(handles, stage->name);
        for (int side = 0; side < FILTER_SIDES; side++)
            loop_task_cancel(&stage->wakes[side]);
        if (stage->filter->on_destroy)
            stage->filter->on_destroy(&stage->call);
    }
    for (int side = 0; side < FILTER_SIDES; side++)
        flow_fini(&filters->flows[side]);
}

/* --- what filters call ----------------------------------------------------------------------------------------- */

static struct filter_stage *stage_of(struct filter_call *call)
{
    return CONTAINER_OF(call, struct filter_stage, call);
}

struct view *filter_view(struct filter_call *call, struct view *spare)
{
    if (call->view)
        return call->view;
    struct exchange *exchange = call->exchange;
    bool is_tls = transport_session(http_connection_transport(exchange->downstream->http)) != NULL;
    view_init(spare, exchange->head, exchange_arena(exchange), is_tls,
              random_u64(loop_random(exchange_loop(exchange))));
    return spare;
}

handle filter_name(struct filter_call *call)
{
    struct filter_stage *stage = stage_of(call);
    if (!stage->name)
        stage->name = handle_new(loop_handles(exchange_loop(call->exchange)), call);
    return stage->name;
}

struct filter_call *filter_find(const struct loop *loop, handle name)
{
    return handle_get(loop_handles(loop), name);
}

static void wake(struct filter_stage *stage, enum filter_side side)
{
    flow_resume(&later(stage->call.exchange)->flows[side], stage);
}

static void wake_request(struct task *task)
{
    wake(CONTAINER_OF(task, struct filter_stage, wakes[FILTER_REQUEST]), FILTER_REQUEST);
}

static void wake_response(struct task *task)
{
    wake(CONTAINER_OF(task, struct filter_stage, wakes[FILTER_RESPONSE]), FILTER_RESPONSE);
}

void filter_resume(struct filter_call *call, enum filter_side side)
{
    struct task *task = &stage_of(call)->wakes[side];
    if (task_is_queued(task))
        return;
    task_init(task, side == FILTER_REQUEST ? wake_request : wake_response);
    loop_run_later(exchange_loop(call->exchange), task);
}

void filter_append(struct filter_call *call, enum filter_side side, struct chain *bytes)
{
    chain_move(&CONTAINER_OF(call, struct filter_stage, call)->sides[side].held, bytes);
}

void filter_allow_buffer(struct filter_call *call, enum filter_side side, size_t bytes)
{
    struct flow *flow = &call->exchange->filters->flows[side];
    flow->limit = MAX(flow->limit, bytes);
}

void filter_reroute(struct filter_call *call)
{
    call->exchange->reroutes = true;
}
