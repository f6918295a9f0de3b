#include "base/map.h"
#include "base/memory.h"
#include "control/push/push_internal.h"
#include "pb/codec.h"
#include "pb/message.h"
#include "xds/discovery.h"

#include "envoy/service/status/v3/csds.pb-c.h"

#include <stdlib.h>

typedef Envoy__Service__Status__V3__ClientConfig client_config;
typedef Envoy__Service__Status__V3__ClientConfig__GenericXdsConfig type_config;

const char *push_type_status(const struct push_type_row *row)
{
    if (!row->watched)
        return "IGNORED";
    if (row->error)
        return "ERROR";
    if (row->sent == 0)
        return "NOT SENT";
    return row->sent == row->acked ? "SYNCED" : "STALE";
}

/* Questions. */

void push_question_destroy(struct push_question *question)
{
    list_remove(&question->node);
    push_mail_destroy(question->asker);
    VECTOR_EACH(answer, &question->answers)
    push_mail_destroy(*answer);
    vector_fini(&question->answers);
    vector_fini(&question->rows);
    mem_free(question);
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct push_row *)a)->peer.node_id,
                  ((const struct push_row *)b)->peer.node_id);
}

static void answer(struct push *push, handle name, struct push_question *question)
{
    handle_drop(loop_handles(push->loop), name);
    if (question->rows.count > 0)
        qsort(question->rows.items, question->rows.count, sizeof(struct push_row), compare_rows);
    question->on_rows(question->owner, question->rows.items, question->rows.count);
    push_question_destroy(question);
}

void push_take_rows(struct push *push, struct push_mail *mail)
{
    struct push_question *question = handle_get(loop_handles(push->loop), mail->question);
    if (!question) {
        push_mail_destroy(mail);
        return;
    }
    for (size_t i = 0; i < mail->count; i++)
        vector_push(&question->rows, mail->rows[i]);
    vector_push(&question->answers, mail);
    if (--question->awaited == 0)
        answer(push, mail->question, question);
}

handle push_ask(struct push *push, push_on_rows *on_rows, void *owner)
{
    struct push_question *question = mem_new(struct push_question);
    question->push = push;
    question->on_rows = on_rows;
    question->owner = owner;
    question->awaited = push->threads.count;
    list_push_back(&push->questions, &question->node);
    handle name = handle_new(loop_handles(push->loop), question);
    VECTOR_EACH(thread, &push->threads)
    {
        struct push_mail *mail = push_mail_create(*thread);
        mail->question = name;
        push_mail_ask(mail);
    }
    return name;
}

void push_forget(struct push *push, handle name)
{
    struct push_question *question = handle_get(loop_handles(push->loop), name);
    if (!question)
        return;
    handle_drop(loop_handles(push->loop), name);
    push_question_destroy(question);
}

/* istio.io/debug/syncz: a ClientConfig a proxy, as istioctl reads it. */

static Envoy__Service__Status__V3__ConfigStatus status_of(const struct push_type_row *row)
{
    if (row->error)
        return ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__ERROR;
    if (row->sent == 0)
        return ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__NOT_SENT;
    return row->sent == row->acked ? ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__SYNCED
                                   : ENVOY__SERVICE__STATUS__V3__CONFIG_STATUS__STALE;
}

static type_config *describe_type(struct arena *arena, enum resource_type type,
                                  const struct push_type_row *row)
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

static struct slice describe_proxy(struct arena *arena, const struct push_row *row)
{
    client_config *config = pb_new(arena, &envoy__service__status__v3__client_config__descriptor);
    config->node =
        pb_decode(&envoy__config__core__v3__node__descriptor, row->peer.node, arena, NULL, NULL);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (row->types[i].watched)
            PB_APPEND(arena, config, generic_xds_configs,
                      describe_type(arena, (enum resource_type)i, &row->types[i]));
    }
    return pb_pack_to(&config->base, arena);
}

/* owner is the question; the mail that asked for the page goes back with the answer. */
static void answer_syncz(void *owner, const struct push_row *rows, size_t count)
{
    struct push_question *question = owner;
    struct push_mail *mail = question->asker;
    question->asker = NULL;
    mail->resources = arena_calloc(&mail->arena, count + 1, sizeof(*mail->resources));
    mail->count = count;
    for (size_t i = 0; i < count; i++)
        mail->resources[i] = (struct discovery_any){
            SLICE("type.googleapis.com/envoy.service.status.v3.ClientConfig"),
            describe_proxy(&mail->arena, &rows[i])};
    push_mail_page(mail);
}

static void ask_syncz(struct push *push, struct push_mail *mail)
{
    handle name = push_ask(push, answer_syncz, NULL);
    struct push_question *question = handle_get(loop_handles(push->loop), name);
    question->owner = question;
    question->asker = mail;
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
        ask_syncz(push, mail);
    else
        refuse(mail, GRPC_UNIMPLEMENTED, "there is no such debug page");
}
