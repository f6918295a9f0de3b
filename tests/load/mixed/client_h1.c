#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EXCHANGES_A_CONNECTION = 400 }; /* about */

enum h1_state { H1_CONNECTING, H1_BUSY, H1_DONE };

struct h1 {
    struct watched watched;
    struct client *client;
    unsigned number;
    enum h1_state state;
    bool was_used; /* it has carried a whole exchange */
    bool has_heard;
    bool closes;
    struct exchange exchange;
    struct reader reader;
    size_t out_size;
    uint8_t out[OUT_SIZE];
};

static void end(struct h1 *h1, enum outcome outcome, const char *why)
{
    if (h1->state == H1_BUSY)
        client_ended(h1->client, &h1->exchange, outcome, why);
    h1->state = H1_DONE;
    poller_close(&h1->client->poller, &h1->watched, random_next(&h1->client->random) & 0x10000);
}

/* A request that a kept connection's end met is asked again, as every client must be ready to do. */
static void broken(struct h1 *h1, const char *why)
{
    end(h1, h1->was_used && !h1->has_heard ? OUTCOME_AGAIN : OUTCOME_LOST, why);
}

static void put_head(struct h1 *h1)
{
    const struct ask *ask = &h1->exchange.ask;
    char path[ASK_PATH_MOST], framing[64] = "";
    ask_path(ask, path);
    if (ask->is_up_open)
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
    else if (ask->up > 0)
        snprintf(framing, sizeof(framing), "Content-Length: %u\r\n", ask->up);
    h1->exchange.up.is_chunked = ask->is_up_open;
    h1->out_size =
        (size_t)snprintf((char *)h1->out, OUT_SIZE, "%s %s HTTP/1.1\r\nHost: soak\r\n%s\r\n",
                         ask->up > 0 ? "POST" : "GET", path, framing);
}

static void send_what_waits(struct h1 *h1)
{
    struct exchange *exchange = &h1->exchange;
    bool is_full = false;
    do {
        if (!exchange->up.is_over) {
            size_t left = exchange->up.left;
            h1->out_size +=
                source_fill(&exchange->up, h1->out + h1->out_size, OUT_SIZE - h1->out_size);
            if (exchange_moved(h1->client, exchange, left - exchange->up.left) &&
                exchange->manner == MANNER_ABANDONS) {
                end(h1, OUTCOME_ABANDONED, "");
                return;
            }
        }
        size_t had = h1->out_size;
        if (!send_some(h1->watched.fd, h1->out, &h1->out_size)) {
            /* What the peer said before it closed is still to be read. */
            exchange->up.is_over = true;
            h1->out_size = 0;
            h1->closes = true;
        } else {
            is_full = h1->out_size == had && had > 0;
        }
    } while (!is_full && (!exchange->up.is_over || h1->out_size > 0));
    poller_want(&h1->client->poller, &h1->watched,
                (exchange->is_paused ? 0 : (uint32_t)EPOLLIN) | (is_full ? (uint32_t)EPOLLOUT : 0));
}

static void begin(struct h1 *h1)
{
    if (!client_next(h1->client, h1->number, &h1->exchange)) {
        h1->state = H1_DONE;
        poller_close(&h1->client->poller, &h1->watched, false);
        return;
    }
    h1->state = H1_BUSY;
    h1->has_heard = h1->closes = false;
    reader_reset(&h1->reader);
    put_head(h1);
    if (exchange_moved(h1->client, &h1->exchange, 0) && h1->exchange.manner == MANNER_ABANDONS) {
        (void)send_some(h1->watched.fd, h1->out, &h1->out_size);
        end(h1, OUTCOME_ABANDONED, "");
    } else {
        send_what_waits(h1);
    }
}

static void on_head(struct h1 *h1)
{
    struct exchange *exchange = &h1->exchange;
    char value[64];
    exchange->status = atoi(h1->reader.head + 9);
    exchange->is_other = !reader_header(&h1->reader, "x-id", value, sizeof(value)) ||
                         strtoull(value, NULL, 10) != exchange->ask.id;
    if (reader_header(&h1->reader, "connection", value, sizeof(value)))
        h1->closes |= strcasestr(value, "close") != NULL;
}

static void on_end(struct h1 *h1)
{
    struct exchange *exchange = &h1->exchange;
    enum outcome outcome = exchange_outcome(exchange);
    bool is_spent = h1->closes || h1->out_size > 0 || !exchange->up.is_over ||
                    random_below(&h1->client->random, EXCHANGES_A_CONNECTION) == 0;
    if (is_spent) {
        end(h1, outcome, h1->reader.head);
        return;
    }
    client_ended(h1->client, exchange, outcome, h1->reader.head);
    h1->was_used = true;
    begin(h1);
}

/* False: no more may be read now. */
static bool on_body(struct h1 *h1, const uint8_t *body, size_t size)
{
    struct exchange *exchange = &h1->exchange;
    if (!exchange_took(exchange, body, size)) {
        end(h1, OUTCOME_WRONG, "a wrong byte");
        return false;
    }
    if (exchange_moved(h1->client, exchange, size) && exchange->manner == MANNER_ABANDONS) {
        end(h1, OUTCOME_ABANDONED, "");
        return false;
    }
    return true;
}

static void on_bytes(struct h1 *h1, const uint8_t *bytes, size_t size)
{
    const uint8_t *body = NULL;
    size_t body_size = 0;
    h1->has_heard = true;
    for (;;) {
        switch (reader_read(&h1->reader, &bytes, &size, &body, &body_size)) {
        case READER_MORE:
            if (h1->exchange.is_paused)
                send_what_waits(h1);
            return;
        case READER_HEAD: on_head(h1); break;
        case READER_BYTES:
            if (!on_body(h1, body, body_size))
                return;
            break;
        case READER_END:
            if (size > 0)
                end(h1, OUTCOME_WRONG, "bytes after the answer");
            else
                on_end(h1);
            return;
        case READER_BAD: end(h1, OUTCOME_WRONG, h1->reader.head); return;
        }
    }
}

static void on_ready(struct watched *watched, uint32_t events)
{
    static uint8_t bytes[16 * 1024];
    struct h1 *h1 = (struct h1 *)watched;
    if (h1->state == H1_CONNECTING) {
        int error = socket_error(watched->fd);
        if (error) {
            client_unreachable(h1->client, error);
            end(h1, OUTCOME_LOST, "");
        } else {
            begin(h1);
        }
        return;
    }
    if (!h1->exchange.is_paused && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t size = recv(watched->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (size > 0)
            on_bytes(h1, bytes, (size_t)size);
        else if (size == 0)
            broken(h1, "closed");
        else if (errno != EAGAIN && errno != EINTR)
            broken(h1, strerror(errno));
    } else if (h1->exchange.is_paused && events & (EPOLLHUP | EPOLLERR)) {
        h1->exchange.due_us = 0; /* it will be read at the next tick */
        poller_want(&h1->client->poller, watched, 0);
    }
    if (watched->fd >= 0 && h1->state == H1_BUSY && events & EPOLLOUT)
        send_what_waits(h1);
}

static void dial(struct h1 *h1)
{
    h1->state = H1_CONNECTING;
    h1->was_used = false;
    h1->out_size = 0;
    h1->watched.fd = client_dial(h1->client, h1->number);
    poller_watch(&h1->client->poller, &h1->watched, EPOLLOUT);
}

static void on_gone(struct watched *watched)
{
    struct h1 *h1 = (struct h1 *)watched;
    if (h1->client->begun < h1->client->count || h1->client->retry_count > 0)
        dial(h1);
}

struct h1 *h1_create(struct client *client, unsigned number)
{
    struct h1 *h1 = calloc(1, sizeof(*h1));
    if (!h1)
        die("memory");
    h1->watched = (struct watched){.on_ready = on_ready, .on_gone = on_gone};
    h1->client = client;
    h1->number = number;
    dial(h1);
    return h1;
}

void h1_tick(struct h1 *h1)
{
    struct exchange *exchange = &h1->exchange;
    if (h1->watched.fd < 0) {
        on_gone(&h1->watched); /* a request is to be asked again after all */
        return;
    }
    if (h1->state != H1_BUSY || h1->client->now_us < exchange->due_us)
        return;
    if (!exchange->is_paused) {
        end(h1, OUTCOME_LOST, "nothing came for a minute");
        return;
    }
    exchange->is_paused = false;
    exchange->due_us = h1->client->now_us + 60000000;
    send_what_waits(h1);
}
