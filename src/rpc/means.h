/*
 * means: what calls are made and answered with, one set a loop.
 */
#pragma once

#include <stdint.h>

struct dialer;
struct loop;
struct resolver;
struct tls_engine;

struct rpc_means {
    struct loop *loop;
    struct tls_engine *engine; /* NULL: no TLS here */
    struct dialer *dialer;     /* clients need one */
    struct resolver *resolver; /* NULL: clients dial addresses only, no names */
    uint32_t mark;             /* SO_MARK of clients' connections, 0 = none */
};
