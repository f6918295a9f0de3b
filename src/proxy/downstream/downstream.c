#include "proxy/downstream/downstream.h"

#include "proxy/downstream/exchange.h"
#include "proxy/http_profile.h"
#include "proxy/observe/observer.h"
#include "proxy/worker.h"

static void on_request(void *owner, struct http_connection *http, struct http_stream *stream)
{
    struct downstream *downstream = owner;
    (void)http;
    exchange_begin(downstream, stream);
}

static void on_refused(void *owner, struct http_connection *http, enum http_refusal refusal)
{
    struct downstream *downstream = owner;
    (void)http;
    observe_refused(downstream->worker->observer, downstream, refusal);
}

static void keep(struct downstream *downstream, const struct resource *table)
{
    struct reader *reader = downstream->worker->reader;
    if (table)
        reader_pin(reader, table);
    if (downstream->kept_table)
        reader_unpin(reader, downstream->kept_table);
    downstream->kept_table = table;
}

static void downstream_free(struct downstream *downstream)
{
    list_remove(&downstream->node);
    worker_count_open(downstream->worker, false);
    http_profile_unref(downstream->profile);
    reader_unpin(downstream->worker->reader, downstream->listener);
    keep(downstream, NULL);
    address_packed_fini(&downstream->local);
    address_packed_fini(&downstream->peer);
    address_packed_fini(&downstream->original_destination);
    loop_object_free(downstream->worker->loop, downstream, sizeof(*downstream));
}

static void on_closed(void *owner, struct http_connection *http, enum http_closed reason,
                      const struct transport_failure *failure)
{
    struct downstream *downstream = owner;
    (void)http;
    observe_downstream_closed(downstream->worker->observer, downstream, reason, failure);
    downstream->http = NULL;
    /* Streams that were reset release themselves before this; none is left. */
    downstream_free(downstream);
}

static const struct http_connection_events events = {
    .on_request = on_request,
    .on_refused = on_refused,
    .on_closed = on_closed,
};

static void take_addresses(struct downstream *downstream, const struct downstream_origin *origin)
{
    bool has_destination = address_is_set(&origin->destination),
         has_source = address_is_set(&origin->source);
    downstream->local = address_pack(has_destination ? &origin->destination : &origin->local);
    downstream->peer = address_pack(has_source ? &origin->source : &origin->peer);
    downstream->original_destination = address_pack(&origin->original_destination);
    downstream->has_header = has_source;
}

bool downstream_create(struct worker *worker, struct transport *transport,
                       const struct downstream_origin *origin)
{
    struct downstream *downstream = loop_object_new(worker->loop, sizeof(*downstream));
    if (!downstream) {
        transport_close(transport, CONN_ABORT);
        return false;
    }
    downstream->worker = worker;
    downstream->listener = origin->listener;
    downstream->chain = origin->chain;
    reader_pin(worker->reader, origin->listener);
    take_addresses(downstream, origin);
    downstream->profile = http_profile_of_hcm(&worker->profiles, origin->chain->http,
                                              origin->listener->listener->buffer_limit,
                                              observe_http(worker->observer, origin->chain->http));
    list_init(&downstream->exchanges);
    list_push_back(&worker->downstreams, &downstream->node);
    worker_count_open(worker, true);
    downstream->http = http_connection_create(transport, HTTP_SERVER, &downstream->profile->options,
                                              &events, downstream);
    if (!downstream->http) {
        downstream_free(downstream);
        return false;
    }
    observe_downstream_opened(worker->observer, downstream);
    downstream_follow(downstream); /* what it came by may have gone while it said nothing */
    return true;
}

void downstream_close(struct downstream *downstream)
{
    LIST_EACH_SAFE(node, after, &downstream->exchanges)
    exchange_end(LIST_ENTRY(node, struct exchange, node));
    observe_downstream_closed(downstream->worker->observer, downstream, HTTP_CLOSED_DONE, NULL);
    http_connection_close(downstream->http);
    downstream_free(downstream);
}

void downstream_drain(struct downstream *downstream)
{
    if (downstream->http && !http_connection_is_draining(downstream->http))
        http_connection_drain(downstream->http);
}

static void look_up(struct downstream *downstream, const struct snapshot *snapshot)
{
    struct reader *reader = downstream->worker->reader;
    const struct resource *resource =
        snapshot_find(snapshot, KIND_LISTENER, &downstream->listener->name);
    const struct filter_chain *chain =
        resource ? listener_chain_by_key(resource->listener, downstream->chain->key) : NULL;
    downstream->epoch = (uint32_t)snapshot->epoch;
    downstream->is_orphaned = !chain || !chain->http;
    if (downstream->is_orphaned || resource == downstream->listener)
        return;
    if (!hash128_equals(chain->tls_demands, downstream->chain->tls_demands))
        downstream->has_old_tls = true;
    reader_pin(reader, resource);
    reader_unpin(reader, downstream->listener);
    downstream->listener = resource;
    downstream->chain = chain;
}

const struct filter_chain *downstream_chain(struct downstream *downstream,
                                            const struct resource **listener)
{
    const struct snapshot *snapshot = worker_snapshot(downstream->worker);
    if (UNLIKELY(downstream->epoch != (uint32_t)snapshot->epoch))
        look_up(downstream, snapshot);
    *listener = downstream->listener;
    return downstream->chain;
}

void downstream_keep_table(struct downstream *downstream, const struct snapshot *before,
                           const struct snapshot *now)
{
    if (downstream->epoch != (uint32_t)before->epoch)
        look_up(downstream, before);
    const struct name *name = &downstream->chain->http->route_name;
    const struct resource *table =
        name_is_set(name) ? snapshot_find(before, KIND_ROUTE, name) : NULL;
    if (!table || snapshot_find(now, KIND_ROUTE, name))
        return;
    look_up(downstream, now);
    if (downstream->is_orphaned)
        keep(downstream, table);
}

void downstream_follow(struct downstream *downstream)
{
    const struct resource *listener;
    (void)downstream_chain(downstream, &listener);
    if (downstream->is_orphaned || downstream->has_old_tls)
        downstream_drain(downstream);
}
