#include "cli/api.h"

#include "base/memory.h"
#include "cli/exit_code.h"
#include "io/interfaces.h"
#include "io/loop.h"
#include "net/dialer.h"
#include "rpc/client.h"

#include <stdlib.h>
#include <string.h>

enum { TURN_MS = 20 };

struct api {
    struct loop *loop;
    bool owns_loop;
    char *address;
    struct interfaces *interfaces;
    struct dialer *dialer;
    struct rpc_client *client;
    unsigned timeout_s;
    char *lease;
};

char *api_home(void)
{
    const char *set = getenv("TULLE_HOME"), *home = getenv("HOME");
    return set && *set ? str_copy(set) : str_format("%s/.tulle", home && *home ? home : "/root");
}

static char *default_address(void)
{
    owned_str home = api_home();
    return str_format("unix:%s/current/api.sock", home);
}

bool api_open(const struct options *options, struct loop *loop, struct api **out,
              struct error *error)
{
    owned_str address = options->server ? str_copy(options->server) : default_address();
    if (strncmp(address, "unix:", 5) != 0) {
        error_set(error, "TUL0080", "the control plane's address is unix:PATH, not \"%s\"",
                  address);
        error_fix(error, "for https, use kubectl with the kubeconfig that tulled wrote");
        return false;
    }
    struct api *api = mem_new(struct api);
    api->owns_loop = loop == NULL;
    api->loop = loop;
    api->address = give(address);
    api->timeout_s = options->timeout_s;
    int failure = loop ? 0 : loop_create(&(struct loop_options){.name = "api"}, &api->loop);
    if (!failure)
        failure = interfaces_create(api->loop, &api->interfaces);
    if (failure) {
        error_set(error, "TUL1217", "cannot make an event loop: %s", strerror(-failure));
        api_close(api);
        return false;
    }
    api->dialer =
        dialer_create(&(struct dialer_options){.loop = api->loop, .interfaces = api->interfaces});
    struct rpc_means means = {.loop = api->loop, .dialer = api->dialer};
    struct rpc_client_config config = {
        .target = {.unix_path = api->address + 5, .authority = "localhost"},
        .protocol = RPC_HTTP1,
        .connect_timeout_ms = 2000};
    api->client = rpc_client_create(&means, &config);
    *out = api;
    return true;
}

void api_close(struct api *api)
{
    if (!api)
        return;
    if (api->client)
        rpc_client_close(api->client);
    dialer_destroy(api->dialer);
    interfaces_destroy(api->interfaces);
    if (api->owns_loop && api->loop) {
        loop_settle(api->loop);
        loop_destroy(api->loop);
    }
    mem_free(api->address);
    mem_free(api->lease);
    mem_free(api);
}

const char *api_address(const struct api *api)
{
    return api->address;
}

void api_set_lease(struct api *api, const char *lease)
{
    mem_free(api->lease);
    api->lease = lease ? str_copy(lease) : NULL;
}

void api_answer_fini(struct api_answer *answer)
{
    buffer_fini(&answer->body);
}

struct waiting {
    struct api_answer *answer;
    bool has_ended, is_good;
    char *why;
};

static void on_data(void *owner, struct slice bytes)
{
    struct waiting *waiting = owner;
    buffer_append_slice(&waiting->answer->body, bytes);
}

static void on_end(void *owner, const struct rpc_end *end)
{
    struct waiting *waiting = owner;
    waiting->has_ended = true;
    waiting->is_good = end->code == GRPC_OK && end->http_status != 0;
    waiting->answer->status = end->http_status;
    waiting->why = slice_to_str(end->message);
}

bool api_call(struct api *api, const char *method, const char *path, const char *content_type,
              struct slice body, struct api_answer *answer, struct error *error)
{
    static const struct rpc_call_handler handler = {.on_data = on_data, .on_end = on_end};
    struct waiting waiting = {.answer = answer};
    struct rpc_header headers[2];
    size_t header_count = 0;
    if (content_type)
        headers[header_count++] =
            (struct rpc_header){SLICE("content-type"), slice_str(content_type)};
    if (content_type && api->lease)
        headers[header_count++] =
            (struct rpc_header){SLICE("x-tulle-lease"), slice_str(api->lease)};
    struct rpc_call_config config = {.method = method,
                                     .path = path,
                                     .headers = headers,
                                     .header_count = header_count,
                                     .timeout_ms = api->timeout_s * 1000};
    *answer = (struct api_answer){0};
    (void)rpc_client_http(api->client, &config, body, &handler, &waiting);
    while (!waiting.has_ended)
        loop_turn(api->loop, TURN_MS);
    bool is_good = waiting.is_good;
    if (!is_good) {
        error_set(error, "TUL5001", "cannot reach the control plane at %s: %s", api->address,
                  waiting.why);
        error_why(error, "running proxies are not affected");
        error_fix(error, "is tulled running? tulle demo starts a mesh; --server names another");
        api_answer_fini(answer);
    }
    mem_free(waiting.why);
    return is_good;
}

/* The API explains itself in a Status object; its causes name fields and places. */
static void explain(const json_t *status, unsigned code, struct error *error)
{
    const char *message = json_string_value(json_object_get(status, "message"));
    const char *known = code == 404                  ? "TUL5004"
                        : code == 403 || code == 401 ? "TUL5003"
                                                     : "TUL5002";
    error_set(error, known, "%s", message ? message : "the control plane refused without a reason");
    const json_t *causes = json_object_get(json_object_get(status, "details"), "causes");
    const json_t *first = json_array_get(causes, 0);
    const char *field = json_string_value(json_object_get(first, "field"));
    if (field)
        error_at(error, "%s", field);
}

bool api_json(struct api *api, const char *method, const char *path, const json_t *body,
              json_t **out, unsigned *status, struct error *error)
{
    struct api_answer answer;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    bool is_good = api_call(api, method, path, body ? "application/json" : NULL, slice_str(text),
                            &answer, error);
    free(text);
    if (!is_good)
        return false;
    json_t *value = json_loadb(answer.body.data ? answer.body.data : "", answer.body.size,
                               JSON_ALLOW_NUL, NULL);
    if (status)
        *status = answer.status;
    if (answer.status >= 400) {
        explain(value, answer.status, error);
        is_good = false;
    }
    api_answer_fini(&answer);
    if (is_good && out)
        *out = value;
    else
        json_decref(value);
    return is_good;
}

int api_exit_code(const struct error *error)
{
    if (!error->code)
        return EXIT_FAILED;
    if (strcmp(error->code, "TUL5001") == 0)
        return EXIT_UNREACHABLE;
    if (strcmp(error->code, "TUL5003") == 0)
        return EXIT_NOT_PERMITTED;
    if (strcmp(error->code, "TUL5002") == 0)
        return EXIT_BAD_INPUT;
    return EXIT_FAILED;
}
