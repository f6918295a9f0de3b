#include "proxy/observe/causes.h"

#include "base/map.h"
#include "base/memory.h"
#include "stats/counter.h"
#include "stats/registry.h"

#include <string.h>

enum { NAME_MAX_BYTES = 96, CAUSES_MAX = 200 };

static const struct stats_metric metrics[CAUSE_KINDS] = {
    [CAUSE_REFUSED] = {"tulle_http_downstream_refused_total", "http.downstream_refused.%",
                       "requests that broke a rule or limit of HTTP", STATS_COUNTER, STATS_PLAIN},
    [CAUSE_CLOSED] = {"tulle_http_downstream_closed_total", "http.downstream_closed.%",
                      "HTTP connections ended, by cause", STATS_COUNTER, STATS_PLAIN},
    [CAUSE_REPLIED] = {"tulle_http_local_replies_total", "http.local_replies.%",
                       "requests that the proxy answered itself", STATS_COUNTER, STATS_PLAIN},
    [CAUSE_TUNNEL] = {"tulle_tcp_ended_total", "tcp.ended.%", "tunnels that failed or were ended",
                      STATS_COUNTER, STATS_PLAIN},
    [CAUSE_ARRIVAL] = {"tulle_listener_refused_total", "listener.refused.%",
                       "connections refused before their filter chain was known", STATS_COUNTER,
                       STATS_PLAIN},
    [CAUSE_SESSION] = {"tulle_udp_ended_total", "udp.ended.%",
                       "UDP sessions that were refused or ended, by cause", STATS_COUNTER,
                       STATS_PLAIN},
};

struct cause {
    uint32_t slot;
};
struct causes {
    struct map *known; /* kind and name -> struct cause */
};

struct causes *causes_create(void)
{
    struct causes *causes = mem_new(struct causes);
    causes->known = map_create();
    return causes;
}

void causes_destroy(struct causes *causes, struct stats_registry *registry)
{
    struct map_iterator each = {0};
    if (!causes)
        return;
    while (map_next(causes->known, &each)) {
        struct cause *cause = each.value;
        stats_release(registry, cause->slot);
        mem_free(cause);
    }
    map_destroy(causes->known);
    mem_free(causes);
}

void causes_count(struct causes *causes, struct stats_registry *registry, struct stats_set *set,
                  enum cause_kind kind, const char *text)
{
    static const struct stats_label name = {"cause", false};
    char key[NAME_MAX_BYTES + 1];
    if (!text || !*text)
        return;
    size_t size = MIN(strlen(text), (size_t)NAME_MAX_BYTES);
    key[0] = (char)kind;
    memcpy(key + 1, text, size);
    struct cause *cause = map_get(causes->known, slice_of(key, size + 1));
    if (!cause) {
        if (map_count(causes->known) >= CAUSES_MAX)
            return;
        struct slice value = slice_of(text, size);
        struct stats_labels *labels = stats_labels_hold(registry, &name, &value, 1);
        cause = mem_new(struct cause);
        cause->slot = stats_resolve(registry, &metrics[kind], labels);
        stats_labels_release(registry, labels);
        map_put(causes->known, slice_of(key, size + 1), cause);
    }
    counter_increment(set, cause->slot);
}
