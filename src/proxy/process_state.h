/* What the parts of the process (admin, identity, names, telemetry) see of it. Main thread. */
#pragma once

#include "base/block.h"
#include "io/loop.h"
#include "proxy/process.h"
#include "proxy/worker.h"
#include "rpc/means.h"

struct admin;
struct bootstrap;
struct configure;
struct helper_pool;
struct identity;
struct interfaces;
struct names;
struct publisher;
struct signal_watch;
struct sockets;
struct telemetry;
struct thread;

/* One worker's thread. */
struct runner {
    struct worker *worker;
    struct loop *loop;
    struct thread *thread;
    struct mail drain, close;
    struct timer grace;
};

struct process {
    const struct process_options *options;
    struct bootstrap *bootstrap;
    struct loop *loop;
    struct signal_watch *signals;
    struct interfaces *interfaces;
    struct helper_pool *helpers;
    struct rpc_means means; /* of main: admin, ADS, the CA */
    struct memory_budget budget;
    struct worker_shared shared;
    struct publisher *publisher;
    struct telemetry *telemetry; /* registry, logs, the workers' observers */
    enum loop_backend backend;   /* of the workers */
    unsigned worker_count;
    struct runner *runners;
    struct worker **workers;
    struct sockets *sockets;
    struct configure *configure;
    struct names *names;       /* DNS; NULL: not wanted */
    struct identity *identity; /* SVID; NULL: not wanted */
    struct admin *admin;       /* NULL: not wanted */
    bool is_quitting;
    uint64_t drain_until_ms;
    struct timer drain;
    struct timer settling; /* until the start's memory is given back */
};

/* Open downstream connections of all workers. */
size_t process_connections(const struct process *process);
/* No new connections; those that are open end with their last stream. */
void process_drain_listeners(struct process *process);
/* Gracefully: drains first, at most for the drain time. */
void process_quit(struct process *process, bool gracefully);
