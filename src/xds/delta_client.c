#include "xds/delta_client.h"

#include "base/buffer.h"
#include "base/map.h"
#include "base/memory.h"

#include <stdlib.h>

const struct delta_client_limits delta_client_default_limits = {
    .max_resources = 1000000,
    .max_error = 4096,
};

/* What is known of one name: wanted by name, held in a version, or both. */
struct item {
    bool wanted;
    char *version; /* NULL = not held */
};

typedef VECTOR(char *) string_list;

struct interest {
    bool all;
    bool begun;                         /* the first request of this stream has left */
    bool star_due;                      /* "*" is to be asked for, after the first request */
    struct map *items;                  /* by name */
    string_list subscribe, unsubscribe; /* since the last request; empty until the first has left */
};

struct answer {
    enum resource_type type;
    char *type_url, *nonce, *error;
};

struct delta_refusals {
    VECTOR(struct refused {
        size_t index;
        char *reason;
    })
    list;
};

struct delta_client {
    struct delta_client_limits limits;
    bool up;
    size_t held;
    struct interest interests[RESOURCE_TYPES];
    VECTOR(struct answer) answers; /* oldest first */
    /* What delta_client_next lent out. */
    struct delta_client_request request;
    string_list lent;
    /* What delta_client_read lent out. */
    VECTOR(const struct delta_resource *) added;
    VECTOR(struct slice) removed;
    struct delta_refusals refusals;
    char *update_nonce;
};

struct delta_client *delta_client_create(const struct delta_client_limits *limits)
{
    struct delta_client *client = mem_new(struct delta_client);
    client->limits = *limits;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        client->interests[i].items = map_create();
    return client;
}

static void clear_strings(string_list *list)
{
    VECTOR_EACH(string, list)
    mem_free(*string);
    list->count = 0;
}

static void answer_fini(struct answer *answer)
{
    mem_free(answer->type_url);
    mem_free(answer->nonce);
    mem_free(answer->error);
}

static void clear_answers(struct delta_client *client)
{
    VECTOR_EACH(answer, &client->answers)
    answer_fini(answer);
    client->answers.count = 0;
}

static void clear_refusals(struct delta_refusals *refusals)
{
    VECTOR_EACH(refused, &refusals->list)
    mem_free(refused->reason);
    refusals->list.count = 0;
}

static void item_destroy(struct item *item)
{
    mem_free(item->version);
    mem_free(item);
}

static void interest_fini(struct interest *interest)
{
    struct map_iterator it = {0};
    while (map_next(interest->items, &it))
        item_destroy(it.value);
    map_destroy(interest->items);
    clear_strings(&interest->subscribe);
    clear_strings(&interest->unsubscribe);
    vector_fini(&interest->subscribe);
    vector_fini(&interest->unsubscribe);
}

void delta_client_destroy(struct delta_client *client)
{
    if (!client)
        return;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        interest_fini(&client->interests[i]);
    clear_answers(client);
    vector_fini(&client->answers);
    clear_strings(&client->lent);
    vector_fini(&client->lent);
    vector_fini(&client->request.subscribe);
    vector_fini(&client->request.unsubscribe);
    vector_fini(&client->request.held);
    vector_fini(&client->added);
    vector_fini(&client->removed);
    clear_refusals(&client->refusals);
    vector_fini(&client->refusals.list);
    mem_free(client->update_nonce);
    mem_free(client);
}

/* Wishes. */

static struct item *item_of(struct interest *interest, struct slice name)
{
    struct item *item = map_get(interest->items, name);
    if (!item) {
        item = mem_new(struct item);
        map_put(interest->items, name, item);
    }
    return item;
}

static void set_version(struct delta_client *client, struct item *item, struct slice version)
{
    client->held += !item->version;
    mem_free(item->version);
    item->version = slice_to_str(version);
}

static void clear_version(struct delta_client *client, struct item *item)
{
    client->held -= item->version != NULL;
    mem_free(item->version);
    item->version = NULL;
}

static void drop_if_idle(struct interest *interest, struct slice name, struct item *item)
{
    if (item->wanted || item->version)
        return;
    map_remove(interest->items, name);
    item_destroy(item);
}

void delta_client_watch_all(struct delta_client *client, enum resource_type type)
{
    struct interest *interest = &client->interests[type];
    if (interest->all)
        return;
    interest->all = true;
    interest->star_due = interest->begun;
}

void delta_client_subscribe(struct delta_client *client, enum resource_type type, struct slice name)
{
    struct interest *interest = &client->interests[type];
    struct item *item = item_of(interest, name);
    if (item->wanted)
        return;
    item->wanted = true;
    if (interest->begun)
        vector_push(&interest->subscribe, slice_to_str(name));
}

/* A wish that has not left yet is taken back. */
static bool take_back(string_list *list, struct slice name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!slice_equals_str(name, list->items[i]))
            continue;
        mem_free(list->items[i]);
        vector_remove(list, i);
        return true;
    }
    return false;
}

void delta_client_unsubscribe(struct delta_client *client, enum resource_type type,
                              struct slice name)
{
    struct interest *interest = &client->interests[type];
    struct item *item = map_get(interest->items, name);
    if (!item || !item->wanted)
        return;
    if (interest->begun && !take_back(&interest->subscribe, name))
        vector_push(&interest->unsubscribe, slice_to_str(name));
    item->wanted = false;
    if (!interest->all)
        clear_version(client, item);
    drop_if_idle(interest, name, item);
}

void delta_client_hold(struct delta_client *client, enum resource_type type, struct slice name,
                       struct slice version)
{
    set_version(client, item_of(&client->interests[type], name), version);
}

struct slice delta_client_version(const struct delta_client *client, enum resource_type type,
                                  struct slice name)
{
    const struct item *item = map_get(client->interests[type].items, name);
    return item ? slice_str(item->version) : SLICE_NONE;
}

size_t delta_client_count(const struct delta_client *client, enum resource_type type)
{
    size_t count = 0;
    struct map_iterator it = {0};
    while (map_next(client->interests[type].items, &it))
        count += ((struct item *)it.value)->version != NULL;
    return count;
}

/* Streams. */

void delta_client_begin(struct delta_client *client)
{
    delta_client_end(client);
    client->up = true;
}

void delta_client_end(struct delta_client *client)
{
    client->up = false;
    clear_answers(client);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        struct interest *interest = &client->interests[i];
        interest->begun = interest->star_due = false;
        clear_strings(&interest->subscribe);
        clear_strings(&interest->unsubscribe);
    }
}

static struct delta_client_request *fresh_request(struct delta_client *client,
                                                  enum resource_type type)
{
    struct delta_client_request *request = &client->request;
    clear_strings(&client->lent);
    request->subscribe.count = request->unsubscribe.count = request->held.count = 0;
    request->type = type;
    request->type_url = type < RESOURCE_TYPES ? resource_type_url(type) : NULL;
    request->nonce = request->error = SLICE_NONE;
    return request;
}

static char *lend(struct delta_client *client, char *string)
{
    vector_push(&client->lent, string);
    return string;
}

static int compare_slices(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static int compare_held(const void *a, const void *b)
{
    return slice_compare(((const struct name_version *)a)->name,
                         ((const struct name_version *)b)->name);
}

/* Everything that is wanted, and what is held of it. */
static void first_request(struct delta_client *client, enum resource_type type)
{
    struct interest *interest = &client->interests[type];
    struct delta_client_request *request = fresh_request(client, type);
    struct map_iterator it = {0};
    while (map_next(interest->items, &it)) {
        const struct item *item = it.value;
        if (item->wanted)
            vector_push(&request->subscribe, it.key);
        if (item->version)
            vector_push(&request->held, {it.key, slice_str(item->version)});
    }
    if (interest->all && request->subscribe.count > 0)
        vector_push(&request->subscribe, SLICE("*"));
    if (request->subscribe.count > 0)
        qsort(request->subscribe.items, request->subscribe.count, sizeof(struct slice),
              compare_slices);
    if (request->held.count > 0)
        qsort(request->held.items, request->held.count, sizeof(struct name_version), compare_held);
    interest->begun = true;
    interest->star_due = false;
}

static bool wants_anything(const struct interest *interest)
{
    if (interest->all)
        return true;
    struct map_iterator it = {0};
    while (map_next(interest->items, &it)) {
        if (((struct item *)it.value)->wanted)
            return true;
    }
    return false;
}

/* Names given up go alone and first: some servers read the two lists of one request in another order than we mean. */
static void next_change(struct delta_client *client, enum resource_type type)
{
    struct interest *interest = &client->interests[type];
    struct delta_client_request *request = fresh_request(client, type);
    if (interest->unsubscribe.count > 0) {
        VECTOR_EACH(name, &interest->unsubscribe)
        vector_push(&request->unsubscribe, slice_str(lend(client, *name)));
        interest->unsubscribe.count = 0;
        return;
    }
    VECTOR_EACH(name, &interest->subscribe)
    vector_push(&request->subscribe, slice_str(lend(client, *name)));
    interest->subscribe.count = 0;
    if (interest->star_due)
        vector_push(&request->subscribe, SLICE("*"));
    interest->star_due = false;
}

static void next_answer(struct delta_client *client)
{
    struct answer answer = client->answers.items[0];
    vector_remove(&client->answers, 0);
    struct delta_client_request *request = fresh_request(client, answer.type);
    request->type_url = lend(client, answer.type_url);
    request->nonce = slice_str(lend(client, answer.nonce));
    if (answer.error)
        request->error = slice_str(lend(client, answer.error));
}

bool delta_client_next(struct delta_client *client, const struct delta_client_request **request)
{
    if (!client->up)
        return false;
    *request = &client->request;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        struct interest *interest = &client->interests[i];
        if (!interest->begun && wants_anything(interest)) {
            first_request(client, (enum resource_type)i);
            return true;
        }
        if (interest->subscribe.count > 0 || interest->unsubscribe.count > 0 ||
            interest->star_due) {
            next_change(client, (enum resource_type)i);
            return true;
        }
    }
    if (client->answers.count == 0)
        return false;
    next_answer(client);
    return true;
}

/* Responses. */

static void queue_answer(struct delta_client *client, enum resource_type type,
                         struct slice type_url, struct slice nonce, char *error)
{
    vector_push(&client->answers, {type, slice_to_str(type_url), slice_to_str(nonce), error});
}

void delta_update_refuse(struct delta_update *update, size_t index, struct slice reason)
{
    vector_push(&update->refusals->list, {index, slice_to_str(reason)});
}

struct position {
    struct slice name;
    size_t index;
};

static int compare_positions(const void *a, const void *b)
{
    const struct position *x = a, *y = b;
    int order = slice_compare(x->name, y->name);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static bool is_wanted(const struct delta_client *client, enum resource_type type, struct slice name)
{
    const struct interest *interest = &client->interests[type];
    const struct item *item = map_get(interest->items, name);
    return interest->all || (item && item->wanted);
}

/* Why a resource cannot even be shown to the consumer, or NULL. */
static const char *fault_of(const struct delta_client *client, const struct delta_update *update,
                            const struct delta_resource *resource, bool twice)
{
    if (resource->name.size == 0)
        return "it has no name";
    if (twice)
        return "it is twice in one response";
    if (!slice_equals_str(resource->type_url, resource_type_url(update->type)))
        return "it is of another type than the response";
    if (client->held + update->added_count >= client->limits.max_resources)
        return "there are more resources than max_resources allows";
    return NULL;
}

/* Fills the lists of the update from the response. Resources with a fault are listed too, and refused at once, so that the
 * reason can name them; the consumer sees only those before `good`. */
static struct position *positions_of(const struct delta_response *response, size_t *count)
{
    struct position *positions = mem_calloc(response->resource_count + 1, sizeof(*positions));
    *count = response->resource_count;
    for (size_t i = 0; i < *count; i++)
        positions[i] = (struct position){response->resources[i].name, i};
    qsort(positions, *count, sizeof(*positions), compare_positions);
    return positions;
}

static bool is_heartbeat(const struct delta_resource *resource)
{
    return resource->type_url.size == 0 && resource->body.size == 0;
}

static void list_added(struct delta_client *client, const struct delta_response *response,
                       struct delta_update *update)
{
    size_t count;
    struct position *positions = positions_of(response, &count);
    for (size_t i = 0; i < count; i++) {
        const struct delta_resource *resource = &response->resources[positions[i].index];
        bool twice = i > 0 && slice_equals(positions[i - 1].name, positions[i].name);
        if (is_heartbeat(resource) ||
            (resource->name.size > 0 && !is_wanted(client, update->type, resource->name)))
            continue;
        const char *fault = fault_of(client, update, resource, twice);
        if (fault) {
            char *reason = str_format("%.*s: %s", SLICE_ARG(resource->name), fault);
            vector_push(&update->refusals->list, {SIZE_MAX, reason});
            continue;
        }
        vector_push(&client->added, resource);
        update->added_count = client->added.count;
    }
    mem_free(positions);
    update->added = client->added.items;
}

static bool is_added(const struct delta_update *update, struct slice name)
{
    size_t low = 0, high = update->added_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = slice_compare(update->added[middle]->name, name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void list_removed(struct delta_client *client, const struct delta_response *response,
                         struct delta_update *update)
{
    for (size_t i = 0; i < response->removed_count; i++) {
        struct slice name = response->removed[i];
        if (map_get(client->interests[update->type].items, name) && !is_added(update, name))
            vector_push(&client->removed, name);
    }
    update->removed = client->removed.items;
    update->removed_count = client->removed.count;
}

bool delta_client_read(struct delta_client *client, const struct delta_response *response,
                       struct delta_update *update)
{
    enum resource_type type = RESOURCE_TYPES;
    if (!resource_type_of_url(response->type_url, &type) || !client->interests[type].begun) {
        char *error = str_format("type %.*s was not asked for", SLICE_ARG(response->type_url));
        queue_answer(client, type, response->type_url, response->nonce, error);
        return false;
    }
    clear_refusals(&client->refusals);
    client->added.count = client->removed.count = 0;
    mem_free(client->update_nonce);
    client->update_nonce = slice_to_str(response->nonce);
    *update = (struct delta_update){
        .type = type, .version = response->version, .refusals = &client->refusals};
    list_added(client, response, update);
    list_removed(client, response, update);
    return true;
}

static bool *mark_refused(const struct delta_update *update)
{
    bool *refused = mem_calloc(update->added_count + 1, sizeof(*refused));
    VECTOR_EACH(refusal, &update->refusals->list)
    {
        if (refusal->index < update->added_count)
            refused[refusal->index] = true;
    }
    return refused;
}

static char *describe_refusals(const struct delta_client *client, const struct delta_update *update)
{
    struct buffer text = {0};
    buffer_format(&text, "%zu of %zu resources refused: ", update->refusals->list.count,
                  MAX(update->added_count, update->refusals->list.count));
    const char *between = "";
    VECTOR_EACH(refusal, &update->refusals->list)
    {
        buffer_append_str(&text, between);
        if (refusal->index < update->added_count) {
            buffer_append_slice(&text, update->added[refusal->index]->name);
            buffer_append_str(&text, ": ");
        }
        buffer_append_str(&text, refusal->reason);
        between = "; ";
        if (text.size > client->limits.max_error)
            break;
    }
    char *whole = buffer_take(&text);
    if (strlen(whole) > client->limits.max_error)
        whole[client->limits.max_error] = '\0';
    return whole;
}

static void note_versions(struct delta_client *client, const struct delta_update *update,
                          const bool *refused)
{
    struct interest *interest = &client->interests[update->type];
    for (size_t i = 0; i < update->added_count; i++) {
        /* The consumer may have let go of the name while it took the update. */
        if (!refused[i] && is_wanted(client, update->type, update->added[i]->name))
            set_version(client, item_of(interest, update->added[i]->name),
                        update->added[i]->version);
    }
    for (size_t i = 0; i < update->removed_count; i++) {
        struct item *item = map_get(interest->items, update->removed[i]);
        if (!item)
            continue;
        clear_version(client, item);
        drop_if_idle(interest, update->removed[i], item);
    }
}

size_t delta_client_answer(struct delta_client *client, struct delta_update *update)
{
    bool *refused = mark_refused(update);
    size_t refusals = update->refusals->list.count;
    char *error = refusals > 0 ? describe_refusals(client, update) : NULL;
    note_versions(client, update, refused);
    queue_answer(client, update->type, slice_str(resource_type_url(update->type)),
                 slice_str(client->update_nonce), error);
    mem_free(refused);
    clear_refusals(&client->refusals);
    return refusals;
}
