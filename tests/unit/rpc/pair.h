/* A server and a client on one simulated loop. */
#pragma once

#include "base/buffer.h"
#include "base/memory.h"
#include "http/message.h"
#include "io/interfaces.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/sim.h"
#include "net/dialer.h"
#include "rpc/client.h"
#include "rpc/grpc_frame.h"
#include "rpc/server.h"
#include "test.h"

struct pair {
    struct loop *loop;
    struct interfaces *interfaces;
    struct dialer *dialer;
    struct rpc_means means;
    struct rpc_server *server;
    struct rpc_client *client;
    unsigned listeners;
    int fd; /* that the server listens on: 10.0.0.1:8080 */
};

UNUSED static struct pair *pair_open(const struct rpc_server_limits *limits,
                                     const struct rpc_client_config *config, uint64_t seed)
{
    struct pair *p = mem_new(struct pair);
    struct loop_options options = {.name = "test", .backend = LOOP_SIM, .seed = seed ? seed : 1};
    CHECK(loop_create(&options, &p->loop) == 0);
    CHECK(interfaces_create(p->loop, &p->interfaces) == 0);
    p->dialer =
        dialer_create(&(struct dialer_options){.loop = p->loop, .interfaces = p->interfaces});
    p->means = (struct rpc_means){.loop = p->loop, .dialer = p->dialer};
    p->server = rpc_server_create(&p->means, limits);

    struct address address = address_v4(0x0a000001, 8080);
    int fd = sim_listen(p->loop, &address);
    CHECK(fd > 0);
    CHECK(rpc_server_listen(p->server, &(struct rpc_listen){.fd = fd}, NULL) == 0);
    p->listeners = 1;
    p->fd = fd;

    struct rpc_client_config client = config ? *config : (struct rpc_client_config){0};
    client.target.host = client.target.host ? client.target.host : "10.0.0.1";
    client.target.port = client.target.port ? client.target.port : 8080;
    p->client = rpc_client_create(&p->means, &client);
    return p;
}

UNUSED static void pair_close(struct pair *p)
{
    rpc_client_close(p->client);
    rpc_server_close(p->server);
    for (unsigned i = 0; i < 50; i++)
        loop_turn(p->loop, 100);
    CHECK(sim_open_count(p->loop) == p->listeners, "%u descriptors are open",
          sim_open_count(p->loop));
    dialer_destroy(p->dialer);
    interfaces_destroy(p->interfaces);
    loop_destroy(p->loop);
    mem_free(p);
}

/* Turns for at most so much simulated time, until `done`. */
UNUSED static void pair_run(struct pair *p, const bool *done, uint64_t most_ms)
{
    uint64_t end = loop_now_ms(p->loop) + most_ms;
    while (!(done && *done) && loop_now_ms(p->loop) < end)
        loop_turn(p->loop, 10);
}

/* What a call reported, in order: "head=200 data=... message=... end=OK:". */
struct heard {
    struct buffer text;
    bool ended;
    unsigned writables;
    struct rpc_call *call;
    struct rpc_client *close_on_end;
    bool cancel_on_message;
};

static inline void heard_head(void *owner, const struct http_response *head)
{
    struct heard *h = owner;
    buffer_format(&h->text, "head=%u ", head->status);
}
static inline void heard_message(void *owner, struct slice message)
{
    struct heard *h = owner;
    buffer_format(&h->text, "message=%.*s ", SLICE_ARG(message));
    if (h->cancel_on_message)
        rpc_call_cancel(h->call);
}
static inline void heard_data(void *owner, struct slice bytes)
{
    struct heard *h = owner;
    buffer_format(&h->text, "%.*s", SLICE_ARG(bytes));
}
static inline void heard_writable(void *owner)
{
    ((struct heard *)owner)->writables++;
}
static inline void heard_end(void *owner, const struct rpc_end *end)
{
    struct heard *h = owner;
    CHECK(!h->ended, "on_end comes once");
    h->ended = true;
    buffer_format(&h->text, " end=%s:%.*s", grpc_code_name(end->code), SLICE_ARG(end->message));
    if (h->close_on_end)
        rpc_client_close(h->close_on_end);
}
UNUSED static const struct rpc_call_handler hearing = {heard_head, heard_message, heard_data,
                                                       heard_writable, heard_end};

#define HEARD(heard, words)                                                                        \
    do {                                                                                           \
        const char *said = (heard)->text.data;                                                     \
        CHECK(said &&strcmp(said, (words)) == 0, "heard \"%s\", not \"%s\"", said, (words));       \
    } while (0)
