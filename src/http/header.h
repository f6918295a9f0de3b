/*
 * header: the fields of a message, in order, the same for HTTP/1 and HTTP/2.
 *
 * A list is a compact array in the stream's arena; names and values point into that arena (a head is copied there
 * once) or to bytes that outlive it. Names keep the case they came in; HTTP/2 lower-cases them when it writes. The
 * names of header_names.h have an id, found by a perfect hash, and a bit in the list, so that asking for one that is
 * absent costs nothing.
 *
 * Whoever writes into a field directly clears its flags.
 *
 * What the connection owns never stands here: the codecs take out Host (it is the authority), Connection and what it
 * names, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade, HTTP2-Settings and every TE but "trailers", and
 * write what is right for the next hop themselves. Content-Length stays to be read; what is sent follows the
 * message's content_length. Expect stays.
 */
#pragma once

#include "base/arena.h"
#include "base/slice.h"
#include "http/header_names.h"

#define HEADER_ENUM(id, text) HEADER_##id,
enum header_id { HEADER_OTHER, HEADER_NAMES(HEADER_ENUM) HEADER_IDS };

enum header_flags {
    /* "name: value CRLF" lies in one piece from name on, so that runs of fields are written by one copy. */
    HEADER_WHOLE_LINE = 1,
    /* Never put into HPACK's table (credentials). */
    HEADER_SENSITIVE = 2,
};

struct header {
    const char *name;
    const char *value;
    uint32_t value_size;
    uint16_t name_size;
    uint8_t id; /* enum header_id */
    uint8_t flags;
};

struct headers {
    struct header *items;
    uint16_t count;
    uint16_t capacity;
    uint64_t known[2]; /* a bit for each id that is present */
};

#define HEADERS_EACH(one, list)                                                                    \
    for (struct header *one = (list)->items, *one##_end = one ? one + (list)->count : one;         \
         one < one##_end; one++)

static inline struct slice header_name(const struct header *header)
{
    return slice_of(header->name, header->name_size);
}
static inline struct slice header_value(const struct header *header)
{
    return slice_of(header->value, header->value_size);
}

/* HEADER_OTHER when the name has no id. Any case. */
enum header_id header_id_of(struct slice name);
/* Lower case; empty for HEADER_OTHER. Static. */
struct slice header_id_name(enum header_id id);
/* RFC 9110 5.6.2: at least one byte, token characters only. */
bool header_name_is_valid(struct slice name);
/* RFC 9110 5.5: no control but HTAB, no blank at either end. */
bool header_value_is_valid(struct slice value);
/* The fields that a connection owns, of which the codecs let none through. */
bool header_is_hop_by_hop(enum header_id id);

/* Whether a trailer of this name is passed on: what means something in a head only is not. */
bool trailer_is_allowed(const struct header *header);
/* Whether Connection may not take this field away: identity and forwarding facts. */
bool header_is_protected(const struct header *header);

static inline bool headers_has(const struct headers *headers, enum header_id id)
{
    return headers->known[(unsigned)id / 64] >> ((unsigned)id % 64) & 1;
}
/* The first one, or NULL. Pointers hold until the next add or remove. id is not HEADER_OTHER. */
struct header *headers_find(const struct headers *headers, enum header_id id);
/* By name, in any case: for names that configuration chose. NULL when there is none. */
struct header *headers_find_name(const struct headers *headers, struct slice name);
/* The next one of the same name, or NULL. */
struct header *headers_find_next(const struct headers *headers, const struct header *header);
/* The first one's value, or an empty slice with data == NULL. */
struct slice headers_value(const struct headers *headers, enum header_id id);
/*
 * All values of a name as one, joined by "," (";" and a blank for Cookie, of which empty ones are left out, for no value
 * may end with a blank): in place when there is one, else in the arena. data == NULL when there is none or the arena refuses.
 */
struct slice headers_joined(const struct headers *headers, struct slice name, struct arena *arena);

/* Adding is false only when the arena refuses; the list is then as it was. Bytes are borrowed for the list's life. */
MUST_USE bool headers_add(struct headers *headers, struct arena *arena, struct slice name,
                          struct slice value);
MUST_USE bool headers_add_id(struct headers *headers, struct arena *arena, enum header_id id,
                             struct slice value);
/* Copies name and value into the arena first. */
MUST_USE bool headers_add_copy(struct headers *headers, struct arena *arena, struct slice name,
                               struct slice value);
/* Leaves exactly one: the first is overwritten, others are removed, or one is added. Value borrowed. */
MUST_USE bool headers_set(struct headers *headers, struct arena *arena, struct slice name,
                          struct slice value);
MUST_USE bool headers_set_id(struct headers *headers, struct arena *arena, enum header_id id,
                             struct slice value);
/* The same with a whole line of ours, "name: value CRLF", static: it goes out by one copy. */
MUST_USE bool headers_set_line(struct headers *headers, struct arena *arena, enum header_id id,
                               struct slice line);
/* Removes every one; returns how many. */
size_t headers_remove(struct headers *headers, struct slice name);
size_t headers_remove_id(struct headers *headers, enum header_id id);
/* Removes this one. */
void headers_remove_at(struct headers *headers, struct header *header);
/* Room for `count` in all. */
MUST_USE bool headers_reserve(struct headers *headers, struct arena *arena, size_t count);
/* A list of its own over the same bytes: the overlay that an attempt edits. */
MUST_USE bool headers_copy(struct headers *to, struct arena *arena, const struct headers *from);
