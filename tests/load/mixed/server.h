/*
 * server: what mixed_server counts, and a connection to it, which speaks what its first bytes say.
 */
#pragma once

#include "ask.h"
#include "message.h"
#include "poller.h"

#include <nghttp2/nghttp2.h>

enum { OUT_SIZE = 64 * 1024, IDS_MOST = 1 << 28 };

struct server {
    struct poller poller;
    uint64_t connections, requests, whole; /* whole: their bodies came to the end */
    uint64_t cut;                          /* requests that ended before */
    uint64_t wrong;                        /* bodies with a wrong byte, paths that no client made */
    uint64_t doubled;                      /* POSTs whose number had come before */
    uint8_t *seen;                         /* a bit for each number */
};

/* A request has begun. False: it is none of ours, which is counted. */
bool server_begins(struct server *server, const char *path, size_t size, struct ask *out);
/* It has ended. False: its body was not whole, which is counted. */
bool server_ends(struct server *server, const struct sink *up);

struct peer {
    struct watched watched;
    struct server *server;
    nghttp2_session *session;   /* NULL: HTTP/1 */
    struct exchange *exchanges; /* of HTTP/2, under way */
    bool is_known, has_request, is_answering;
    struct ask ask; /* from here on HTTP/1's */
    struct sink up;
    struct source down;
    struct reader reader;
    size_t out_size;
    uint8_t out[OUT_SIZE];
};

void h1_on_bytes(struct peer *peer, const uint8_t *bytes, size_t size);
bool h1_send(struct peer *peer);
void h1_end(struct peer *peer);

void h2_begin(struct peer *peer);
void h2_on_bytes(struct peer *peer, const uint8_t *bytes, size_t size);
bool h2_send(struct peer *peer);
void h2_end(struct peer *peer);
