#include "xds/delta_server.h"

#include "base/memory.h"
#include "xds/ads_session.h"
#include "xds/blob.h"

static const struct slice star = {"*", 1};

/* How many names, the star left out, or SIZE_MAX when one is too long or empty. */
static size_t check_names(const struct slice *names, size_t count, bool *has_star)
{
    size_t stars = 0;
    for (size_t i = 0; i < count; i++) {
        if (names[i].size == 0 || names[i].size > BLOB_NAME_MAX)
            return SIZE_MAX;
        stars += slice_equals(names[i], star);
    }
    *has_star = stars > 0;
    return count - stars;
}

/* A copy without stars; the caller frees it. */
static struct slice *without_stars(const struct slice *names, size_t count)
{
    struct slice *plain = mem_calloc(count + 1, sizeof(*plain));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!slice_equals(names[i], star))
            plain[kept++] = names[i];
    }
    return plain;
}

struct plain_names {
    size_t subscribe, unsubscribe; /* counts without stars */
    bool star, unstar;
};

static enum ads_verdict check(const struct ads_session *session, enum resource_type type,
                              const struct delta_request *request, struct plain_names *plain)
{
    size_t most = ads_session_limits(session)->max_names;
    size_t known = ads_session_subscription(session, type)->entries.count;
    if (request->subscribe_count > most || request->unsubscribe_count > most ||
        request->held_count > most)
        return ADS_TOO_MANY;
    plain->subscribe = check_names(request->subscribe, request->subscribe_count, &plain->star);
    plain->unsubscribe =
        check_names(request->unsubscribe, request->unsubscribe_count, &plain->unstar);
    if (plain->subscribe == SIZE_MAX || plain->unsubscribe == SIZE_MAX)
        return ADS_BAD_NAME;
    for (size_t i = 0; i < request->held_count; i++) {
        if (request->held[i].name.size == 0 || request->held[i].name.size > BLOB_NAME_MAX)
            return ADS_BAD_NAME;
    }
    /* Repetitions of known names count too: who comes near this limit is refused a little early. */
    if (plain->subscribe > 0 && known + plain->subscribe > most)
        return ADS_TOO_MANY;
    return ADS_TAKEN;
}

static void apply_names(struct subscription *sub, const struct delta_request *request,
                        const struct plain_names *plain)
{
    struct slice *names = without_stars(request->unsubscribe, request->unsubscribe_count);
    subscription_drop(sub, names, plain->unsubscribe);
    mem_free(names);
    if (plain->unstar)
        subscription_set_wildcard(sub, false);
    if (plain->star && !sub->wildcard) {
        subscription_set_wildcard(sub, true);
        sub->due = true;
    }
    names = without_stars(request->subscribe, request->subscribe_count);
    subscription_add(sub, names, plain->subscribe);
    mem_free(names);
}

enum ads_verdict delta_server_read(struct ads_session *session, const struct delta_request *request,
                                   uint64_t now_ms)
{
    enum resource_type type;
    struct plain_names plain;
    if (!resource_type_of_url(request->type_url, &type))
        return ADS_STRANGE_TYPE;
    enum ads_verdict verdict = check(session, type, request, &plain);
    if (verdict != ADS_TAKEN)
        return verdict;

    struct subscription *sub = ads_session_request(session, type);
    bool first = !sub->open;
    if (!first && request->nonce.size > 0)
        ads_session_answer(session, type, request->nonce, request->error, now_ms);
    /* Asking for nothing at first is asking for everything, where that can be asked. It is answered even if there is nothing. */
    if (first && request->subscribe_count == 0 && resource_type_is_wildcard(type)) {
        sub->wildcard = true;
        sub->due = true;
    }
    apply_names(sub, request, &plain);
    if (first) {
        subscription_hold(sub, request->held, request->held_count);
        ads_session_open(session, type);
    }
    return ADS_TAKEN;
}
