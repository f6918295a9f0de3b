#include "client.h"

#include "h2_pump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EXCHANGES_A_CONNECTION = 4000 }; /* about */

struct h2_exchange {
    struct exchange exchange;
    struct h2 *h2;
    int32_t id;
    size_t unread; /* bytes of a pause, whose credit is held back */
    bool is_ended; /* by us, before its stream */
    struct h2_exchange *next, **link;
};

struct h2 {
    struct watched watched;
    struct client *client;
    nghttp2_session *session;
    unsigned number, streams_most, streams;
    bool is_connecting, is_leaving;
    struct h2_exchange *exchanges;
    size_t out_size;
    uint8_t out[OUT_SIZE];
};

static void end(struct h2_exchange *item, enum outcome outcome, const char *why)
{
    if (!item->is_ended)
        client_ended(item->h2->client, &item->exchange, outcome, why);
    item->is_ended = true;
}

static void drop(struct h2_exchange *item)
{
    item->h2->streams--;
    *item->link = item->next;
    if (item->next)
        item->next->link = item->link;
    free(item);
}

static void reset(struct h2_exchange *item)
{
    if (nghttp2_submit_rst_stream(item->h2->session, NGHTTP2_FLAG_NONE, item->id, NGHTTP2_CANCEL) !=
        0)
        die("nghttp2");
}

/* --- asking ---------------------------------------------------------------------------------- */

static bool is_abandoned(struct h2_exchange *item, size_t moved)
{
    if (!exchange_moved(item->h2->client, &item->exchange, moved) ||
        item->exchange.manner != MANNER_ABANDONS)
        return false;
    end(item, OUTCOME_ABANDONED, "");
    return true;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *owner)
{
    struct h2_exchange *item = source->ptr;
    size_t size = source_fill(&item->exchange.up, out, room);
    (void)session, (void)id, (void)owner;
    if (is_abandoned(item, size))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    if (item->exchange.up.is_over)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

static void ask(struct h2_exchange *item)
{
    struct exchange *exchange = &item->exchange;
    bool has_body = exchange->ask.up > 0;
    char path[ASK_PATH_MOST], length[24];
    ask_path(&exchange->ask, path);
    int length_size = snprintf(length, sizeof(length), "%u", exchange->ask.up);
    nghttp2_nv headers[] = {
        {(uint8_t *)":method", (uint8_t *)(has_body ? "POST" : "GET"), 7, has_body ? 4 : 3,
         NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)":authority", (uint8_t *)"soak", 10, 4, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)":path", (uint8_t *)path, 5, strlen(path), NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)"content-length", (uint8_t *)length, 14, (size_t)length_size,
         NGHTTP2_NV_FLAG_NONE},
    };
    size_t count = has_body && !exchange->ask.is_up_open ? 5 : 4;
    nghttp2_data_provider body = {.source.ptr = item, .read_callback = read_body};
    item->id = nghttp2_submit_request(item->h2->session, NULL, headers, count,
                                      has_body ? &body : NULL, item);
    if (item->id < 0)
        die("nghttp2");
    if (is_abandoned(item, 0))
        reset(item);
}

static void begin(struct h2 *h2)
{
    struct exchange exchange;
    while (!h2->is_leaving && h2->streams < h2->streams_most &&
           client_next(h2->client, h2->number, &exchange)) {
        struct h2_exchange *item = calloc(1, sizeof(*item));
        if (!item)
            die("memory");
        *item = (struct h2_exchange){
            .exchange = exchange, .h2 = h2, .next = h2->exchanges, .link = &h2->exchanges};
        if (item->next)
            item->next->link = &item->next;
        h2->exchanges = item;
        h2->streams++;
        h2->is_leaving = random_below(&h2->client->random, EXCHANGES_A_CONNECTION) == 0;
        ask(item);
    }
}

/* --- being answered -------------------------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *owner)
{
    struct h2_exchange *item = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)value_size, (void)flags, (void)owner;
    if (!item)
        return 0;
    if (name_size == 7 && memcmp(name, ":status", 7) == 0) {
        item->exchange.status = atoi((const char *)value); /* nghttp2 ends it by a NUL */
        item->exchange.is_other = true;
    } else if (name_size == 4 && memcmp(name, "x-id", 4) == 0) {
        item->exchange.is_other = strtoull((const char *)value, NULL, 10) != item->exchange.ask.id;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t size, void *owner)
{
    struct h2_exchange *item = nghttp2_session_get_stream_user_data(session, id);
    (void)flags, (void)owner;
    nghttp2_session_consume_connection(session, size);
    if (!item || item->is_ended)
        return 0;
    if (!exchange_took(&item->exchange, bytes, size)) {
        end(item, OUTCOME_WRONG, "a wrong byte");
        reset(item);
    } else if (is_abandoned(item, size)) {
        reset(item);
    } else if (item->exchange.is_paused) {
        item->unread += size;
    } else {
        nghttp2_session_consume_stream(session, id, size);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct h2 *h2 = owner;
    (void)session;
    h2->is_leaving |= frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *owner)
{
    struct h2_exchange *item = nghttp2_session_get_stream_user_data(session, id);
    char why[64];
    (void)owner;
    if (!item)
        return 0;
    snprintf(why, sizeof(why), "HTTP/2 stream %d: error %u", id, error);
    if (error == NGHTTP2_REFUSED_STREAM)
        end(item, OUTCOME_AGAIN, why);
    else if (error == NGHTTP2_NO_ERROR)
        end(item, exchange_outcome(&item->exchange), why);
    else
        end(item, OUTCOME_LOST, why);
    drop(item);
    return 0;
}

/* --- the connection -------------------------------------------------------------------------- */

static void leave(struct h2 *h2, const char *why)
{
    while (h2->exchanges) {
        end(h2->exchanges, OUTCOME_LOST, why);
        drop(h2->exchanges);
    }
    nghttp2_session_del(h2->session);
    h2->session = NULL;
    poller_close(&h2->client->poller, &h2->watched, false);
}

static void send_what_waits(struct h2 *h2)
{
    begin(h2);
    if (!h2_pump(h2->session, h2->watched.fd, h2->out, &h2->out_size, OUT_SIZE))
        leave(h2, nghttp2_session_want_read(h2->session) ? strerror(errno) : "it ended");
    else if (h2->streams == 0)
        leave(h2, "");
    else
        poller_want(&h2->client->poller, &h2->watched,
                    (uint32_t)EPOLLIN | (h2->out_size > 0 ? (uint32_t)EPOLLOUT : 0));
}

static void open_session(struct h2 *h2)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        die("nghttp2");
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    if (nghttp2_session_client_new2(&h2->session, callbacks, h2, option) != 0 ||
        nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, NULL, 0) != 0)
        die("nghttp2");
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
}

static void on_ready(struct watched *watched, uint32_t events)
{
    static uint8_t bytes[64 * 1024];
    struct h2 *h2 = (struct h2 *)watched;
    if (h2->is_connecting) {
        int error = socket_error(watched->fd);
        if (error) {
            client_unreachable(h2->client, error);
            poller_close(&h2->client->poller, watched, false);
            return;
        }
        h2->is_connecting = false;
        open_session(h2);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t size = recv(watched->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
            leave(h2, size == 0 ? "closed" : strerror(errno));
            return;
        }
        ssize_t taken = size > 0 ? nghttp2_session_mem_recv(h2->session, bytes, (size_t)size) : 0;
        if (taken < 0) {
            leave(h2, nghttp2_strerror((int)taken));
            return;
        }
    }
    send_what_waits(h2);
}

static void dial(struct h2 *h2)
{
    h2->is_connecting = true;
    h2->is_leaving = false;
    h2->out_size = 0;
    h2->watched.fd = client_dial(h2->client, h2->number);
    poller_watch(&h2->client->poller, &h2->watched, EPOLLOUT);
}

static void on_gone(struct watched *watched)
{
    struct h2 *h2 = (struct h2 *)watched;
    if (h2->client->begun < h2->client->count || h2->client->retry_count > 0)
        dial(h2);
}

struct h2 *h2_create(struct client *client, unsigned number, unsigned streams)
{
    struct h2 *h2 = calloc(1, sizeof(*h2));
    if (!h2)
        die("memory");
    h2->watched = (struct watched){.on_ready = on_ready, .on_gone = on_gone};
    h2->client = client;
    h2->number = number;
    h2->streams_most = streams;
    dial(h2);
    return h2;
}

static void resume(struct h2_exchange *item)
{
    item->exchange.is_paused = false;
    item->exchange.due_us = item->h2->client->now_us + 60000000;
    nghttp2_session_consume_stream(item->h2->session, item->id, item->unread);
    item->unread = 0;
}

void h2_tick(struct h2 *h2)
{
    if (h2->watched.fd < 0) {
        on_gone(&h2->watched); /* a request is to be asked again after all */
        return;
    }
    if (h2->is_connecting)
        return;
    for (struct h2_exchange *item = h2->exchanges; item; item = item->next) {
        if (h2->client->now_us < item->exchange.due_us || item->is_ended)
            continue;
        if (item->exchange.is_paused) {
            resume(item);
        } else {
            end(item, OUTCOME_LOST, "nothing came for a minute");
            reset(item);
        }
    }
    send_what_waits(h2);
}
