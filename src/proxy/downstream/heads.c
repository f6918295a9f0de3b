#include "proxy/downstream/heads.h"

#include "build/hcm.h"
#include "build/route_table.h"
#include "http/url.h"
#include "match/regex.h"
#include "net/transport.h"
#include "proxy/downstream/client_cert.h"
#include "proxy/downstream/downstream.h"
#include "proxy/downstream/exchange.h"
#include "proxy/observe/format_writer.h"
#include "proxy/worker.h"

#include <stdio.h>
#include <string.h>

enum { HOPS_MAX = 16, UUID_SIZE = 36, REWRITTEN_PATH_MAX = 8192, AUTHORITY_MAX = 512 };

static bool is_tls(const struct exchange *exchange)
{
    return transport_session(http_connection_transport(exchange->downstream->http)) != NULL;
}

/* --- what the connection manager does to a request ------------------------------------------------------------ */

static enum path_status canonical_path(struct exchange *exchange)
{
    const struct hcm *hcm = exchange->hcm;
    struct http_request *head = exchange->head;
    struct path_rules rules = {.normalise = hcm->normalize_path,
                               .merge_slashes = hcm->merge_slashes};
    switch (hcm->slashes) {
    case HCM_SLASHES_KEEP: rules.escaped_slashes = ESCAPED_SLASH_KEEP; break;
    case HCM_SLASHES_REFUSE: rules.escaped_slashes = ESCAPED_SLASH_REFUSE; break;
    case HCM_SLASHES_REDIRECT:
    case HCM_SLASHES_FORWARD: rules.escaped_slashes = ESCAPED_SLASH_DECODE; break;
    }
    if (head->method == HTTP_CONNECT ||
        (!rules.normalise && !rules.merge_slashes && rules.escaped_slashes == ESCAPED_SLASH_KEEP))
        return PATH_OK;
    struct slice canonical;
    enum path_status status =
        path_normalise(head->path, &rules, exchange_arena(exchange), &canonical);
    if (status == PATH_OK)
        head->path = canonical;
    return status;
}

/* Hosts of HTTP/1 clients come with ports, dots and capitals; routing compares one form. */
static bool canonical_host(struct exchange *exchange)
{
    const struct hcm *hcm = exchange->hcm;
    struct http_request *head = exchange->head;
    if (head->authority.size == 0 && head->version == HTTP_1_0)
        head->authority = hcm->http1.default_host;
    if (head->authority.size == 0)
        return false;
    if (!hcm->strip_any_port && !hcm->strip_matching_port && !hcm->strip_trailing_dot)
        return true;
    struct authority parts;
    if (!authority_parse(head->authority, &parts))
        return head->authority.size == 0;
    bool strips = parts.port &&
                  (hcm->strip_any_port ||
                   (hcm->strip_matching_port && parts.port == exchange->downstream->local.port));
    struct slice host = head->authority;
    if (strips)
        host.size = (size_t)(memrchr(host.data, ':', host.size) - (const void *)host.data);
    if (hcm->strip_trailing_dot && !strips && !parts.port && slice_ends_with(host, SLICE(".")))
        host.size--;
    head->authority = host;
    return true;
}

static bool set_request_id(struct exchange *exchange)
{
    const struct hcm *hcm = exchange->hcm;
    struct headers *headers = &exchange->head->headers;
    bool keep = hcm->preserve_request_id || !hcm->use_remote_address;
    if (!hcm->generate_request_id || (keep && headers_has(headers, HEADER_X_REQUEST_ID)))
        return true;
    char *text = arena_try_alloc(exchange_arena(exchange), UUID_SIZE + 1);
    if (!text)
        return false;
    random_uuid(loop_random(exchange_loop(exchange)), text);
    return headers_set_id(headers, exchange_arena(exchange), HEADER_X_REQUEST_ID,
                          slice_of(text, UUID_SIZE));
}

__attribute__((noinline)) static bool append_peer(struct exchange *exchange)
{
    struct headers *headers = &exchange->head->headers;
    struct arena *arena = exchange_arena(exchange);
    char peer[ADDRESS_TEXT];
    struct address from = address_unpack(&exchange->downstream->peer);
    size_t size = address_format_ip(&from, peer);
    struct slice before = headers_joined(headers, SLICE("x-forwarded-for"), arena);
    char *text = arena_try_alloc(arena, before.size + 1 + size);
    if (!text)
        return false;
    size_t used = 0;
    if (before.size) {
        memcpy(text, before.data, before.size);
        text[before.size] = ',';
        used = before.size + 1;
    }
    memcpy(text + used, peer, size);
    return headers_set_id(headers, arena, HEADER_X_FORWARDED_FOR, slice_of(text, used + size));
}

/* An edge (use_remote_address) believes the socket; behind one, what came is kept. */
static bool set_forwarded(struct exchange *exchange)
{
    const struct hcm *hcm = exchange->hcm;
    struct headers *headers = &exchange->head->headers;
    struct arena *arena = exchange_arena(exchange);
    struct slice proto = is_tls(exchange) ? SLICE("x-forwarded-proto: https\r\n")
                                          : SLICE("x-forwarded-proto: http\r\n");
    if ((hcm->use_remote_address || !headers_has(headers, HEADER_X_FORWARDED_PROTO)) &&
        !headers_set_line(headers, arena, HEADER_X_FORWARDED_PROTO, proto))
        return false;
    return !hcm->use_remote_address || hcm->skip_xff_append || append_peer(exchange);
}

/* Two proxies that point at each other would pass a request to and fro for ever; each counts it on. */
static bool count_hop(struct exchange *exchange, bool *is_loop)
{
#define HOPS(number)                                                                               \
    {                                                                                              \
        "x-tulle-hops: " number "\r\n", sizeof("x-tulle-hops: " number "\r\n") - 1                 \
    }
    static const struct slice lines[HOPS_MAX + 1] = {
        HOPS("1"),  HOPS("2"),  HOPS("3"),  HOPS("4"),  HOPS("5"),  HOPS("6"),
        HOPS("7"),  HOPS("8"),  HOPS("9"),  HOPS("10"), HOPS("11"), HOPS("12"),
        HOPS("13"), HOPS("14"), HOPS("15"), HOPS("16"), HOPS("17")};
#undef HOPS
    struct headers *headers = &exchange->head->headers;
    const struct header *header = headers_find(headers, HEADER_X_TULLE_HOPS);
    uint64_t hops = 0;
    if (header && !slice_to_u64(header_value(header), HOPS_MAX, &hops))
        hops = HOPS_MAX;
    *is_loop = hops >= HOPS_MAX;
    return headers_set_line(headers, exchange_arena(exchange), HEADER_X_TULLE_HOPS, lines[hops]);
}

static bool is_internal(const struct header *header)
{
    return header->id == HEADER_OTHER && header->name_size > 8 && (header->name[0] | 0x20) == 'x' &&
           slice_equals_nocase(slice_of(header->name, 8), SLICE("x-tulle-"));
}

/* Our own headers mean something only when we set them. The hops, which have an id, stay. */
static void strip_internal(struct headers *headers)
{
    if (!headers_has(headers, HEADER_OTHER))
        return;
    for (uint16_t i = 0; i < headers->count;) {
        if (UNLIKELY(is_internal(&headers->items[i])))
            headers_remove_at(headers, &headers->items[i]);
        else
            i++;
    }
}

bool heads_is_looping(struct exchange *exchange)
{
    strip_internal(&exchange->head->headers);
    bool is_loop = false;
    return !count_hop(exchange, &is_loop) || is_loop;
}

bool heads_receive(struct exchange *exchange, const char **details, const char **why)
{
    struct http_request *head = exchange->head;
    enum path_status path = canonical_path(exchange);
    *details = "path_normalization_failed";
    *why = path_status_text(path);
    if (path != PATH_OK)
        return false;
    *details = "invalid_authority";
    *why = "the host is malformed";
    if (!canonical_host(exchange))
        return false;
    /* h2c by upgrade is served as what it is: a request of HTTP/1. */
    if (UNLIKELY(head->upgrade.size > 0) && slice_equals_nocase(head->upgrade, SLICE("h2c")))
        head->upgrade = SLICE_NONE;
    *details = "out_of_memory";
    *why = "there is no memory left for this request";
    return set_request_id(exchange) && set_forwarded(exchange) &&
           client_cert_forward(
               exchange->hcm, transport_peer(http_connection_transport(exchange->downstream->http)),
               &head->headers, exchange_arena(exchange));
}

/* --- edits by configuration ----------------------------------------------------------------------------------- */

static bool edit_value(struct exchange *exchange, const struct header_edit *edit,
                       struct slice *value)
{
    *value = edit->value;
    return !edit->format || format_write(edit->format, exchange, exchange_arena(exchange), value);
}

static bool apply_edit(struct exchange *exchange, const struct header_edit *edit,
                       struct headers *headers)
{
    struct arena *arena = exchange_arena(exchange);
    struct slice value;
    if (edit->kind == HEADER_EDIT_REMOVE) {
        headers_remove(headers, edit->key.name);
        return true;
    }
    bool is_there = headers_find_name(headers, edit->key.name) != NULL;
    if ((edit->kind == HEADER_EDIT_ADD_IF_ABSENT && is_there) ||
        (edit->kind == HEADER_EDIT_SET_IF_PRESENT && !is_there))
        return true;
    if (!edit_value(exchange, edit, &value))
        return false;
    if (value.size == 0 && !edit->keep_empty)
        return true;
    if (edit->kind == HEADER_EDIT_APPEND || edit->kind == HEADER_EDIT_ADD_IF_ABSENT)
        return headers_add(headers, arena, edit->name, value);
    return headers_set(headers, arena, edit->name, value);
}

static bool apply_edits(struct exchange *exchange, const struct header_edits *edits,
                        struct headers *headers)
{
    for (size_t i = 0; edits && i < edits->count; i++)
        if (!apply_edit(exchange, &edits->items[i], headers))
            return false;
    return true;
}

__attribute__((noinline)) static bool
apply_all_levels(struct exchange *exchange, const struct header_edits *target,
                 const struct header_edits *const levels[ROUTE_EDIT_LEVELS],
                 struct headers *headers)
{
    bool target_last = exchange->record.route->edits_before_target;
    if (!target_last && !apply_edits(exchange, target, headers))
        return false;
    for (int i = 0; i < ROUTE_EDIT_LEVELS && levels[i]; i++)
        if (!apply_edits(exchange, levels[i], headers))
            return false;
    return !target_last || apply_edits(exchange, target, headers);
}

/* Most routes have none. */
static inline bool apply_levels(struct exchange *exchange, const struct header_edits *target,
                                const struct header_edits *const levels[ROUTE_EDIT_LEVELS],
                                struct headers *headers)
{
    bool has_none = (!target || target->count == 0) && !levels[0];
    return LIKELY(has_none) || apply_all_levels(exchange, target, levels, headers);
}

/* --- the route's part ----------------------------------------------------------------------------------------- */

/* How many bytes of the path the route's match took: a prefix, or all of it. */
static size_t matched_size(const struct route *route, struct slice path)
{
    switch (route->rule->path.kind) {
    case PATH_MATCH_PREFIX:
    case PATH_MATCH_SEPARATED: return MIN(route->rule->path.text.size, path.size);
    case PATH_MATCH_EXACT:
    case PATH_MATCH_REGEX:
    case PATH_MATCH_TEMPLATE:
    case PATH_MATCH_CONNECT: break;
    }
    return path.size;
}

struct slice heads_rewrite(struct exchange *exchange, const struct route_rewrite *rewrite,
                           struct slice path)
{
    struct arena *arena = exchange_arena(exchange);
    struct slice bare = path_only(path);
    struct slice query = slice_from(path, bare.size); /* with its '?' */
    struct slice begin = rewrite->prefix, rest = SLICE_NONE;
    char replaced[REWRITTEN_PATH_MAX];
    if (rewrite->regex) {
        if (!regex_replace(rewrite->regex, bare, rewrite->substitution, replaced, sizeof(replaced),
                           &begin.size))
            return SLICE_NONE;
        begin.data = replaced;
    } else if (rewrite->has_prefix) {
        rest = slice_from(bare, matched_size(exchange->record.route, bare));
    } else {
        return path;
    }
    size_t size = begin.size + rest.size + query.size;
    char *text = arena_try_alloc(arena, size + 1);
    if (!text)
        return SLICE_NONE;
    memcpy(text, begin.data, begin.size);
    if (rest.size)
        memcpy(text + begin.size, rest.data, rest.size);
    if (query.size)
        memcpy(text + begin.size + rest.size, query.data, query.size);
    /* "/" for "/api" makes "//v1" of "/api/v1": one slash is meant. */
    if (rest.size && begin.size && begin.data[begin.size - 1] == '/' && rest.data[0] == '/') {
        memmove(text + begin.size, text + begin.size + 1, size - begin.size - 1);
        size--;
    }
    return slice_of(text, size);
}

/* The path without its query, rewritten; the host stays when that makes none. False when memory is refused. */
__attribute__((noinline)) static bool host_of_path(struct exchange *exchange, struct slice *host)
{
    const struct route *route = exchange->record.route;
    const struct slice path =
        exchange->record.original_path.size ? exchange->record.original_path : exchange->head->path;
    char made[AUTHORITY_MAX];
    size_t size;
    if (!regex_replace(route->host_regex, path_only(path), route->host_literal, made, sizeof(made),
                       &size) ||
        !authority_is_valid(slice_of(made, size)))
        return true;
    char *copy = arena_try_alloc(exchange_arena(exchange), size + 1);
    if (!copy)
        return false;
    memcpy(copy, made, size);
    *host = slice_of(copy, size);
    return true;
}

static bool rewrite_host(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    struct http_request *head = exchange->head;
    struct slice host = exchange->record.target ? exchange->record.target->host : SLICE_NONE;
    if (host.size == 0 && route->host_how == ROUTE_HOST_LITERAL)
        host = route->host_literal;
    if (host.size == 0 && route->host_how == ROUTE_HOST_HEADER) {
        const struct header *header = headers_find_name(&head->headers, route->host_header->name);
        if (header && authority_is_valid(header_value(header)))
            host = header_value(header);
    }
    if (host.size == 0 && route->host_how == ROUTE_HOST_PATH && !host_of_path(exchange, &host))
        return false;
    if (host.size == 0)
        return true;
    if (route->append_forwarded_host && !headers_add(&head->headers, exchange_arena(exchange),
                                                     SLICE("x-forwarded-host"), head->authority))
        return false;
    head->authority = host;
    return true;
}

bool heads_route_request(struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    const struct route_target *target = exchange->record.target;
    struct http_request *head = exchange->head;
    if (!apply_levels(exchange, target ? &target->request_edits : NULL, route->request_edits,
                      &head->headers))
        return false;
    if (route->rewrite.has_prefix || route->rewrite.regex) {
        struct slice path = heads_rewrite(exchange, &route->rewrite, head->path);
        if (!path.data)
            return false;
        exchange->record.original_path = head->path;
        head->path = path;
    }
    return rewrite_host(exchange);
}

__attribute__((noinline)) static bool tell_attempts(struct exchange *exchange,
                                                    struct headers *headers)
{
    char *text = arena_try_alloc(exchange_arena(exchange), 8);
    return text && headers_set_id(
                       headers, exchange_arena(exchange), HEADER_X_ENVOY_ATTEMPT_COUNT,
                       slice_of(text, (size_t)snprintf(text, 8, "%u", exchange->record.attempts)));
}

static bool asks_for_attempts(const struct exchange *exchange)
{
    const struct route *route = exchange->record.route;
    return route && route->host && route->host->attempt_count_to_downstream &&
           exchange->record.attempts > 0;
}

bool heads_route_response(struct exchange *exchange, struct http_response *response)
{
    const struct hcm *hcm = exchange->hcm;
    const struct route *route = exchange->record.route;
    const struct route_target *target = exchange->record.target;
    struct arena *arena = exchange_arena(exchange);
    if ((asks_for_attempts(exchange) && !tell_attempts(exchange, &response->headers)) ||
        (route && !apply_levels(exchange, target ? &target->response_edits : NULL,
                                route->response_edits, &response->headers)))
        return false;
    bool sets_server = hcm && hcm->server_name.size > 0 &&
                       (hcm->server_header == HCM_SERVER_OVERWRITE ||
                        (hcm->server_header == HCM_SERVER_IF_ABSENT &&
                         !headers_has(&response->headers, HEADER_SERVER)));
    if (sets_server && !headers_set_id(&response->headers, arena, HEADER_SERVER, hcm->server_name))
        return false;
    if (hcm && hcm->request_id_in_response) {
        struct slice id = headers_value(&exchange->head->headers, HEADER_X_REQUEST_ID);
        if (id.data && !headers_set_id(&response->headers, arena, HEADER_X_REQUEST_ID, id))
            return false;
    }
    return true;
}
