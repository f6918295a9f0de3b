#include "proxy/route/view.h"

#include "http/url.h"
#include "net/transport.h"
#include "proxy/downstream/downstream.h"

static enum header_lookup find_header(const struct match_request *request,
                                      const struct header_key *key, struct slice *value)
{
    const struct view *view = request->head;
    const struct header *first = key->id ? headers_find(view->headers, (enum header_id)key->id)
                                         : headers_find_name(view->headers, key->name);
    if (!first)
        return HEADER_LOOKUP_ABSENT;
    if (!headers_find_next(view->headers, first)) {
        *value = header_value(first);
        return HEADER_LOOKUP_FOUND;
    }
    *value = headers_joined(view->headers, key->name, view->arena);
    return value->data ? HEADER_LOOKUP_FOUND : HEADER_LOOKUP_LOST;
}

bool view_is_grpc(const struct headers *headers)
{
    struct slice type = headers_value(headers, HEADER_CONTENT_TYPE);
    static const struct slice grpc = {"application/grpc", 16};
    return slice_starts_with(type, grpc) &&
           (type.size == grpc.size || type.data[grpc.size] == '+' || type.data[grpc.size] == ';');
}

void view_init(struct view *view, const struct http_request *head, struct arena *arena, bool is_tls,
               uint64_t random)
{
    static const struct slice http = {"http", 4}, https = {"https", 5};
    view->headers = &head->headers;
    view->arena = arena;
    view->lost = false;
    view->request = (struct match_request){
        .method = head->method_text,
        .scheme = head->scheme.size ? head->scheme
                  : is_tls          ? https
                                    : http,
        .authority = head->authority,
        .target = head->path,
        .path = path_only(head->path),
        .query = path_query(head->path),
        .random = random,
        .is_grpc = headers_has(&head->headers, HEADER_CONTENT_TYPE) && view_is_grpc(&head->headers),
        .is_connect = head->method == HTTP_CONNECT,
        .connection = &view->connection,
        .header = find_header,
        .head = view,
        .lost = &view->lost,
    };
}

static void set_ip(struct ip *ip, const struct address *address)
{
    if (!ip_of_bytes(address_ip(address), ip))
        *ip = (struct ip){{0}};
}

void view_ends(struct match_connection *connection, const struct transport *transport,
               const struct address *direct, const struct address *from, const struct address *to)
{
    *connection = (struct match_connection){.destination_port = address_port(to)};
    set_ip(&connection->source, direct);
    set_ip(&connection->remote, from);
    set_ip(&connection->destination, to);
    const struct tls_session *session = transport_session(transport);
    if (session)
        connection->server_name = tls_session_server_name(session);
    const struct peer_identity *peer = transport_peer(transport);
    if (peer && peer->id.text.size > 0) {
        connection->principals = &peer->id.text;
        connection->principal_count = 1;
    } else if (peer && peer->subject.size > 0) {
        connection->principals = &peer->subject;
        connection->principal_count = 1;
    }
}

void view_connection(struct view *view, const struct downstream *downstream)
{
    const struct transport *transport = http_connection_transport(downstream->http);
    struct address to = address_unpack(address_packed_is_set(&downstream->original_destination)
                                           ? &downstream->original_destination
                                           : &downstream->local);
    struct address from = address_unpack(&downstream->peer);
    struct address direct =
        downstream->has_header ? conn_peer_address(transport_conn(transport)) : from;
    view_ends(&view->connection, transport, &direct, &from, &to);
}
