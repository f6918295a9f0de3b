#include "base/clock.h"
#include "base/map.h"
#include "base/memory.h"
#include "control/push/push_internal.h"
#include "stats/counter.h"
#include "stats/histogram.h"
#include "xds/refusals.h"

enum { MAILING_MS = 50 };

static struct slice key_of(const uint64_t *stream)
{
    return slice_of(stream, sizeof(*stream));
}

/* Classes. */

static void class_destroy(struct thread_class *class)
{
    view_unref(class->view);
    refusals_destroy(class->refusals);
    mem_free(class->key);
    mem_free(class);
}

static struct thread_class *find_or_make_class(struct push_thread *thread, struct slice key)
{
    struct thread_class *class = map_get(thread->classes, key);
    if (class)
        return class;
    class = mem_new(struct thread_class);
    class->key = slice_to_str(key);
    class->refusals = refusals_create();
    list_init(&class->streams);
    map_put(thread->classes, key, class);
    return class;
}

static void set_view(struct thread_class *class, const struct view *view)
{
    const struct view *old = class->view;
    class->view = view_ref(view);
    view_unref(old);
}

void push_thread_serve(struct push_thread *thread, const struct push_mail *mail)
{
    struct thread_stream *stream = map_get(thread->streams, key_of(&mail->stream));
    if (!stream)
        return; /* it has gone meanwhile */
    struct thread_class *class = find_or_make_class(thread, slice_str(mail->text));
    list_remove(&stream->node);
    list_push_back(&class->streams, &stream->node);
    stream->class = class;
    if (stream->served_us == 0)
        stream->served_us = mail->at_us;
    if (mail->view)
        set_view(class, mail->view);
    if (class->view)
        ads_server_serve(thread->server, stream->stream, class->view, class->refusals);
}

void push_thread_view(struct push_thread *thread, const struct push_mail *mail)
{
    struct thread_class *class = map_get(thread->classes, slice_str(mail->text));
    if (!class)
        return;
    set_view(class, mail->view);
    class->published_us = mail->at_us;
    LIST_EACH(node, &class->streams)
    ads_server_serve(thread->server, LIST_ENTRY(node, struct thread_stream, node)->stream,
                     class->view, class->refusals);
}

void push_thread_forget(struct push_thread *thread, struct slice key)
{
    struct thread_class *class = map_get(thread->classes, key);
    if (!class || !list_is_empty(&class->streams))
        return;
    map_remove(thread->classes, key);
    class_destroy(class);
}

/* Rows: those that changed are mailed together, a little later. */

static void make_type(struct push_type_status *row, const struct ads_session *session,
                      enum resource_type type, struct arena *arena)
{
    const struct ads_status *status = ads_session_status(session, type);
    *row = (struct push_type_status){
        .watched = status->watched,
        .current = ads_session_is_current(session, type),
        .sent = status->nonce_sent,
        .acked = status->nonce_acked,
        .generation_sent = status->generation_sent,
        .generation_acked = status->generation_acked,
        .responses = status->responses,
        .resources = status->resources,
        .rejections = status->rejections,
        .sent_wall_us = status->sent_wall_us,
        .version_sent = status->version_sent,
        .version_acked = status->version_acked,
        .error = status->error ? arena_copy_str(arena, status->error) : NULL,
    };
}

static void make_row(struct push_mail *mail, const struct ads_stream_status *status)
{
    struct push_row *row = &mail->rows[mail->count++];
    row->stream = status->stream;
    row->stale = status->stale;
    row->connected_wall_us = status->connected_wall_us;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        make_type(&row->types[i], status->session, (enum resource_type)i, &mail->arena);
}

static void mail_rows(struct timer *timer)
{
    struct push_thread *thread = CONTAINER_OF(timer, struct push_thread, mailing);
    struct push_mail *mail = push_mail_create(thread);
    size_t count = 0;
    LIST_EACH(node, &thread->changed)
    count++;
    mail->rows = arena_calloc(&mail->arena, count, sizeof(*mail->rows));
    LIST_EACH_SAFE(node, after, &thread->changed)
    {
        struct ads_stream_status status;
        struct thread_stream *stream = LIST_ENTRY(node, struct thread_stream, changed);
        list_remove(&stream->changed);
        if (ads_server_stream(thread->server, stream->stream, &status))
            make_row(mail, &status);
    }
    push_mail_rows(mail);
}

static void note_change(struct push_thread *thread, uint64_t name)
{
    struct thread_stream *stream = map_get(thread->streams, key_of(&name));
    if (!stream)
        return;
    if (list_is_empty(&stream->changed))
        list_push_back(&thread->changed, &stream->changed);
    if (!timer_is_running(&thread->mailing))
        loop_timer_start(thread->loop, &thread->mailing, MAILING_MS, mail_rows);
}

/* What the ADS server reports. */

static void on_stream(void *owner, uint64_t name, const struct ads_peer *peer)
{
    struct push_thread *thread = owner;
    struct thread_stream *stream = mem_new(struct thread_stream);
    stream->stream = name;
    list_init(&stream->node);
    list_init(&stream->changed);
    map_put(thread->streams, key_of(&name), stream);
    struct push_mail *mail = push_mail_create(thread);
    mail->stream = name;
    mail->at_us = clock_now_us();
    push_mail_copy_peer(mail, peer);
    push_mail_came(mail);
    note_change(thread, name);
}

static void on_gone(void *owner, uint64_t name, const struct ads_peer *peer)
{
    struct push_thread *thread = owner;
    (void)peer;
    struct thread_stream *stream = map_remove(thread->streams, key_of(&name));
    if (!stream)
        return;
    list_remove(&stream->node);
    list_remove(&stream->changed);
    mem_free(stream);
    struct push_mail *mail = push_mail_create(thread);
    mail->stream = name;
    push_mail_gone(mail);
}

static void on_answer(void *owner, uint64_t name, enum resource_type type, const char *reason)
{
    struct push_thread *thread = owner;
    note_change(thread, name);
    if (!reason)
        return;
    counter_increment(thread->metrics.set, thread->metrics.rejects);
    counter_increment(thread->metrics.set, thread->metrics.type_rejects[type]);
}

static void on_sent(void *owner, uint64_t name, const struct ads_sent *sent)
{
    struct push_metrics *m = &((struct push_thread *)owner)->metrics;
    note_change(owner, name);
    counter_increment(m->set, m->pushes[sent->type]);
    counter_add(m->set, m->resources, sent->resources);
    counter_add(m->set, m->bytes, sent->bytes);
    histogram_record(m->set, m->sizes[sent->type], sent->bytes);
    histogram_record(m->set, m->queue_time, sent->queued_us);
    histogram_record(m->set, m->push_time[sent->type], sent->composed_us + sent->written_us);
    histogram_record(m->set, m->send_time, sent->written_us);
}

/* For a proxy that came, from when it came; for others from when the change was taken up. */
static void on_settled(void *owner, uint64_t name, uint64_t generation)
{
    struct push_thread *thread = owner;
    struct thread_stream *stream = map_get(thread->streams, key_of(&name));
    note_change(thread, name); /* nothing may have been sent */
    if (!stream || !stream->class || generation != view_generation(stream->class->view))
        return;
    uint64_t from_us = stream->settled ? stream->class->published_us : stream->served_us;
    stream->settled = true;
    if (from_us != 0)
        histogram_record(thread->metrics.set, thread->metrics.convergence_time,
                         clock_now_us() - from_us);
}

static void on_stale(void *owner, uint64_t name, bool stale)
{
    (void)stale;
    note_change(owner, name);
}

static void on_debug(void *owner, uint64_t name, const struct ads_peer *peer, struct slice page)
{
    struct push_mail *mail = push_mail_create(owner);
    mail->stream = name;
    mail->text = slice_to_str(page);
    push_mail_copy_peer(mail, peer);
    push_mail_debug(mail);
}

static const struct ads_source source = {
    .on_stream = on_stream,
    .on_gone = on_gone,
    .on_answer = on_answer,
    .on_sent = on_sent,
    .on_settled = on_settled,
    .on_stale = on_stale,
    .on_debug = on_debug,
};

/* Life. */

void push_thread_unref(struct push_thread *thread)
{
    if (atomic_fetch_sub(&thread->refs, 1) == 1)
        mem_free(thread);
}

struct push_thread *push_add_thread(struct push *push, struct loop *loop, struct rpc_server *server)
{
    struct push_thread *thread = mem_new(struct push_thread);
    thread->refs = 1;
    thread->push = push;
    thread->loop = loop;
    thread->classes = map_create();
    thread->streams = map_create();
    list_init(&thread->changed);
    push_metrics_init(&thread->metrics, push->metrics.registry);
    thread->server = ads_server_create(loop, server, &push->config.server,
                                       slice_str(push->config.identifier), &source, thread);
    vector_push(&push->threads, thread);
    return thread;
}

static void leave_push(struct push_thread *thread)
{
    struct push *push = thread->push;
    for (size_t i = 0; i < push->threads.count; i++) {
        if (push->threads.items[i] == thread)
            vector_remove(&push->threads, i);
    }
}

void push_drain_thread(struct push_thread *thread)
{
    ads_server_drain(thread->server);
}

void push_remove_thread(struct push_thread *thread)
{
    struct map_iterator streams = {0}, classes = {0};
    leave_push(thread);
    loop_timer_stop(thread->loop, &thread->mailing);
    ads_server_destroy(thread->server);
    while (map_next(thread->streams, &streams)) {
        push_member_gone(thread->push, thread, ((struct thread_stream *)streams.value)->stream);
        mem_free(streams.value);
    }
    while (map_next(thread->classes, &classes))
        class_destroy(classes.value);
    map_destroy(thread->streams);
    map_destroy(thread->classes);
    push_metrics_fini(&thread->metrics);
    thread->removed = true;
    push_thread_unref(thread);
}
