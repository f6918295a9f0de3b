/*
 * http_relay: what is accepted on one side must read the same on the next hop.
 *
 * A codec under attack hears the fuzzer's bytes. Each message that it accepts as whole is written by an HTTP/1 codec and
 * read again by a third one, strict as well: if that hears anything else, somebody could smuggle.
 */
#pragma once

#include "base/buffer.h"
#include "http/h1.h"

#include <stdlib.h>

static inline void require(bool claim)
{
    if (!claim)
        abort();
}

/* What a consumer at either end of the wire must agree about. */
struct account {
    struct buffer text;
    bool is_whole, is_reset, holds_data;
};

static inline void account_fields(struct account *account, const struct headers *headers)
{
    HEADERS_EACH (header, headers) {
        if (header->id == HEADER_CONTENT_LENGTH || header->id == HEADER_TE)
            continue;
        for (size_t i = 0; i < header->name_size; i++)
            buffer_append_byte(&account->text, header->name[i] >= 'A' && header->name[i] <= 'Z'
                                                   ? (char)(header->name[i] | 0x20)
                                                   : header->name[i]);
        buffer_append_str(&account->text, ": ");
        buffer_append_slice(&account->text, header_value(header));
        buffer_append_str(&account->text, "\n");
    }
}

static inline void account_request(struct account *account, const struct http_request *head)
{
    buffer_append_slice(&account->text, head->method_text);
    buffer_append_str(&account->text, " ");
    buffer_append_slice(&account->text, head->method == HTTP_CONNECT ? SLICE_NONE : head->path);
    buffer_append_str(&account->text, " ");
    buffer_append_slice(&account->text, head->authority);
    buffer_append_str(&account->text, " ");
    buffer_append_slice(&account->text, head->upgrade);
    buffer_append_str(&account->text, "\n");
    account_fields(account, &head->headers);
}

static inline void account_response(struct account *account, const struct http_response *head)
{
    buffer_append_u64(&account->text, head->status);
    buffer_append_str(&account->text, "\n");
    account_fields(account, &head->headers);
}

static inline void account_data(struct account *account, const struct chain *data)
{
    for (uint32_t i = 0; i < data->count; i++) {
        const struct segment *segment = chain_segment(data, i);
        buffer_append(&account->text, segment->data, segment->size);
    }
    account->holds_data |= data->size > 0;
}

/* --- a peer that only listens --------------------------------------------------------------------------------- */

static void listen_on_response(struct http_stream *stream, struct http_response *head, bool is_end)
{
    struct account *account = stream->owner;
    account_response(account, head);
    account->is_whole = is_end;
}
static void listen_on_data(struct http_stream *stream, struct chain *data, bool is_end)
{
    struct account *account = stream->owner;
    account_data(account, data);
    http_stream_consumed(stream, data->size);
    account->is_whole = is_end;
}
static void listen_on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct account *account = stream->owner;
    buffer_append_str(&account->text, "\n--\n");
    account_fields(account, trailers);
    account->is_whole = true;
}
static void listen_on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct account *account = stream->owner;
    (void)reset;
    account->is_reset = true;
}
static const struct http_stream_events listen_events = {
    .on_response = listen_on_response,
    .on_data = listen_on_data,
    .on_trailers = listen_on_trailers,
    .on_reset = listen_on_reset,
};

struct listener {
    struct account account;
    struct http_stream *stream;
    struct buffer wire;
    unsigned messages, refused;
};

static void listen_write(struct http_codec *codec, struct chain *bytes)
{
    struct listener *listener = codec->owner;
    while (bytes->size > 0) {
        struct slice front = chain_front(bytes);
        buffer_append_slice(&listener->wire, front);
        chain_consume(bytes, front.size);
    }
}
static void listen_wake(struct http_codec *codec)
{
    (void)codec;
}
static void listen_on_request(struct http_codec *codec, struct http_stream *stream)
{
    struct listener *listener = codec->owner;
    listener->messages++;
    require(!listener->stream);
    listener->stream = stream;
    stream->events = &listen_events;
    stream->owner = &listener->account;
    account_request(&listener->account, stream->request);
    listener->account.is_whole = stream->in == HTTP_ENDED;
}
static void listen_on_refused(struct http_codec *codec, enum http_refusal refusal)
{
    struct listener *listener = codec->owner;
    (void)refusal;
    listener->refused++;
}
static const struct http_codec_events listen_codec_events = {
    .write = listen_write, .wake = listen_wake, .wake_next = listen_wake};
static const struct http_codec_consumer listen_consumer = {.on_request = listen_on_request,
                                                           .on_refused = listen_on_refused};

static inline void feed(struct http_codec *codec, struct block_pool *pool, struct slice bytes,
                        size_t cut)
{
    cut = MIN(cut, (size_t)16000);
    while (bytes.size > 0) {
        struct slice piece = slice_take(&bytes, MIN(bytes.size, cut));
        struct block *block =
            block_alloc(pool, piece.size > BLOCK_SMALL_CAPACITY ? BLOCK_LARGE : BLOCK_SMALL);
        require(block != NULL);
        char *at = piece.size % 2 ? block->bytes : block->bytes + block->capacity - piece.size;
        memcpy(at, piece.data, piece.size);
        codec->turn++;
        http_codec_read(codec, block, at, piece.size);
        codec->turn++;
        http_codec_run(codec);
    }
}

/* The exchange as the next hop would read it, from what our HTTP/1 client codec wrote of it. */
static inline void check_next_hop(struct block_pool *pool, const struct http_limits *limits,
                                  struct slice wire, const struct account *sent)
{
    struct h1 h1;
    struct listener listener = {0};
    struct http_limits wide = *limits;
    wide.max_head_bytes += 4096; /* what a hop adds */
    wide.max_headers += 16;
    wide.allow_connect = true;
    h1_init(&h1, HTTP_SERVER, &listen_codec_events, &listen_consumer, &wide, pool, &listener);
    feed(&h1.codec, pool, wire, 16000);
    require(listener.refused == 0 && listener.messages == 1 && !listener.account.is_reset);
    require(listener.account.is_whole == sent->is_whole);
    require(slice_equals(buffer_slice(&listener.account.text), buffer_slice(&sent->text)));
    if (listener.stream)
        http_stream_release(listener.stream);
    http_codec_destroy(&h1.codec);
    buffer_fini(&listener.account.text);
    buffer_fini(&listener.wire);
}
