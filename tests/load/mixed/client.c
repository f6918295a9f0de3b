/*
 * mixed_client: mixed requests over HTTP/1 and HTTP/2 without pause, COUNT of them, each answer compared byte for byte.
 *
 *   mixed_client COUNT SEED HTTP1 HTTP2 STREAMS PORT...
 *
 * HTTP1 connections with a request at a time and HTTP2 ones with STREAMS each, spread over the PORTs of this host. GET and POST
 * of 0 bytes to 1 MB, with lengths and without; some are abandoned at any point, some answers are half read and rest a while.
 * On stdout a line of counts each second, and the last at the end; on stderr what went wrong or was asked again (the first
 * hundred of each kind).
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TELL_MOST = 100, TRIES_MOST = 8, PATIENCE_US = 60 * 1000000, TICK_US = 100000 };

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- exchanges ------------------------------------------------------------------------------- */

static void choose_manner(struct client *client, struct exchange *exchange)
{
    uint32_t coin = random_below(&client->random, 1000);
    uint32_t bytes = exchange->ask.up + exchange->ask.down;
    exchange->manner = coin < 10 ? MANNER_ABANDONS : coin < 15 ? MANNER_PAUSES : MANNER_WHOLE;
    exchange->turns_at = random_below(&client->random, bytes + 1);
}

bool client_next(struct client *client, unsigned number, struct exchange *exchange)
{
    *exchange = (struct exchange){.tries = 1, .port = client->ports[number % client->port_count]};
    if (client->retry_count > 0) {
        struct retry retry = client->retries[--client->retry_count];
        exchange->ask = retry.ask;
        exchange->tries = retry.tries + 1;
    } else if (client->begun < client->count) {
        exchange->ask = ask_draw(&client->random, client->begun++);
        choose_manner(client, exchange);
    } else {
        return false;
    }
    client->under_way++;
    exchange->up = (struct source){.at = ask_up_body(&exchange->ask),
                                   .left = exchange->ask.up,
                                   .is_over = exchange->ask.up == 0};
    exchange->down =
        (struct sink){.expected = ask_down_body(&exchange->ask), .left = exchange->ask.down};
    exchange->due_us = client->now_us + PATIENCE_US;
    return true;
}

static void tell(const struct exchange *exchange, const char *why)
{
    char path[ASK_PATH_MOST];
    ask_path(&exchange->ask, path);
    fprintf(stderr, "%s %s by port %u, try %u, status %d, %zu bytes moved: %s %s\n",
            exchange->ask.up > 0 ? "POST" : "GET", path, exchange->port, exchange->tries,
            exchange->status, exchange->moved, why, exchange->said);
}

bool exchange_took(struct exchange *exchange, const void *bytes, size_t size)
{
    if (exchange->status == 200)
        return sink_take(&exchange->down, bytes, size);
    size_t had = strlen(exchange->said), room = sizeof(exchange->said) - 1 - had;
    memcpy(exchange->said + had, bytes, size < room ? size : room);
    return true;
}

void client_ended(struct client *client, struct exchange *exchange, enum outcome outcome,
                  const char *why)
{
    client->under_way--;
    if (outcome == OUTCOME_AGAIN &&
        (exchange->tries == TRIES_MOST || client->retry_count == RETRIES_MOST))
        outcome = OUTCOME_LOST;
    client->outcomes[outcome]++;
    if (outcome == OUTCOME_AGAIN)
        client->retries[client->retry_count++] =
            (struct retry){.ask = exchange->ask, .tries = exchange->tries};
    bool is_failure = outcome != OUTCOME_RIGHT && outcome != OUTCOME_ABANDONED;
    if (is_failure && client->outcomes[outcome] <= TELL_MOST)
        tell(exchange, why);
}

bool exchange_moved(struct client *client, struct exchange *exchange, size_t size)
{
    exchange->moved += size;
    if (exchange->manner == MANNER_WHOLE || exchange->moved < exchange->turns_at)
        return false;
    if (exchange->manner == MANNER_PAUSES) {
        exchange->manner = MANNER_WHOLE;
        exchange->is_paused = true;
        exchange->due_us = client->now_us + 10000 + random_below(&client->random, 490000);
        client->paused++;
    }
    return true;
}

enum outcome exchange_outcome(const struct exchange *exchange)
{
    if (exchange->status != 200)
        return OUTCOME_REFUSED;
    return exchange->is_other || exchange->down.left > 0 ? OUTCOME_WRONG : OUTCOME_RIGHT;
}

/* --- connections ----------------------------------------------------------------------------- */

int client_dial(struct client *client, unsigned number)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(client->ports[number % client->port_count]),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS)
        die("connect");
    client->connections++;
    return fd;
}

void client_unreachable(struct client *client, int error)
{
    if (client->unreachable++ < TELL_MOST)
        fprintf(stderr, "no connection: %s\n", strerror(error));
}

int socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/* --- the whole ------------------------------------------------------------------------------- */

static void print_counts(const struct client *client, uint64_t began_us)
{
    static const char *const names[OUTCOMES] = {"right", "wrong",     "refused",
                                                "lost",  "abandoned", "again"};
    printf("{\"begun\": %llu, ", (unsigned long long)client->begun);
    for (int i = 0; i < OUTCOMES; i++)
        printf("\"%s\": %llu, ", names[i], (unsigned long long)client->outcomes[i]);
    printf("\"paused\": %llu, \"connections\": %llu, \"unreachable\": %llu, \"seconds\": %.1f}\n",
           (unsigned long long)client->paused, (unsigned long long)client->connections,
           (unsigned long long)client->unreachable, (double)(client->now_us - began_us) / 1e6);
    fflush(stdout);
}

static unsigned number_of(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "mixed_client: \"%s\" is no number\n", text);
        exit(EXIT_FAILURE);
    }
    return (unsigned)number;
}

static void take_arguments(struct client *client, int argc, char **argv)
{
    if (argc < 7 || argc > 6 + PORTS_MOST) {
        fprintf(stderr, "mixed_client COUNT SEED HTTP1 HTTP2 STREAMS PORT...\n");
        exit(EXIT_FAILURE);
    }
    client->count = number_of(argv[1]);
    client->random = number_of(argv[2]) * 2ull + 1;
    for (int i = 6; i < argc; i++)
        client->ports[client->port_count++] = (uint16_t)number_of(argv[i]);
}

int main(int argc, char **argv)
{
    static struct client client;
    static struct h1 *h1[1000];
    static struct h2 *h2[1000];
    take_arguments(&client, argc, argv);
    unsigned h1_count = number_of(argv[3]), h2_count = number_of(argv[4]);
    uint64_t began_us = client.now_us = now_us(), ticked_us = 0, printed_us = began_us;
    if (h1_count > 1000 || h2_count > 1000)
        die("connections");
    ask_make_table();
    poller_init(&client.poller);
    for (unsigned i = 0; i < h1_count; i++)
        h1[i] = h1_create(&client, i);
    for (unsigned i = 0; i < h2_count; i++)
        h2[i] = h2_create(&client, i, number_of(argv[5]));
    while (client.begun < client.count || client.under_way + client.retry_count > 0) {
        poller_turn(&client.poller, TICK_US / 1000);
        client.now_us = now_us();
        if (client.now_us - ticked_us >= TICK_US) {
            ticked_us = client.now_us;
            for (unsigned i = 0; i < h1_count; i++)
                h1_tick(h1[i]);
            for (unsigned i = 0; i < h2_count; i++)
                h2_tick(h2[i]);
        }
        if (client.now_us - printed_us >= 1000000) {
            printed_us = client.now_us;
            print_counts(&client, began_us);
        }
    }
    print_counts(&client, began_us);
    _exit(EXIT_SUCCESS); /* what is open goes with the process */
}
