#include "tls/context_internal.h"

#include "base/memory.h"
#include "base/random.h"
#include "tls/key_pair.h"

#include <pthread.h>

/* A key seals for 6 h and opens for 12. */
enum { PERIOD_S = 6 * 3600, GENERATIONS = 2 };

struct tls_ticket_keys {
    _Atomic uint32_t refs;
    pthread_mutex_t lock;                /* taken a few times a handshake */
    struct ticket_key keys[GENERATIONS]; /* the newest first */
    int64_t since_s;                     /* of keys[0] */
    unsigned count;
};

struct tls_ticket_keys *tls_ticket_keys_create(void)
{
    struct tls_ticket_keys *keys = mem_new(struct tls_ticket_keys);
    atomic_init(&keys->refs, 1);
    pthread_mutex_init(&keys->lock, NULL);
    return keys;
}

struct tls_ticket_keys *tls_ticket_keys_ref(struct tls_ticket_keys *keys)
{
    atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
    return keys;
}

void tls_ticket_keys_unref(struct tls_ticket_keys *keys)
{
    if (!keys || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_destroy(&keys->lock);
    mem_free_secret(keys, sizeof(*keys));
}

static void renew(struct tls_ticket_keys *keys, int64_t now_s)
{
    /* After a long pause the older key has had its time too. */
    if (keys->count > 0 && now_s - keys->since_s >= 2 * PERIOD_S)
        keys->count = 0;
    keys->keys[1] = keys->keys[0];
    random_secret(&keys->keys[0], sizeof(keys->keys[0]));
    keys->since_s = now_s;
    keys->count = MIN(keys->count + 1, (unsigned)GENERATIONS);
}

static void lock_and_renew(struct tls_ticket_keys *keys, int64_t now_s)
{
    pthread_mutex_lock(&keys->lock);
    /* A clock that was set back starts a new key as well. */
    if (keys->count == 0 || now_s - keys->since_s >= PERIOD_S || now_s < keys->since_s - PERIOD_S)
        renew(keys, now_s);
}

struct ticket_key ticket_keys_current(struct tls_ticket_keys *keys, int64_t now_s)
{
    lock_and_renew(keys, now_s);
    struct ticket_key key = keys->keys[0];
    pthread_mutex_unlock(&keys->lock);
    return key;
}

bool ticket_keys_find(struct tls_ticket_keys *keys, int64_t now_s, const uint8_t name[TICKET_NAME],
                      struct ticket_key *key)
{
    lock_and_renew(keys, now_s);
    bool found = false;
    for (unsigned i = 0; i < keys->count && !found; i++) {
        found = memcmp(keys->keys[i].name, name, TICKET_NAME) == 0;
        if (found)
            *key = keys->keys[i];
    }
    pthread_mutex_unlock(&keys->lock);
    return found;
}
