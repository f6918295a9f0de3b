/*
 * process: tulle-proxy as a whole: bootstrap, workers, configuration, admin, draining.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"
#include "io/sockmap.h"

/* How workers move bytes. PROCESS_IO_AUTO: as measurement says pays (docs/decisions). */
enum process_io { PROCESS_IO_AUTO, PROCESS_IO_EPOLL, PROCESS_IO_URING };
/* auto, epoll, io_uring. */
MUST_USE bool process_io_of(const char *text, enum process_io *io);

struct process_options {
    const char *config_path; /* an Envoy bootstrap file */
    bool validate_only;      /* check the file and what is static in it */
    enum process_io io;      /* where the kernel forbids io_uring, epoll serves all the same */
    unsigned concurrency;    /* workers; 0 = as many as CPUs may be used */
    const char
        *state_directory; /* the last good configuration is kept here; NULL: it is not kept */
    uint32_t drain_s;     /* from SIGTERM to the end with streams still open; 0 = 5 */
    size_t max_memory;    /* of peer-driven memory; 0 = unlimited */
    uint32_t
        max_connections; /* downstream, UDP sessions too; 0 = half of the descriptors that we may open */
    uint32_t upstream_mark; /* SO_MARK of upstream sockets; 0 = none */
    /* Identity: where a certificate is asked for; NULL: secrets come by SDS or from files. */
    const char *ca_address;   /* host:port */
    const char *ca_root_path; /* PEM that the CA's own certificate is verified by */
    int token_fd;             /* a one-time token is read from it; -1: none */
    const char *token_path;   /* or a token that is read anew each time */
    /* Names: answered over UDP and TCP on this address from the control plane's name table; NULL: they are not. */
    const char *dns_address;
    const char *network_namespace; /* where dns_address is; NULL: here */
    /* The short cut to applications (io/sockmap.h). Where the kernel refuses it, everything goes by TCP. */
    bool wants_sockmap;
    const char *sockmap_cgroups[SOCKMAP_CGROUPS_MAX]; /* of applications that are not in ours */
    size_t sockmap_cgroup_count;
    const char *sockmap_fds; /* "5,6,7": of one that is loaded already; NULL: ours */
};

/* Runs until SIGTERM or /quitquitquit. Returns the exit code; says on stderr what a person must act on. */
int process_run(const struct process_options *options);
