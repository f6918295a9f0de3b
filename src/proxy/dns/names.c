#include "proxy/dns/names.h"

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "build/bootstrap.h"
#include "io/conn.h"
#include "io/datagram.h"
#include "io/listener.h"
#include "io/resolver.h"
#include "match/ip.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "proxy/configure.h"
#include "proxy/dns/message.h"
#include "proxy/process_state.h"
#include "xds/delta_client.h"

#include "istio/nds.pb-c.h"

#include <string.h>

enum {
    ADDRESSES_MAX = 64,
    TTL_S = 30,
    ASKED_MAX = 1024,
    CONNECTIONS_MAX = 256,
    CONNECTION_IDLE_MS = 10000
};

struct entry {
    size_t count;
    struct dns_address addresses[];
};

struct names {
    struct process *process;
    struct map *table; /* name -> struct entry */
    struct datagram *udp;
    struct listen_group *group;
    struct acceptor *acceptor;
    struct list asked;       /* struct asked: questions that the host's resolver works on */
    struct list connections; /* struct connection */
    size_t asked_count, connection_count;
};

/* A TCP client: messages with their length before them. */
struct connection {
    struct list node;
    struct names *names;
    struct conn *conn;
    struct timer idle;
    handle name;
    size_t used;
    uint8_t input[2 + DNS_MESSAGE_MAX];
};

struct asked {
    struct list node;
    struct names *names;
    struct dns_question question;
    struct datagram_path path;
    handle connection; /* 0: UDP */
    handle lookup;
    size_t size;
    uint8_t message[DNS_MESSAGE_MAX];
};

/* --- the table ------------------------------------------------------------------------------------------------ */

static void clear(struct names *names)
{
    struct map_iterator each = {0};
    while (map_next(names->table, &each))
        mem_free(each.value);
    map_clear(names->table);
}

static struct entry *entry_of(const Istio__Networking__Nds__V1__NameTable__NameInfo *info)
{
    struct entry *entry = mem_calloc(1, sizeof(*entry) + MIN(info->n_ips, (size_t)ADDRESSES_MAX) *
                                                             sizeof(struct dns_address));
    for (size_t i = 0; i < info->n_ips && entry->count < ADDRESSES_MAX; i++) {
        struct ip ip;
        if (!ip_parse(slice_str(info->ips[i]), &ip))
            continue;
        struct slice bytes = ip_bytes(&ip);
        struct dns_address *address = &entry->addresses[entry->count++];
        memcpy(address->bytes, bytes.data, bytes.size);
        address->size = (uint8_t)bytes.size;
    }
    return entry;
}

static void add(struct names *names, const char *name,
                const Istio__Networking__Nds__V1__NameTable__NameInfo *info)
{
    mem_free(map_put(names->table, slice_str(name), entry_of(info)));
}

/* A Kubernetes name has short forms; the shortest is for the same namespace only. */
static void add_all(struct names *names, const char *host,
                    const Istio__Networking__Nds__V1__NameTable__NameInfo *info)
{
    const char *own = pb_struct_get_str(names->process->bootstrap->node->metadata, "NAMESPACE");
    add(names, host, info);
    if (!info->shortname || !*info->shortname || !info->namespace_ || !*info->namespace_)
        return;
    owned_str medium = str_format("%s.%s", info->shortname, info->namespace_);
    owned_str service = str_format("%s.svc", medium);
    add(names, medium, info);
    add(names, service, info);
    if (own && strcmp(own, info->namespace_) == 0)
        add(names, info->shortname, info);
}

static void take(struct names *names, const struct delta_resource *resource)
{
    struct arena arena;
    owned_error error = {0};
    arena_init(&arena, NULL);
    const Istio__Networking__Nds__V1__NameTable *table = pb_decode(
        &istio__networking__nds__v1__name_table__descriptor, resource->body, &arena, NULL, &error);
    if (table) {
        clear(names);
        for (size_t i = 0; i < table->n_table; i++)
            if (table->table[i]->key && table->table[i]->value)
                add_all(names, table->table[i]->key, table->table[i]->value);
        log_info("dns", "%zu names of the mesh", map_count(names->table));
    } else {
        log_warning("dns", "the name table cannot be read: %s", error.what);
    }
    arena_fini(&arena);
}

static void on_names(void *owner, const struct delta_update *update)
{
    for (size_t i = 0; i < update->added_count; i++)
        take(owner, update->added[i]);
}

/* --- answering ------------------------------------------------------------------------------------------------ */

static void send_tcp(struct names *names, handle name, const uint8_t *answer, size_t size)
{
    struct connection *connection = handle_get(loop_handles(names->process->loop), name);
    struct chain bytes = {0};
    uint8_t length[2] = {(uint8_t)(size >> 8), (uint8_t)size};
    if (!connection)
        return;
    struct block_pool *blocks = loop_blocks(names->process->loop);
    if (chain_append_copy(&bytes, blocks, slice_of(length, 2)) &&
        chain_append_copy(&bytes, blocks, slice_of(answer, size)))
        conn_write(connection->conn, &bytes);
    chain_fini(&bytes);
}

/* Addresses of the asked-for family; none of it is an answer without records, not "no such name". */
static void answer(struct names *names, const struct asked *asked, enum dns_code code,
                   const struct dns_address *all, size_t count, uint32_t ttl_s)
{
    struct dns_address fitting[ADDRESSES_MAX];
    uint8_t out[DNS_MESSAGE_MAX];
    size_t fitting_count = 0, wanted = asked->question.type == DNS_A ? 4 : 16;
    for (size_t i = 0; i < count && fitting_count < ADDRESSES_MAX; i++)
        if (all[i].size == wanted)
            fitting[fitting_count++] = all[i];
    bool is_tcp = asked->connection != 0;
    size_t size = dns_answer_write(&asked->question, slice_of(asked->message, asked->size), code,
                                   fitting, fitting_count, ttl_s,
                                   is_tcp ? DNS_MESSAGE_MAX : asked->question.udp_max, out);
    if (is_tcp)
        send_tcp(names, asked->connection, out, size);
    else
        (void)!datagram_send(names->udp, &asked->path, slice_of(out, size));
}

static void on_resolved(void *owner, const struct resolve_answer *resolved)
{
    struct asked *asked = owner;
    struct names *names = asked->names;
    struct dns_address addresses[ADDRESSES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < resolved->count && count < ADDRESSES_MAX; i++) {
        struct slice bytes = address_ip(&resolved->addresses[i]);
        addresses[count].size = (uint8_t)bytes.size;
        memcpy(addresses[count++].bytes, bytes.data, bytes.size);
    }
    enum dns_code code = DNS_SERVER_FAILURE;
    if (resolved->status == RESOLVE_OK || resolved->status == RESOLVE_STALE)
        code = DNS_NO_ERROR;
    else if (resolved->status == RESOLVE_NO_NAME)
        code = DNS_NO_NAME;
    answer(names, asked, code, addresses, count, MAX(resolved->ttl_s, 1u));
    list_remove(&asked->node);
    names->asked_count--;
    mem_free(asked);
}

static void ask_host(struct names *names, const struct asked *question)
{
    if (names->asked_count >= ASKED_MAX) {
        answer(names, question, DNS_SERVER_FAILURE, NULL, 0, 0);
        return;
    }
    struct asked *asked = mem_alloc(sizeof(*asked));
    *asked = *question;
    list_push_back(&names->asked, &asked->node);
    names->asked_count++;
    asked->lookup = resolver_lookup(names->process->means.resolver, slice_str(asked->question.name),
                                    asked->question.type == DNS_A ? RESOLVE_V4 : RESOLVE_V6,
                                    on_resolved, asked);
}

static void handle_question(struct names *names, struct slice message,
                            const struct datagram_path *path, handle connection)
{
    struct asked asked = {.names = names, .connection = connection};
    enum dns_code code;
    if (message.size > sizeof(asked.message) || !dns_question_read(message, &asked.question, &code))
        return;
    if (path)
        asked.path = *path;
    asked.size = message.size;
    memcpy(asked.message, message.data, message.size);
    if (code != DNS_NO_ERROR) {
        answer(names, &asked, code, NULL, 0, 0);
        return;
    }
    const struct entry *entry =
        map_get(names->table, slice_of(asked.question.name, asked.question.name_size));
    if (entry)
        answer(names, &asked, DNS_NO_ERROR, entry->addresses, entry->count, TTL_S);
    else if (asked.question.class == DNS_IN &&
             (asked.question.type == DNS_A || asked.question.type == DNS_AAAA))
        ask_host(names, &asked);
    else
        answer(names, &asked, DNS_NOT_IMPLEMENTED, NULL, 0, 0);
}

static void on_datagram(void *owner, const struct datagram_path *path, struct slice bytes)
{
    handle_question(owner, bytes, path, 0);
}

/* --- TCP ------------------------------------------------------------------------------------------------------ */

static void connection_close(struct connection *connection)
{
    struct names *names = connection->names;
    loop_timer_stop(names->process->loop, &connection->idle);
    handle_drop(loop_handles(names->process->loop), connection->name);
    list_remove(&connection->node);
    names->connection_count--;
    conn_close(connection->conn, CONN_CLOSE);
    mem_free(connection);
}

static void on_idle(struct timer *timer)
{
    connection_close(CONTAINER_OF(timer, struct connection, idle));
}

static void work_through(struct connection *connection)
{
    while (connection->used >= 2) {
        size_t size = (size_t)connection->input[0] << 8 | connection->input[1];
        if (size > DNS_MESSAGE_MAX) {
            connection_close(connection);
            return;
        }
        if (connection->used < 2 + size)
            return;
        handle_question(connection->names, slice_of(connection->input + 2, size), NULL,
                        connection->name);
        connection->used -= 2 + size;
        memmove(connection->input, connection->input + 2 + size, connection->used);
    }
}

static void on_bytes(void *owner, struct block *block, const char *data, size_t size)
{
    struct connection *connection = owner;
    struct slice rest = slice_of(data, size);
    loop_timer_start(connection->names->process->loop, &connection->idle, CONNECTION_IDLE_MS,
                     on_idle);
    while (rest.size > 0) {
        size_t room = sizeof(connection->input) - connection->used;
        struct slice piece = slice_take(&rest, MIN(room, rest.size));
        handle name = connection->name;
        struct loop *loop = connection->names->process->loop;
        memcpy(connection->input + connection->used, piece.data, piece.size);
        connection->used += piece.size;
        work_through(connection);
        if (!handle_get(loop_handles(loop), name))
            break;
    }
    block_unref(block);
}

static void on_read_end(void *owner)
{
    connection_close(owner);
}

static void on_error(void *owner, int error)
{
    (void)error;
    connection_close(owner);
}

static const struct conn_events connection_events = {
    .on_bytes = on_bytes, .on_read_end = on_read_end, .on_error = on_error};

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct names *names = owner;
    struct loop *loop = names->process->loop;
    (void)peer;
    if (names->connection_count >= CONNECTIONS_MAX) {
        accepted_close(loop, fd);
        return;
    }
    struct connection *connection = mem_new(struct connection);
    connection->names = names;
    connection->conn = conn_adopt(loop, fd, CONN_EXEMPT, &connection_events, connection);
    if (!connection->conn) {
        mem_free(connection);
        return;
    }
    connection->name = handle_new(loop_handles(loop), connection);
    list_push_back(&names->connections, &connection->node);
    names->connection_count++;
    loop_timer_start(loop, &connection->idle, CONNECTION_IDLE_MS, on_idle);
    conn_read_start(connection->conn);
}

/* --- making --------------------------------------------------------------------------------------------------- */

static bool listen_on(struct names *names, struct error *error)
{
    const struct process_options *options = names->process->options;
    struct loop *loop = names->process->loop;
    struct datagram_options udp = {.network_namespace = options->network_namespace};
    struct listen_options tcp = {.network_namespace = options->network_namespace};
    if (!address_parse(slice_str(options->dns_address), &udp.address))
        return error_set(error, "TUL1238", "--dns-address is HOST:PORT, not \"%s\"",
                         options->dns_address);
    tcp.address = udp.address;
    int failure = datagram_create(loop, &udp, on_datagram, names, &names->udp);
    if (!failure)
        failure = listen_group_create(&tcp, &names->group);
    if (!failure)
        failure = acceptor_create(loop, listen_group_fd(names->group, 0), on_accept, names,
                                  &names->acceptor);
    if (!failure)
        return true;
    error_set(error, "TUL1238", "cannot answer names on %s: %s", options->dns_address,
              strerror(-failure));
    return false;
}

bool names_create(struct process *process, struct names **out, struct error *error)
{
    *out = NULL;
    if (!process->options->dns_address)
        return true;
    struct names *names = mem_new(struct names);
    names->process = process;
    names->table = map_create_hostile();
    list_init(&names->asked);
    list_init(&names->connections);
    if (!listen_on(names, error)) {
        names_destroy(names);
        return false;
    }
    configure_on_names(process->configure, on_names, names);
    *out = names;
    return true;
}

void names_destroy(struct names *names)
{
    if (!names)
        return;
    acceptor_destroy(names->acceptor);
    listen_group_destroy(names->group);
    datagram_destroy(names->udp);
    LIST_EACH_SAFE(node, after, &names->connections)
    connection_close(LIST_ENTRY(node, struct connection, node));
    LIST_EACH_SAFE(node, after, &names->asked)
    {
        struct asked *asked = LIST_ENTRY(node, struct asked, node);
        resolver_cancel(names->process->means.resolver, asked->lookup);
        mem_free(asked);
    }
    clear(names);
    map_destroy(names->table);
    mem_free(names);
}
