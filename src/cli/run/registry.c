#include "cli/run/registry.h"

#include "base/memory.h"
#include "cli/api.h"
#include "cli/apply.h"
#include "cli/objects.h"

#include <stdio.h>
#include <string.h>

struct registry {
    struct api *api;
    const struct spec *spec;
    char *lease;
};

static const char leases[] = "/apis/tulle.dev/v1/leases";

struct registry *registry_create(struct api *api, const struct spec *spec)
{
    struct registry *registry = mem_new(struct registry);
    *registry = (struct registry){.api = api, .spec = spec};
    return registry;
}

void registry_destroy(struct registry *registry)
{
    if (!registry)
        return;
    mem_free(registry->lease);
    mem_free(registry);
}

static bool put(struct registry *registry, const char *folder, const char *name, json_t *wanted,
                struct error *error)
{
    enum apply_action action;
    owned_str path = str_format("%s/%s", folder, name);
    bool is_good = apply_json(registry->api, path, folder, wanted, false, &action, error);
    json_decref(wanted);
    if (!is_good)
        error_prefix(error, "%s", name);
    return is_good;
}

static bool put_namespace(struct registry *registry, struct error *error)
{
    const char *name = registry->spec->name_space;
    return put(registry, "/api/v1/namespaces", name,
               json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata",
                         "name", name),
               error);
}

/* Of all instances of one service the first stands for it. */
static bool is_first(const struct spec *spec, size_t index)
{
    return index == 0 ||
           strcmp(spec->instances[index].service, spec->instances[index - 1].service) != 0;
}

static bool put_service(struct registry *registry, const struct spec_instance *instance,
                        struct error *error)
{
    const char *space = registry->spec->name_space;
    owned_str folder = str_format("/api/v1/namespaces/%s/services", space);
    json_t *port = json_pack("{s:s, s:i, s:i, s:s}", "name", instance->protocol, "port",
                             instance->port, "targetPort", instance->port, "protocol", "TCP");
    json_t *wanted =
        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:{s:s}, s:[o]}}", "apiVersion", "v1", "kind",
                  "Service", "metadata", "name", instance->service, "namespace", space, "spec",
                  "selector", "app", instance->service, "ports", port);
    return put(registry, folder, instance->service, wanted, error);
}

static bool put_workload(struct registry *registry, const struct spec_instance *instance,
                         const char *address, struct error *error)
{
    const char *space = registry->spec->name_space;
    owned_str folder =
        str_format("/apis/networking.istio.io/v1/namespaces/%s/workloadentries", space);
    json_t *labels =
        json_pack("{s:s, s:s}", "app", instance->service, "security.istio.io/tlsMode", "istio");
    if (instance->version)
        json_object_set_new(labels, "version", json_string(instance->version));
    json_t *spec =
        json_pack("{s:s, s:{s:i}, s:o, s:s}", "address", address, "ports", instance->protocol,
                  instance->port, "labels", labels, "serviceAccount", instance->account);
    json_t *wanted =
        json_pack("{s:s, s:s, s:{s:s, s:s, s:O}, s:o}", "apiVersion", "networking.istio.io/v1",
                  "kind", "WorkloadEntry", "metadata", "name", instance->name, "namespace", space,
                  "labels", labels, "spec", spec);
    return put(registry, folder, instance->name, wanted, error);
}

static bool take_lease(struct registry *registry, struct error *error)
{
    json_t *wanted = json_pack("{s:i}", "ttlSeconds", REGISTRY_LEASE_S), *answer = NULL;
    bool is_good = api_json(registry->api, "POST", leases, wanted, &answer, NULL, error);
    const char *lease = json_string_value(json_object_get(answer, "lease"));
    if (is_good && !lease)
        is_good = error_set(error, "TUL5002", "the control plane answered without a lease");
    if (is_good) {
        mem_free(registry->lease);
        registry->lease = str_copy(lease);
    }
    json_decref(wanted);
    json_decref(answer);
    return is_good;
}

bool registry_register(struct registry *registry, const char *const *addresses, struct error *error)
{
    const struct spec *spec = registry->spec;
    if (!put_namespace(registry, error) || !take_lease(registry, error))
        return false;
    for (size_t i = 0; i < spec->instance_count; i++)
        if (is_first(spec, i) && !put_service(registry, &spec->instances[i], error))
            return false;
    api_set_lease(registry->api, registry->lease);
    bool is_good = true;
    for (size_t i = 0; is_good && i < spec->instance_count; i++)
        is_good = put_workload(registry, &spec->instances[i], addresses[i], error);
    api_set_lease(registry->api, NULL);
    return is_good;
}

bool registry_configure(struct registry *registry, struct error *error)
{
    const struct spec *spec = registry->spec;
    char *paths[SPEC_CONFIG_MAX];
    struct objects objects;
    struct options options = {.name_space = spec->name_space};
    for (size_t i = 0; i < spec->config_count; i++) {
        const char *path = spec->config[i];
        paths[i] = path[0] == '/' ? str_copy(path) : str_format("%s/%s", spec->directory, path);
        options.files[options.file_count++] = paths[i];
    }
    bool is_good = spec->config_count == 0;
    if (!is_good && objects_read(&options, &objects, error)) {
        is_good = apply_objects(registry->api, &objects, error);
        objects_fini(&objects);
    }
    for (size_t i = 0; i < spec->config_count; i++)
        mem_free(paths[i]);
    return is_good;
}

bool registry_keep_alive(struct registry *registry, struct error *error)
{
    unsigned status = 0;
    owned_str path = str_format("%s/%s", leases, registry->lease ? registry->lease : "0");
    if (api_json(registry->api, "PUT", path, NULL, NULL, &status, error))
        return true;
    if (status == 404)
        error_fini(error);
    return false;
}

char *registry_token(struct registry *registry, const char *account, struct error *error)
{
    owned_str path =
        str_format("/apis/tulle.dev/v1/namespaces/%s/tokens", registry->spec->name_space);
    json_t *wanted = json_pack("{s:s}", "serviceAccount", account), *answer = NULL;
    bool is_good = api_json(registry->api, "POST", path, wanted, &answer, NULL, error);
    const char *token = json_string_value(json_object_get(answer, "token"));
    if (is_good && !token)
        (void)error_set(error, "TUL5002", "the control plane answered without a token");
    char *copy = token ? str_copy(token) : NULL;
    json_decref(wanted);
    json_decref(answer);
    return copy;
}

void registry_end(struct registry *registry)
{
    if (!registry->lease)
        return;
    owned_error error = {0};
    owned_str path = str_format("%s/%s", leases, registry->lease);
    (void)!api_json(registry->api, "DELETE", path, NULL, NULL, NULL, &error);
}
