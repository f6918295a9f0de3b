/*
 * push_internal: the two halves of push and the mail between them.
 */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "base/vector.h"
#include "control/push/lane.h"
#include "control/push/push.h"
#include "control/push/push_metrics.h"
#include "io/loop.h"

struct push_mail;

/* --- the model thread ------------------------------------------------------------------------- */

struct push_class {
    struct push *push;
    char *key;
    const struct view *view; /* NULL: not known yet */
    size_t members;
    struct timer linger; /* runs while there are none */
};

/* A proxy that has come. */
struct push_member {
    struct list node;
    struct push_proxy proxy;
    struct ads_peer peer;
    struct arena strings; /* of peer */
    struct push_thread *thread;
    uint64_t stream;
    uint64_t came_us;
    struct push_class *class;  /* NULL: not classified yet, or refused */
    struct push_status status; /* its errors are our own copies */
};

struct push {
    struct loop *loop;
    struct push_config config;
    const struct push_source *source;
    void *owner;
    bool ready;
    struct lane lanes[PUSH_LANES];
    struct timer due;
    struct task refresh;
    uint64_t refresh_us; /* when the refresh that is under way began; 0 outside of one */
    struct map *classes;
    struct map *members; /* by thread and stream */
    struct list member_list;
    VECTOR(struct push_thread *) threads;
    struct push_metrics metrics;
};

void push_member_came(struct push *push, struct push_mail *mail);
void push_member_gone(struct push *push, struct push_thread *thread, uint64_t stream);
/* What some streams of a thread have acknowledged. */
void push_take_rows(struct push *push, const struct push_mail *mail);
/* A debug page, answered by mail. */
void push_debug(struct push *push, struct push_mail *mail);

/* --- an xDS thread ---------------------------------------------------------------------------- */

/* The streams of one class on this thread. */
struct thread_class {
    char *key;
    const struct view *view; /* NULL: not known yet */
    struct refusals *refusals;
    struct list streams;
    uint64_t
        published_us; /* when the change that made the view was taken up; 0 = not by a change */
};

struct thread_stream {
    struct list node; /* of its class */
    uint64_t stream;
    struct thread_class *class; /* NULL: it is not served yet */
    uint64_t served_us;         /* when it was first served */
    bool settled;               /* it has had a whole view once */
    struct list changed;        /* its row is to be mailed */
};

/* Mail holds it, for mail may still be under way when it is removed. */
struct push_thread {
    _Atomic uint32_t refs;
    bool removed; /* its mail is dropped: both loops stand still when this is set, or are one */
    struct push *push;
    struct loop *loop;
    struct ads_server *server;
    struct map *classes;
    struct map *streams;
    struct list changed; /* streams whose rows changed */
    struct timer mailing;
    struct push_metrics metrics;
};

void push_thread_unref(struct push_thread *thread);

void push_thread_serve(struct push_thread *thread, const struct push_mail *mail);
void push_thread_view(struct push_thread *thread, const struct push_mail *mail);
void push_thread_forget(struct push_thread *thread, struct slice key);

/* --- mail ------------------------------------------------------------------------------------- */

/* What is known of one stream. */
struct push_row {
    uint64_t stream;
    bool stale;
    int64_t connected_wall_us;
    struct push_type_status types[RESOURCE_TYPES];
};

/* One kind of envelope for everything; what is used of it depends on where it goes. It owns all that it holds. */
struct push_mail {
    struct mail mail;
    struct push *push;
    struct push_thread *thread;
    uint64_t stream;
    char *text; /* a class's key, a reason, a page */
    const struct view *view;
    enum grpc_code code;
    uint64_t at_us;
    struct arena arena; /* of the rest */
    struct ads_peer peer;
    struct push_row *rows;
    struct discovery_any *resources;
    size_t count;
};

struct push_mail *push_mail_create(struct push_thread *thread);
void push_mail_destroy(struct push_mail *mail);
void push_mail_copy_peer(struct push_mail *mail, const struct ads_peer *peer);
struct ads_peer ads_peer_copy(const struct ads_peer *peer, struct arena *arena);

/* Each takes the mail over. To the model thread: */
void push_mail_came(struct push_mail *mail);
void push_mail_gone(struct push_mail *mail);
void push_mail_rows(struct push_mail *mail);
void push_mail_debug(struct push_mail *mail);
/* To an xDS thread: */
void push_mail_serve(struct push_mail *mail);
void push_mail_refuse(struct push_mail *mail);
void push_mail_view(struct push_mail *mail);
void push_mail_forget(struct push_mail *mail);
void push_mail_page(struct push_mail *mail);
