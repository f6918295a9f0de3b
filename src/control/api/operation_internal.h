/*
 * operation: one request under way, from its body to its answer; what the files of this room share.
 */
#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "base/list.h"
#include "control/api/api.h"
#include "control/api/present.h"
#include "control/api/request.h"
#include "control/api/status.h"
#include "control/api/tree.h"
#include "control/store/store.h"
#include "io/loop.h"
#include "rpc/exchange.h"

struct openapi;
struct rpc_server;

struct api {
    struct loop *loop;
    struct store *store;
    struct rpc_server *server;
    struct authorizer authorizer;
    struct api_services services;
    struct figures *figures;
    char *version, *token;
    int socket_listener, tls_listener; /* -1: none */
    struct openapi *openapi;           /* made at first use */
    struct list operations;
    struct list token_waits;
};

struct operation {
    struct list node; /* of the API */
    struct api *api;
    struct rpc_exchange *exchange;
    struct arena arena;
    struct caller caller;
    struct request request;
    struct slice body;
    struct failure failure;
    uint64_t ticket; /* with the store; 0: none */
    /* Writing. */
    struct value *wanted, *presented;
    struct value *patch;
    const char *warning; /* the Warning header; NULL: none */
    struct slice key;
    uint64_t stored_revision, stored_lease;
    bool moves;       /* the object comes under another lease: written also when it is the same */
    bool conditional; /* the client named a revision: a conflict is final */
    unsigned attempts;
    /* Watching. */
    struct watching *watching;
};

const struct pb_kind *operation_kind(const struct operation *operation);
int64_t operation_now_s(const struct operation *operation);
/* The answer; nothing of the operation may be used for another one afterwards. */
void operation_reply(struct operation *operation, unsigned code, const struct value *answer);
/* What operation->failure says. */
void operation_refuse(struct operation *operation);
/* Both at once. */
void operation_fail(struct operation *operation, unsigned code, const char *format, ...)
    PRINTF(3, 4);
/* The failure that a status of the store is, with 410, 413, 503 and so on. */
void operation_fail_store(struct operation *operation, enum store_status status,
                          const char *reason);
/* An object, or a row of a table when the client asked for one. */
void operation_reply_object(struct operation *operation, unsigned code,
                            const struct value *presented, uint64_t revision);
/* The body as JSON or, when the content type says so, YAML. False: refused already. */
MUST_USE bool operation_read_body(struct operation *operation, struct value **out);
enum present_form operation_form(const struct operation *operation);

void read_start(struct operation *operation);   /* get, list */
void watch_start(struct operation *operation);  /* watch */
void write_start(struct operation *operation);  /* create, update, patch */
void remove_start(struct operation *operation); /* delete, deletecollection */
void own_start(struct operation *operation);    /* tokens, leases, proxies */
void discovery_answer(struct operation *operation);
/* Ends a watch with what it has told so far. */
void watch_drain(struct operation *operation);
/* The exchange's backlog has room again, or the operation ends. */
void watch_end(struct operation *operation);
