#include "control/push/push.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "control/push/push_internal.h"
#include "stats/counter.h"
#include "stats/histogram.h"

#include <stdlib.h>

static void set_defaults(struct push_config *config)
{
#define DEFAULT(field, value) config->field = config->field ? config->field : (value)
    DEFAULT(config_quiet_ms, 100);
    DEFAULT(config_most_ms, 10000);
    DEFAULT(endpoint_quiet_ms, 20);
    DEFAULT(endpoint_most_ms, 100);
    DEFAULT(class_linger_ms, 60000);
#undef DEFAULT
}

/* Mail of the model thread to every thread. */

static void tell_view(struct push *push, const char *key, const struct view *view)
{
    VECTOR_EACH(thread, &push->threads)
    {
        struct push_mail *mail = push_mail_create(*thread);
        mail->text = str_copy(key);
        mail->view = view_ref(view);
        mail->at_us = push->refresh_us ? push->refresh_us : clock_now_us();
        push_mail_view(mail);
    }
}

static void tell_forgotten(struct push *push, const char *key)
{
    VECTOR_EACH(thread, &push->threads)
    {
        struct push_mail *mail = push_mail_create(*thread);
        mail->text = str_copy(key);
        push_mail_forget(mail);
    }
}

/* Classes. */

static void class_destroy(struct push_class *class)
{
    loop_timer_stop(class->push->loop, &class->linger);
    view_unref(class->view);
    mem_free(class->key);
    mem_free(class);
}

static void on_linger(struct timer *timer)
{
    struct push_class *class = CONTAINER_OF(timer, struct push_class, linger);
    struct push *push = class->push;
    push->source->forget(push->owner, slice_str(class->key));
    tell_forgotten(push, class->key);
    map_remove(push->classes, slice_str(class->key));
    class_destroy(class);
}

static struct push_class *find_or_make_class(struct push *push, struct slice key)
{
    struct push_class *class = map_get(push->classes, key);
    if (class)
        return class;
    class = mem_new(struct push_class);
    class->push = push;
    class->key = slice_to_str(key);
    map_put(push->classes, key, class);
    const struct view *built = push->source->build(push->owner, key);
    if (built) {
        view_unref(class->view);
        class->view = built;
    }
    return class;
}

static void leave_class(struct push_member *member)
{
    struct push_class *class = member->class;
    member->class = NULL;
    if (class && --class->members == 0)
        loop_timer_start(class->push->loop, &class->linger, class->push->config.class_linger_ms,
                         on_linger);
}

static void join_class(struct push_member *member, struct push_class *class)
{
    class->members++;
    loop_timer_stop(class->push->loop, &class->linger);
    leave_class(member);
    member->class = class;
}

void push_publish(struct push *push, struct slice key, const struct view *view)
{
    struct push_class *class = map_get(push->classes, key);
    if (!class)
        return;
    const struct view *old = class->view;
    class->view = view_ref(view);
    view_unref(old);
    tell_view(push, class->key, view);
}

/* Proxies. */

struct member_key {
    struct push_thread *thread;
    uint64_t stream;
};

static struct slice key_of(const struct member_key *key)
{
    return slice_of(key, sizeof(*key));
}

static void refuse(struct push_member *member, enum grpc_code code, char *reason)
{
    log_info("push", "%s is refused: %s", member->peer.node_id,
             reason ? reason : grpc_code_name(code));
    struct push_mail *mail = push_mail_create(member->thread);
    mail->stream = member->stream;
    mail->code = code;
    mail->text = reason ? reason : str_copy("");
    leave_class(member);
    push_mail_refuse(mail);
}

static void serve(struct push_member *member)
{
    struct push_mail *mail = push_mail_create(member->thread);
    mail->stream = member->stream;
    mail->text = str_copy(member->class->key);
    mail->view = member->class->view ? view_ref(member->class->view) : NULL;
    mail->at_us = member->came_us;
    push_mail_serve(mail);
}

/* Gives the proxy its class, or a new one; it is told only when that changed. */
static void place(struct push *push, struct push_member *member)
{
    struct buffer key = {0};
    enum grpc_code code = GRPC_UNKNOWN;
    char *reason = NULL;
    if (push->source->classify(push->owner, &member->proxy, &key, &code, &reason)) {
        struct push_class *class = find_or_make_class(push, buffer_slice(&key));
        if (class != member->class) {
            join_class(member, class);
            serve(member);
        }
    } else {
        refuse(member, code, reason);
    }
    buffer_fini(&key);
}

void push_member_came(struct push *push, struct push_mail *mail)
{
    struct push_member *member = mem_new(struct push_member);
    struct member_key key = {mail->thread, mail->stream};
    arena_init(&member->strings, NULL);
    member->peer = ads_peer_copy(&mail->peer, &member->strings);
    member->proxy.peer = &member->peer;
    member->thread = mail->thread;
    member->stream = mail->stream;
    member->came_us = mail->at_us;
    map_put(push->members, key_of(&key), member);
    list_push_back(&push->member_list, &member->node);
    gauge_set(push->metrics.set, push->metrics.proxies, (int64_t)map_count(push->members));
    if (push->ready)
        place(push, member);
}

static void forget_errors(struct push_member *member)
{
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        mem_free((char *)member->status.types[i].error);
}

static void member_destroy(struct push *push, struct push_member *member)
{
    push->source->on_proxy_gone(push->owner, &member->proxy);
    leave_class(member);
    list_remove(&member->node);
    forget_errors(member);
    arena_fini(&member->strings);
    mem_free(member);
}

void push_member_gone(struct push *push, struct push_thread *thread, uint64_t stream)
{
    struct member_key key = {thread, stream};
    struct push_member *member = map_remove(push->members, key_of(&key));
    if (member)
        member_destroy(push, member);
    gauge_set(push->metrics.set, push->metrics.proxies, (int64_t)map_count(push->members));
}

void push_take_rows(struct push *push, const struct push_mail *mail)
{
    for (size_t i = 0; i < mail->count; i++) {
        const struct push_row *row = &mail->rows[i];
        struct member_key key = {mail->thread, row->stream};
        struct push_member *member = map_get(push->members, key_of(&key));
        if (!member)
            continue;
        forget_errors(member);
        member->status.stale = row->stale;
        member->status.connected_wall_us = row->connected_wall_us;
        memcpy(member->status.types, row->types, sizeof(row->types));
        for (unsigned t = 0; t < RESOURCE_TYPES; t++) {
            const char *error = row->types[t].error;
            member->status.types[t].error = error ? str_copy(error) : NULL;
        }
    }
}

const char *push_status_word(const struct push_type_status *status)
{
    if (!status->watched)
        return "IGNORED";
    if (status->error)
        return "ERROR";
    if (status->sent == 0 && !status->current)
        return "NOT SENT";
    return status->sent == status->acked ? "SYNCED" : "STALE";
}

void push_each(struct push *push, void (*visit)(void *to, const struct push_status *status),
               void *to)
{
    LIST_EACH(node, &push->member_list)
    {
        struct push_member *member = LIST_ENTRY(node, struct push_member, node);
        const struct push_class *class = member->class;
        member->status.peer = &member->peer;
        member->status.class_key = class ? slice_str(class->key) : SLICE_NONE;
        member->status.generation = class ? view_generation(class->view) : 0;
        visit(to, &member->status);
    }
}

size_t push_proxy_count(const struct push *push)
{
    return map_count(push->members);
}

void push_reclassify(struct push *push)
{
    if (!push->ready)
        return;
    LIST_EACH_SAFE(node, after, &push->member_list)
    place(push, LIST_ENTRY(node, struct push_member, node));
}

void push_set_ready(struct push *push, bool ready)
{
    if (push->ready == ready)
        return;
    push->ready = ready;
    push_reclassify(push);
    loop_run_later(push->loop, &push->refresh);
}

/* Lanes. */

static void refresh_lane(struct push *push, enum push_lane lane, uint64_t now_ms)
{
    uint64_t waited_ms = lane_take(&push->lanes[lane], now_ms);
    histogram_record(push->metrics.set, push->metrics.debounce_time, waited_ms * 1000);
    push->refresh_us = clock_now_us();
    push->source->refresh(push->owner, lane);
    push->refresh_us = 0;
}

static void on_due(struct timer *timer)
{
    struct push *push = CONTAINER_OF(timer, struct push, due);
    loop_run_later(push->loop, &push->refresh);
}

/* Takes what is due and sets the timer for what is not. */
static void refresh(struct task *task)
{
    struct push *push = CONTAINER_OF(task, struct push, refresh);
    uint64_t now_ms = loop_now_ms(push->loop), next_ms = UINT64_MAX;
    if (!push->ready)
        return;
    for (unsigned i = 0; i < PUSH_LANES; i++) {
        if (lane_due_ms(&push->lanes[i]) <= now_ms)
            refresh_lane(push, (enum push_lane)i, now_ms);
    }
    for (unsigned i = 0; i < PUSH_LANES; i++)
        next_ms = MIN(next_ms, lane_due_ms(&push->lanes[i]));
    if (next_ms != UINT64_MAX)
        loop_timer_start(push->loop, &push->due, next_ms > now_ms ? next_ms - now_ms : 0, on_due);
}

void push_note(struct push *push, enum push_lane lane, const char *kind)
{
    push_metrics_trigger(&push->metrics, kind);
    lane_note(&push->lanes[lane], loop_now_ms(push->loop));
    loop_run_later(push->loop, &push->refresh);
}

/* Life. */

struct push *push_create(struct loop *model_loop, struct stats_registry *stats,
                         const struct push_config *config, const struct push_source *source,
                         void *owner)
{
    struct push *push = mem_new(struct push);
    push->loop = model_loop;
    push->config = *config;
    set_defaults(&push->config);
    push->source = source;
    push->owner = owner;
    push->classes = map_create();
    push->members = map_create();
    list_init(&push->member_list);
    lane_init(&push->lanes[PUSH_CONFIG], push->config.config_quiet_ms, push->config.config_most_ms,
              false);
    lane_init(&push->lanes[PUSH_ENDPOINTS], push->config.endpoint_quiet_ms,
              push->config.endpoint_most_ms, true);
    task_init(&push->refresh, refresh);
    push_metrics_init(&push->metrics, stats);
    return push;
}

void push_destroy(struct push *push)
{
    if (!push)
        return;
    loop_timer_stop(push->loop, &push->due);
    loop_task_cancel(&push->refresh);
    LIST_EACH_SAFE(node, after, &push->member_list)
    member_destroy(push, LIST_ENTRY(node, struct push_member, node));
    map_destroy(push->members);
    struct map_iterator it = {0};
    while (map_next(push->classes, &it))
        class_destroy(it.value);
    map_destroy(push->classes);
    vector_fini(&push->threads);
    push_metrics_fini(&push->metrics);
    mem_free(push);
}
