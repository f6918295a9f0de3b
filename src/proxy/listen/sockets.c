#include "proxy/listen/sockets.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/vector.h"
#include "build/listener.h"
#include "io/interfaces.h"
#include "io/listener.h"
#include "io/sockmap.h"
#include "net/dialer.h"
#include "proxy/listen/arrival.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/udp/udp_listener.h"
#include "proxy/worker.h"

#include <errno.h>
#include <string.h>

/* An address that is listened on. */
struct socket_entry {
    char *key;               /* address and options that cannot change in place */
    struct name listener;    /* owned text: whose it is now */
    char *network_namespace; /* file of the one it is in; NULL: our own */
    struct listen_group *group;
    unsigned bound; /* workers that have not let go yet */
    bool is_udp;
    struct packet_socket_options packets; /* UDP; the key has what cannot change in place */
    bool is_wanted;                       /* seen in the snapshot under way */
    bool is_leaving;
};

struct sockets {
    struct loop *loop;
    struct worker **workers;
    unsigned worker_count;
    struct map *entries; /* by key */
    struct buffer problem;
    VECTOR(struct dialer_own) own;
    bool is_draining;
};

/* A worker's acceptor or UDP listener on one address. */
struct binding {
    struct worker *worker;
    char *key;            /* as its entry's */
    struct name listener; /* owned text */
    struct acceptor *acceptor;
    struct udp_listener *udp;
    struct bind_mail *leaving; /* UDP: to be answered when its last session has gone */
};

/* --- mail between main and the workers ------------------------------------------------------------------------ */

struct bind_mail {
    struct mail mail;
    struct sockets *sockets;
    struct socket_entry *entry;
    struct worker *worker;
    struct name listener; /* owned text; not set: let go */
    char *key;
    char *network_namespace; /* NULL: our own */
    int fd;
    bool is_udp;
    bool drains; /* let go: when sessions have ended by themselves */
    struct address bound;
    struct packet_socket_options packets; /* UDP */
    struct task linger;
};

static struct name name_copy(const struct name *name)
{
    return (struct name){slice_of(slice_to_str(name->text), name->text.size), name->hash};
}

static void name_free(struct name *name)
{
    mem_free((void *)(uintptr_t)name->text.data);
    *name = (struct name){.hash = 0};
}

static void bind_mail_free(struct bind_mail *mail)
{
    name_free(&mail->listener);
    mem_free(mail->network_namespace);
    mem_free(mail->key);
    mem_free(mail);
}

static void entry_free(struct socket_entry *entry)
{
    listen_group_destroy(entry->group);
    name_free(&entry->listener);
    mem_free(entry->network_namespace);
    mem_free(entry->key);
    mem_free(entry);
}

/* Main thread: a worker has let go. */
static void on_left(struct mail *mail)
{
    struct bind_mail *left = CONTAINER_OF(mail, struct bind_mail, mail);
    struct socket_entry *entry = left->entry;
    if (--entry->bound == 0 && entry->is_leaving)
        entry_free(entry);
    bind_mail_free(left);
}

static void drop_mail(struct mail *mail)
{
    bind_mail_free(CONTAINER_OF(mail, struct bind_mail, mail));
}

static void post_left(struct bind_mail *mail)
{
    mail->mail.deliver = on_left;
    mail->mail.drop = drop_mail;
    loop_post(mail->sockets->loop, &mail->mail);
}

static void binding_free(struct binding *binding)
{
    acceptor_destroy(binding->acceptor);
    udp_listener_destroy(binding->udp);
    if (binding->leaving)
        post_left(binding->leaving);
    name_free(&binding->listener);
    mem_free(binding->key);
    mem_free(binding);
}

static bool address_of(const struct endpoint_address *from, struct address *to)
{
    char text[ENDPOINT_TEXT];
    size_t size = endpoint_address_format(from, text);
    return from->kind != ENDPOINT_HOST && address_parse(slice_of(text, size), to);
}

static char *entry_key(const struct listener *listener, const struct endpoint_address *at)
{
    char text[ENDPOINT_TEXT];
    struct buffer key = {0};
    if (listener->udp)
        buffer_append_str(&key, listener->udp_socket.gro ? "udp joined " : "udp ");
    buffer_append(&key, text, endpoint_address_format(at, text));
    if (listener->transparent)
        buffer_append_str(&key, " transparent");
    if (at->network_namespace.size)
        buffer_format(&key, " in %.*s", SLICE_ARG(at->network_namespace));
    return buffer_take(&key);
}

struct heir_search {
    const char *key;
    const struct resource *found;
};

static void find_heir(void *to, const struct resource *resource)
{
    struct heir_search *search = to;
    const struct listener *listener = resource->listener;
    for (uint32_t i = 0; listener->binds && i < listener->address_count; i++) {
        owned_str key = entry_key(listener, &listener->addresses[i]);
        if (strcmp(key, search->key) == 0)
            search->found = resource;
    }
}

static const struct resource *heir_of(const struct snapshot *snapshot, const char *key)
{
    struct heir_search search = {.key = key};
    name_tree_each(snapshot->trees[KIND_LISTENER], find_heir, &search);
    return search.found;
}

const struct resource *sockets_heir(const struct snapshot *snapshot, const struct listener *gone)
{
    const struct resource *heir = NULL;
    for (uint32_t i = 0; gone->binds && !heir && i < gone->address_count; i++) {
        owned_str key = entry_key(gone, &gone->addresses[i]);
        heir = heir_of(snapshot, key);
    }
    return heir;
}

/*
 * The snapshot may be newer than main's word on whose the socket is now: then whoever has the address in the snapshot
 * serves. Few connections come in between.
 */
static const struct name *listener_of(const struct binding *binding)
{
    const struct snapshot *snapshot = worker_snapshot(binding->worker);
    if (LIKELY(snapshot_find(snapshot, KIND_LISTENER, &binding->listener)))
        return &binding->listener;
    const struct resource *heir = heir_of(snapshot, binding->key);
    return heir ? &heir->listener->name : &binding->listener;
}

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct binding *binding = owner;
    arrival_begin(binding->worker, listener_of(binding), fd, peer);
}

static void on_udp_drained(void *owner)
{
    struct binding *binding = owner;
    map_remove(binding->worker->acceptors, slice_str(binding->key));
    binding_free(binding);
}

static void let_go(struct bind_mail *mail)
{
    struct binding *binding = map_get(mail->worker->acceptors, slice_str(mail->key));
    if (binding && binding->udp && mail->drains) {
        binding->leaving = mail;
        udp_listener_drain(binding->udp, on_udp_drained);
        return;
    }
    map_remove(mail->worker->acceptors, slice_str(mail->key));
    if (binding)
        binding_free(binding);
    post_left(mail);
}

/* A turn later the queue has been emptied once more after the group stopped answering. */
static void on_lingered(struct task *task)
{
    let_go(CONTAINER_OF(task, struct bind_mail, linger));
}

/* What is local where we listen is local to our dialer. */
static void learn_namespace(const struct bind_mail *bind)
{
    if (!bind->network_namespace)
        return;
    int failure = interfaces_add_namespace(bind->worker->interfaces, bind->network_namespace);
    if (failure)
        log_error("listen", "worker %u cannot read the addresses of %s: %s", bind->worker->index,
                  bind->network_namespace, strerror(-failure));
}

static const struct resource *listener_now(void *owner)
{
    struct binding *binding = owner;
    return snapshot_find(worker_snapshot(binding->worker), KIND_LISTENER, listener_of(binding));
}

/* Acceptor or UDP listener, whichever the address is for. */
static int begin(struct binding *binding, const struct bind_mail *bind)
{
    struct worker *worker = binding->worker;
    if (!bind->is_udp)
        return acceptor_create(worker->loop, bind->fd, on_accept, binding, &binding->acceptor);
    return udp_listener_create(worker, bind->fd, &bind->bound, &bind->packets, listener_now,
                               binding, &binding->udp);
}

/* Worker's thread. */
static void on_bind(struct mail *mail)
{
    struct bind_mail *bind = CONTAINER_OF(mail, struct bind_mail, mail);
    struct worker *worker = bind->worker;
    if (!name_is_set(&bind->listener)) {
        task_init(&bind->linger, on_lingered);
        loop_run_next_turn(worker->loop, &bind->linger);
        return;
    }
    struct binding *binding = map_get(worker->acceptors, slice_str(bind->key));
    if (!binding) {
        learn_namespace(bind);
        binding = mem_new(struct binding);
        binding->worker = worker;
        binding->key = str_copy(bind->key);
        binding->listener = name_copy(&bind->listener);
        int failure = begin(binding, bind);
        if (failure) {
            log_error("listen", "worker %u cannot accept on %s: %s", worker->index, bind->key,
                      strerror(-failure));
            binding_free(binding);
            bind_mail_free(bind);
            return;
        }
        map_put(worker->acceptors, slice_str(bind->key), binding);
    }
    name_free(&binding->listener);
    binding->listener = name_copy(&bind->listener);
    bind_mail_free(bind);
}

static void post_all(struct sockets *sockets, struct socket_entry *entry, bool binds)
{
    for (unsigned i = 0; i < sockets->worker_count; i++) {
        struct bind_mail *mail = mem_new(struct bind_mail);
        mail->mail.deliver = on_bind;
        mail->mail.drop = drop_mail;
        mail->sockets = sockets;
        mail->entry = entry;
        mail->worker = sockets->workers[i];
        mail->key = str_copy(entry->key);
        if (entry->network_namespace)
            mail->network_namespace = str_copy(entry->network_namespace);
        mail->fd = listen_group_fd(entry->group, i % listen_group_count(entry->group));
        mail->is_udp = entry->is_udp;
        mail->drains = sockets->is_draining;
        mail->bound = listen_group_address(entry->group);
        mail->packets = entry->packets;
        if (binds)
            mail->listener = name_copy(&entry->listener);
        loop_post(sockets->workers[i]->loop, &mail->mail);
    }
}

/* --- following the configuration ------------------------------------------------------------------------------ */

/* Applications of this host that connect here take the short cut. */
static void claim(const struct sockets *sockets, const struct socket_entry *entry)
{
    struct sockmap *sockmap = sockets->workers[0]->shared->sockmap;
    struct address bound = listen_group_address(entry->group);
    if (!sockmap || entry->is_udp || !address_is_ip(&bound))
        return;
    int failure = sockmap_serve(sockmap, listen_group_fd(entry->group, 0));
    for (unsigned i = 0; !failure && i < listen_group_count(entry->group); i++)
        failure = sockmap_claim(sockmap, listen_group_fd(entry->group, i));
    if (failure)
        log_warning("listen", "connections to %s take no short cut: %s", entry->key,
                    strerror(-failure));
}

static bool make_group(struct sockets *sockets, const struct listener *listener,
                       const struct endpoint_address *at, struct socket_entry *entry)
{
    struct listen_options options = {
        .count = sockets->worker_count,
        .backlog = (int)listener->backlog,
        .is_transparent = listener->transparent,
        .is_free_bind = listener->freebind,
        .is_v6_only = !at->takes_v4,
        .unix_mode = listener->pipe_mode,
        .is_datagram = listener->udp != NULL,
        .network_namespace = at->network_namespace.size ? at->network_namespace.data : NULL};
    int failure = -EINVAL;
    if (address_of(at, &options.address))
        failure = listen_group_create(&options, &entry->group);
    if (!failure) {
        claim(sockets, entry);
        return true;
    }
    buffer_format(&sockets->problem, "%slistener %.*s cannot listen on %s: %s",
                  sockets->problem.size ? "; " : "", SLICE_ARG(listener->name.text), entry->key,
                  strerror(-failure));
    log_error("listen", "listener %.*s cannot listen on %s: %s", SLICE_ARG(listener->name.text),
              entry->key, strerror(-failure));
    return false;
}

static void follow_address(struct sockets *sockets, const struct listener *listener,
                           const struct endpoint_address *at)
{
    owned_str key = entry_key(listener, at);
    struct socket_entry *entry = map_get(sockets->entries, slice_str(key));
    if (entry) {
        entry->is_wanted = true;
        if (name_equals(&entry->listener, &listener->name))
            return;
        name_free(&entry->listener);
        entry->listener = name_copy(&listener->name);
        post_all(sockets, entry, true);
        return;
    }
    entry = mem_new(struct socket_entry);
    entry->key = give(key);
    entry->is_udp = listener->udp != NULL;
    entry->packets =
        (struct packet_socket_options){.datagram_max = listener->udp_socket.datagram_max,
                                       .gro = listener->udp_socket.gro,
                                       .is_transparent = listener->transparent};
    if (!make_group(sockets, listener, at, entry)) {
        entry_free(entry);
        return;
    }
    entry->listener = name_copy(&listener->name);
    if (at->network_namespace.size)
        entry->network_namespace = slice_to_str(at->network_namespace);
    entry->is_wanted = true;
    entry->bound = sockets->worker_count;
    map_put(sockets->entries, slice_str(entry->key), entry);
    log_info("listen", "listening on %s for %.*s", entry->key, SLICE_ARG(listener->name.text));
    post_all(sockets, entry, true);
}

static void follow_listener(void *to, const struct resource *resource)
{
    const struct listener *listener = resource->listener;
    for (uint32_t i = 0; listener->binds && i < listener->address_count; i++)
        follow_address(to, listener, &listener->addresses[i]);
}

static void leave(struct sockets *sockets, struct socket_entry *entry)
{
    map_remove(sockets->entries, slice_str(entry->key));
    log_info("listen", "no longer listening on %s", entry->key);
    entry->is_leaving = true;
    listen_group_drain(entry->group);
    post_all(sockets, entry, false);
}

struct own_mail {
    struct mail mail;
    struct worker *worker;
    size_t count;
    struct dialer_own own[];
};

static void on_own(struct mail *mail)
{
    struct own_mail *own = CONTAINER_OF(mail, struct own_mail, mail);
    dialer_set_own(own->worker->dialer, own->own, own->count);
    mem_free(own);
}

static void drop_own(struct mail *mail)
{
    mem_free(CONTAINER_OF(mail, struct own_mail, mail));
}

/* The dialers must know what is ours before anyone can dial it. */
static void tell_own(struct sockets *sockets)
{
    struct map_iterator each = {0};
    sockets->own.count = 0;
    while (map_next(sockets->entries, &each)) {
        const struct socket_entry *entry = each.value;
        struct address address = listen_group_address(entry->group);
        if (address_port(&address))
            vector_push(&sockets->own, {address, entry->network_namespace != NULL, entry->is_udp});
    }
    for (unsigned i = 0; i < sockets->worker_count; i++) {
        size_t bytes = sockets->own.count * sizeof(struct dialer_own);
        struct own_mail *mail = mem_calloc(1, sizeof(*mail) + bytes);
        mail->mail.deliver = on_own;
        mail->mail.drop = drop_own;
        mail->worker = sockets->workers[i];
        mail->count = sockets->own.count;
        if (bytes)
            memcpy(mail->own, sockets->own.items, bytes);
        loop_post(sockets->workers[i]->loop, &mail->mail);
    }
}

void sockets_follow(struct sockets *sockets, const struct snapshot *snapshot)
{
    VECTOR(struct socket_entry *) gone = {0};
    struct map_iterator each = {0};
    buffer_reset(&sockets->problem);
    while (map_next(sockets->entries, &each))
        ((struct socket_entry *)each.value)->is_wanted = false;
    name_tree_each(snapshot->trees[KIND_LISTENER], follow_listener, sockets);
    each = (struct map_iterator){0};
    while (map_next(sockets->entries, &each))
        if (!((struct socket_entry *)each.value)->is_wanted)
            vector_push(&gone, each.value);
    VECTOR_EACH(entry, &gone)
    leave(sockets, *entry);
    vector_fini(&gone);
    tell_own(sockets);
}

void sockets_drain(struct sockets *sockets)
{
    VECTOR(struct socket_entry *) all = {0};
    struct map_iterator each = {0};
    sockets->is_draining = true;
    while (map_next(sockets->entries, &each))
        vector_push(&all, each.value);
    VECTOR_EACH(entry, &all)
    leave(sockets, *entry);
    vector_fini(&all);
}

const char *sockets_problem(const struct sockets *sockets)
{
    return sockets->problem.size ? sockets->problem.data : NULL;
}

struct sockets *sockets_create(struct loop *main_loop, struct worker **workers,
                               unsigned worker_count)
{
    struct sockets *sockets = mem_new(struct sockets);
    sockets->loop = main_loop;
    sockets->workers = workers;
    sockets->worker_count = worker_count;
    sockets->entries = map_create();
    return sockets;
}

void sockets_destroy(struct sockets *sockets)
{
    struct map_iterator each = {0};
    if (!sockets)
        return;
    while (map_next(sockets->entries, &each))
        entry_free(each.value);
    map_destroy(sockets->entries);
    vector_fini(&sockets->own);
    buffer_fini(&sockets->problem);
    mem_free(sockets);
}

void acceptors_close(struct worker *worker)
{
    struct map_iterator each = {0};
    while (map_next(worker->acceptors, &each))
        binding_free(each.value);
    map_clear(worker->acceptors);
}

void acceptors_drain(struct worker *worker)
{
    struct map_iterator each = {0};
    while (map_next(worker->acceptors, &each)) {
        struct binding *binding = each.value;
        if (binding->udp)
            continue;
        map_remove(worker->acceptors, each.key);
        binding_free(binding);
    }
}
