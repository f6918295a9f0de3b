/*
 * capture: the nftables rules that bring a workload's traffic to its sidecar.
 *
 * All rules live in one table, `inet tulle`, replaced in one transaction, so that removing them is one command and other
 * tools' rules stay. Two shapes: a pod's (the sidecar is outside; inside its network namespace everything is redirected)
 * and a host's (the sidecar shares the network and is exempt by its mark or its user).
 * Ports as Istio has them: 15001 outbound, 15006 inbound, 15053 DNS.
 */
#pragma once

#include "base/attributes.h"
#include "base/error.h"

struct buffer;

enum { CAPTURE_OUTBOUND_PORT = 15001, CAPTURE_INBOUND_PORT = 15006, CAPTURE_DNS_PORT = 15053 };
/* Sockets of the proxy carry it (SO_MARK); 1337, as Istio's tooling uses. */
enum { CAPTURE_MARK = 1337 };

struct capture {
    bool in_pod;  /* the sidecar is outside of this network namespace */
    bool inbound; /* redirect what arrives from other hosts to 15006 */
    bool dns;     /* redirect port 53 to 15053 */
    const char
        *exempt_uid; /* user of the proxy, for hosts where it may not set a mark; may be NULL */
    const char *skip_inbound;  /* "22,15020": ports left alone; may be NULL */
    const char *skip_outbound; /* ports left alone; may be NULL */
    const char *skip_ranges;   /* "10.0.0.0/8,192.168.0.0/16" (IPv4) left alone; may be NULL */
};

/* Port lists and ranges hold only digits, dots, slashes, commas and dashes; anything else is refused. */
MUST_USE bool capture_check(const struct capture *capture, struct error *error);
/* The whole transaction, as `nft -f -` takes it. */
void capture_rules(const struct capture *capture, struct buffer *rules);
/* Removes the table; harmless when there is none. */
void capture_removal(struct buffer *rules);
/* Runs `nft -f -` on the rules in the calling process's network namespace; waits. */
MUST_USE bool capture_apply(struct buffer *rules, struct error *error);
