#include "io/resolver.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "io/loop.h"
#include "io/resolver_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    NAME_MAX_BYTES = 253,
    ADDRESSES_MAX = 256, /* kept of one answer */
    BACKOFF_MAX_S = 60,
};

/* What is known, or being asked, about one name and family. */
struct entry {
    struct resolver *resolver;
    char *key; /* '4', '6' or 'a', and the name */
    enum resolve_family family;
    enum resolve_status status;
    const char *why;
    VECTOR(struct address) addresses; /* of the last good answer */
    uint64_t fresh_until_ms;
    unsigned failures; /* in a row */
    bool is_active, is_known;
    struct list lookups; /* that wait for the answer */
    struct list node;    /* in the resolver's list of names, oldest use first, or in `waiting` */
};

struct lookup {
    struct list node;    /* in its entry's lookups, or in the resolver's `answered` */
    struct entry *entry; /* NULL: `literal` is the answer, or `status` */
    struct address literal;
    enum resolve_status status;
    handle name;
    resolver_on_answer *on_answer;
    void *owner;
};

struct resolver {
    struct loop *loop;
    struct resolver_options options;
    struct dns *dns;
    struct map *entries;
    struct list idle;     /* entries that are not being asked, least recently used first */
    struct list active;   /* entries that are being asked */
    struct list waiting;  /* entries that wait for their turn to be asked */
    struct list answered; /* lookups whose answer is known */
    struct task answer;
    unsigned active_count, waiting_count;
};

/* --- answering ------------------------------------------------------------------------------- */

static unsigned left_s(const struct resolver *resolver, const struct entry *entry)
{
    uint64_t now_ms = loop_now_ms(resolver->loop);
    uint64_t left_ms = entry->fresh_until_ms > now_ms ? entry->fresh_until_ms - now_ms : 0;
    return (unsigned)((left_ms + 999) / 1000);
}

static struct resolve_answer answer_of(const struct resolver *resolver, const struct lookup *lookup)
{
    const struct entry *entry = lookup->entry;
    struct resolve_answer answer = {.status = lookup->status, .why = ""};
    if (entry) {
        answer = (struct resolve_answer){
            .status = entry->status,
            .why = entry->why,
            .addresses = entry->addresses.items,
            .count = entry->addresses.count,
            .ttl_s = MAX(left_s(resolver, entry), resolver->options.ttl_floor_s),
        };
    } else if (lookup->status == RESOLVE_OK) {
        answer.addresses = &lookup->literal;
        answer.count = 1;
        answer.ttl_s = resolver->options.ttl_ceiling_s;
    } else if (lookup->status == RESOLVE_FULL) {
        answer.why = "too many names are being resolved";
        answer.ttl_s = resolver->options.ttl_floor_s;
    } else {
        answer.why = "not a valid host name";
        answer.ttl_s = resolver->options.ttl_ceiling_s;
    }
    return answer;
}

/* Nobody can cancel it any more. */
static void lookup_forget(struct resolver *resolver, struct lookup *lookup)
{
    list_remove(&lookup->node);
    handle_drop(loop_handles(resolver->loop), lookup->name);
}

static void lookup_free(struct resolver *resolver, struct lookup *lookup)
{
    lookup_forget(resolver, lookup);
    mem_free(lookup);
}

static void evict(struct resolver *resolver);

/* One at a time: a callback may cancel others, or start new ones that are answered in the next turn. */
static void on_answer(struct task *task)
{
    struct resolver *resolver = CONTAINER_OF(task, struct resolver, answer);
    struct list now;
    list_init(&now);
    list_splice(&now, &resolver->answered);
    while (!list_is_empty(&now)) {
        struct lookup *lookup = LIST_ENTRY(now.next, struct lookup, node);
        struct resolve_answer answer = answer_of(resolver, lookup);
        lookup_forget(resolver, lookup);
        lookup->on_answer(lookup->owner, &answer);
        mem_free(lookup);
    }
    evict(resolver);
}

static void answer_later(struct resolver *resolver, struct lookup *lookup)
{
    list_push_back(&resolver->answered, &lookup->node);
    loop_run_later(resolver->loop, &resolver->answer);
}

static void answer_all(struct resolver *resolver, struct entry *entry)
{
    if (list_is_empty(&entry->lookups))
        return;
    list_splice(&resolver->answered, &entry->lookups);
    loop_run_later(resolver->loop, &resolver->answer);
}

/* --- entries --------------------------------------------------------------------------------- */

static void entry_free(struct resolver *resolver, struct entry *entry)
{
    map_remove(resolver->entries, slice_str(entry->key));
    list_remove(&entry->node);
    vector_fini(&entry->addresses);
    mem_free(entry->key);
    mem_free(entry);
}

/* Lookups that are answered but not told yet point to entries. */
static void evict(struct resolver *resolver)
{
    while (map_count(resolver->entries) > resolver->options.max_names &&
           list_is_empty(&resolver->answered) && !list_is_empty(&resolver->idle))
        entry_free(resolver, LIST_ENTRY(resolver->idle.next, struct entry, node));
}

static struct entry *entry_of(struct resolver *resolver, struct slice name,
                              enum resolve_family family)
{
    char key[NAME_MAX_BYTES + 2];
    key[0] = "a46"[family];
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        key[1 + i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    key[1 + name.size] = '\0';
    struct entry *entry = map_get(resolver->entries, slice_of(key, name.size + 1));
    if (entry)
        return entry;
    entry = mem_new(struct entry);
    entry->resolver = resolver;
    entry->family = family;
    entry->key = str_copy(key);
    entry->why = "";
    list_init(&entry->lookups);
    list_push_back(&resolver->idle, &entry->node);
    map_put(resolver->entries, slice_str(entry->key), entry);
    return entry;
}

static void move_to(struct entry *entry, struct list *list)
{
    list_remove(&entry->node);
    list_push_back(list, &entry->node);
}

/* --- asking ---------------------------------------------------------------------------------- */

static int compare_addresses(const void *a, const void *b)
{
    struct slice left = address_ip(a), right = address_ip(b);
    return left.size != right.size ? (left.size < right.size ? -1 : 1) : slice_compare(left, right);
}

/* Sorted and without doubles, so that equal answers are equal. */
static void set_addresses(struct entry *entry, const struct address *addresses, size_t count)
{
    entry->addresses.count = 0;
    for (size_t i = 0; i < MIN(count, (size_t)ADDRESSES_MAX); i++)
        vector_push(&entry->addresses, addresses[i]);
    if (entry->addresses.count == 0)
        return;
    qsort(entry->addresses.items, entry->addresses.count, sizeof(struct address),
          compare_addresses);
    size_t kept = 1;
    for (size_t i = 1; i < entry->addresses.count; i++)
        if (!address_equals_ip(&entry->addresses.items[kept - 1], &entry->addresses.items[i]))
            entry->addresses.items[kept++] = entry->addresses.items[i];
    entry->addresses.count = kept;
}

static unsigned backoff_s(const struct resolver *resolver, const struct entry *entry)
{
    unsigned shift = MIN(entry->failures - 1, 6u);
    return MIN(resolver->options.negative_ttl_s << shift, (unsigned)BACKOFF_MAX_S);
}

static void learn(struct entry *entry, const struct dns_answer *answer)
{
    struct resolver *resolver = entry->resolver;
    const struct resolver_options *options = &resolver->options;
    unsigned ttl_s;
    entry->why = answer->why;
    if (answer->status == RESOLVE_OK) {
        entry->failures = 0;
        entry->status = RESOLVE_OK;
        set_addresses(entry, answer->addresses, answer->count);
        ttl_s = MIN(answer->ttl_s, options->ttl_ceiling_s);
    } else {
        entry->failures++;
        ttl_s = backoff_s(resolver, entry);
        if (answer->status == RESOLVE_NO_NAME)
            entry->addresses.count = 0;
        entry->status = entry->addresses.count > 0 ? RESOLVE_STALE : answer->status;
    }
    ttl_s = MAX(ttl_s, options->ttl_floor_s);
    entry->is_known = true;
    entry->fresh_until_ms = loop_now_ms(resolver->loop) + (uint64_t)ttl_s * 1000;
}

static void ask_waiting(struct resolver *resolver);

static void on_dns_answer(void *owner, const struct dns_answer *answer)
{
    struct entry *entry = owner;
    struct resolver *resolver = entry->resolver;
    entry->is_active = false;
    resolver->active_count--;
    move_to(entry, &resolver->idle);
    learn(entry, answer);
    answer_all(resolver, entry);
    ask_waiting(resolver);
}

static void ask(struct resolver *resolver, struct entry *entry)
{
    static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
    entry->is_active = true;
    resolver->active_count++;
    move_to(entry, &resolver->active);
    dns_ask(resolver->dns, entry->key + 1, families[entry->family], on_dns_answer, entry);
}

static void ask_waiting(struct resolver *resolver)
{
    while (resolver->active_count < resolver->options.max_active &&
           !list_is_empty(&resolver->waiting)) {
        resolver->waiting_count--;
        ask(resolver, LIST_ENTRY(resolver->waiting.next, struct entry, node));
    }
}

/* False when the queue is full. */
static bool ask_some_time(struct resolver *resolver, struct entry *entry)
{
    if (resolver->active_count < resolver->options.max_active) {
        ask(resolver, entry);
        return true;
    }
    if (resolver->waiting_count >= resolver->options.max_waiting)
        return false;
    entry->is_active = true;
    resolver->waiting_count++;
    move_to(entry, &resolver->waiting);
    return true;
}

/* --- the face -------------------------------------------------------------------------------- */

static bool is_host_name(struct slice name)
{
    if (name.size == 0 || name.size > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if ((uint8_t)name.data[i] <= ' ' || (uint8_t)name.data[i] >= 0x7f)
            return false;
    return true;
}

static void find_answer(struct resolver *resolver, struct lookup *lookup, struct slice name,
                        enum resolve_family family)
{
    struct entry *entry = entry_of(resolver, name, family);
    if (entry->is_active) {
        lookup->entry = entry;
        list_push_back(&entry->lookups, &lookup->node);
    } else if (entry->is_known && entry->fresh_until_ms > loop_now_ms(resolver->loop)) {
        lookup->entry = entry;
        move_to(entry, &resolver->idle);
        answer_later(resolver, lookup);
    } else if (ask_some_time(resolver, entry)) {
        lookup->entry = entry;
        list_push_back(&entry->lookups, &lookup->node);
    } else {
        lookup->status = RESOLVE_FULL;
        answer_later(resolver, lookup);
    }
}

static bool fits_family(const struct address *address, enum resolve_family family)
{
    return family == RESOLVE_ANY || address_is_v4(address) == (family == RESOLVE_V4);
}

handle resolver_lookup(struct resolver *resolver, struct slice name, enum resolve_family family,
                       resolver_on_answer *callback, void *owner)
{
    struct lookup *lookup = mem_new(struct lookup);
    lookup->on_answer = callback;
    lookup->owner = owner;
    lookup->name = handle_new(loop_handles(resolver->loop), lookup);
    if (is_host_name(name) && address_parse_ip(name, 0, &lookup->literal) &&
        address_is_ip(&lookup->literal)) {
        lookup->status = fits_family(&lookup->literal, family) ? RESOLVE_OK : RESOLVE_NO_NAME;
        answer_later(resolver, lookup);
    } else if (is_host_name(name)) {
        find_answer(resolver, lookup, name, family);
    } else {
        lookup->status = RESOLVE_NO_NAME;
        answer_later(resolver, lookup);
    }
    return lookup->name;
}

void resolver_cancel(struct resolver *resolver, handle name)
{
    struct lookup *lookup = handle_get(loop_handles(resolver->loop), name);
    if (lookup)
        lookup_free(resolver, lookup);
}

static void drop_lookups(struct resolver *resolver, struct list *lookups)
{
    while (!list_is_empty(lookups))
        lookup_free(resolver, LIST_ENTRY(lookups->next, struct lookup, node));
}

static void drop_entries(struct resolver *resolver, struct list *entries)
{
    while (!list_is_empty(entries)) {
        struct entry *entry = LIST_ENTRY(entries->next, struct entry, node);
        drop_lookups(resolver, &entry->lookups);
        entry_free(resolver, entry);
    }
}

void resolver_flush(struct resolver *resolver)
{
    LIST_EACH(node, &resolver->idle)
    LIST_ENTRY(node, struct entry, node)->fresh_until_ms = 0;
}

static void set_defaults(struct resolver_options *options)
{
    const struct resolver_options usual = {
        .timeout_ms = 2000,
        .tries = 3,
        .ttl_floor_s = 1,
        .ttl_ceiling_s = 300,
        .negative_ttl_s = 1,
        .max_active = 64,
        .max_waiting = 1024,
        .max_names = 4096,
    };
#define DEFAULT(field)                                                                             \
    if (!options->field)                                                                           \
    options->field = usual.field
    DEFAULT(timeout_ms);
    DEFAULT(tries);
    DEFAULT(ttl_floor_s);
    DEFAULT(ttl_ceiling_s);
    DEFAULT(negative_ttl_s);
    DEFAULT(max_active);
    DEFAULT(max_waiting);
    DEFAULT(max_names);
#undef DEFAULT
}

int resolver_create(struct loop *loop, const struct resolver_options *options,
                    struct resolver **out)
{
    struct resolver *resolver = mem_new(struct resolver);
    resolver->loop = loop;
    resolver->options = *options;
    set_defaults(&resolver->options);
    int error = dns_create(loop, &resolver->options, &resolver->dns);
    resolver->options.servers = NULL;
    if (error) {
        mem_free(resolver);
        return error;
    }
    resolver->entries = map_create_hostile();
    list_init(&resolver->idle);
    list_init(&resolver->active);
    list_init(&resolver->waiting);
    list_init(&resolver->answered);
    task_init(&resolver->answer, on_answer);
    *out = resolver;
    return 0;
}

void resolver_destroy(struct resolver *resolver)
{
    if (!resolver)
        return;
    dns_destroy(resolver->dns);
    loop_task_cancel(&resolver->answer);
    drop_lookups(resolver, &resolver->answered);
    drop_entries(resolver, &resolver->idle);
    drop_entries(resolver, &resolver->active);
    drop_entries(resolver, &resolver->waiting);
    map_destroy(resolver->entries);
    mem_free(resolver);
}
