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
                                          uint16_t port, bool is_udp)
{
    char key[RESOURCE_ADDRESS_KEY];
    struct name name = resource_address_name(ip, port, is_udp, key);
    const struct resource *resource = snapshot_find(snapshot, KIND_ADDRESS, &name);
    return resource ? resource->listener : NULL;
}

static const struct listener *listener_for(const struct snapshot *snapshot, const struct ip *ip,
                                           uint16_t port, bool is_udp)
{
    static const struct ip any_v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}},
                           any_v6;
    const struct listener *listener = listener_at(snapshot, ip, port, is_udp);
    if (!listener && ip_is_v4(ip))
        listener = listener_at(snapshot, &any_v4, port, is_udp);
    return listener ? listener : listener_at(snapshot, &any_v6, port, is_udp);
}

const struct listener *snapshot_listener_for(const struct snapshot *snapshot, const struct ip *ip,
                                             uint16_t port)
{
    return listener_for(snapshot, ip, port, false);
}

const struct listener *snapshot_udp_listener_for(const struct snapshot *snapshot,
                                                 const struct ip *ip, uint16_t port)
{
    return listener_for(snapshot, ip, port, true);
}
