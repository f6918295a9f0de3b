#include "proxy/snapshot/snapshot.h"

#include "build/cluster.h"
#include "build/endpoints.h"

const struct endpoints *snapshot_endpoints(const struct snapshot *snapshot,
                                           const struct cluster *cluster)
{
    const struct resource *resource =
        snapshot_find(snapshot, KIND_ENDPOINTS, &cluster->endpoints_name);
    return resource ? resource->endpoints : NULL;
}

struct tls_context *snapshot_tls(const struct snapshot *snapshot, const struct tls_spec *spec)
{
    const struct resource *resource = snapshot_find(snapshot, KIND_TLS, &spec->context);
    return resource ? resource->tls : NULL;
}

static const struct listener *listener_at(const struct snapshot *snapshot, const struct ip *ip,
                                          uint16_t port)
{
    char key[RESOURCE_ADDRESS_KEY];
    struct name name = resource_address_name(ip, port, key);
    const struct resource *resource = snapshot_find(snapshot, KIND_ADDRESS, &name);
    return resource ? resource->listener : NULL;
}

const struct listener *snapshot_listener_for(const struct snapshot *snapshot, const struct ip *ip,
                                             uint16_t port)
{
    static const struct ip any_v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}},
                           any_v6;
    const struct listener *listener = listener_at(snapshot, ip, port);
    if (!listener && ip_is_v4(ip))
        listener = listener_at(snapshot, &any_v4, port);
    return listener ? listener : listener_at(snapshot, &any_v6, port);
}
