#include "xds/sotw_server.h"

#include "base/memory.h"
#include "xds/ads_session.h"
#include "xds/blob.h"

static enum ads_verdict check(const struct ads_session *session, const struct sotw_request *request)
{
    if (request->name_count > ads_session_limits(session)->max_names)
        return ADS_TOO_MANY;
    for (size_t i = 0; i < request->name_count; i++) {
        if (request->names[i].size == 0 || request->names[i].size > BLOB_NAME_MAX)
            return ADS_BAD_NAME;
    }
    return ADS_TAKEN;
}

/* The names without stars; the caller frees them. */
static struct slice *plain_names(const struct sotw_request *request, size_t *count, bool *star)
{
    struct slice *plain = mem_calloc(request->name_count + 1, sizeof(*plain));
    *count = 0;
    for (size_t i = 0; i < request->name_count; i++) {
        if (!slice_equals_str(request->names[i], "*"))
            plain[(*count)++] = request->names[i];
    }
    *star = *count < request->name_count;
    return plain;
}

/* No names mean everything only as long as the client has never given any; afterwards they mean nothing (xDS, "How the client
 * specifies what resources to return"). */
static bool wants_all(const struct subscription *sub, bool first, size_t count, bool star)
{
    if (star)
        return true;
    if (count > 0 || !resource_type_is_wildcard(sub->type))
        return false;
    return first || (sub->wildcard && !sub->explicit);
}

static void apply_names(struct subscription *sub, const struct sotw_request *request, bool first)
{
    size_t count;
    bool star;
    struct slice *names = plain_names(request, &count, &star);
    size_t dirty = sub->dirty;
    bool all = wants_all(sub, first, count, star);
    bool widened = all && !sub->wildcard;

    sub->explicit = sub->explicit || star || count > 0;
    if (first)
        sub->wildcard = all;
    else
        subscription_set_wildcard(sub, all);
    subscription_replace(sub, names, count);
    /* A complete set is owed to whoever asks for more, be it that nothing of it exists. */
    if (resource_type_is_complete(sub->type) &&
        (widened || sub->dirty > dirty || (first && (all || count > 0))))
        sub->due = true;
    mem_free(names);
}

enum ads_verdict sotw_server_read(struct ads_session *session, const struct sotw_request *request,
                                  uint64_t now_ms)
{
    enum resource_type type;
    if (!resource_type_of_url(request->type_url, &type))
        return ADS_STRANGE_TYPE;
    enum ads_verdict verdict = check(session, request);
    if (verdict != ADS_TAKEN)
        return verdict;

    struct subscription *sub = ads_session_request(session, type);
    bool first = !sub->open;
    if (!first && request->nonce.size == 0) {
        /* Said before our first response was seen: more names, or what its answer will say once more. */
        if (sub->in_flight)
            return ADS_TAKEN;
        first = ads_session_status(session, type)->nonce_sent > 0;
        if (first)
            ads_session_reopen(session, type);
    } else if (!first) {
        /* Who answers an older response will answer the newer one too, with its names of then. */
        if (ads_session_answer(session, type, request->nonce, request->error, now_ms) == ADS_STALE)
            return ADS_TAKEN;
    }
    apply_names(sub, request, first);
    if (first)
        ads_session_open(session, type);
    return ADS_TAKEN;
}
