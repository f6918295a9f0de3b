/*
 * url: hosts, ports and paths: parsed once, brought to one canonical form, which is matched, routed and forwarded.
 *
 * Results point into the input where nothing changes and into the arena where something does. Cost is linear.
 */
#pragma once

#include "base/arena.h"
#include "base/slice.h"

struct authority {
    struct slice host; /* without brackets; IPv6 when is_ip6 */
    uint16_t port;     /* 0: none was given */
    bool is_ip6;
};
/* host, host:port, [v6], [v6]:port; no userinfo, no zone, no blank. False when it is none of these. */
MUST_USE bool authority_parse(struct slice text, struct authority *out);
/* Syntax only, without finding the pieces: what a parser of messages asks. */
MUST_USE bool authority_is_valid(struct slice text);
/*
 * The form that hosts are compared in: lower case, no trailing dot, no default port of the scheme ("http" 80, "https"
 * 443). `strip_port` takes any port off. data == NULL when it is not valid or the arena refuses.
 */
struct slice authority_normalise(struct slice text, struct slice scheme, bool strip_port,
                                 struct arena *arena);

/* What is done with %2F and %5C in a path. */
enum escaped_slash { ESCAPED_SLASH_REFUSE, ESCAPED_SLASH_KEEP, ESCAPED_SLASH_DECODE };

struct path_rules {
    bool
        normalise; /* decode what needs no escape, upper-case other escapes, resolve dots, "\" is "/" */
    bool merge_slashes;
    uint8_t escaped_slashes; /* enum escaped_slash */
};
/* Istio's pathNormalization by its names; BASE is the default. */
extern const struct path_rules path_rules_none, path_rules_base, path_rules_merge_slashes,
    path_rules_decode_and_merge_slashes;

enum path_status {
    PATH_OK,
    PATH_MALFORMED, /* a broken escape, an escaped control character, no leading slash, a fragment */
    PATH_ESCAPED_SLASH, /* refused by the rules */
    PATH_NO_MEMORY,
};
/* The query stays as it is. "*" stays. */
MUST_USE enum path_status path_normalise(struct slice path, const struct path_rules *rules,
                                         struct arena *arena, struct slice *out);
const char *path_status_text(enum path_status status);

/* Holds nothing that would have to be escaped: what a request target may be made of, in either protocol. */
bool target_is_valid(struct slice target);
/* Without query. */
struct slice path_only(struct slice path_and_query);
/* After the "?"; data == NULL when there is none. */
struct slice path_query(struct slice path_and_query);
/* The value of the first such parameter, as it stands (not decoded); data == NULL when there is none. */
struct slice query_parameter(struct slice query, struct slice name);

/* scheme://authority/path?query, as redirects and configuration have it; scheme is http or https. */
struct url {
    struct slice scheme;
    struct slice authority;
    struct slice path; /* with query; "/" when none was given */
};
MUST_USE bool url_parse(struct slice text, struct url *out);
