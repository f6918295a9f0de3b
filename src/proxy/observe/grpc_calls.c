#include "proxy/observe/grpc_calls.h"

#include "base/map.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "http/url.h"
#include "proxy/downstream/exchange.h"
#include "rpc/grpc_status.h"
#include "stats/counter.h"
#include "stats/registry.h"

#include <stdio.h>
#include <string.h>

/* --- messages ------------------------------------------------------------------------------------------------- */

void grpc_messages_count(struct grpc_messages *messages, const struct chain *bytes)
{
    for (uint32_t i = 0; i < bytes->count; i++) {
        const struct segment *segment = chain_segment(bytes, i);
        struct slice rest = slice_of(segment->data, segment->size);
        while (rest.size > 0) {
            if (messages->left > 0) {
                size_t size = MIN(rest.size, (size_t)messages->left);
                slice_take(&rest, size);
                messages->left -= (uint32_t)size;
                continue;
            }
            size_t size = MIN(rest.size, sizeof(messages->head) - messages->seen);
            memcpy(messages->head + messages->seen, slice_take(&rest, size).data, size);
            messages->seen = (uint8_t)(messages->seen + size);
            if (messages->seen < sizeof(messages->head))
                break;
            const uint8_t *head = messages->head;
            messages->count++;
            messages->seen = 0;
            messages->left = (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 |
                             (uint32_t)head[3] << 8 | head[4];
        }
    }
}

/* --- series --------------------------------------------------------------------------------------------------- */

enum call_counter {
    CALL_TOTAL,
    CALL_SUCCESS,
    CALL_FAILURE,
    CALL_ASKED,
    CALL_ANSWERED,
    CALL_COUNTERS
};

struct method_series {
    uint32_t slots[CALL_COUNTERS];
    uint32_t codes[GRPC_CODES];
    uint32_t known; /* which of them are resolved */
    struct stats_labels *labels;
    bool by_method;
};

struct grpc_calls {
    struct map *methods; /* cluster's hash and path -> struct method_series */
};

struct grpc_calls *grpc_calls_create(void)
{
    struct grpc_calls *calls = mem_new(struct grpc_calls);
    calls->methods = map_create_hostile();
    return calls;
}

void grpc_calls_destroy(struct grpc_calls *calls, struct stats_registry *registry)
{
    struct map_iterator each = {0};
    if (!calls)
        return;
    while (map_next(calls->methods, &each)) {
        struct method_series *series = each.value;
        stats_release_all(registry, series->slots, CALL_COUNTERS);
        for (unsigned code = 0; code < GRPC_CODES; code++)
            if (series->known >> code & 1)
                stats_release(registry, series->codes[code]);
        stats_labels_release(registry, series->labels);
        mem_free(series);
    }
    map_destroy(calls->methods);
    mem_free(calls);
}

/* By method and for all methods of a cluster the names differ in what stands between. */
static uint32_t resolve(struct stats_registry *registry, const struct method_series *series,
                        const char *name)
{
    char prometheus[64], text[64];
    struct stats_metric metric = {prometheus, text, "gRPC calls", STATS_COUNTER, STATS_PLAIN};
    snprintf(prometheus, sizeof(prometheus), "envoy_cluster_grpc_%s", name);
    snprintf(text, sizeof(text),
             series->by_method ? "cluster.%%.grpc.%%.%%.%s" : "cluster.%%.grpc.%s", name);
    return stats_resolve(registry, &metric, series->labels);
}

static struct method_series *make(struct stats_registry *registry, struct slice cluster,
                                  struct slice service, struct slice method, bool by_method)
{
    static const struct stats_label names[] = {{"envoy_cluster_name", false},
                                               {"envoy_grpc_bridge_service", true},
                                               {"envoy_grpc_bridge_method", true}};
    static const char *const counters[CALL_COUNTERS] = {
        [CALL_TOTAL] = "total",
        [CALL_SUCCESS] = "success",
        [CALL_FAILURE] = "failure",
        [CALL_ASKED] = "request_message_count",
        [CALL_ANSWERED] = "response_message_count",
    };
    const struct slice values[] = {cluster, service, method};
    struct method_series *series = mem_new(struct method_series);
    series->by_method = by_method;
    series->labels = stats_labels_hold(registry, names, values, by_method ? 3 : 1);
    for (int i = 0; i < CALL_COUNTERS; i++)
        series->slots[i] = resolve(registry, series, counters[i]);
    return series;
}

/* "/package.Service/Method" */
static bool split_path(struct slice path, struct slice *service, struct slice *method)
{
    return path.size > 1 && path.data[0] == '/' &&
           slice_cut(slice_from(path, 1), '/', service, method) && service->size > 0 &&
           method->size > 0 && !memchr(method->data, '/', method->size);
}

static struct method_series *find(struct grpc_calls *calls, struct stats_registry *registry,
                                  const struct record *record, bool by_method)
{
    enum { KEY_MAX = 512 };
    char key[KEY_MAX];
    struct slice path = path_only(record->request->path), service = SLICE_NONE, method = SLICE_NONE;
    uint64_t cluster = record->cluster->name.hash;
    bool is_known = !by_method ||
                    (path.size <= KEY_MAX - sizeof(cluster) && split_path(path, &service, &method));
    if (!by_method)
        path = SLICE_NONE;
    else if (!is_known)
        path = service = method = SLICE("other");
    for (int turn = 0;; turn++) {
        memcpy(key, &cluster, sizeof(cluster));
        if (path.size > 0)
            memcpy(key + sizeof(cluster), path.data, path.size);
        struct slice name = slice_of(key, sizeof(cluster) + path.size);
        struct method_series *series = map_get(calls->methods, name);
        if (series)
            return series;
        if (turn > 0 || !by_method || map_count(calls->methods) < GRPC_METHODS_MAX) {
            series = make(registry, record->cluster->stat_name, service, method, by_method);
            map_put(calls->methods, name, series);
            return series;
        }
        path = service = method = SLICE("other");
    }
}

void grpc_calls_count(struct grpc_calls *calls, struct stats_registry *registry,
                      struct stats_set *set, const struct exchange *exchange, bool by_method,
                      uint32_t status)
{
    const struct record *record = &exchange->record;
    if (!record->cluster)
        return;
    struct method_series *series = find(calls, registry, record, by_method);
    unsigned code = status < GRPC_CODES ? status : GRPC_UNKNOWN;
    if (!(series->known >> code & 1)) {
        char text[8];
        snprintf(text, sizeof(text), "%u", code);
        series->codes[code] = resolve(registry, series, text);
        series->known |= 1u << code;
    }
    counter_increment(set, series->codes[code]);
    counter_increment(set, series->slots[CALL_TOTAL]);
    counter_increment(set, series->slots[code == GRPC_OK ? CALL_SUCCESS : CALL_FAILURE]);
    counter_add(set, series->slots[CALL_ASKED], exchange->asked.count);
    counter_add(set, series->slots[CALL_ANSWERED], exchange->answered.count);
}
