#include "proxy/downstream/websocket.h"

#include "base/buffer.h"
#include "proxy/downstream/exchange.h"
#include "tls/sha1.h"

#include <assert.h>
#include <string.h>

enum { KEY_BYTES = 16 };

static struct slice base64(struct exchange *exchange, struct slice bytes)
{
    struct buffer text = {0};
    buffer_append_base64(&text, bytes, false);
    char *copy = arena_try_alloc(exchange_arena(exchange), text.size);
    if (copy)
        memcpy(copy, text.data, text.size);
    struct slice made = slice_of(copy, copy ? text.size : 0);
    buffer_fini(&text);
    return made;
}

__attribute__((noinline)) void websocket_accept(struct slice key,
                                                char accept[WEBSOCKET_ACCEPT_SIZE])
{
    struct buffer text = {0};
    uint8_t digest[SHA1_SIZE];
    buffer_append_slice(&text, key);
    buffer_append_slice(&text, SLICE("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    sha1_of(buffer_slice(&text), digest);
    buffer_reset(&text);
    buffer_append_base64(&text, slice_of(digest, sizeof(digest)), false);
    assert(text.size == WEBSOCKET_ACCEPT_SIZE);
    memcpy(accept, text.data, WEBSOCKET_ACCEPT_SIZE);
    buffer_fini(&text);
}

static bool is_websocket(const struct exchange *exchange)
{
    return exchange->head->upgrade.size > 0 &&
           slice_equals_nocase(exchange->head->upgrade, SLICE("websocket"));
}

__attribute__((noinline)) static bool add_key(struct exchange *exchange, struct headers *headers)
{
    uint64_t key[KEY_BYTES / sizeof(uint64_t)];
    for (size_t i = 0; i < COUNT(key); i++)
        key[i] = random_u64(loop_random(exchange_loop(exchange)));
    struct slice text = base64(exchange, slice_of(key, sizeof(key)));
    exchange->made_websocket_key = true;
    return text.data &&
           headers_add_id(headers, exchange_arena(exchange), HEADER_SEC_WEBSOCKET_KEY, text);
}

bool websocket_ask(struct exchange *exchange)
{
    struct headers *headers = &exchange->head->headers;
    return !is_websocket(exchange) || headers_has(headers, HEADER_SEC_WEBSOCKET_KEY) ||
           add_key(exchange, headers);
}

bool websocket_answer(struct exchange *exchange, struct http_response *response)
{
    if (response->status != 101 || !is_websocket(exchange))
        return true;
    if (exchange->made_websocket_key) {
        headers_remove_id(&response->headers, HEADER_SEC_WEBSOCKET_ACCEPT);
        return true;
    }
    if (headers_has(&response->headers, HEADER_SEC_WEBSOCKET_ACCEPT))
        return true;
    char *accept = arena_try_alloc(exchange_arena(exchange), WEBSOCKET_ACCEPT_SIZE);
    if (!accept)
        return false;
    websocket_accept(headers_value(&exchange->head->headers, HEADER_SEC_WEBSOCKET_KEY), accept);
    return headers_add_id(&response->headers, exchange_arena(exchange), HEADER_SEC_WEBSOCKET_ACCEPT,
                          slice_of(accept, WEBSOCKET_ACCEPT_SIZE));
}
