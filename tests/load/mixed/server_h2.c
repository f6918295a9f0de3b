#include "server.h"

#include "h2_pump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exchange {
    struct ask ask;
    struct sink up;
    struct source down;
    struct exchange *next, **link;
    bool is_whole;
};

static void drop(struct peer *peer, struct exchange *exchange)
{
    if (!exchange->is_whole)
        peer->server->cut++;
    *exchange->link = exchange->next;
    if (exchange->next)
        exchange->next->link = exchange->link;
    free(exchange);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *owner)
{
    struct exchange *exchange = source->ptr;
    size_t size = source_fill(&exchange->down, out, room);
    (void)session, (void)id, (void)owner;
    if (exchange->down.is_over)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

static void submit_settings(struct peer *peer)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};
    if (nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, settings, 1) != 0)
        die("nghttp2");
}

static void answer(struct peer *peer, int32_t id, struct exchange *exchange)
{
    char number[24], length[24];
    int number_size =
        snprintf(number, sizeof(number), "%llu", (unsigned long long)exchange->ask.id);
    int length_size = snprintf(length, sizeof(length), "%u", exchange->ask.down);
    nghttp2_nv headers[] = {
        {(uint8_t *)":status", (uint8_t *)"200", 7, 3, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)"x-id", (uint8_t *)number, 4, (size_t)number_size, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)"content-length", (uint8_t *)length, 14, (size_t)length_size,
         NGHTTP2_NV_FLAG_NONE},
    };
    exchange->down =
        (struct source){.at = ask_down_body(&exchange->ask), .left = exchange->ask.down};
    nghttp2_data_provider body = {.source.ptr = exchange, .read_callback = read_body};
    if (nghttp2_submit_response(peer->session, id, headers, exchange->ask.is_down_open ? 2 : 3,
                                &body) != 0)
        die("nghttp2");
}

static void reset(nghttp2_session *session, int32_t id)
{
    if (nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR) != 0)
        die("nghttp2");
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *owner)
{
    struct peer *peer = owner;
    int32_t id = frame->hd.stream_id;
    struct ask ask;
    (void)flags;
    if (name_size != 5 || memcmp(name, ":path", 5) != 0)
        return 0;
    if (!server_begins(peer->server, (const char *)value, value_size, &ask)) {
        reset(session, id);
        return 0;
    }
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (!exchange)
        die("memory");
    *exchange = (struct exchange){.ask = ask,
                                  .up = {.expected = ask_up_body(&ask), .left = ask.up},
                                  .next = peer->exchanges,
                                  .link = &peer->exchanges};
    if (exchange->next)
        exchange->next->link = &exchange->next;
    peer->exchanges = exchange;
    nghttp2_session_set_stream_user_data(session, id, exchange);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t size, void *owner)
{
    struct exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
    struct peer *peer = owner;
    (void)flags;
    if (exchange && !sink_take(&exchange->up, bytes, size)) {
        peer->server->wrong++;
        fprintf(stderr, "HTTP/2: a wrong byte in request %llu\n",
                (unsigned long long)exchange->ask.id);
        reset(session, id);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct peer *peer = owner;
    int32_t id = frame->hd.stream_id;
    struct exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
    if (!exchange || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (exchange->ask.is_early && frame->hd.type == NGHTTP2_HEADERS)
        answer(peer, id, exchange);
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    exchange->is_whole = server_ends(peer->server, &exchange->up);
    if (!exchange->is_whole)
        reset(session, id);
    else if (!exchange->ask.is_early)
        answer(peer, id, exchange);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *owner)
{
    struct exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
    (void)error;
    if (exchange)
        drop(owner, exchange);
    return 0;
}

void h2_begin(struct peer *peer)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        die("nghttp2");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    if (nghttp2_session_server_new(&peer->session, callbacks, peer) != 0)
        die("nghttp2");
    nghttp2_session_callbacks_del(callbacks);
    submit_settings(peer);
}

void h2_on_bytes(struct peer *peer, const uint8_t *bytes, size_t size)
{
    ssize_t taken = nghttp2_session_mem_recv(peer->session, bytes, size);
    if (taken == (ssize_t)size)
        return;
    peer->server->wrong++;
    fprintf(stderr, "HTTP/2: %s\n", nghttp2_strerror((int)taken));
    h2_end(peer);
    poller_close(&peer->server->poller, &peer->watched, true);
}

bool h2_send(struct peer *peer)
{
    return h2_pump(peer->session, peer->watched.fd, peer->out, &peer->out_size, OUT_SIZE);
}

void h2_end(struct peer *peer)
{
    while (peer->exchanges)
        drop(peer, peer->exchanges);
    nghttp2_session_del(peer->session);
    peer->session = NULL;
}
