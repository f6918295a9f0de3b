/*
 * grpc_calls: statistics of gRPC calls, as Envoy's grpc_stats filter counts them: by cluster, service and method.
 *
 * Clients choose the method's name, so there is a limit of methods; calls beyond it are counted under "other".
 */
#pragma once

#include "base/attributes.h"
#include "base/chain.h"

struct exchange;
struct grpc_calls;
struct stats_registry;
struct stats_set;

enum { GRPC_METHODS_MAX = 1000 };

/* Counts the messages of one direction as their bytes pass, in any cut. */
struct grpc_messages {
    uint64_t count; /* heads seen */
    uint32_t left;  /* bytes of the message under way */
    uint8_t seen;   /* bytes of its head */
    uint8_t head[5];
};
void grpc_messages_count(struct grpc_messages *messages, const struct chain *bytes);

struct grpc_calls *grpc_calls_create(void);
void grpc_calls_destroy(struct grpc_calls *calls, struct stats_registry *registry);
/* An exchange that was a call is over. */
void grpc_calls_count(struct grpc_calls *calls, struct stats_registry *registry,
                      struct stats_set *set, const struct exchange *exchange, bool by_method,
                      uint32_t status);
