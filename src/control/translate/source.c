#include "control/translate/source.h"

#include "base/buffer.h"
#include "control/translate/proxy.h"

static bool classify(void *owner, struct push_proxy *proxy, struct buffer *key,
                     enum grpc_code *code, char **reason)
{
    const struct source_of_views *source = owner;
    return proxy_key_of_peer(proxy->peer, source->trust_domain, key, code, reason);
}

static void on_proxy_gone(void *owner, struct push_proxy *proxy)
{
    (void)owner;
    (void)proxy;
}

static const struct view *build(void *owner, struct slice key)
{
    const struct source_of_views *source = owner;
    const struct view *view = translate_view(source->translate, key);
    if (source->on_refreshed)
        source->on_refreshed(source->owner);
    return view ? view_ref(view) : NULL;
}

static void forget(void *owner, struct slice key)
{
    const struct source_of_views *source = owner;
    translate_forget(source->translate, key);
}

static void publish(void *owner, struct slice key, const struct view *view)
{
    const struct source_of_views *source = owner;
    push_publish(source->push, key, view);
}

/* Whichever lane is due, everything that is known goes out: what is ready has no reason to wait. */
static void refresh(void *owner, enum push_lane lane)
{
    (void)lane;
    const struct source_of_views *source = owner;
    translate_settle(source->translate, publish, owner);
    if (source->on_refreshed)
        source->on_refreshed(source->owner);
}

const struct push_source source_of_views = {.classify = classify,
                                            .on_proxy_gone = on_proxy_gone,
                                            .build = build,
                                            .forget = forget,
                                            .refresh = refresh};
