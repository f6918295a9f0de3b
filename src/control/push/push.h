/*
 * push: who needs what after a change, when it goes out, and what each proxy has acknowledged.
 *
 * Two kinds of thread meet here. The model thread owns a `push`: it collects notes of change in two lanes, and when a
 * lane is due asks its source for the views that changed. xDS threads own streams: each gets, by mail, counted views
 * and nothing else, and mails back who came, who went and what was acknowledged. There may be one xDS
 * thread, and it may be the model thread; the mail is the same.
 *
 *   model thread:  push_note -> lane due -> source.refresh -> push_publish(class, view) --+
 *                  source.classify <- mail: a proxy came                                  | mail: view
 *                          `-> mail: serve this proxy as of this class ->                 v
 *   xDS thread:    ads_server: the session of each stream sees the view and sends the difference
 *
 * A class is a key (text) that the source gives to a proxy: proxies with one key see one view. Until the source has
 * said that its knowledge is complete (push_set_ready), no proxy is answered.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "xds/ads_server.h"
#include "xds/view.h"

struct buffer;
struct loop;
struct push;
struct push_thread;
struct rpc_server;
struct stats_registry;

/* What a change is to proxies. */
enum push_lane {
    PUSH_CONFIG,    /* coalesced: 100 ms quiet, 10 s at most */
    PUSH_ENDPOINTS, /* the first at once, then 20 ms quiet, 100 ms at most */
    PUSH_LANES
};

/* A proxy as the source sees it, on the model thread, from classify until on_proxy_gone. */
struct push_proxy {
    const struct ads_peer *peer;
    void *state; /* the source's own */
};

/* What control/translate implements. Called on the model thread only, from the loop. */
struct push_source {
    /* The class of a proxy that has come, or whose class is asked anew. False = it is refused with `code` and `reason`
     * (filled; heap, freed here). The key is copied. */
    bool (*classify)(void *owner, struct push_proxy *proxy, struct buffer *key,
                     enum grpc_code *code, char **reason);
    void (*on_proxy_gone)(void *owner, struct push_proxy *proxy);
    /* The first proxy of this class has come: the view of it, one reference given; NULL = not known yet (push_publish
     * follows). */
    const struct view *(*build)(void *owner, struct slice key);
    /* No proxy has had this class for a minute: what is kept for it may go. */
    void (*forget)(void *owner, struct slice key);
    /* The lane is due: bring every live class up to date and push_publish those whose view changed. */
    void (*refresh)(void *owner, enum push_lane lane);
    /* May this peer see istio.io/debug/PAGE? NULL: plaintext peers may, for that listener is loopback only. */
    bool (*may_debug)(void *owner, const struct ads_peer *peer, struct slice page);
};

struct push_config {
    uint32_t config_quiet_ms, config_most_ms;     /* 0 = 100, 10,000 */
    uint32_t endpoint_quiet_ms, endpoint_most_ms; /* 0 = 20, 100 */
    uint32_t class_linger_ms;                     /* 0 = 60,000 */
    struct ads_server_limits server;
    char identifier[256]; /* control_plane.identifier */
};

/* On the model thread, with its pilot_* metrics in the registry. */
struct push *push_create(struct loop *model_loop, struct stats_registry *stats,
                         const struct push_config *config, const struct push_source *source,
                         void *owner);
/* After every thread was removed. */
void push_destroy(struct push *push);
/* Serves ADS on this rpc_server, whose loop is an xDS thread's or the model thread's own. Before either loop runs, or, when
 * it is one loop, on its thread. */
struct push_thread *push_add_thread(struct push *push, struct loop *loop,
                                    struct rpc_server *server);
/* Ends its streams so that their proxies connect elsewhere, or here later; on its thread. */
void push_drain_thread(struct push_thread *thread);
/* Ends its streams without reports. After both loops have stopped, or, when it is one loop, on its thread. */
void push_remove_thread(struct push_thread *thread);

/* Every configured source has given its first list: proxies are answered from now on. False: those that come are not
 * answered any more; who is served stays served. */
void push_set_ready(struct push *push, bool ready);

/* Something changed; kind is the label of pilot_push_triggers ("service", "config", "endpoint", "proxy"): one of a few. */
void push_note(struct push *push, enum push_lane lane, const char *kind);
/* The class's view from now on; takes a reference of its own. Ignored when no proxy has the class. */
void push_publish(struct push *push, struct slice key, const struct view *view);
/* Asks the source for the class of each proxy anew (labels of a workload changed, a Sidecar came). */
void push_reclassify(struct push *push);

/* What people see: one row a proxy, kept by the xDS threads' mail and so at most some 50 ms old. */
struct push_type_status {
    bool watched;
    bool current; /* it has everything: also when it brought that along and nothing was sent */
    uint64_t sent, acked; /* nonces; sent 0: nothing was sent; unequal: an answer is awaited */
    uint64_t generation_sent, generation_acked;
    uint64_t responses, resources, rejections;
    int64_t sent_wall_us;
    struct hash128 version_sent, version_acked;
    const char *error; /* why the last response was refused; NULL once one was accepted */
};
/* Istio's words: SYNCED, NOT SENT, STALE, ERROR; IGNORED when the type is not watched. */
const char *push_status_word(const struct push_type_status *status);
struct push_status {
    const struct ads_peer *peer;
    struct slice class_key; /* empty: none yet */
    int64_t connected_wall_us;
    bool stale;          /* it has taken or answered nothing for half a minute */
    uint64_t generation; /* of its class's newest view; 0 = none yet */
    struct push_type_status types[RESOURCE_TYPES];
};
/* On the model thread, in the order in which they came; rows are borrowed for the visit. */
void push_each(struct push *push, void (*visit)(void *to, const struct push_status *status),
               void *to);
size_t push_proxy_count(const struct push *push);
