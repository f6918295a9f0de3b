#include "base/memory.h"
#include "control/push/push_internal.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "xds/discovery.h"

#include "envoy/service/status/v3/csds.pb-c.h"

typedef Envoy__Service__Status__V3__ClientConfig client_config;
typedef Envoy__Service__Status__V3__ClientConfig__GenericXdsConfig type_config;

/* istio.io/debug/syncz: a ClientConfig a proxy, as istioctl reads it. */

static Envoy__Service__Status__V3__ConfigStatus status_of(const struct push_type_status *row)
{
    if (row->error)
        return ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__ERROR;
    if (row->sent == 0 && !row->current)
        return ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__NOT_SENT;
    return row->sent == row->acked ? ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__SYNCED
                                   : ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__STALE;
}

static type_config *describe_type(struct arena *arena, enum resource_type type,
                                  const struct push_type_status *row)
{
    char version[33];
    type_config *config =
        pb_new(arena, &envoy__service__status__v3__client_config__generic_xds_config__descriptor);
    config->type_url = arena_copy_str(arena, resource_type_url(type));
    PB_SET(config, config_status, status_of(row));
    if (row->sent > 0) {
        hash128_hex(row->version_sent, version);
        config->version_info = arena_copy_str(arena, version);
        config->last_updated = pb_timestamp_new(arena, row->sent_wall_us * 1000);
    }
    if (row->error) {
        config->error_state = pb_new(arena, &envoy__admin__v3__update_failure_state__descriptor);
        config->error_state->details = arena_copy_str(arena, row->error);
    }
    return config;
}

static struct slice describe_proxy(struct arena *arena, const struct push_status *status)
{
    client_config *config = pb_new(arena, &envoy__service__status__v3__client_config__descriptor);
    config->node = pb_decode(&envoy__config__core__v3__node__descriptor, status->peer->node, arena,
                             NULL, NULL);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (status->types[i].watched)
            PB_APPEND(arena, config, generic_xds_configs,
                      describe_type(arena, (enum resource_type)i, &status->types[i]));
    }
    return pb_pack_to(&config->base, arena);
}

static void add_proxy(void *to, const struct push_status *status)
{
    struct push_mail *mail = to;
    mail->resources[mail->count++] =
        (struct discovery_any){SLICE("type.googleapis.com/envoy.service.status.v3.ClientConfig"),
                               describe_proxy(&mail->arena, status)};
}

/* The letter that asked goes back with the answer. */
static void answer_syncz(struct push *push, struct push_mail *mail)
{
    mail->resources =
        arena_calloc(&mail->arena, push_proxy_count(push) + 1, sizeof(*mail->resources));
    push_each(push, add_proxy, mail);
    push_mail_page(mail);
}

static bool may_debug(struct push *push, const struct push_mail *mail)
{
    if (push->source->may_debug)
        return push->source->may_debug(push->owner, &mail->peer, slice_str(mail->text));
    return !mail->peer.encrypted;
}

static void refuse(struct push_mail *mail, enum grpc_code code, const char *reason)
{
    mem_free(mail->text);
    mail->text = str_copy(reason);
    mail->code = code;
    push_mail_refuse(mail);
}

void push_debug(struct push *push, struct push_mail *mail)
{
    if (!may_debug(push, mail))
        refuse(mail, GRPC_PERMISSION_DENIED, "debug pages are not for this peer");
    else if (strcmp(mail->text, "syncz") == 0)
        answer_syncz(push, mail);
    else
        refuse(mail, GRPC_UNIMPLEMENTED, "there is no such debug page");
}
