#include "rpc/health_service.h"

#include "rpc/pair.h"

static const struct rpc_client_config http2 = {.protocol = RPC_HTTP2};

/* What came: "1 2 end=OK" with the status of each response. */
static void note(void *owner, struct slice message)
{
    struct heard *h = owner;
    buffer_format(&h->text, "%u ", message.size == 2 ? (unsigned)message.data[1] : 0);
}
static const struct rpc_call_handler noting = {.on_message = note, .on_end = heard_end};

static struct rpc_call *ask(struct pair *p, struct heard *h, const char *path, const char *request)
{
    h->call = rpc_client_grpc(p->client, &(struct rpc_call_config){.path = path}, &noting, h);
    CHECK(rpc_call_send(h->call, slice_str(request)));
    return h->call;
}

TEST(health_check_answers_for_each_service)
{
    struct pair *p = pair_open(NULL, &http2, 1);
    struct health_service *health = health_service_create(p->server);
    struct heard whole = {0}, ads = {0}, nobody = {0}, bad = {0};
    health_service_set(health, "ads", HEALTH_NOT_SERVING);
    ask(p, &whole, "/grpc.health.v1.Health/Check", "");
    ask(p, &ads, "/grpc.health.v1.Health/Check",
        "\x0a\x03"
        "ads");
    ask(p, &nobody, "/grpc.health.v1.Health/Check", "\x0a\x01x");
    ask(p, &bad, "/grpc.health.v1.Health/Check", "\x0a\x09x");
    pair_run(p, NULL, 1000);
    HEARD(&whole, "1  end=OK:");
    HEARD(&ads, "2  end=OK:");
    HEARD(&nobody, " end=NOT_FOUND:there is no such service");
    HEARD(&bad, " end=INVALID_ARGUMENT:the request is malformed");
    buffer_fini(&whole.text);
    buffer_fini(&ads.text);
    buffer_fini(&nobody.text);
    buffer_fini(&bad.text);
    pair_close(p);
    health_service_destroy(health);
}

TEST(health_watch_tells_each_change_once)
{
    struct pair *p = pair_open(NULL, &http2, 1);
    struct health_service *health = health_service_create(p->server);
    struct heard ads = {0}, gone = {0};
    ask(p, &ads, "/grpc.health.v1.Health/Watch",
        "\x0a\x03"
        "ads");
    ask(p, &gone, "/grpc.health.v1.Health/Watch", "");
    pair_run(p, NULL, 100);
    HEARD(&ads, "3 ");
    rpc_call_cancel(gone.call);
    health_service_set(health, "ads", HEALTH_SERVING);
    health_service_set(health, "ads", HEALTH_SERVING);
    health_service_set(health, "", HEALTH_NOT_SERVING);
    pair_run(p, NULL, 100);
    HEARD(&ads, "3 1 ");
    HEARD(&gone, "1 ");
    buffer_fini(&ads.text);
    buffer_fini(&gone.text);
    rpc_server_close(p->server); /* with a watcher still there */
    p->server = rpc_server_create(&p->means, NULL);
    health_service_destroy(health);
    pair_close(p);
}
