/*
 * Random scripts over the two protocol machines: configuration changes, lost connections, late and missing answers,
 * refusals, subscriptions that come and go. After each script the client holds what the server has; on the way nothing is sent
 * that the client holds already, nothing is said of what is unknown, and nothing is answered twice.
 *
 * TULLE_SCRIPTS=100000 runs the long form; TULLE_SEED=n one script.
 */
#include "base/map.h"
#include "base/random.h"
#include "test.h"
#include "xds/ads_session.h"
#include "xds/delta_client.h"
#include "xds/delta_server.h"
#include "xds/refusals.h"
#include "xds/sotw_server.h"
#include "xds/table_maker.h"

enum { NAMES = 6, QUEUE = 512 };

static const enum resource_type types[] = {RESOURCE_CLUSTER, RESOURCE_ENDPOINTS, RESOURCE_LISTENER,
                                           RESOURCE_ROUTE};

/* What a name means at one side: 0 = nothing, else a small number that makes the body. */
struct world {
    uint8_t body[RESOURCE_TYPES][NAMES];
    bool known[RESOURCE_TYPES];
};

/* A message on its way, in our own words. */
struct message {
    enum resource_type type;
    char nonce[24];
    bool nack;
    /* to the server */
    uint32_t subscribe, unsubscribe; /* bits of names; delta */
    uint32_t names;                  /* state of the world */
    bool star;
    uint32_t held;
    char versions[NAMES][33];
    char error[256];
    /* to the client */
    uint8_t body[NAMES]; /* 0 = not in it */
    char body_version[NAMES][33];
    uint32_t removed;
    uint32_t anew; /* asked for since they were last sent: may come unchanged */
};

struct queue {
    struct message items[QUEUE];
    size_t head, count;
};

struct model {
    struct random random;
    uint64_t seed;
    enum ads_variant variant;
    bool strict; /* no refusals and no long waits: the order between types is checked */
    struct world world;
    struct blob_table *tables[RESOURCE_TYPES];
    uint64_t generation;
    const struct view *view;
    struct refusals *refusals;
    struct ads_session *session;
    uint64_t now_ms;
    bool connected;
    struct queue up, down;
    /* The client. */
    struct delta_client *client;
    uint8_t holds[RESOURCE_TYPES][NAMES];
    uint32_t wants[RESOURCE_TYPES]; /* by name */
    bool all[RESOURCE_TYPES];
    uint32_t anew[RESOURCE_TYPES];  /* names that the server was asked for and has not sent since */
    uint32_t asked[RESOURCE_TYPES]; /* state of the world: the set that the server read last */
    uint32_t poisoned[RESOURCE_TYPES]; /* bodies 1..31 that the client refuses */
    uint32_t
        refused[RESOURCE_TYPES]
               [NAMES]; /* bodies of a name that it refused: never again while it holds another */
    uint32_t taking[RESOURCE_TYPES]
                   [NAMES]; /* bodies that it took, while the server has not read the answer */
    uint32_t refusing[RESOURCE_TYPES][NAMES]; /* the same, while the server has not read the NACK */
    uint32_t idle
        [RESOURCE_TYPES]; /* kept from before they were given up: not in use until they come again */
    uint32_t unsure[RESOURCE_TYPES];     /* the server cannot know what the client holds of it */
    char last_nonce[RESOURCE_TYPES][24]; /* state of the world */
    bool begun[RESOURCE_TYPES];
    size_t unanswered[RESOURCE_TYPES];
    size_t sent;
};

#define SEED (unsigned long long)m->seed

static void name_of(unsigned name, char text[8])
{
    snprintf(text, 8, "n%u", name);
}

static unsigned name_in(struct slice name)
{
    return (unsigned)(name.data[1] - '0');
}

/* The body of a route lists a cluster: its number decides which, so that references can be checked. */
static unsigned cluster_of(uint8_t route_body)
{
    return route_body % NAMES;
}

static uint32_t below(struct model *m, uint32_t bound)
{
    return (uint32_t)random_below(&m->random, bound);
}

/* Configuration. */

static struct blob_table *table_of(struct model *m, enum resource_type type)
{
    struct blob_edit edits[NAMES];
    char names[NAMES][8];
    struct blob_table *empty =
        m->tables[type] ? blob_table_ref(m->tables[type]) : blob_table_create();
    for (unsigned i = 0; i < NAMES; i++) {
        char body = (char)m->world.body[type][i];
        name_of(i, names[i]);
        edits[i].name = slice_str(names[i]);
        edits[i].blob = body ? blob_create(type, edits[i].name, slice_of(&body, 1)) : NULL;
    }
    struct blob_table *table = blob_table_edit(empty, edits, NAMES);
    for (unsigned i = 0; i < NAMES; i++)
        blob_unref(edits[i].blob);
    blob_table_unref(empty);
    return table;
}

static void publish(struct model *m)
{
    for (size_t i = 0; i < COUNT(types); i++) {
        if (!m->world.known[types[i]])
            continue;
        struct blob_table *table = table_of(m, types[i]);
        /* What goes without a word and comes back is sent again. */
        for (unsigned n = 0; n < NAMES && m->variant == ADS_SOTW; n++) {
            if (!m->world.body[types[i]][n])
                m->anew[types[i]] |= 1u << n;
        }
        blob_table_unref(m->tables[types[i]]);
        m->tables[types[i]] = table;
    }
    view_unref(m->view);
    m->view = view_create(m->tables, ++m->generation);
    if (m->connected)
        ads_session_see(m->session, m->view);
}

/* In the strict form a route has its listener and names only clusters that exist, each with its endpoints, as translation
 * sees to. */
static void repair(struct model *m)
{
    struct world *w = &m->world;
    memset(w->known, true, sizeof(w->known));
    for (unsigned i = 0; i < NAMES; i++) {
        uint8_t route = w->body[RESOURCE_ROUTE][i];
        if (route && !w->body[RESOURCE_CLUSTER][cluster_of(route)])
            w->body[RESOURCE_CLUSTER][cluster_of(route)] = (uint8_t)(1 + below(m, 31));
        if (!route)
            w->body[RESOURCE_LISTENER][i] = 0;
        else if (!w->body[RESOURCE_LISTENER][i])
            w->body[RESOURCE_LISTENER][i] = 1;
    }
    for (unsigned i = 0; i < NAMES; i++) {
        if (!w->body[RESOURCE_CLUSTER][i])
            w->body[RESOURCE_ENDPOINTS][i] = 0;
        else if (!w->body[RESOURCE_ENDPOINTS][i])
            w->body[RESOURCE_ENDPOINTS][i] = 1;
    }
}

static void change_world(struct model *m)
{
    for (unsigned n = 1 + below(m, 4); n > 0; n--) {
        enum resource_type type = types[below(m, COUNT(types))];
        m->world.known[type] = true;
        unsigned name =
            below(m, NAMES); /* in an order that no compiler chooses: seeds are for all */
        m->world.body[type][name] = (uint8_t)(below(m, 4) == 0 ? 0 : 1 + below(m, 31));
    }
    if (m->strict)
        repair(m);
    publish(m);
}

/* The wire. */

static struct message *push(struct queue *queue)
{
    assert_true(queue->count < QUEUE);
    struct message *message = &queue->items[(queue->head + queue->count++) % QUEUE];
    memset(message, 0, sizeof(*message));
    return message;
}

static struct message *pop(struct queue *queue)
{
    struct message *message = &queue->items[queue->head];
    queue->head = (queue->head + 1) % QUEUE;
    queue->count--;
    return message;
}

/* The client. */

static bool client_wants(const struct model *m, enum resource_type type, unsigned name)
{
    return m->all[type] || m->wants[type] >> name & 1;
}

static void client_ask(struct model *m, enum resource_type type)
{
    struct message *message = push(&m->up);
    message->type = type;
    message->names = m->wants[type];
    message->star = m->all[type];
    snprintf(message->nonce, sizeof(message->nonce), "%s", m->last_nonce[type]);
    m->begun[type] = true;
}

static void client_subscribe(struct model *m, enum resource_type type, unsigned name)
{
    char text[8];
    if (m->wants[type] >> name & 1)
        return;
    m->wants[type] |= 1u << name;
    name_of(name, text);
    if (m->variant == ADS_DELTA)
        delta_client_subscribe(m->client, type, slice_str(text));
    else if (m->connected)
        client_ask(m, type);
}

static void client_unsubscribe(struct model *m, enum resource_type type, unsigned name)
{
    char text[8];
    if (!(m->wants[type] >> name & 1))
        return;
    m->wants[type] &= ~(1u << name);
    name_of(name, text);
    /* In the state of the world the server may miss that a name was given up and wanted again, so the client keeps it. */
    if (!m->all[type] && m->variant == ADS_DELTA)
        m->holds[type][name] = 0;
    m->idle[type] |= 1u << name;
    if (m->variant == ADS_SOTW)
        m->unsure[type] |= 1u << name;
    if (m->variant == ADS_DELTA)
        delta_client_unsubscribe(m->client, type, slice_str(text));
    else if (m->connected)
        client_ask(m, type);
}

/* A client that follows references, as proxies do: endpoints of its clusters, the route of each listener's name. */
static void client_follow(struct model *m)
{
    for (unsigned i = 0; i < NAMES; i++) {
        if (m->holds[RESOURCE_CLUSTER][i])
            client_subscribe(m, RESOURCE_ENDPOINTS, i);
        else
            client_unsubscribe(m, RESOURCE_ENDPOINTS, i);
        if (m->holds[RESOURCE_LISTENER][i])
            client_subscribe(m, RESOURCE_ROUTE, i);
        else
            client_unsubscribe(m, RESOURCE_ROUTE, i);
    }
}

static void connect_client(struct model *m)
{
    m->connected = true;
    m->session =
        ads_session_create(m->variant, &ads_session_default_limits, SLICE("client"), m->refusals);
    if (m->view)
        ads_session_see(m->session, m->view);
    m->up.count = m->down.count = 0;
    memset(m->unanswered, 0, sizeof(m->unanswered));
    memset(m->last_nonce, 0, sizeof(m->last_nonce));
    memset(m->begun, 0, sizeof(m->begun));
    memset(m->anew, 0, sizeof(m->anew));
    memset(m->unsure, 0, sizeof(m->unsure));
    memset(m->refusing, 0, sizeof(m->refusing));
    memset(m->taking, 0, sizeof(m->taking));
    memset(m->asked, 0, sizeof(m->asked));
    if (m->variant == ADS_DELTA) {
        delta_client_begin(m->client);
        return;
    }
    memset(m->unsure, 0xff, sizeof(m->unsure));
    /* The server cannot know what a client of this variant holds, so only a fresh one sees every order kept. */
    if (m->strict) {
        memset(m->holds, 0, sizeof(m->holds));
        m->wants[RESOURCE_ENDPOINTS] = m->wants[RESOURCE_ROUTE] = 0;
    }
    for (size_t i = 0; i < COUNT(types); i++) {
        if (m->all[types[i]] || m->wants[types[i]])
            client_ask(m, types[i]);
    }
}

static void disconnect_client(struct model *m)
{
    m->connected = false;
    ads_session_destroy(m->session);
    m->session = NULL;
    if (m->variant == ADS_DELTA)
        delta_client_end(m->client);
}

/* What the client has said goes onto the wire. */
static void client_flush(struct model *m)
{
    const struct delta_client_request *r;
    while (m->connected && m->variant == ADS_DELTA && m->up.count < QUEUE - 1 &&
           delta_client_next(m->client, &r)) {
        struct message *message = push(&m->up);
        message->type = r->type;
        message->star = false;
        VECTOR_EACH(name, &r->subscribe)
        {
            if (slice_equals_str(*name, "*"))
                message->star = true;
            else
                message->subscribe |= 1u << name_in(*name);
        }
        VECTOR_EACH(name, &r->unsubscribe)
        message->unsubscribe |= 1u << name_in(*name);
        VECTOR_EACH(held, &r->held)
        {
            message->held |= 1u << name_in(held->name);
            snprintf(message->versions[name_in(held->name)], 33, "%.*s", SLICE_ARG(held->version));
        }
        snprintf(message->nonce, sizeof(message->nonce), "%.*s", SLICE_ARG(r->nonce));
        message->nack = r->error.data != NULL;
        snprintf(message->error, sizeof(message->error), "%.*s", SLICE_ARG(r->error));
    }
}

/* The order between types, as a client sees it: a route's cluster is there, with endpoints, when the route arrives, and it does
 * not go before the route does. */
static void check_references(struct model *m, const char *when)
{
    if (!m->strict)
        return;
    for (unsigned i = 0; i < NAMES; i++) {
        uint8_t route = m->holds[RESOURCE_ROUTE][i];
        if (!route || !client_wants(m, RESOURCE_ROUTE, i) || m->idle[RESOURCE_ROUTE] >> i & 1)
            continue;
        unsigned cluster = cluster_of(route);
        CHECK(m->holds[RESOURCE_CLUSTER][cluster],
              "seed %llu: %s: route n%u names cluster n%u, which is not there", SEED, when, i,
              cluster);
        CHECK(m->holds[RESOURCE_ENDPOINTS][cluster],
              "seed %llu: %s: cluster n%u of route n%u has no endpoints", SEED, when, cluster, i);
    }
}

/* Nothing that the client holds is sent again, except to who asked anew; nothing refused, except to who holds nothing. */
static void check_news(struct model *m, const struct message *message, unsigned name, uint8_t body)
{
    enum resource_type type = message->type;
    bool anew = (message->anew | m->unsure[type]) >> name & 1;
    CHECK(anew || m->holds[type][name] != body, "seed %llu: %s n%u=%u is sent although it is held",
          SEED, resource_type_short(type), name, body);
    CHECK(anew || !m->holds[type][name] || !(m->refused[type][name] >> body & 1),
          "seed %llu: %s n%u=%u is sent although it was refused", SEED, resource_type_short(type),
          name, body);
}

static bool take(struct model *m, enum resource_type type, unsigned name, uint8_t body)
{
    if (m->poisoned[type] >> body & 1) {
        m->refusing[type][name] |= 1u << body;
        return false;
    }
    m->taking[type][name] |= 1u << body;
    m->holds[type][name] = body;
    m->idle[type] &= ~(1u << name);
    m->unsure[type] &= ~(1u << name);
    return true;
}

static void client_read_delta(struct model *m, const struct message *message)
{
    struct delta_resource resources[NAMES];
    struct slice removed[NAMES];
    char names[NAMES][8];
    struct delta_response response = {.type_url = slice_str(resource_type_url(message->type)),
                                      .nonce = slice_str(message->nonce),
                                      .resources = resources,
                                      .removed = removed};
    for (unsigned i = 0; i < NAMES; i++) {
        name_of(i, names[i]);
        if (message->body[i])
            resources[response.resource_count++] =
                (struct delta_resource){slice_str(names[i]), slice_str(message->body_version[i]),
                                        response.type_url, slice_of(&message->body[i], 1)};
        if (message->removed >> i & 1)
            removed[response.removed_count++] = slice_str(names[i]);
    }
    struct delta_update update;
    CHECK(delta_client_read(m->client, &response, &update), "seed %llu", SEED);
    for (size_t i = 0; i < update.added_count; i++) {
        uint8_t body = (uint8_t)update.added[i]->body.data[0];
        unsigned name = name_in(update.added[i]->name);
        check_news(m, message, name, body);
        if (!take(m, update.type, name, body))
            delta_update_refuse(&update, i, SLICE("poisoned"));
    }
    for (size_t i = 0; i < update.removed_count; i++) {
        unsigned name = name_in(update.removed[i]);
        m->holds[update.type][name] = 0;
    }
    if (update.type == RESOURCE_CLUSTER || update.type == RESOURCE_LISTENER)
        client_follow(m);
    delta_client_answer(m->client, &update);
}

static void client_read_sotw(struct model *m, const struct message *message)
{
    enum resource_type type = message->type;
    char error[256] = "";
    bool complete = resource_type_is_complete(type);
    for (unsigned i = 0; i < NAMES; i++) {
        uint8_t body = message->body[i];
        if (body && !complete)
            check_news(m, message, i, body);
        if (body && !take(m, type, i, body)) {
            snprintf(error + strlen(error), sizeof(error) - strlen(error), "n%u: poisoned; ", i);
            /* The server did not know what the client holds when it sent this, and does not know it now. */
            m->unsure[type] |= message->anew & 1u << i;
        }
        if (!body && complete)
            m->holds[type][i] = 0;
    }
    snprintf(m->last_nonce[type], sizeof(m->last_nonce[type]), "%s", message->nonce);
    client_ask(m, type);
    struct message *answer = &m->up.items[(m->up.head + m->up.count - 1) % QUEUE];
    answer->nack = error[0] != '\0';
    snprintf(answer->error, sizeof(answer->error), "%s", error);
    if (type == RESOURCE_CLUSTER || type == RESOURCE_LISTENER)
        client_follow(m);
}

static void client_read(struct model *m)
{
    struct message message = *pop(&m->down);
    if (m->variant == ADS_DELTA)
        client_read_delta(m, &message);
    else
        client_read_sotw(m, &message);
    check_references(m, resource_type_short(message.type));
}

/* The server. */

static void server_read(struct model *m)
{
    struct message message = *pop(&m->up);
    struct slice subscribe[NAMES + 1], unsubscribe[NAMES], error = slice_str(message.error);
    struct name_version held[NAMES];
    size_t subscribes = 0, unsubscribes = 0, helds = 0;
    char names[NAMES][8];
    uint32_t asked = m->variant == ADS_DELTA ? message.subscribe : message.names;
    for (unsigned i = 0; i < NAMES; i++) {
        name_of(i, names[i]);
        if (asked >> i & 1)
            subscribe[subscribes++] = slice_str(names[i]);
        if (message.unsubscribe >> i & 1)
            unsubscribe[unsubscribes++] = slice_str(names[i]);
        if (message.held >> i & 1)
            held[helds++] =
                (struct name_version){slice_str(names[i]), slice_str(message.versions[i])};
    }
    if (message.star && (m->variant == ADS_DELTA || subscribes > 0))
        subscribe[subscribes++] = SLICE("*");
    struct slice url = slice_str(resource_type_url(message.type));
    const struct ads_status *status = ads_session_status(m->session, message.type);
    uint64_t answered = status->nonce_acked;
    if (m->variant == ADS_DELTA) {
        struct delta_request request = {url,
                                        subscribe,
                                        subscribes,
                                        unsubscribe,
                                        unsubscribes,
                                        held,
                                        helds,
                                        slice_str(message.nonce),
                                        message.nack ? &error : NULL};
        CHECK(delta_server_read(m->session, &request, m->now_ms) == ADS_TAKEN, "seed %llu", SEED);
    } else {
        struct sotw_request request = {url,
                                       subscribe,
                                       subscribes,
                                       SLICE_NONE,
                                       slice_str(message.nonce),
                                       message.nack ? &error : NULL};
        CHECK(sotw_server_read(m->session, &request, m->now_ms) == ADS_TAKEN, "seed %llu", SEED);
    }
    if (m->variant == ADS_DELTA)
        m->unsure[message.type] |= message.unsubscribe; /* it may have come in between */
    if (m->variant == ADS_DELTA)
        m->anew[message.type] |= message.subscribe | message.unsubscribe;
    else
        m->anew[message.type] |= m->asked[message.type] == 0 && message.nonce[0] == '\0'
                                     ? UINT32_MAX
                                     : message.names & ~m->asked[message.type];
    m->asked[message.type] = message.names;
    for (unsigned i = 0; i < NAMES && status->nonce_acked != answered; i++) {
        m->refused[message.type][i] |= m->refusing[message.type][i];
        m->refused[message.type][i] &= ~m->taking[message.type][i];
        m->refusing[message.type][i] = m->taking[message.type][i] = 0;
    }
    if (status->nonce_acked != answered)
        m->unanswered[message.type] = 0;
}

static void server_write(struct model *m)
{
    struct ads_response r = {0};
    while (m->down.count < QUEUE - 1 && ads_session_next(m->session, m->now_ms, 0, &r)) {
        CHECK(m->world.known[r.type], "seed %llu: spoke of the unknown", SEED);
        CHECK(++m->unanswered[r.type] == 1, "seed %llu: two unanswered responses of %s", SEED,
              resource_type_short(r.type));
        struct message *message = push(&m->down);
        message->type = r.type;
        snprintf(message->nonce, sizeof(message->nonce), "%s", r.nonce);
        VECTOR_EACH(blob, &r.blobs)
        {
            unsigned name = name_in(blob_name(*blob));
            CHECK(!message->body[name], "seed %llu: twice in one response", SEED);
            message->body[name] = (uint8_t)blob_body(*blob).data[0];
            hash128_hex((*blob)->version, message->body_version[name]);
            message->anew |= m->anew[r.type] & 1u << name;
            m->anew[r.type] &= ~(1u << name);
            m->sent++;
        }
        VECTOR_EACH(blob, &r.removed)
        message->removed |= 1u << name_in(blob_name(*blob));
    }
    ads_response_fini(&r);
}

/* Scripts. */

static void step(struct model *m)
{
    switch (below(m, 12)) {
    case 0:
    case 1: change_world(m); return;
    case 2:
        if (below(m, 6) != 0)
            return;
        if (m->connected)
            disconnect_client(m);
        else
            connect_client(m);
        return;
    case 3:
        if (!m->strict) {
            enum resource_type type = below(m, 2) ? RESOURCE_ENDPOINTS : RESOURCE_ROUTE;
            client_subscribe(m, type, below(m, NAMES));
        }
        return;
    case 4:
        if (!m->strict) {
            enum resource_type type = below(m, 2) ? RESOURCE_ENDPOINTS : RESOURCE_ROUTE;
            client_unsubscribe(m, type, below(m, NAMES));
        }
        return;
    case 5:
        if (!m->strict)
            m->now_ms += below(m, 4000);
        return;
    case 6:
        if (m->strict)
            return;
        for (size_t i = 0; i < COUNT(types); i++)
            m->poisoned[types[i]] =
                below(m, 3) == 0 ? 1u << (1 + below(m, 31)) | 1u << (1 + below(m, 31)) : 0;
        return;
    default: break;
    }
    client_flush(m);
    if (m->connected && m->up.count > 0 && below(m, 2))
        server_read(m);
    if (m->connected)
        server_write(m);
    if (m->connected && m->down.count > 0 && m->up.count < QUEUE - 64 && below(m, 2))
        client_read(m);
}

/* Everything that is on its way arrives, and no wait is left. */
static void drain(struct model *m)
{
    if (!m->connected)
        connect_client(m);
    for (unsigned round = 0; round < 1000; round++) {
        client_flush(m);
        while (m->up.count > 0)
            server_read(m);
        server_write(m);
        bool quiet = m->down.count == 0;
        while (m->down.count > 0)
            client_read(m);
        client_flush(m);
        if (!quiet || m->up.count > 0)
            continue;
        uint64_t next = ads_session_next_ms(m->session);
        if (ads_session_is_settled(m->session) || next == UINT64_MAX)
            return;
        m->now_ms = MAX(m->now_ms, next);
    }
    CHECK(false, "seed %llu: never comes to rest", SEED);
}

static void check_converged(struct model *m)
{
    for (size_t t = 0; t < COUNT(types); t++) {
        enum resource_type type = types[t];
        for (unsigned i = 0; i < NAMES && m->world.known[type]; i++) {
            if (!client_wants(m, type, i))
                continue;
            uint8_t want = m->world.body[type][i], has = m->holds[type][i];
            bool excused = want && (m->refused[type][i] >> want & 1);
            /* Additive types of the state of the world have no words for a removal. */
            excused =
                excused || (m->variant == ADS_SOTW && !resource_type_is_complete(type) && !want);
            CHECK(excused || want == has,
                  "seed %llu: %s n%u is %u at the client and %u at the server", SEED,
                  resource_type_short(type), i, has, want);
        }
    }
}

static size_t run_script(uint64_t seed)
{
    struct model *m = mem_new(struct model);
    m->seed = seed;
    random_seed(&m->random, seed);
    m->variant = seed % 2 ? ADS_DELTA : ADS_SOTW;
    m->strict = seed % 3 == 0;
    m->now_ms = 1;
    m->refusals = refusals_create();
    m->client = delta_client_create(&delta_client_default_limits);
    m->all[RESOURCE_CLUSTER] = m->all[RESOURCE_LISTENER] = true;
    delta_client_watch_all(m->client, RESOURCE_CLUSTER);
    delta_client_watch_all(m->client, RESOURCE_LISTENER);
    if (m->strict || below(m, 2))
        change_world(m);
    connect_client(m);
    for (unsigned length = 50 + below(m, 250); length > 0; length--) {
        step(m);
        if (below(m, 100) == 0) {
            drain(m);
            check_converged(m);
        }
    }
    drain(m);
    check_converged(m);
    /* A last reconnect with nothing changed: check_news sees that nothing comes that is held. */
    disconnect_client(m);
    drain(m);
    check_converged(m);
    size_t sent = m->sent;
    disconnect_client(m);
    delta_client_destroy(m->client);
    refusals_destroy(m->refusals);
    view_unref(m->view);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        blob_table_unref(m->tables[i]);
    mem_free(m);
    return sent;
}

TEST(ads_clients_converge_to_the_view_under_random_scripts)
{
    const char *one = getenv("TULLE_SEED"), *many = getenv("TULLE_SCRIPTS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one ? 1 : many ? strtoull(many, NULL, 10) : 3000;
    size_t sent = 0;
    for (uint64_t seed = first; seed < first + count; seed++)
        sent += run_script(seed);
    CHECK(one || sent > count, "the scripts send something");
}
