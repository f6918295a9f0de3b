#include "server.h"

#include <stdio.h>
#include <string.h>

static void fail(struct peer *peer, const char *why)
{
    peer->server->wrong++;
    peer->has_request = false;
    fprintf(stderr, "HTTP/1: %s: %.200s\n", why, peer->reader.head);
    poller_close(&peer->server->poller, &peer->watched, true);
}

static void answer(struct peer *peer)
{
    struct ask *ask = &peer->ask;
    char framing[64] = "Transfer-Encoding: chunked";
    if (!ask->is_down_open)
        snprintf(framing, sizeof(framing), "Content-Length: %u", ask->down);
    peer->out_size += (size_t)snprintf((char *)peer->out + peer->out_size, 512,
                                       "HTTP/1.1 200 OK\r\nX-Id: %llu\r\n%s\r\n\r\n",
                                       (unsigned long long)ask->id, framing);
    peer->down = (struct source){
        .at = ask_down_body(ask), .left = ask->down, .is_chunked = ask->is_down_open};
    peer->is_answering = true;
}

static void on_head(struct peer *peer)
{
    const char *path = strchr(peer->reader.head, ' ');
    path = path ? path + 1 : "";
    if (!server_begins(peer->server, path, strcspn(path, " \r"), &peer->ask)) {
        poller_close(&peer->server->poller, &peer->watched, true);
        return;
    }
    peer->has_request = true;
    peer->up = (struct sink){.expected = ask_up_body(&peer->ask), .left = peer->ask.up};
    if (peer->ask.is_early)
        answer(peer);
}

static void on_end(struct peer *peer)
{
    peer->has_request = false;
    reader_reset(&peer->reader);
    if (!server_ends(peer->server, &peer->up))
        poller_close(&peer->server->poller, &peer->watched, true);
    else if (!peer->ask.is_early)
        answer(peer);
}

void h1_on_bytes(struct peer *peer, const uint8_t *bytes, size_t size)
{
    const uint8_t *body = NULL;
    size_t body_size = 0;
    for (;;) {
        switch (reader_read(&peer->reader, &bytes, &size, &body, &body_size)) {
        case READER_MORE: return;
        case READER_HEAD:
            if (peer->is_answering) {
                fail(peer, "a request before the last was answered");
                return;
            }
            on_head(peer);
            break;
        case READER_BYTES:
            if (!sink_take(&peer->up, body, body_size))
                fail(peer, "a wrong byte");
            break;
        case READER_END: on_end(peer); break;
        case READER_BAD: fail(peer, "broken framing"); break;
        }
        if (peer->watched.fd < 0)
            return;
    }
}

bool h1_send(struct peer *peer)
{
    do {
        if (peer->is_answering) {
            if (!peer->down.is_over)
                peer->out_size +=
                    source_fill(&peer->down, peer->out + peer->out_size, OUT_SIZE - peer->out_size);
            peer->is_answering = !peer->down.is_over;
        }
        size_t had = peer->out_size;
        if (!send_some(peer->watched.fd, peer->out, &peer->out_size))
            return false;
        if (peer->out_size > 0 && peer->out_size == had)
            return true;
    } while (peer->is_answering || peer->out_size > 0);
    return true;
}

void h1_end(struct peer *peer)
{
    if (peer->has_request)
        peer->server->cut++;
}
