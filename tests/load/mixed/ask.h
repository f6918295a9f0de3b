/*
 * ask: what a request asks for, told whole by its path, so that client and server know every byte of both bodies.
 *
 * Bodies are stretches of one table of random bytes that both make alike; where one begins follows from the request's number.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASK_BODY_MOST = 1 << 20, ASK_PATH_MOST = 80 };

struct ask {
    uint64_t id;
    uint32_t up, down;             /* bytes of the bodies */
    bool is_up_open, is_down_open; /* without a length told ahead: chunked in HTTP/1 */
    bool is_early;                 /* the answer begins before the request has ended */
};

/* xorshift64*: `state` is not 0. */
uint64_t random_next(uint64_t *state);
/* Less than `limit`. */
uint32_t random_below(uint64_t *state, uint32_t limit);

/* Before anything else. */
void ask_make_table(void);
/* Most are small, a few in ten thousand a megabyte; half have a body to send. */
struct ask ask_draw(uint64_t *random, uint64_t id);
void ask_path(const struct ask *ask, char path[static ASK_PATH_MOST]);
/* False where it is none of ours. */
bool ask_parse(const char *path, size_t size, struct ask *out);
const uint8_t *ask_up_body(const struct ask *ask);
const uint8_t *ask_down_body(const struct ask *ask);
