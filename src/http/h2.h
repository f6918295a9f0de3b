/*
 * h2: HTTP/2 (RFC 9113) as a codec over nghttp2, in both roles. No type of nghttp2 is visible here.
 *
 * Bodies go both ways by reference, but for payload on its way out that a small block holds: it is copied, so that small
 * frames of a turn lie together. Flow control is ours: the connection window is given back as data arrives, a
 * stream's as its consumer reports bytes consumed, so that one stalled stream never blocks its siblings. Frames are
 * packed when the transport's backlog is short, so that what is sent next is decided late. Floods and malformed
 * messages are counted in buckets, and GOAWAY with ENHANCE_YOUR_CALM ends a connection that spends them.
 */
#pragma once

#include "http/codec.h"

struct h2;
struct slab_heap;

/*
 * From the worker's heap, which outlives it, like all that nghttp2 takes; http_codec_destroy frees it. A server expects
 * the client's preface as its first bytes. The codec's own preface (SETTINGS) is written from the first http_codec_run,
 * for which it wakes. NULL when memory is refused.
 */
struct http_codec *h2_create(enum http_role role, const struct http_codec_events *events,
                             const struct http_codec_consumer *consumer,
                             const struct http_limits *limits, struct block_pool *pool,
                             struct slab_heap *heap, void *owner);
/* Nothing is under way and nothing was for a while: gives up what memory it can. The next frame takes it back. */
void h2_rest(struct http_codec *codec);
/* A PING; when its answer comes, h2_ping_rtt_ms tells. For health and keepalive. */
void h2_ping(struct http_codec *codec);
/* True while a PING waits for its answer. */
bool h2_ping_is_open(const struct http_codec *codec);
/* A server's drain says its last GOAWAY not before the grace is over, however soon the peer has heard the first. */
void h2_begin_grace(struct http_codec *codec);
void h2_end_grace(struct http_codec *codec);
bool h2_has_grace(const struct http_codec *codec);
/* The preface that clients begin with: 24 bytes. */
struct slice h2_preface(void);
