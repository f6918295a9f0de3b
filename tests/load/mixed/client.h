/*
 * client: what mixed_client asks, and what became of it. Each exchange that begins ends once, as one of the outcomes.
 */
#pragma once

#include "ask.h"
#include "message.h"
#include "poller.h"

enum { OUT_SIZE = 64 * 1024, RETRIES_MOST = 4096, PORTS_MOST = 8 };

enum outcome {
    OUTCOME_RIGHT,
    OUTCOME_WRONG,     /* a wrong byte, another's answer, framing that breaks the rules */
    OUTCOME_REFUSED,   /* another status than 200 */
    OUTCOME_LOST,      /* the connection ended, or nothing came for a minute */
    OUTCOME_ABANDONED, /* by us, on purpose */
    OUTCOME_AGAIN,     /* not processed, as the peer let us know: asked again elsewhere */
    OUTCOMES,
};

/* What the client does to an exchange before its end. */
enum manner { MANNER_WHOLE, MANNER_PAUSES, MANNER_ABANDONS };

struct exchange {
    struct ask ask;
    struct source up;
    struct sink down;
    enum manner manner;
    size_t turns_at; /* bytes of both bodies after which it pauses, or is abandoned */
    size_t moved;    /* bytes of both bodies so far */
    uint64_t due_us; /* when a pause ends, or it is given up as lost */
    unsigned tries;
    unsigned port;
    int status;
    char said[100]; /* instead of the body that was asked for */
    bool is_paused;
    bool is_other; /* the answer names another request */
};

struct retry {
    struct ask ask;
    unsigned tries;
};

struct client {
    struct poller poller;
    uint64_t random, now_us;
    uint64_t count, begun, under_way;
    uint64_t outcomes[OUTCOMES], paused, connections, unreachable;
    struct retry retries[RETRIES_MOST];
    unsigned retry_count;
    uint16_t ports[PORTS_MOST];
    unsigned port_count;
};

/* For the connection of that number; false when everything was asked. */
bool client_next(struct client *client, unsigned number, struct exchange *exchange);
void client_ended(struct client *client, struct exchange *exchange, enum outcome outcome,
                  const char *why);
/* Bytes of a body have moved; true when it is time for the exchange's manner. */
bool exchange_moved(struct client *client, struct exchange *exchange, size_t size);
/* Of the answer's body: false when it is not what was asked for. */
bool exchange_took(struct exchange *exchange, const void *bytes, size_t size);
/* What its answer, which is whole, comes to. */
enum outcome exchange_outcome(const struct exchange *exchange);
/* A socket under way to one of the ports. */
int client_dial(struct client *client, unsigned number);
/* The connection could not be made. */
void client_unreachable(struct client *client, int error);
int socket_error(int fd);

/* --- connections, one or many exchanges at once ---------------------------------------------- */

struct h1;
struct h2;
struct h1 *h1_create(struct client *client, unsigned number);
struct h2 *h2_create(struct client *client, unsigned number, unsigned streams);
/* About ten times a second: ends pauses, and gives up what takes too long. */
void h1_tick(struct h1 *h1);
void h2_tick(struct h2 *h2);
