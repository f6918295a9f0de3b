/*
 * request: what matchers may see of a request and of its connection.
 *
 * match/ knows no codec and no socket: whoever holds a head fills this in and answers for its headers. Built on the stack
 * for the time of one evaluation.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"
#include "match/ip.h"

struct match_request;
struct table_memory;

enum { HEADER_NAME_MAX = 256 };

/* Headers by name, and the four that are no headers. */
enum header_source {
    HEADER_KEY_FIELD,
    HEADER_KEY_METHOD,    /* :method */
    HEADER_KEY_PATH,      /* :path, with the query */
    HEADER_KEY_AUTHORITY, /* :authority and host */
    HEADER_KEY_SCHEME,    /* :scheme */
};

struct header_key {
    struct slice name; /* lower case */
    uint16_t id; /* the head's own number for a well-known name, 0 = none; set by who compiles */
    enum header_source source : 8;
};

enum header_lookup {
    HEADER_LOOKUP_ABSENT,
    HEADER_LOOKUP_FOUND,
    HEADER_LOOKUP_LOST, /* it is there, but no memory was left to join its values */
};

/* One connection's side of the story. */
struct match_connection {
    struct ip source; /* the peer's address as the socket says */
    struct ip remote; /* the client's, after X-Forwarded-For or PROXY protocol; may equal source */
    struct ip destination;
    uint16_t destination_port;
    struct slice server_name; /* SNI */
    const struct slice *
        principals; /* what a verified certificate says: URI names, or else DNS names, or else the subject */
    size_t principal_count; /* 0: no verified certificate */
};

struct match_request {
    struct slice method, scheme, authority;
    struct slice target; /* path and query as they will be forwarded */
    struct slice path;   /* canonical, without query */
    struct slice query;  /* without '?'; data == NULL: none */
    uint64_t random;     /* for runtime fractions; the caller draws it */
    bool is_grpc;        /* content-type is application/grpc or application/grpc+... */
    bool is_connect;
    const struct match_connection *connection;
    /* The value of a header field; several of one name are joined by ",". */
    enum header_lookup (*header)(const struct match_request *request, const struct header_key *key,
                                 struct slice *value);
    const void *head; /* for `header` */
    /* A look-up was lost: the result cannot be trusted and the request must be refused. Rules never
     * take a lost header for an absent one, but the caller has to look here. */
    bool *lost;
};

/* Lower-cases and copies the name; knows the pseudo-headers and host. False for what is no header name. */
MUST_USE bool header_key_build(struct header_key *key, struct slice name,
                               struct table_memory *memory);
/* The value of any key, also of pseudo-headers. */
enum header_lookup match_request_header(const struct match_request *request,
                                        const struct header_key *key, struct slice *value);
