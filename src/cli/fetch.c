#include "cli/fetch.h"

#include "io/address.h"
#include "io/interfaces.h"
#include "io/loop.h"
#include "net/dialer.h"
#include "rpc/call.h"
#include "rpc/client.h"

enum { TURN_MS = 20 };

struct fetching {
    struct buffer *body;
    bool has_ended, is_good;
    unsigned status;
};

static void on_data(void *owner, struct slice bytes)
{
    struct fetching *fetching = owner;
    if (fetching->body->size + bytes.size <= FETCH_MAX)
        buffer_append_slice(fetching->body, bytes);
}

static void on_end(void *owner, const struct rpc_end *end)
{
    struct fetching *fetching = owner;
    fetching->has_ended = true;
    fetching->is_good = end->code == GRPC_OK && end->http_status != 0;
    fetching->status = end->http_status;
}

static void call(struct loop *loop, struct dialer *dialer, const struct address *address,
                 const char *path, unsigned timeout_ms, struct fetching *fetching)
{
    static const struct rpc_call_handler handler = {.on_data = on_data, .on_end = on_end};
    char ip[ADDRESS_TEXT];
    address_format_ip(address, ip);
    struct rpc_means means = {.loop = loop, .dialer = dialer};
    struct rpc_client_config config = {.target = {.host = ip, .port = address_port(address)},
                                       .protocol = RPC_HTTP1,
                                       .connect_timeout_ms = timeout_ms};
    struct rpc_call_config request = {.method = "GET", .path = path, .timeout_ms = timeout_ms};
    struct rpc_client *client = rpc_client_create(&means, &config);
    (void)rpc_client_http(client, &request, SLICE_NONE, &handler, fetching);
    while (!fetching->has_ended)
        loop_turn(loop, TURN_MS);
    rpc_client_close(client);
}

unsigned fetch(struct loop *loop, const char *address, const char *path, unsigned timeout_ms,
               struct buffer *body)
{
    struct address to;
    struct interfaces *interfaces = NULL;
    struct fetching fetching = {.body = body};
    if (!address_parse(slice_str(address), &to) || !address_is_ip(&to) ||
        interfaces_create(loop, &interfaces) != 0)
        return 0;
    struct dialer *dialer =
        dialer_create(&(struct dialer_options){.loop = loop, .interfaces = interfaces});
    call(loop, dialer, &to, path, timeout_ms, &fetching);
    dialer_destroy(dialer);
    interfaces_destroy(interfaces);
    return fetching.is_good ? fetching.status : 0;
}
