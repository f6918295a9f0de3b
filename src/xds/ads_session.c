#include "xds/ads_session.h"

#include "base/memory.h"
#include "xds/blob.h"
#include "xds/refusals.h"
#include "xds/view.h"

#include <stdio.h>

const struct ads_session_limits ads_session_default_limits = {
    .max_names = 100000,
    .max_response_bytes = 1024 * 1024,
    .max_response_resources = 4096,
    .order_wait_ms = 5000,
};

enum { ERROR_MAX = 4096 };

/* Something is held back for the sake of order. A wait that a whole round does not meet again is over. */
struct wait {
    bool runs, met, over;
    uint64_t since_ms;
};

struct ads_session {
    enum ads_variant variant;
    struct ads_session_limits limits;
    char *client;
    struct refusals *refusals;
    uint64_t lifted_seen; /* refusals_lifted when the marks were last reviewed */
    bool fresh_endpoints;
    bool resumed; /* the client held clusters when the stream began */
    const struct view *view;
    uint64_t nonces;
    struct subscription subs[RESOURCE_TYPES];
    struct ads_status status[RESOURCE_TYPES];
    /* Clusters that were sent new or changed; listeners and routes wait until the client has their endpoints. */
    VECTOR(struct blob *) awaited;
    struct wait to_send[RESOURCE_TYPES];   /* listeners and routes, for their clusters */
    struct wait to_remove[RESOURCE_TYPES]; /* what may still be referred to */
};

static const enum resource_type users[] = {RESOURCE_LISTENER, RESOURCE_ROUTE, RESOURCE_VIRTUAL_HOST,
                                           RESOURCE_SCOPED_ROUTE};

struct ads_session *ads_session_create(enum ads_variant variant,
                                       const struct ads_session_limits *limits, struct slice client,
                                       struct refusals *refusals)
{
    struct ads_session *session = mem_new(struct ads_session);
    session->variant = variant;
    session->limits = *limits;
    session->client = slice_to_str(client);
    session->refusals = refusals;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        subscription_init(&session->subs[i], (enum resource_type)i);
    return session;
}

static void forget_awaited(struct ads_session *session)
{
    VECTOR_EACH(blob, &session->awaited)
    blob_unref(*blob);
    session->awaited.count = 0;
}

void ads_session_destroy(struct ads_session *session)
{
    if (!session)
        return;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        subscription_fini(&session->subs[i]);
        mem_free(session->status[i].error);
    }
    forget_awaited(session);
    vector_fini(&session->awaited);
    view_unref(session->view);
    mem_free(session->client);
    mem_free(session);
}

void ads_session_set_fresh_endpoints(struct ads_session *session, bool fresh)
{
    session->fresh_endpoints = fresh;
}

void ads_session_set_refusals(struct ads_session *session, struct refusals *refusals)
{
    session->refusals = refusals;
    session->lifted_seen = refusals ? refusals_lifted(refusals) : 0;
}

void ads_session_see(struct ads_session *session, const struct view *view)
{
    const struct view *old = session->view;
    session->view = view_ref(view);
    view_unref(old);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (session->subs[i].open)
            subscription_see(&session->subs[i], view_table(view, (enum resource_type)i));
    }
}

void ads_response_fini(struct ads_response *response)
{
    VECTOR_EACH(blob, &response->blobs)
    blob_unref(*blob);
    VECTOR_EACH(blob, &response->removed)
    blob_unref(*blob);
    vector_fini(&response->blobs);
    vector_fini(&response->removed);
}

static void response_reset(struct ads_response *response, enum resource_type type,
                           enum ads_variant variant)
{
    VECTOR_EACH(blob, &response->blobs)
    blob_unref(*blob);
    VECTOR_EACH(blob, &response->removed)
    blob_unref(*blob);
    response->blobs.count = response->removed.count = response->bytes = 0;
    response->type = type;
    response->variant = variant;
}

/* The order between types. */

static bool is_active(const struct subscription *sub)
{
    return sub->open && sub->seen;
}

/* Forgets the clusters whose endpoints have arrived, and says whether any are still to come. A client that watches no
 * endpoints gets them some other way. */
static bool awaits_endpoints(struct ads_session *session)
{
    const struct subscription *endpoints = &session->subs[RESOURCE_ENDPOINTS];
    if (!is_active(endpoints))
        return false;
    while (session->awaited.count > 0) {
        struct blob *cluster = vector_last(&session->awaited);
        struct slice name = blob_name(cluster);
        bool exists = blob_table_find(endpoints->seen, name);
        bool asked = endpoints->wildcard || subscription_find(endpoints, name) != SIZE_MAX;
        if (exists && !(asked && subscription_is_settled(endpoints, name)))
            return true;
        session->awaited.count--;
        blob_unref(cluster);
    }
    return false;
}

/* Listeners and routes may refer to clusters that the client does not have yet. */
static bool clusters_are_amid(struct ads_session *session)
{
    const struct subscription *clusters = &session->subs[RESOURCE_CLUSTER];
    return (is_active(clusters) && (clusters->dirty > 0 || clusters->in_flight)) ||
           awaits_endpoints(session);
}

/* Begins to wait, or says that the wait is over. */
static bool has_waited(const struct ads_session *session, struct wait *wait, uint64_t now_ms)
{
    if (!wait->runs)
        wait->since_ms = now_ms;
    wait->runs = wait->met = true;
    wait->over = now_ms >= wait->since_ms + session->limits.order_wait_ms;
    return wait->over;
}

static bool is_user(enum resource_type type)
{
    for (size_t i = 0; i < COUNT(users); i++) {
        if (users[i] == type)
            return true;
    }
    return false;
}

static bool may_send(struct ads_session *session, enum resource_type type, uint64_t now_ms)
{
    if (!is_user(type))
        return true;
    return !clusters_are_amid(session) || has_waited(session, &session->to_send[type], now_ms);
}

static bool is_quiet(const struct subscription *sub)
{
    return !is_active(sub) || (sub->dirty == 0 && sub->gone == 0 && !sub->in_flight);
}

/* A client that resumes holds listeners and routes from before, which it may not have spoken of yet. */
static bool may_hold_users(const struct ads_session *session)
{
    return session->resumed &&
           !(session->subs[RESOURCE_LISTENER].open && session->subs[RESOURCE_ROUTE].open);
}

/* What still may refer to what is to be removed: a route's listeners, a cluster's listeners and routes, endpoints' clusters. A
 * route that is gone counts until the client lets go of it by itself, for its listener may still be warming. */
static bool is_referred_to(const struct ads_session *session, enum resource_type type)
{
    switch (type) {
    case RESOURCE_ROUTE: return true;
    case RESOURCE_ENDPOINTS:
        if (!is_quiet(&session->subs[RESOURCE_CLUSTER]))
            return true;
        __attribute__((fallthrough));
    case RESOURCE_CLUSTER:
        if (may_hold_users(session))
            return true;
        for (size_t i = 0; i < COUNT(users); i++) {
            if (!is_quiet(&session->subs[users[i]]))
                return true;
        }
        return false;
    case RESOURCE_LISTENER:
    case RESOURCE_VIRTUAL_HOST:
    case RESOURCE_SECRET:
    case RESOURCE_EXTENSION:
    case RESOURCE_SCOPED_ROUTE:
    case RESOURCE_RUNTIME:
    case RESOURCE_NAME_TABLE:
    case RESOURCE_PROXY_CONFIG:
    case RESOURCE_TYPES: break;
    }
    return false;
}

static bool may_remove(struct ads_session *session, enum resource_type type, uint64_t now_ms)
{
    if (session->subs[type].gone == 0)
        return false;
    return !is_referred_to(session, type) || has_waited(session, &session->to_remove[type], now_ms);
}

/* Composing. */

static bool is_refused(const struct ads_session *session, const struct subscription_entry *entry,
                       const struct blob *now)
{
    return session->refusals && entry->flags & ENTRY_HELD && !(entry->flags & ENTRY_FORCED) &&
           refusals_bind(session->refusals, now, slice_str(session->client));
}

static void put_blob(struct ads_response *out, const struct blob *blob)
{
    vector_push(&out->blobs, blob_ref(blob));
    out->bytes += blob->size;
}

/* A new or changed cluster: its users wait for its endpoints, and Envoy needs those anew. */
static void note_cluster(struct ads_session *session, const struct blob *cluster)
{
    struct subscription *endpoints = &session->subs[RESOURCE_ENDPOINTS];
    if (session->fresh_endpoints)
        subscription_force(endpoints, blob_name(cluster));
    vector_push(&session->awaited, blob_ref(cluster));
}

static void tell_change(struct ads_session *session, struct subscription *sub,
                        struct subscription_entry *entry, struct ads_response *out)
{
    subscription_tell(sub, entry);
    put_blob(out, entry->sent);
    if (sub->type == RESOURCE_CLUSTER)
        note_cluster(session, entry->sent);
}

static void tell_removal(struct subscription *sub, struct subscription_entry *entry,
                         struct ads_response *out)
{
    vector_push(&out->removed, blob_ref(entry->blob));
    out->bytes += entry->blob->name_size;
    subscription_tell(sub, entry);
}

static bool is_full(const struct ads_session *session, const struct ads_response *out)
{
    return out->bytes >= session->limits.max_response_bytes ||
           out->blobs.count + out->removed.count >= session->limits.max_response_resources;
}

static void compose_delta(struct ads_session *session, struct subscription *sub, bool removals,
                          struct ads_response *out)
{
    VECTOR_EACH(entry, &sub->entries)
    {
        if (is_full(session, out))
            break;
        if (entry->flags & ENTRY_DIRTY) {
            struct blob *now = subscription_wanted(sub, entry);
            if (!now)
                tell_removal(sub, entry, out); /* it was asked for and does not exist */
            else if (is_refused(session, entry, now))
                subscription_pass(sub, entry);
            else
                tell_change(session, sub, entry, out);
        }
    }
    VECTOR_EACH(entry, &sub->entries)
    {
        if (!removals || sub->dirty > 0 || is_full(session, out))
            break;
        if (entry->flags & ENTRY_GONE)
            tell_removal(sub, entry, out);
    }
}

/* Everything that the client should hold, for absence means deletion. What may not go yet is in it once more. */
static void compose_complete(struct ads_session *session, struct subscription *sub, bool removals,
                             struct ads_response *out)
{
    VECTOR_EACH(entry, &sub->entries)
    {
        struct blob *now = subscription_wanted(sub, entry);
        bool held = entry->flags & ENTRY_HELD;
        if (now && entry->flags & ENTRY_DIRTY && !is_refused(session, entry, now)) {
            tell_change(session, sub, entry, out);
        } else if (now || (held && !removals)) {
            if (now)
                subscription_pass(sub, entry);
            if (held)
                put_blob(out, entry->blob);
        } else {
            subscription_tell(sub, entry);
        }
    }
}

/* Only what is new or changed, for absence means nothing; there is no way to speak of removals. */
static void compose_additive(struct ads_session *session, struct subscription *sub,
                             struct ads_response *out)
{
    VECTOR_EACH(entry, &sub->entries)
    {
        struct blob *now = subscription_wanted(sub, entry);
        if (entry->flags & ENTRY_DIRTY && now) {
            if (is_refused(session, entry, now))
                subscription_pass(sub, entry);
            else
                tell_change(session, sub, entry, out);
        } else if (entry->flags & (ENTRY_DIRTY | ENTRY_GONE)) {
            subscription_tell(sub, entry);
        }
    }
}

static void seal(struct ads_session *session, struct subscription *sub, uint64_t now_ms,
                 int64_t wall_us, struct ads_response *out)
{
    struct ads_status *status = &session->status[sub->type];
    sub->in_flight = true;
    sub->due = false;
    session->nonces++;
    status->nonce_sent = session->nonces;
    status->version_sent = sub->held;
    status->generation_sent = view_generation(session->view);
    status->sent_ms = now_ms;
    status->sent_wall_us = wall_us;
    status->responses++;
    status->resources += out->blobs.count;
    status->removals += out->removed.count;
    status->bytes += out->bytes;
    snprintf(out->nonce, sizeof(out->nonce), "%llu", (unsigned long long)session->nonces);
    hash128_hex(sub->held, out->version);
}

static bool compose(struct ads_session *session, struct subscription *sub, bool removals,
                    struct ads_response *out)
{
    response_reset(out, sub->type, session->variant);
    if (session->variant == ADS_DELTA)
        compose_delta(session, sub, removals, out);
    else if (resource_type_is_complete(sub->type))
        compose_complete(session, sub, removals, out);
    else
        compose_additive(session, sub, out);
    subscription_sweep(sub);
    bool complete = session->variant == ADS_SOTW && resource_type_is_complete(sub->type);
    return sub->due || complete || out->blobs.count > 0 || out->removed.count > 0;
}

static void review_if_lifted(struct ads_session *session)
{
    if (!session->refusals || session->lifted_seen == refusals_lifted(session->refusals))
        return;
    session->lifted_seen = refusals_lifted(session->refusals);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        subscription_review(&session->subs[i]);
}

static bool next_of_type(struct ads_session *session, struct subscription *sub, uint64_t now_ms,
                         struct ads_response *out)
{
    if (!is_active(sub) || sub->in_flight)
        return false;
    bool removals = may_remove(session, sub->type, now_ms);
    if (sub->dirty == 0 && !sub->due && !removals)
        return false;
    return may_send(session, sub->type, now_ms) && compose(session, sub, removals, out);
}

bool ads_session_next(struct ads_session *session, uint64_t now_ms, int64_t wall_us,
                      struct ads_response *out)
{
    review_if_lifted(session);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        session->to_send[i].met = session->to_remove[i].met = false;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (next_of_type(session, &session->subs[i], now_ms, out)) {
            seal(session, &session->subs[i], now_ms, wall_us, out);
            return true;
        }
    }
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        session->to_send[i].runs = session->to_send[i].met;
        session->to_remove[i].runs = session->to_remove[i].met;
    }
    return false;
}

static uint64_t wait_end_ms(const struct ads_session *session, const struct wait *wait)
{
    return wait->runs && !wait->over ? wait->since_ms + session->limits.order_wait_ms : UINT64_MAX;
}

uint64_t ads_session_next_ms(const struct ads_session *session)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        next = MIN(next, wait_end_ms(session, &session->to_send[i]));
        next = MIN(next, wait_end_ms(session, &session->to_remove[i]));
    }
    return next;
}

static bool is_idle(const struct subscription *sub)
{
    return sub->dirty == 0 && sub->gone == 0 && !sub->in_flight && !sub->due;
}

bool ads_session_is_current(const struct ads_session *session, enum resource_type type)
{
    const struct subscription *sub = &session->subs[type];
    return session->view && is_active(sub) && is_idle(sub);
}

bool ads_session_is_settled(const struct ads_session *session)
{
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (is_active(&session->subs[i]) && !is_idle(&session->subs[i]))
            return false;
    }
    return session->view != NULL;
}

uint64_t ads_session_oldest_unanswered_ms(const struct ads_session *session)
{
    uint64_t oldest = UINT64_MAX;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (session->subs[i].in_flight)
            oldest = MIN(oldest, session->status[i].sent_ms);
    }
    return oldest;
}

const struct ads_status *ads_session_status(const struct ads_session *session,
                                            enum resource_type type)
{
    return &session->status[type];
}

const struct subscription *ads_session_subscription(const struct ads_session *session,
                                                    enum resource_type type)
{
    return &session->subs[type];
}

const struct ads_session_limits *ads_session_limits(const struct ads_session *session)
{
    return &session->limits;
}

/* Requests. */

struct subscription *ads_session_request(struct ads_session *session, enum resource_type type)
{
    return &session->subs[type];
}

void ads_session_open(struct ads_session *session, enum resource_type type)
{
    session->subs[type].open = true;
    if (type == RESOURCE_CLUSTER)
        session->resumed = subscription_holds_any(&session->subs[type]);
    session->status[type].watched = true;
    subscription_see(&session->subs[type], view_table(session->view, type));
}

void ads_session_reopen(struct ads_session *session, enum resource_type type)
{
    subscription_fini(&session->subs[type]);
}

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("._|-/~*", byte));
}

/* The name stands in the text as a whole: "80" is not in "outbound|80||cart". */
static bool is_quoted(struct slice text, struct slice name)
{
    for (size_t from = 0; from + name.size <= text.size;) {
        size_t found = slice_find(slice_from(text, from), name);
        if (found == SIZE_MAX)
            return false;
        size_t start = from + found, end = start + name.size;
        if ((start == 0 || !is_name_byte(text.data[start - 1])) &&
            (end == text.size || !is_name_byte(text.data[end])))
            return true;
        from = start + 1;
    }
    return false;
}

/* Whether the reason says nothing but "the response", which then can only be about the one thing that is new in it. */
static bool blames_the_only_one(const struct subscription *sub, struct slice reason)
{
    size_t in_flight = 0;
    VECTOR_EACH(entry, &sub->entries)
    {
        in_flight += (entry->flags & ENTRY_IN_FLIGHT) != 0;
        if (in_flight > 1 || is_quoted(reason, blob_name(entry->blob)))
            return false;
    }
    return in_flight == 1;
}

/* The client uses it, whatever it said of it before. */
static void take(struct ads_session *session, struct subscription *sub,
                 struct subscription_entry *entry)
{
    if (session->refusals && refusals_count(session->refusals) > 0)
        refusals_accept(session->refusals, entry->sent, slice_str(session->client));
    subscription_accept(sub, entry);
}

/* Of several resources only those that the reason names are to blame: a client uses the good ones of a response that it
 * refuses. When it names none, all count as taken, for they would only be refused again. */
static void refuse(struct ads_session *session, struct subscription *sub, struct slice reason)
{
    struct ads_status *status = &session->status[sub->type];
    reason = slice_first(reason, MIN(reason.size, (size_t)ERROR_MAX));
    status->rejections++;
    mem_free(status->error);
    status->error = slice_to_str(reason);

    bool alone = blames_the_only_one(sub, reason);
    VECTOR_EACH(entry, &sub->entries)
    {
        if (!(entry->flags & ENTRY_IN_FLIGHT))
            continue;
        if (!alone && !is_quoted(reason, blob_name(entry->blob))) {
            take(session, sub, entry);
            continue;
        }
        if (session->refusals)
            refusals_note(session->refusals, entry->sent, slice_str(session->client));
        subscription_refuse(sub, entry);
    }
    if (sub->type == RESOURCE_CLUSTER)
        forget_awaited(session); /* their endpoints may never be asked for */
}

static void accept(struct ads_session *session, struct subscription *sub)
{
    struct ads_status *status = &session->status[sub->type];
    status->version_acked = status->version_sent;
    status->generation_acked = status->generation_sent;
    mem_free(status->error);
    status->error = NULL;

    VECTOR_EACH(entry, &sub->entries)
    {
        if (entry->flags & ENTRY_IN_FLIGHT)
            take(session, sub, entry);
    }
}

enum ads_answer ads_session_answer(struct ads_session *session, enum resource_type type,
                                   struct slice nonce, const struct slice *error, uint64_t now_ms)
{
    struct subscription *sub = &session->subs[type];
    struct ads_status *status = &session->status[type];
    uint64_t number;
    if (!slice_to_u64(nonce, UINT64_MAX, &number) || number != status->nonce_sent)
        return ADS_STALE;
    if (!sub->in_flight)
        return ADS_REPEATED;
    status->nonce_acked = number;
    status->answered_ms = now_ms;
    if (error)
        refuse(session, sub, *error);
    else
        accept(session, sub);
    sub->in_flight = false;
    return error ? ADS_REFUSED : ADS_ACCEPTED;
}
