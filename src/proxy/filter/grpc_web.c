/*
 * gRPC-Web (the protocol's PROTOCOL-WEB page): calls of browsers, which cannot read trailers, to plain gRPC and back. The
 * trailers become the body's last message, marked by its flag; the text form is base64 both ways.
 */
#include "proxy/downstream/exchange.h"
#include "proxy/filter/base64_stream.h"
#include "proxy/filter/filter.h"

#include <string.h>

enum { TRAILER_FLAG = 0x80, FRAME_HEAD = 5, TRAILERS_MAX = 64 * 1024 };

struct grpc_web {
    bool is_on, is_text;
    bool wants_text;  /* what the client accepts, or else what it sent */
    bool is_answered; /* with gRPC: the answer's body is ours to form */
    struct base64_reader reader;
};

static const struct slice grpc = {"application/grpc", 16};
static const struct slice web = {"application/grpc-web", 20};
static const struct slice text_form = {"-text", 5};

/* What stands behind the type: "", "+proto", ";charset". False when it is another type. */
static bool cut_type(struct slice type, struct slice start, struct slice *rest)
{
    if (!slice_starts_with(type, start))
        return false;
    *rest = slice_from(type, start.size);
    return rest->size == 0 || rest->data[0] == '+' || rest->data[0] == ';';
}

static bool set_type(struct filter_call *call, struct headers *headers, struct slice start,
                     struct slice middle, struct slice rest)
{
    struct arena *arena = exchange_arena(call->exchange);
    size_t size = start.size + middle.size + rest.size;
    char *text = arena_try_alloc(arena, size);
    if (!text)
        return false;
    memcpy(text, start.data, start.size);
    if (middle.size)
        memcpy(text + start.size, middle.data, middle.size);
    if (rest.size)
        memcpy(text + start.size + middle.size, rest.data, rest.size);
    return headers_set_id(headers, arena, HEADER_CONTENT_TYPE, slice_of(text, size));
}

static enum filter_verdict fail(struct filter_call *call, unsigned status, const char *details,
                                const char *why)
{
    exchange_reply(call->exchange, status, details, "%s", why);
    return FILTER_REPLIED;
}

static enum filter_verdict no_memory(struct filter_call *call)
{
    return fail(call, 503, "out_of_memory", "there is no memory left for this request");
}

/* --- the request ---------------------------------------------------------------------------------------------- */

static enum filter_verdict on_request(struct filter_call *call, struct http_request *head, bool end)
{
    struct grpc_web *state = call->state;
    struct slice type = headers_value(&head->headers, HEADER_CONTENT_TYPE), rest;
    (void)end;
    if (!slice_starts_with(type, web))
        return FILTER_CONTINUE;
    struct slice behind = slice_from(type, web.size);
    state->is_text = slice_starts_with(behind, text_form);
    if (state->is_text)
        behind = slice_from(behind, text_form.size);
    if (!cut_type(behind, SLICE(""), &rest))
        return FILTER_CONTINUE;
    struct slice accepted = headers_value(&head->headers, HEADER_ACCEPT);
    state->wants_text = slice_starts_with(accepted, web)
                            ? slice_starts_with(slice_from(accepted, web.size), text_form)
                            : state->is_text;
    state->is_on = true;
    call->exchange->record.is_grpc = true;
    if (state->is_text) {
        head->content_length = HTTP_LENGTH_UNKNOWN;
        headers_remove_id(&head->headers, HEADER_CONTENT_LENGTH);
    }
    if (!set_type(call, &head->headers, grpc, SLICE_NONE, rest) ||
        !headers_set_id(&head->headers, exchange_arena(call->exchange), HEADER_TE,
                        SLICE("trailers")))
        return no_memory(call);
    return FILTER_CONTINUE;
}

/* Every segment of the chain as characters. */
static bool decode(struct grpc_web *state, const struct chain *body, struct buffer *out)
{
    for (uint32_t i = 0; i < body->count; i++) {
        const struct segment *segment = chain_segment(body, i);
        if (!base64_read(&state->reader, slice_of(segment->data, segment->size), out))
            return false;
    }
    return true;
}

/* The chain now holds what the buffer did; false when memory is refused. */
static bool replace(struct filter_call *call, struct chain *body, struct buffer *with)
{
    chain_fini(body);
    return chain_append_copy(body, loop_blocks(exchange_loop(call->exchange)), buffer_slice(with));
}

static enum filter_verdict on_request_data(struct filter_call *call, struct chain *body, bool end)
{
    struct grpc_web *state = call->state;
    struct buffer plain = {0};
    if (!state->is_text)
        return FILTER_CONTINUE;
    bool is_well = decode(state, body, &plain) && !(end && base64_is_amid(&state->reader));
    bool is_kept = is_well && replace(call, body, &plain);
    buffer_fini(&plain);
    if (!is_well)
        return fail(call, 400, "grpc_web_bad_base64", "the body of the gRPC-Web call is no base64");
    return is_kept ? FILTER_CONTINUE : no_memory(call);
}

/* --- the answer ----------------------------------------------------------------------------------------------- */

static enum filter_verdict on_response(struct filter_call *call, struct http_response *head,
                                       bool end)
{
    struct grpc_web *state = call->state;
    struct slice rest;
    (void)end;
    if (!state->is_on || !cut_type(headers_value(&head->headers, HEADER_CONTENT_TYPE), grpc, &rest))
        return FILTER_CONTINUE;
    state->is_answered = true;
    head->content_length = HTTP_LENGTH_UNKNOWN;
    headers_remove_id(&head->headers, HEADER_CONTENT_LENGTH);
    if (!set_type(call, &head->headers, web, state->wants_text ? text_form : SLICE_NONE,
                  rest.size ? rest : SLICE("+proto")))
        return no_memory(call);
    return FILTER_CONTINUE;
}

/* Each flush is padded for itself, so that no byte of a message waits for the next one. */
static enum filter_verdict on_response_data(struct filter_call *call, struct chain *body, bool end)
{
    struct grpc_web *state = call->state;
    struct buffer plain = {0}, text = {0};
    (void)end;
    if (!state->is_answered || !state->wants_text || body->size == 0)
        return FILTER_CONTINUE;
    for (uint32_t i = 0; i < body->count; i++) {
        const struct segment *segment = chain_segment(body, i);
        buffer_append(&plain, segment->data, segment->size);
    }
    buffer_append_base64(&text, buffer_slice(&plain), false);
    bool is_kept = replace(call, body, &text);
    buffer_fini(&plain);
    buffer_fini(&text);
    return is_kept ? FILTER_CONTINUE : no_memory(call);
}

/* "name: value" lines with lower-case names, as one message. */
static void write_trailers(const struct headers *trailers, struct buffer *out)
{
    char head[FRAME_HEAD] = {(char)TRAILER_FLAG};
    buffer_append(out, head, sizeof(head));
    for (unsigned i = 0; i < trailers->count && out->size < TRAILERS_MAX; i++) {
        struct slice name = header_name(&trailers->items[i]);
        for (size_t c = 0; c < name.size; c++) {
            char lower = name.data[c] >= 'A' && name.data[c] <= 'Z' ? (char)(name.data[c] + 32)
                                                                    : name.data[c];
            buffer_append(out, &lower, 1);
        }
        buffer_append_str(out, ": ");
        buffer_append_slice(out, header_value(&trailers->items[i]));
        buffer_append_str(out, "\r\n");
    }
    size_t size = out->size - FRAME_HEAD;
    for (int i = 0; i < 4; i++)
        out->data[1 + i] = (char)(size >> (24 - 8 * i));
}

static enum filter_verdict on_response_trailers(struct filter_call *call, struct headers *trailers)
{
    struct grpc_web *state = call->state;
    struct buffer message = {0}, text = {0};
    struct chain bytes = {0};
    if (!state->is_answered)
        return FILTER_CONTINUE;
    write_trailers(trailers, &message);
    if (state->wants_text)
        buffer_append_base64(&text, buffer_slice(&message), false);
    bool is_kept =
        chain_append_copy(&bytes, loop_blocks(exchange_loop(call->exchange)),
                          state->wants_text ? buffer_slice(&text) : buffer_slice(&message));
    buffer_fini(&message);
    buffer_fini(&text);
    if (!is_kept)
        return no_memory(call);
    filter_append(call, FILTER_RESPONSE, &bytes);
    while (trailers->count > 0)
        headers_remove_at(trailers, &trailers->items[trailers->count - 1]);
    return FILTER_CONTINUE;
}

const struct filter filter_grpc_web = {
    .state_size = sizeof(struct grpc_web),
    .on_request = on_request,
    .on_response = on_response,
    .on_data = {[FILTER_REQUEST] = on_request_data, [FILTER_RESPONSE] = on_response_data},
    .on_trailers = {[FILTER_RESPONSE] = on_response_trailers},
};
