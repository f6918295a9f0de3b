#include "proxy/upstream/limits.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"

struct cluster_limits_table {
    pthread_mutex_t lock;
    struct map *by_name;
};

struct cluster_limits_table *cluster_limits_table_create(void)
{
    struct cluster_limits_table *table = mem_new(struct cluster_limits_table);
    pthread_mutex_init(&table->lock, NULL);
    table->by_name = map_create();
    return table;
}

void cluster_limits_table_destroy(struct cluster_limits_table *table)
{
    if (!table)
        return;
    struct map_iterator each = {0};
    while (map_next(table->by_name, &each)) {
        struct limits *limits = each.value;
        pthread_mutex_destroy(&limits->lock);
        mem_free(limits);
    }
    map_destroy(table->by_name);
    pthread_mutex_destroy(&table->lock);
    mem_free(table);
}

struct limits *cluster_limits_of(struct cluster_limits_table *table, struct slice name)
{
    pthread_mutex_lock(&table->lock);
    struct limits *limits = map_get(table->by_name, name);
    if (!limits) {
        limits = mem_new(struct limits);
        pthread_mutex_init(&limits->lock, NULL);
        list_init(&limits->users);
        list_init(&limits->line);
        map_put(table->by_name, name, limits);
    }
    pthread_mutex_unlock(&table->lock);
    return limits;
}

void cluster_limits_each(struct cluster_limits_table *table,
                         void (*visit)(void *to, struct slice name, const struct limits *limits),
                         void *to)
{
    struct map_iterator each = {0};
    pthread_mutex_lock(&table->lock);
    while (map_next(table->by_name, &each))
        visit(to, each.key, each.value);
    pthread_mutex_unlock(&table->lock);
}

bool limits_take(struct limits *limits, unsigned priority, enum limit_kind kind, uint32_t most)
{
    if (LIKELY(most == CLUSTER_UNLIMITED))
        return true;
    _Atomic uint32_t *used = &limits->used[priority][kind];
    if (atomic_fetch_add_explicit(used, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(used, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&limits->overflows[kind], 1, memory_order_relaxed);
    return false;
}

void limits_give(struct limits *limits, unsigned priority, enum limit_kind kind, uint32_t most)
{
    if (UNLIKELY(most != CLUSTER_UNLIMITED))
        atomic_fetch_sub_explicit(&limits->used[priority][kind], 1, memory_order_relaxed);
}

/* --- connections ---------------------------------------------------------------------------------------------- */

struct limits_user {
    struct list joined;
    struct list in_line; /* itself when it is not */
    struct limits *limits;
    struct loop *loop;
    struct mail mail;
    bool is_told; /* the mail is on its way */
    bool has_left;
    uint32_t granted;
    void (*on_news)(void *owner);
    void *owner;
};

static _Atomic uint32_t *connections(struct limits *limits)
{
    return &limits->used[0][LIMIT_CONNECTIONS];
}

/* On the user's thread: the last that touches one which has left. */
static void deliver(struct mail *mail)
{
    struct limits_user *user = CONTAINER_OF(mail, struct limits_user, mail);
    pthread_mutex_lock(&user->limits->lock);
    user->is_told = false;
    pthread_mutex_unlock(&user->limits->lock);
    if (user->has_left)
        mem_free(user);
    else
        user->on_news(user->owner);
}

/* The loop ended before it read the mail; its worker had left before. */
static void drop(struct mail *mail)
{
    mem_free(CONTAINER_OF(mail, struct limits_user, mail));
}

/* Locked. */
static void tell(struct limits_user *user)
{
    if (user->is_told)
        return;
    user->is_told = true;
    loop_post(user->loop, &user->mail);
}

/* Locked. */
static void leave_line(struct limits_user *user)
{
    if (list_is_empty(&user->in_line))
        return;
    list_remove(&user->in_line);
    atomic_fetch_sub_explicit(&user->limits->waiting, 1, memory_order_relaxed);
}

/* Locked. */
static void grant(struct limits_user *user)
{
    leave_line(user);
    user->granted++;
    tell(user);
}

/* Locked: one that is taken goes on to whoever waits longest, or is free again. */
static void pass_on(struct limits *limits)
{
    if (list_is_empty(&limits->line))
        atomic_fetch_sub_explicit(connections(limits), 1, memory_order_relaxed);
    else
        grant(LIST_ENTRY(limits->line.next, struct limits_user, in_line));
}

/* Locked. */
static bool take(struct limits *limits, uint32_t most)
{
    if (atomic_load_explicit(connections(limits), memory_order_relaxed) >= most) {
        atomic_fetch_add_explicit(&limits->overflows[LIMIT_CONNECTIONS], 1, memory_order_relaxed);
        return false;
    }
    atomic_fetch_add_explicit(connections(limits), 1, memory_order_relaxed);
    return true;
}

struct limits_user *limits_join(struct limits *limits, struct loop *loop,
                                void (*on_news)(void *owner), void *owner)
{
    struct limits_user *user = mem_new(struct limits_user);
    *user = (struct limits_user){.limits = limits,
                                 .loop = loop,
                                 .mail = {.deliver = deliver, .drop = drop},
                                 .on_news = on_news,
                                 .owner = owner};
    list_init(&user->in_line);
    pthread_mutex_lock(&limits->lock);
    list_push_back(&limits->users, &user->joined);
    pthread_mutex_unlock(&limits->lock);
    return user;
}

void limits_leave(struct limits_user *user)
{
    if (!user)
        return;
    struct limits *limits = user->limits;
    pthread_mutex_lock(&limits->lock);
    leave_line(user);
    list_remove(&user->joined);
    for (; user->granted > 0; user->granted--)
        pass_on(limits);
    user->has_left = true;
    bool is_told = user->is_told;
    pthread_mutex_unlock(&limits->lock);
    if (!is_told)
        mem_free(user);
}

bool limits_take_connection(struct limits *limits, uint32_t most)
{
    if (LIKELY(most == CLUSTER_UNLIMITED))
        return true;
    pthread_mutex_lock(&limits->lock);
    bool is_taken = list_is_empty(&limits->line) && take(limits, most);
    pthread_mutex_unlock(&limits->lock);
    return is_taken;
}

bool limits_take_or_wait(struct limits_user *user, uint32_t most)
{
    struct limits *limits = user->limits;
    pthread_mutex_lock(&limits->lock);
    bool is_taken = list_is_empty(&limits->line) && take(limits, most);
    if (!is_taken && list_is_empty(&user->in_line)) {
        list_push_back(&limits->line, &user->in_line);
        atomic_fetch_add_explicit(&limits->waiting, 1, memory_order_relaxed);
        LIST_EACH(node, &limits->users)
        tell(LIST_ENTRY(node, struct limits_user, joined));
    }
    pthread_mutex_unlock(&limits->lock);
    return is_taken;
}

uint32_t limits_fetch(struct limits_user *user)
{
    pthread_mutex_lock(&user->limits->lock);
    uint32_t granted = user->granted;
    user->granted = 0;
    pthread_mutex_unlock(&user->limits->lock);
    return granted;
}

void limits_retry(struct limits_user *user, uint32_t most)
{
    pthread_mutex_lock(&user->limits->lock);
    if (!list_is_empty(&user->in_line) && take(user->limits, most))
        grant(user);
    pthread_mutex_unlock(&user->limits->lock);
}

void limits_give_connection(struct limits *limits, uint32_t most)
{
    if (most == CLUSTER_UNLIMITED)
        return;
    pthread_mutex_lock(&limits->lock);
    pass_on(limits);
    pthread_mutex_unlock(&limits->lock);
}
