#include "base/memory.h"
#include "control/push/push_internal.h"
#include "xds/discovery.h"

static void drop(struct mail *mail)
{
    push_mail_destroy(CONTAINER_OF(mail, struct push_mail, mail));
}

struct push_mail *push_mail_create(struct push_thread *thread)
{
    struct push_mail *mail = mem_new(struct push_mail);
    atomic_fetch_add(&thread->refs, 1);
    mail->push = thread->push;
    mail->thread = thread;
    mail->mail.drop = drop;
    arena_init(&mail->arena, NULL);
    return mail;
}

void push_mail_destroy(struct push_mail *mail)
{
    if (!mail)
        return;
    push_thread_unref(mail->thread);
    view_unref(mail->view);
    arena_fini(&mail->arena);
    mem_free(mail->text);
    mem_free(mail);
}

static const char *copy_text(struct arena *arena, const char *text)
{
    return text ? arena_copy_str(arena, text) : NULL;
}

struct ads_peer ads_peer_copy(const struct ads_peer *peer, struct arena *arena)
{
    struct ads_peer copy = *peer;
    copy.node_id = copy_text(arena, peer->node_id);
    copy.cluster = copy_text(arena, peer->cluster);
    copy.user_agent = copy_text(arena, peer->user_agent);
    copy.user_agent_version = copy_text(arena, peer->user_agent_version);
    copy.node = slice_of(arena_copy(arena, peer->node), peer->node.size);
    copy.identity = copy_text(arena, peer->identity);
    copy.token = copy_text(arena, peer->token);
    copy.address = copy_text(arena, peer->address);
    return copy;
}

void push_mail_copy_peer(struct push_mail *mail, const struct ads_peer *peer)
{
    mail->peer = ads_peer_copy(peer, &mail->arena);
}

static struct push_mail *open(struct mail *mail)
{
    return CONTAINER_OF(mail, struct push_mail, mail);
}

static void post(struct loop *loop, struct push_mail *mail, void (*deliver)(struct mail *))
{
    mail->mail.deliver = deliver;
    loop_post(loop, &mail->mail);
}

/* To the model thread. */

static void deliver_came(struct mail *mail)
{
    if (!open(mail)->thread->removed)
        push_member_came(open(mail)->push, open(mail));
    drop(mail);
}

static void deliver_gone(struct mail *mail)
{
    if (!open(mail)->thread->removed)
        push_member_gone(open(mail)->push, open(mail)->thread, open(mail)->stream);
    drop(mail);
}

static void deliver_rows(struct mail *mail)
{
    if (!open(mail)->thread->removed)
        push_take_rows(open(mail)->push, open(mail));
    drop(mail);
}

static void deliver_debug(struct mail *mail)
{
    if (open(mail)->thread->removed)
        drop(mail);
    else
        push_debug(open(mail)->push, open(mail));
}

void push_mail_came(struct push_mail *mail)
{
    post(mail->push->loop, mail, deliver_came);
}

void push_mail_gone(struct push_mail *mail)
{
    post(mail->push->loop, mail, deliver_gone);
}

void push_mail_rows(struct push_mail *mail)
{
    post(mail->push->loop, mail, deliver_rows);
}

void push_mail_debug(struct push_mail *mail)
{
    post(mail->push->loop, mail, deliver_debug);
}

/* To an xDS thread. */

static void deliver_serve(struct mail *mail)
{
    if (!open(mail)->thread->removed)
        push_thread_serve(open(mail)->thread, open(mail));
    drop(mail);
}

static void deliver_refuse(struct mail *mail)
{
    struct push_mail *m = open(mail);
    if (!m->thread->removed)
        ads_server_refuse(m->thread->server, m->stream, m->code, slice_str(m->text));
    drop(mail);
}

static void deliver_view(struct mail *mail)
{
    if (!open(mail)->thread->removed)
        push_thread_view(open(mail)->thread, open(mail));
    drop(mail);
}

static void deliver_forget(struct mail *mail)
{
    if (!open(mail)->thread->removed)
        push_thread_forget(open(mail)->thread, slice_str(open(mail)->text));
    drop(mail);
}

static void deliver_page(struct mail *mail)
{
    struct push_mail *m = open(mail);
    if (!m->thread->removed)
        ads_server_debug(m->thread->server, m->stream, slice_str(m->text), m->resources, m->count);
    drop(mail);
}

void push_mail_serve(struct push_mail *mail)
{
    post(mail->thread->loop, mail, deliver_serve);
}

void push_mail_refuse(struct push_mail *mail)
{
    post(mail->thread->loop, mail, deliver_refuse);
}

void push_mail_view(struct push_mail *mail)
{
    post(mail->thread->loop, mail, deliver_view);
}

void push_mail_forget(struct push_mail *mail)
{
    post(mail->thread->loop, mail, deliver_forget);
}

void push_mail_page(struct push_mail *mail)
{
    post(mail->thread->loop, mail, deliver_page);
}
