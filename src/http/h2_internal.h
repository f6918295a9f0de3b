/*
 * h2_internal: what the parts of the HTTP/2 codec share: h2.c is the codec, h2_in.c hears nghttp2's callbacks,
 * h2_out.c sends, h2_head.c translates heads, h2_rules.c says which are well-formed, h2_memory.c lends the session its memory.
 *
 * nghttp2 forbids to send or receive from inside its callbacks, where most of our events are delivered. So calls on
 * streams only submit; frames are packed by h2_pump, after the session has returned or in the codec's run.
 */
#pragma once

#include "base/slab_heap.h"
#include "http/h2.h"

#include <nghttp2/nghttp2.h>

enum { H2_CUT_STREAMS = 16, H2_FRESH_STREAMS = 4 };

/* Tokens that come back with time. */
struct bucket {
    uint32_t left;
    uint64_t filled_ms;
};

struct h2 {
    struct http_codec codec;
    nghttp2_session *session;
    struct slab_heap *heap;
    void *frame_buffer; /* nghttp2's, as is the table; NULL where it has them no more */
    void *stream_table;
    uint32_t stream_table_bytes;
    struct chain *pending;     /* input that a turn's budget cut off; NULL while empty */
    struct chain data;         /* payload of the DATA frame being received */
    int32_t data_id;           /* its stream */
    size_t arrived;            /* payload whose window of the connection is not given back yet */
    struct chain wire;         /* frames packed, while h2_pump runs */
    struct list reap;          /* streams to be freed when no event is being delivered */
    struct list credit;        /* streams whose on_sent waits for the end of h2_pump */
    struct block *block;       /* the input that the session is working on */
    struct h2_stream *heading; /* whose field section is being received */
    struct h2_stream *found;   /* by the last h2_find that found one */
    struct bucket glitches;
    uint64_t window_ms;     /* when the current second of counting resets began */
    uint32_t window_resets; /* in it, by the peer */
    uint32_t window_requests;
    uint32_t turn; /* of turn_messages */
    uint32_t turn_messages;
    uint32_t window_updates; /* since the last DATA frame went out */
    uint32_t open;           /* streams that nghttp2 knows and we have not given up */
    size_t backlog;          /* written and not yet taken by the socket */
    uint32_t violation; /* error code of a rule of RFC 9113 that nghttp2 does not hold; 0: none */
    int32_t goaway_id;  /* the last stream that our GOAWAY speaks for, when it is said */
    int32_t last_id;    /* the highest stream that the peer has begun */
    int32_t settled_id; /* the same, of those that the session has heard of */
    int32_t fresh[H2_FRESH_STREAMS]; /* begun since, as far as they fit */
    uint32_t fresh_count;
    int32_t reset_id,
        watched_reset_id; /* the last stream that the peer has reset: handled, and seen to come */
    int32_t cut
        [H2_CUT_STREAMS]; /* streams that we ended before the peer did: it may still send on them */
    int32_t cut_floor;    /* so may it on any up to this one: they have left the list */
    uint32_t frame_left;  /* of the frame that passes, for h2_watch_frames */
    uint8_t cut_next;
    uint8_t frame_seen; /* bytes of frame_head */
    uint8_t frame_head[13];
    uint8_t busy;
    bool is_resting; /* these are */
    bool in_session; /* inside nghttp2: no packing now */
    bool is_failed;  /* the session is of no use any more */
    bool got_goaway;
    bool said_notice;  /* the first of a graceful end's two GOAWAYs */
    bool heard_notice; /* the peer has it */
    bool has_grace;    /* the second waits for h2_end_grace too */
    bool owes_goaway;  /* the second */
    bool said_goaway;
    bool said_last;    /* GOAWAY behind the last stream */
    bool got_settings; /* the peer's first */
    bool has_waiting;  /* extended CONNECTs that wait for them */
    bool has_ping;
    bool had_empty;    /* the DATA frame before was empty */
    bool has_hopeless; /* some stream is */
    bool has_answered;
};

struct h2_stream {
    struct http_stream stream;
    struct list credit_node;
    struct chain out;       /* body that waits for window and turn */
    struct chain held;      /* bytes for a tunnel that does not stand yet */
    struct headers *fields; /* being received: a head's or trailers' */
    struct http_response *response;
    struct headers *trailers; /* that follow `out` */
    struct slice upgrade;     /* client: what was asked for */
    struct http_request
        *waiting;      /* client: an extended CONNECT that waits for the peer's SETTINGS */
    size_t credit;     /* on_sent that waits */
    uint32_t received; /* bytes of this field section */
    uint16_t count;    /* fields in it */
    uint16_t informational;
    uint8_t seen;           /* enum h2_seen */
    bool has_regular;       /* no pseudo-header may follow */
    int64_t body_left;      /* what Content-Length promised; HTTP_LENGTH_UNKNOWN */
    uint32_t sent_turn;     /* in which the request's HEADERS were packed */
    uint8_t refusal;        /* enum http_refusal of the section being received */
    bool is_request_packed; /* our HEADERS have been packed */
    bool in_trailers;
    bool is_out_ended;  /* nothing follows `out` */
    bool is_end_packed; /* END_STREAM is */
    bool is_bodyless;   /* what is given for the body is dropped */
    bool is_hopeless;   /* nghttp2 took no more of it: to be reset */
    bool is_answered;   /* the answer to a request for a tunnel went out */
    bool is_told;       /* of the connection's end */
    bool is_closed;     /* nghttp2 has forgotten it */
    bool is_deferred;   /* the data source said: nothing yet */
    bool asks_tunnel;
    bool is_held_ended; /* END_STREAM came while bytes were held */
    bool rst_at_end;    /* released: what the peer still sends is not wanted */
};

/* What a head may say once. */
enum h2_seen {
    H2_SEEN_METHOD = 1,
    H2_SEEN_SCHEME = 2,
    H2_SEEN_PATH = 4,
    H2_SEEN_AUTHORITY = 8,
    H2_SEEN_PROTOCOL = 16,
    H2_SEEN_STATUS = 32,
    H2_SEEN_LENGTH = 64,
};

/* The first thing in a server stream's own arena. */
struct h2_server_stream {
    struct h2_stream base;
    struct arena arena;
    struct http_request request;
};

extern const struct http_stream_ops h2_stream_ops;

static inline struct h2 *h2_of(const struct http_codec *codec)
{
    return (struct h2 *)(uintptr_t)CONTAINER_OF(codec, const struct h2, codec);
}
static inline struct h2_stream *h2_stream_of(struct http_stream *stream)
{
    return CONTAINER_OF(stream, struct h2_stream, stream);
}
static inline bool h2_is_server(const struct h2 *h2)
{
    return h2->codec.role == HTTP_SERVER;
}

/* Events may be delivered between the two; the second frees what has left meanwhile. */
void h2_enter(struct h2 *h2);
void h2_leave(struct h2 *h2);
/* As h2_leave, where nothing is to be sent. */
void h2_leave_quietly(struct h2 *h2);
/* The session is lost; streams hear of it from the run queue. */
void h2_break(struct h2 *h2);
/*
 * What nghttp2 answered to a frame that must leave: where it found no memory for that, the peer would wait for the frame in
 * vain, so the connection ends.
 */
static inline void h2_need(struct h2 *h2, int error)
{
    if (UNLIKELY(error == NGHTTP2_ERR_NOMEM))
        h2_break(h2);
}
void h2_wake(struct h2 *h2);
/* Before h2_leave: the last GOAWAY of a drain, when its time has come. */
void h2_end_notice(struct h2 *h2);
/* Packs frames while the backlog is short, and writes them. */
void h2_pump(struct h2 *h2);
/* Of what nghttp2 knows; NULL when nobody holds that stream any more. */
struct h2_stream *h2_find(struct h2 *h2, int32_t id);
/* nghttp2 has heard of the stream for the last time, or shall know it no more. */
void h2_forget(struct h2 *h2, struct h2_stream *own);
/* The stream is over for nghttp2: tells its consumer unless it ended well. */
void h2_stream_closed(struct h2 *h2, struct h2_stream *own, uint32_t error_code);
/* Moves to the reap list what is released and closed. */
void h2_reap_if_over(struct h2 *h2, struct h2_stream *own);
/* RST_STREAM. */
void h2_rst(struct h2 *h2, int32_t id, uint32_t error_code);
uint32_t h2_error_of(enum http_reset_reason reason);
enum http_reset_reason h2_reason_of(uint32_t error_code);
/* Something that good peers do rarely. When the bucket is empty the connection ends. */
void h2_glitch(struct h2 *h2, uint32_t cost);
/* GOAWAY with ENHANCE_YOUR_CALM. */
void h2_calm(struct h2 *h2);

/* h2_memory.c */
nghttp2_mem h2_memory(struct h2 *h2);
/* Before the session works again after h2_rest; false when memory is refused. */
MUST_USE bool h2_wake_memory(struct h2 *h2);

/* h2_in.c: the callbacks that hear the peer. */
void h2_set_callbacks(nghttp2_session_callbacks *callbacks);
/* Gives bytes to the consumer that were held until the tunnel stood. */
void h2_deliver_held(struct h2 *h2, struct h2_stream *own);
/* Frames that the session is about to take: looks for what nghttp2 passes over. */
void h2_watch_frames(struct h2 *h2, struct slice bytes);
/* What has come of a DATA frame whose end is not here yet. */
void h2_deliver_part(struct h2 *h2);

/* The peer's first SETTINGS are here: sends what waited for them. */
void h2_send_waiting(struct h2 *h2);

/* h2_out.c: the callbacks that send. */
void h2_set_out_callbacks(nghttp2_session_callbacks *callbacks);

/* h2_rules.c */
/* A head or trailers begin. */
void h2_begin_section(struct h2_stream *own);
/* True the first time. */
bool h2_see(struct h2_stream *own, enum h2_seen what);
/* A field that is no pseudo-header. *is_dropped: it is well and means nothing here. */
enum http_refusal h2_check_field(const struct h2 *h2, struct h2_stream *own, enum header_id id,
                                 struct slice name, struct slice value, bool *is_dropped);
/* A request's pseudo-headers together. */
enum http_refusal h2_check_pseudo(const struct h2_stream *own);
/* The head is complete: how long the body must be. */
void h2_expect_body(const struct h2 *h2, struct h2_stream *own);
/* Bytes of the body, or none with the stream's end; false: not as long as was said, or none may come. */
bool h2_body_is_within(const struct h2 *h2, struct h2_stream *own, size_t size, bool is_end);

/* h2_head.c */
/* One field of a section. Sensitive: its sender wants it in no table (RFC 7541 7.1.3), nor will it be in ours. */
void h2_take_field(struct h2 *h2, struct h2_stream *own, struct slice name, struct slice value,
                   bool is_sensitive);
/* The section is complete: what the list says as a whole. */
enum http_refusal h2_settle_request(struct h2 *h2, struct h2_stream *own);
enum http_refusal h2_settle_response(struct h2 *h2, struct h2_stream *own);
void h2_settle_trailers(struct h2_stream *own);

struct h2_fields {
    nghttp2_nv *items;
    size_t count;
    nghttp2_nv few[72];
    char length[24];
    char status[4];
};
/* Fills what a head becomes; h2_fields_fini frees. */
void h2_fields_of_request(struct h2_fields *fields, const struct http_request *head, bool end);
void h2_fields_of_response(struct h2_fields *fields, const struct http_response *head,
                           const struct http_stream *stream, bool end);
void h2_fields_of_trailers(struct h2_fields *fields, const struct headers *trailers);
void h2_fields_fini(struct h2_fields *fields);
