/* Talks to a session in short words, for the tests of the servers. */
#pragma once

#include "base/buffer.h"
#include "test.h"
#include "xds/ads_session.h"
#include "xds/delta_server.h"
#include "xds/refusals.h"
#include "xds/sotw_server.h"
#include "xds/table_maker.h"

struct peer {
    struct ads_session *session;
    struct ads_response response;
    uint64_t now_ms;
    struct blob_table *tables[RESOURCE_TYPES];
    uint64_t generation;
};

UNUSED static struct peer peer_open(enum ads_variant variant, struct refusals *refusals)
{
    struct peer peer = {.now_ms = 1000};
    peer.session =
        ads_session_create(variant, &ads_session_default_limits, SLICE("client"), refusals);
    return peer;
}

UNUSED static void peer_close(struct peer *peer)
{
    ads_session_destroy(peer->session);
    ads_response_fini(&peer->response);
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        blob_table_unref(peer->tables[i]);
}

/* Edits one table ("a=1 -b"; "" makes it known and empty) without showing it yet. */
UNUSED static void edit(struct peer *peer, enum resource_type type, const char *words)
{
    struct blob_table *next = table_edit(type, peer->tables[type], words);
    blob_table_unref(peer->tables[type]);
    peer->tables[type] = next;
}

UNUSED static void publish(struct peer *peer)
{
    struct view *view = view_create(peer->tables, ++peer->generation);
    ads_session_see(peer->session, view);
    view_unref(view);
}

static inline size_t split(const char *words, struct slice *names, size_t max)
{
    size_t count = 0;
    struct slice rest = slice_str(words), word;
    while (rest.size > 0 && count < max) {
        slice_cut(rest, ' ', &word, &rest);
        if (word.size > 0)
            names[count++] = word;
    }
    return count;
}

/* words: "a b -c": subscribes a and b, unsubscribes c; "a@VERSION" says that a is held. nonce and error may be NULL. */
UNUSED static enum ads_verdict delta_say(struct peer *peer, enum resource_type type,
                                         const char *words, const char *nonce, const char *error)
{
    struct slice all[64], add[64], drop[64];
    struct name_version held[64];
    size_t count = split(words, all, 64), adds = 0, drops = 0, helds = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice name, version;
        if (all[i].data[0] == '-')
            drop[drops++] = slice_from(all[i], 1);
        else if (slice_cut(all[i], '@', &name, &version))
            held[helds++] = (struct name_version){name, version};
        else
            add[adds++] = all[i];
    }
    struct slice reason = slice_str(error);
    struct delta_request request = {.type_url = slice_str(resource_type_url(type)),
                                    .subscribe = add,
                                    .subscribe_count = adds,
                                    .unsubscribe = drop,
                                    .unsubscribe_count = drops,
                                    .held = held,
                                    .held_count = helds,
                                    .nonce = slice_str(nonce),
                                    .error = error ? &reason : NULL};
    return delta_server_read(peer->session, &request, peer->now_ms);
}

UNUSED static enum ads_verdict sotw_say(struct peer *peer, enum resource_type type,
                                        const char *words, const char *nonce, const char *error)
{
    struct slice names[64];
    struct slice reason = slice_str(error);
    struct sotw_request request = {.type_url = slice_str(resource_type_url(type)),
                                   .names = names,
                                   .name_count = split(words, names, 64),
                                   .nonce = slice_str(nonce),
                                   .error = error ? &reason : NULL};
    return sotw_server_read(peer->session, &request, peer->now_ms);
}

/* The next response as "CDS a=1 b=2 -c", or "" when there is none. Borrowed until the next call. */
static inline const char *hear(struct peer *peer)
{
    static char text[8192];
    text[0] = '\0';
    if (!ads_session_next(peer->session, peer->now_ms, 0, &peer->response))
        return text;
    struct ads_response *r = &peer->response;
    size_t at = (size_t)snprintf(text, sizeof(text), "%s", resource_type_short(r->type));
    VECTOR_EACH(blob, &r->blobs)
    at += (size_t)snprintf(text + at, sizeof(text) - at, " %.*s=%.*s", SLICE_ARG(blob_name(*blob)),
                           SLICE_ARG(blob_body(*blob)));
    VECTOR_EACH(blob, &r->removed)
    at += (size_t)snprintf(text + at, sizeof(text) - at, " -%.*s", SLICE_ARG(blob_name(*blob)));
    return text;
}

#define HEARS(peer, text)                                                                          \
    do {                                                                                           \
        const char *heard = hear(peer);                                                            \
        CHECK(strcmp(heard, (text)) == 0, "heard \"%s\", not \"%s\"", heard, (text));              \
    } while (0)

/* Answers what was heard last. */
UNUSED static void ack(struct peer *peer)
{
    struct ads_response *r = &peer->response;
    if (r->variant == ADS_DELTA) {
        CHECK(delta_say(peer, r->type, "", r->nonce, NULL) == ADS_TAKEN);
        return;
    }
    /* The whole set of names again, as state of the world has it. */
    struct buffer names = {0};
    const struct subscription *sub = ads_session_subscription(peer->session, r->type);
    for (size_t i = 0; i < sub->entries.count; i++) {
        if (sub->entries.items[i].flags & ENTRY_NAMED) {
            buffer_append_slice(&names, blob_name(sub->entries.items[i].blob));
            buffer_append_byte(&names, ' ');
        }
    }
    CHECK(sotw_say(peer, r->type, names.size ? names.data : "", r->nonce, NULL) == ADS_TAKEN);
    buffer_fini(&names);
}

UNUSED static const char *version_of(struct peer *peer, enum resource_type type, const char *name)
{
    static char text[33];
    hash128_hex(blob_table_find(peer->tables[type], slice_str(name))->version, text);
    return text;
}
