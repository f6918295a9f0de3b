#include "proxy/snapshot/resource.h"

#include "base/clock.h"
#include "base/memory.h"
#include "build/cluster.h"
#include "build/endpoints.h"
#include "build/listener.h"
#include "build/route_table.h"
#include "build/secret.h"
#include "tls/context.h"

#include <assert.h>
#include <stdatomic.h>

const char *resource_kind_name(enum resource_kind kind)
{
    static const char *const names[RESOURCE_KINDS] = {
        [KIND_CLUSTER] = "cluster", [KIND_ENDPOINTS] = "endpoints", [KIND_LISTENER] = "listener",
        [KIND_ROUTE] = "route",     [KIND_SECRET] = "secret",       [KIND_TLS] = "TLS context",
        [KIND_ADDRESS] = "address",
    };
    return names[kind];
}

/* Texts stand behind the struct, in one piece of memory: name, version, body, each with a NUL. */
struct resource *resource_create(enum resource_kind kind, const struct name *name, void *object,
                                 struct slice version, struct slice body)
{
    size_t size = sizeof(struct resource) + name->text.size + version.size + body.size + 3;
    struct resource *resource = mem_calloc(1, size);
    char *at = (char *)(resource + 1);
    struct slice *to[] = {&resource->name.text, &resource->version, &resource->body};
    const struct slice *from[] = {&name->text, &version, &body};
    for (size_t i = 0; i < COUNT(to); i++) {
        if (from[i]->size > 0)
            memcpy(at, from[i]->data, from[i]->size);
        *to[i] = slice_of(at, from[i]->size);
        at += from[i]->size + 1;
    }
    resource->name.hash = name->hash;
    resource->kind = kind;
    resource->object = object;
    resource->references = 1;
    resource->slot = UINT32_MAX;
    resource->updated_us = clock_wall_us();
    return resource;
}

struct resource *resource_ref(struct resource *resource)
{
    resource->references++;
    return resource;
}

bool resource_drop(struct resource *resource)
{
    assert(resource->references > 0);
    return --resource->references == 0;
}

void resource_free(struct resource *resource)
{
    switch (resource->kind) {
    case KIND_CLUSTER: cluster_unref(resource->cluster); break;
    case KIND_ENDPOINTS: endpoints_unref(resource->endpoints); break;
    case KIND_LISTENER:
    case KIND_ADDRESS: listener_unref(resource->listener); break;
    case KIND_ROUTE: route_table_unref(resource->route); break;
    case KIND_SECRET: secret_unref(resource->secret); break;
    case KIND_TLS: tls_context_unref(resource->tls); break;
    case RESOURCE_KINDS: break;
    }
    mem_free(resource);
}

struct name resource_address_name(const struct ip *ip, uint16_t port, bool is_udp,
                                  char key[RESOURCE_ADDRESS_KEY])
{
    memcpy(key, ip->bytes, sizeof(ip->bytes));
    key[16] = (char)(port >> 8);
    key[17] = (char)port;
    key[18] = (char)is_udp;
    return name_of(slice_of(key, RESOURCE_ADDRESS_KEY));
}
