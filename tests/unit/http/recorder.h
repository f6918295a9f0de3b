/*
 * recorder: a consumer of streams that writes down what it hears, and a wire that keeps what a codec writes.
 *
 * The log is the same however the input was cut: data of one body is one entry. Entries end with a newline.
 */
#pragma once

#include "base/buffer.h"
#include "base/chain.h"
#include "http/codec.h"

#include <assert.h>

struct recorder {
    struct http_codec *codec;
    struct block_pool *pool;
    struct buffer log;
    struct buffer wire;         /* what the codec wrote */
    size_t pieces;              /* in which it did */
    struct http_stream *stream; /* the latest, while it lives */
    unsigned wakes;
    bool in_data;
    bool holds_credit; /* consumed is left to the test */
    /* A server's answer to each request when it has ended: this much body of 'x', or none of it. */
    bool answers;
    unsigned answer_status;
    const char *answer_body;
};

static inline void recorder_say(struct recorder *recorder, const char *format, ...)
{
    if (recorder->in_data)
        buffer_append_str(&recorder->log, "\n");
    recorder->in_data = false;
    va_list args;
    va_start(args, format);
    buffer_format_v(&recorder->log, format, args);
    va_end(args);
}

static inline void recorder_fields(struct recorder *recorder, const struct headers *headers)
{
    HEADERS_EACH (header, headers) {
        buffer_format(&recorder->log, "  %.*s: %.*s\n", SLICE_ARG(header_name(header)),
                      SLICE_ARG(header_value(header)));
        assert(header->id == header_id_of(header_name(header)));
        assert(headers_has(headers, (enum header_id)header->id));
    }
}

static inline void recorder_release(struct recorder *recorder, struct http_stream *stream)
{
    if (recorder->stream == stream)
        recorder->stream = NULL;
    http_stream_release(stream);
}

static inline void recorder_answer(struct recorder *recorder, struct http_stream *stream)
{
    struct http_response head;
    http_response_init(&head, recorder->answer_status ? recorder->answer_status : 200);
    struct slice body = slice_str(recorder->answer_body);
    head.content_length = (int64_t)body.size;
    http_stream_send_response(stream, &head, body.size == 0);
    if (body.size > 0) {
        struct chain data = {0};
        chain_append_static(&data, body);
        http_stream_send_data(stream, &data, true);
    }
    recorder_release(recorder, stream);
}

static inline void recorder_ended(struct recorder *recorder, struct http_stream *stream)
{
    recorder_say(recorder, "end\n");
    if (stream->request && recorder->answers)
        recorder_answer(recorder, stream);
    else if (http_stream_is_whole(stream))
        recorder_release(recorder, stream);
}

static inline void recorder_on_data(struct http_stream *stream, struct chain *data, bool end)
{
    struct recorder *recorder = stream->owner;
    if (data->size > 0 && !recorder->in_data)
        recorder_say(recorder, "data ");
    size_t size = data->size;
    while (data->size > 0) {
        struct slice front = chain_front(data);
        buffer_append_slice(&recorder->log, front);
        chain_consume(data, front.size);
        recorder->in_data = true;
    }
    if (!recorder->holds_credit)
        http_stream_consumed(stream, size);
    if (end)
        recorder_ended(recorder, stream);
}

static inline void recorder_on_response(struct http_stream *stream, struct http_response *head,
                                        bool end)
{
    struct recorder *recorder = stream->owner;
    recorder_say(recorder, "response %u length %lld%s%.*s\n", head->status,
                 (long long)head->content_length, head->upgrade.size ? " upgrade " : "",
                 SLICE_ARG(head->upgrade));
    recorder_fields(recorder, &head->headers);
    if (end)
        recorder_ended(recorder, stream);
}

static inline void recorder_on_trailers(struct http_stream *stream, struct headers *trailers)
{
    struct recorder *recorder = stream->owner;
    recorder_say(recorder, "trailers\n");
    recorder_fields(recorder, trailers);
    recorder_ended(recorder, stream);
}

static inline void recorder_on_reset(struct http_stream *stream, const struct http_reset *reset)
{
    struct recorder *recorder = stream->owner;
    recorder_say(recorder, "reset %s%s%s%s\n",
                 http_reset_text((enum http_reset_reason)reset->reason), reset->refusal ? " " : "",
                 reset->refusal ? http_refusal_name((enum http_refusal)reset->refusal) : "",
                 reset->unseen ? " unseen" : "");
    recorder_release(recorder, stream);
}

static inline void recorder_on_sent(struct http_stream *stream, size_t bytes)
{
    struct recorder *recorder = stream->owner;
    recorder_say(recorder, "sent %zu\n", bytes);
}

static const struct http_stream_events recorder_events = {
    .on_response = recorder_on_response,
    .on_data = recorder_on_data,
    .on_trailers = recorder_on_trailers,
    .on_reset = recorder_on_reset,
    .on_sent = recorder_on_sent,
};

static inline void recorder_write(struct http_codec *codec, struct chain *bytes)
{
    struct recorder *recorder = codec->owner;
    recorder->pieces += bytes->count;
    while (bytes->size > 0) {
        struct slice front = chain_front(bytes);
        buffer_append_slice(&recorder->wire, front);
        chain_consume(bytes, front.size);
    }
}

static inline void recorder_wake(struct http_codec *codec)
{
    ((struct recorder *)codec->owner)->wakes++;
}

static inline void recorder_on_request(struct http_codec *codec, struct http_stream *stream)
{
    struct recorder *recorder = codec->owner;
    const struct http_request *request = stream->request;
    stream->events = &recorder_events;
    stream->owner = recorder;
    recorder->stream = stream;
    recorder_say(recorder, "request %.*s %.*s host %.*s length %lld%s%.*s\n",
                 SLICE_ARG(request->method_text), SLICE_ARG(request->path),
                 SLICE_ARG(request->authority), (long long)request->content_length,
                 request->upgrade.size ? " upgrade " : "", SLICE_ARG(request->upgrade));
    recorder_fields(recorder, &request->headers);
    if (stream->in == HTTP_ENDED)
        recorder_ended(recorder, stream);
}

static inline void recorder_on_refused(struct http_codec *codec, enum http_refusal refusal)
{
    recorder_say(((struct recorder *)codec->owner), "refused %s\n", http_refusal_name(refusal));
}

static const struct http_codec_events recorder_codec_events = {
    .write = recorder_write, .wake = recorder_wake, .wake_next = recorder_wake};
static const struct http_codec_consumer recorder_consumer = {.on_request = recorder_on_request,
                                                             .on_refused = recorder_on_refused};

/* Runs the codec until it does not wake any more. */
static inline void recorder_run(struct recorder *recorder)
{
    while (recorder->wakes > 0) {
        recorder->wakes = 0;
        recorder->codec->turn++;
        http_codec_run(recorder->codec);
    }
}

/* Feeds bytes in pieces of `cut`, each in a block of its own size; runs in between. */
static inline void recorder_feed(struct recorder *recorder, struct slice bytes, size_t cut)
{
    while (bytes.size > 0) {
        struct slice piece = slice_take(&bytes, MIN(cut, bytes.size));
        enum block_size size = piece.size > BLOCK_SMALL_CAPACITY ? BLOCK_LARGE : BLOCK_SMALL;
        if (piece.size > BLOCK_LARGE_CAPACITY) {
            bytes.data -= piece.size - BLOCK_LARGE_CAPACITY;
            bytes.size += piece.size - BLOCK_LARGE_CAPACITY;
            piece.size = BLOCK_LARGE_CAPACITY;
        }
        struct block *block = block_alloc(recorder->pool, size);
        assert(block);
        /* At the block's end, so that ASan sees a read behind the bytes. */
        char *at = block->bytes + block->capacity - piece.size;
        memcpy(at, piece.data, piece.size);
        recorder->codec->turn++;
        http_codec_read(recorder->codec, block, at, piece.size);
        recorder_run(recorder);
    }
}

static inline void recorder_fini(struct recorder *recorder)
{
    if (recorder->stream)
        recorder_release(recorder, recorder->stream);
    http_codec_destroy(recorder->codec);
    buffer_fini(&recorder->log);
    buffer_fini(&recorder->wire);
}
