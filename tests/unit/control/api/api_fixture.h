/* An API over a store of its own, and a client on the same loop: requests by their words, answers as documents. */
#pragma once

#include "control/api/api.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "control/api/tree.h"
#include "control/store/sqlite.h"
#include "io/interfaces.h"
#include "io/loop.h"
#include "net/dialer.h"
#include "rpc/client.h"

#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct interfaces *interfaces;
    struct dialer *dialer;
    struct rpc_client *client;
    struct store *store;
    struct api *api;
    struct api_services services;
    struct authorizer authorizer;
    size_t history;
    char folder[64];
    struct arena arena;
    /* The last answer. */
    bool ended;
    unsigned status;
    struct buffer text;
    struct value *answer;
};

static void open_api(struct fixture *f)
{
    struct error error = {0};
    owned_str file = str_format("%s/store", f->folder);
    owned_str socket = str_format("%s/api.sock", f->folder);
    struct sqlite_options stored = {.path = file, .history = f->history};
    CHECK(sqlite_store_open(f->loop, &stored, &f->store, &error), "%s", error.what);
    struct rpc_means means = {.loop = f->loop, .dialer = f->dialer};
    struct api_options options = {.data = f->folder,
                                  .version = "0.1.0",
                                  .authorizer = f->authorizer,
                                  .services = f->services};
    CHECK(api_create(&means, f->store, &options, &f->api, &error), "%s", error.what);
    struct rpc_client_config config = {.target = {.unix_path = socket}, .protocol = RPC_HTTP1};
    f->client = rpc_client_create(&means, &config);
}

static void close_api(struct fixture *f)
{
    rpc_client_close(f->client);
    api_destroy(f->api);
    store_close(f->store);
    loop_settle(f->loop);
}

static void begin(struct fixture *f)
{
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &f->loop) == 0);
    CHECK(interfaces_create(f->loop, &f->interfaces) == 0);
    f->dialer =
        dialer_create(&(struct dialer_options){.loop = f->loop, .interfaces = f->interfaces});
    arena_init(&f->arena, NULL);
    snprintf(f->folder, sizeof(f->folder), "/tmp/tulle-api-XXXXXX");
    CHECK(mkdtemp(f->folder) != NULL);
    f->authorizer.own_uid = getuid();
    open_api(f);
}

static void finish(struct fixture *f)
{
    close_api(f);
    dialer_destroy(f->dialer);
    interfaces_destroy(f->interfaces);
    loop_settle(f->loop);
    loop_destroy(f->loop);
    arena_fini(&f->arena);
    buffer_fini(&f->text);
    static const char *const names[] = {"store",   "store-wal", "store-shm", "api.sock",
                                        "api.pem", "api.token", "kubeconfig"};
    for (size_t i = 0; i < COUNT(names); i++) {
        owned_str path = str_format("%s/%s", f->folder, names[i]);
        unlink(path);
    }
    rmdir(f->folder);
}

static void on_answer_data(void *owner, struct slice bytes)
{
    struct fixture *f = owner;
    buffer_append_slice(&f->text, bytes);
}

static void on_answer_end(void *owner, const struct rpc_end *end)
{
    struct fixture *f = owner;
    f->ended = true;
    f->status = end->http_status;
}

static void run_until(struct fixture *f, const bool *done)
{
    for (int i = 0; i < 2000 && !*done; i++)
        loop_turn(f->loop, 10);
    CHECK(*done, "no answer came");
}

/* `header` may be NULL: "X-Tulle-Lease: 7". */
static unsigned ask_with(struct fixture *f, const char *method, const char *path, const char *type,
                         const char *header, const char *body)
{
    static const struct rpc_call_handler handler = {.on_data = on_answer_data,
                                                    .on_end = on_answer_end};
    struct rpc_header headers[2] = {
        {SLICE("content-type"), slice_str(type ? type : "application/json")}};
    size_t count = 1;
    if (header && slice_cut(slice_str(header), ':', &headers[1].name, &headers[1].value)) {
        headers[1].value = slice_trim(headers[1].value);
        count++;
    }
    struct rpc_call_config config = {.method = method,
                                     .path = path,
                                     .headers = headers,
                                     .header_count = count,
                                     .timeout_ms = 10000};
    buffer_reset(&f->text);
    f->ended = false;
    (void)rpc_client_http(f->client, &config, slice_str(body ? body : ""), &handler, f);
    run_until(f, &f->ended);
    struct error error = {0};
    f->answer = NULL;
    struct slice text = slice_of(arena_copy(&f->arena, buffer_slice(&f->text)), f->text.size);
    if (text.size > 0 && !document_read_json(text, "answer", NULL, &f->arena, &f->answer, &error))
        error_fini(&error);
    return f->status;
}

static unsigned ask(struct fixture *f, const char *method, const char *path, const char *body)
{
    return ask_with(f, method, path, NULL, NULL, body);
}

/* The text at a path of the last answer; "" when there is none. In the fixture's arena. */
UNUSED static const char *told(struct fixture *f, const char *path)
{
    struct slice text = tree_text(f->answer, path);
    return arena_copy(&f->arena, text);
}
