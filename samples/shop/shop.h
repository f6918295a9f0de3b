/*
 * shop: what the C services of the shop share: a small HTTP/1.1 server, a thread a connection, and a client.
 *
 * They are ordinary programs that know nothing of a mesh. Plain on purpose: what makes them safe on a network is the
 * proxy beside them.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHOP_HEAD_MAX = 8192, SHOP_TEXT_MAX = 1024 };

/* Writes JSON into text and returns the status. */
typedef int shop_answer(const char *path, char *text, size_t size);

static shop_answer *shop_answer_of;

/* The digits at the end of a path, 0 when there are none. */
static inline int shop_number(const char *path)
{
    const char *last = strrchr(path, '/');
    return last ? atoi(last + 1) % 1000 : 0;
}

static inline void shop_split(const char *target, char *host, size_t host_size, char *port,
                              size_t port_size)
{
    const char *colon = target ? strrchr(target, ':') : NULL;
    if (!colon)
        return;
    snprintf(host, host_size, "%.*s", (int)(colon - target), target);
    snprintf(port, port_size, "%s", colon + 1);
}

static inline int shop_connect(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    int fd = -1;
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd >= 0) {
        int one = 1;
        struct timeval limit = {.tv_sec = 10};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    }
    return fd;
}

/* The size of the head in text (its end included), 0 while it is not whole. */
static inline size_t shop_head_end(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    return end ? (size_t)(end + 4 - text) : 0;
}

static inline size_t shop_body_size(const char *head)
{
    const char *field = strcasestr(head, "\r\ncontent-length:");
    return field ? strtoul(field + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

/* Reads one message into text; returns its size, 0 at the end or on any fault. */
static inline size_t shop_read(int fd, char *text, size_t size)
{
    size_t used = 0;
    for (;;) {
        ssize_t got = recv(fd, text + used, size - 1 - used, 0);
        if (got <= 0)
            return 0;
        used += (size_t)got;
        text[used] = '\0';
        size_t head = shop_head_end(text);
        if (head && used >= head + shop_body_size(text))
            return used;
        if (used == size - 1)
            return 0;
    }
}

/* GET /item/NUMBER; true with the body in text on a 200. */
static inline bool shop_get(int fd, const char *host, int number, char *text, size_t size)
{
    char message[SHOP_HEAD_MAX];
    int length =
        snprintf(message, sizeof(message),
                 "GET /item/%d HTTP/1.1\r\nHost: %s\r\nUser-Agent: shop\r\n\r\n", number, host);
    if (send(fd, message, (size_t)length, MSG_NOSIGNAL) != length)
        return false;
    if (!shop_read(fd, message, sizeof(message)) || strncmp(message, "HTTP/1.1 200", 12) != 0)
        return false;
    const char *body = message + shop_head_end(message);
    if (strlen(body) >= size)
        return false;
    strcpy(text, body);
    return true;
}

static void *shop_connection(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char message[SHOP_HEAD_MAX], text[SHOP_TEXT_MAX], path[512];
    while (shop_read(fd, message, sizeof(message))) {
        int status = 200;
        if (sscanf(message, "%*15s %511s", path) != 1)
            break;
        if (strcmp(path, "/healthz") == 0)
            snprintf(text, sizeof(text), "{\"ok\": true}");
        else
            status = shop_answer_of(path, text, sizeof(text));
        int length = snprintf(message, sizeof(message),
                              "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                              "Content-Length: %zu\r\n\r\n%s",
                              status, status == 200 ? "OK" : "Bad Gateway", strlen(text), text);
        if (send(fd, message, (size_t)length, MSG_NOSIGNAL) != length)
            break;
    }
    close(fd);
    return NULL;
}

static inline int shop_serve(shop_answer *answer)
{
    shop_answer_of = answer;
    signal(SIGPIPE, SIG_IGN);
    int port = atoi(getenv("PORT") ? getenv("PORT") : "9000"), one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&here, sizeof(here)) != 0 || listen(listener, 512) != 0) {
        perror("listen");
        return 1;
    }
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (pthread_create(&thread, NULL, shop_connection, (void *)(intptr_t)fd) != 0)
            close(fd);
        else
            pthread_detach(thread);
    }
}
