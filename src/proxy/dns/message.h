/*
 * message: the little of DNS (RFC 1035) that a sidecar speaks: one question in, an answer of addresses out. Pure.
 */
#pragma once

#include "base/attributes.h"
#include "base/slice.h"

enum {
    DNS_NAME_MAX = 253, /* characters; 255 bytes on the wire (RFC 1035 2.3.4) */
    DNS_MESSAGE_MAX = 4096,
    DNS_UDP_MAX = 512,
    DNS_A = 1,
    DNS_AAAA = 28,
    DNS_IN = 1
};
enum dns_code {
    DNS_NO_ERROR = 0,
    DNS_FORMAT_ERROR = 1,
    DNS_SERVER_FAILURE = 2,
    DNS_NO_NAME = 3,
    DNS_NOT_IMPLEMENTED = 4
};

struct dns_question {
    uint16_t id;
    uint16_t flags;
    uint16_t type, class;
    char name[DNS_NAME_MAX + 1]; /* lower case, dots between labels, no dot at the end */
    size_t name_size;
    size_t end;       /* of the question, in the message */
    uint16_t udp_max; /* what the asker takes (EDNS), at least 512 */
};
/* False when it is no question that can be answered at all: it is dropped. *code says whether it is malformed. */
MUST_USE bool dns_question_read(struct slice message, struct dns_question *question,
                                enum dns_code *code);

/* An address record: 4 or 16 bytes. */
struct dns_address {
    uint8_t bytes[16];
    uint8_t size;
};
/* Writes the answer to `question`, which stands in `asked`, into out (DNS_MESSAGE_MAX bytes); records that do not fit `most` are
 * left out and the answer is marked as truncated. Returns its size. */
size_t dns_answer_write(const struct dns_question *question, struct slice asked, enum dns_code code,
                        const struct dns_address *addresses, size_t count, uint32_t ttl_s,
                        size_t most, uint8_t *out);
