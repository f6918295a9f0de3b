/*
 * flow: one direction of an exchange on its way through the filters.
 *
 * A pipeline of stages, one a filter, in the order in which they are passed. The head goes first; bytes and the end follow
 * it and wait wherever a stage is paused. What has passed the last stage goes to the sink. Knows no exchange: it is
 * called when something came, and calls the filters and the sink.
 *
 * Credit: bytes that wait at a paused stage are owed to their sender, so it stops when its window is full. Bytes that a stage
 * buffers or takes away are credited at once by the sink's on_credit; flow_credit takes care that they are not
 * credited again when they leave.
 */
#pragma once

#include "io/loop.h"
#include "proxy/filter/filter.h"

enum flow_state { FLOW_OPEN, FLOW_PAUSED, FLOW_BUFFERING };

/* One direction at one filter. */
struct flow_stage {
    struct chain held; /* waits here */
    size_t owed;       /* bytes of it that are not credited yet */
    uint8_t state;     /* enum flow_state */
    bool was_offered;  /* the head */
    bool is_fresh;     /* something came that the filter has not seen */
    bool had_trailers;
};

/* A filter and both directions at it. */
struct filter_stage {
    struct filter_call call;
    const struct filter *filter;
    handle name; /* 0: nobody asked for it */
    struct task wakes[FILTER_SIDES];
    struct flow_stage sides[FILTER_SIDES];
};

/* What has passed all filters since the last time. */
struct flow_passed {
    bool head, end;
    struct chain *data;       /* may be empty; what is left in it is kept for the next time */
    struct headers *trailers; /* with end; NULL: none */
};
struct flow_sink {
    /* The flow's last act: the owner may be gone when this returns. */
    void (*on_pass)(void *owner, const struct flow_passed *passed);
    /* So many bytes wait here no longer at their sender's cost. */
    void (*on_credit)(void *owner, size_t bytes);
    /* A stage buffers more than the limit. The exchange is over. */
    void (*on_overflow)(void *owner);
};

struct flow {
    const struct flow_sink *sink;
    void *owner;
    struct filter_stage *stages;
    void *head; /* struct http_request or struct http_response */
    struct headers *trailers;
    struct chain out; /* passed all stages */
    size_t ahead;     /* bytes given to the sink that were credited before */
    size_t limit;     /* of what a stage buffers */
    uint8_t count, side;
    uint8_t head_at, end_at; /* stages passed */
    bool has_end, has_begun;
    bool is_open;   /* the head is through and no filter wants more: bytes need not come this way */
    bool sent_head; /* the sink has it */
};

/* Stages must be zeroed but for call and filter. */
void flow_init(struct flow *flow, enum filter_side side, struct filter_stage *stages, size_t count,
               const struct flow_sink *sink, void *owner, size_t limit);
/* Each of these takes everything as far as it goes; afterwards the exchange may be over. data may be NULL. */
void flow_head(struct flow *flow, void *head, struct chain *data, bool end);
void flow_data(struct flow *flow, struct chain *data, bool end);
void flow_trailers(struct flow *flow, struct headers *trailers);
/* The stage is open again: what waits there goes on. */
void flow_resume(struct flow *flow, struct filter_stage *stage);
/* So many bytes have left the proxy: how many of them their sender is still owed. */
size_t flow_credit(struct flow *flow, size_t bytes);
/* Drops what waits. */
void flow_fini(struct flow *flow);
