#include "cli/run/spec.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "pb/document.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPEC_FILE_MAX = 1 << 20, REPLICAS_MAX = 100, NAME_MAX_BYTES = 63 };

struct reader {
    struct spec *spec;
    const char *file;
    struct error *error;
    struct value *services;
};

static bool fail_at(struct reader *reader, const struct value *value, const char *format, ...)
    PRINTF(3, 4);
static bool fail_at(struct reader *reader, const struct value *value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    owned_str what = str_format_v(format, args);
    va_end(args);
    error_set(reader->error, "TUL1220", "%s", what);
    error_at(reader->error, "%s:%u:%u", reader->file,
             value->key_line ? value->key_line : value->line,
             value->key_line ? value->key_column : value->column);
    return false;
}

/* Every member of object is one of `names` (ended by NULL). */
static bool check_keys(struct reader *reader, const struct value *object, const char *where,
                       const char *const *names)
{
    if (object->kind != VALUE_OBJECT)
        return fail_at(reader, object, "%s is a list of names and values, not %s", where,
                       value_describe(object, &reader->spec->arena));
    size_t count = 0;
    while (names[count])
        count++;
    VALUE_EACH(member, object)
    {
        bool is_known = false;
        for (size_t i = 0; i < count; i++)
            is_known = is_known || slice_equals_str(member->key, names[i]);
        if (is_known)
            continue;
        const char *near = nearest_word(member->key, names, count);
        fail_at(reader, member, "unknown field \"%.*s\" in %s", SLICE_ARG(member->key), where);
        if (near)
            error_fix(reader->error, "did you mean \"%s\"?", near);
        return false;
    }
    return true;
}

static bool read_text(struct reader *reader, const struct value *object, const char *key,
                      const char **out)
{
    const struct value *value = value_get(object, key);
    if (!value || value->kind == VALUE_NULL)
        return true;
    if (value->kind == VALUE_LIST || value->kind == VALUE_OBJECT || value->text.size == 0)
        return fail_at(reader, value, "\"%s\" is a text, not %s", key,
                       value_describe(value, &reader->spec->arena));
    *out = value->raw.size ? value->raw.data : value->text.data;
    return true;
}

static bool read_number(struct reader *reader, const struct value *object, const char *key,
                        uint64_t most, uint64_t *out)
{
    const struct value *value = value_get(object, key);
    if (!value || value->kind == VALUE_NULL)
        return true;
    uint64_t number;
    if (value->kind != VALUE_NUMBER || !value_to_u64(value, &number) || number == 0 ||
        number > most)
        return fail_at(reader, value, "\"%s\" is a number from 1 to %llu", key,
                       (unsigned long long)most);
    *out = number;
    return true;
}

/* A DNS label, because the name becomes one. */
static bool is_label(struct slice name)
{
    if (name.size == 0 || name.size > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_inner = i > 0 && i + 1 < name.size;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && is_inner)))
            return false;
    }
    return true;
}

/* Appends the members of an env object; a later one of the same name wins, as in a shell. */
static bool add_env(struct reader *reader, struct spec_instance *instance, const struct value *env)
{
    if (!env || env->kind == VALUE_NULL)
        return true;
    if (env->kind != VALUE_OBJECT)
        return fail_at(reader, env, "\"env\" is a list of names and values");
    VALUE_EACH(member, env)
    {
        if (member->kind == VALUE_LIST || member->kind == VALUE_OBJECT)
            return fail_at(reader, member, "the value of %.*s is a text", SLICE_ARG(member->key));
        if (instance->env_count == SPEC_ENV_MAX)
            return fail_at(reader, member, "more than %d variables", SPEC_ENV_MAX);
        const char *value = member->kind == VALUE_NULL ? ""
                            : member->raw.size         ? member->raw.data
                                                       : member->text.data;
        instance->env[instance->env_count++] = (struct spec_env){member->key.data, value};
    }
    return true;
}

static const char *instance_name(struct reader *reader, const char *service, const char *version,
                                 uint64_t replica, uint64_t replicas)
{
    struct arena *arena = &reader->spec->arena;
    const char *name = version ? arena_format(arena, "%s-%s", service, version) : service;
    return replicas > 1 ? arena_format(arena, "%s-%llu", name, (unsigned long long)replica) : name;
}

static bool add_instances(struct reader *reader, const struct value *service,
                          const struct spec_instance *common, const struct value *version,
                          uint64_t replicas)
{
    static const char *const version_keys[] = {"env", "run", "replicas", NULL};
    struct spec *spec = reader->spec;
    struct spec_instance shape = *common;
    if (version) {
        shape.version = version->key.data;
        if (version->kind != VALUE_NULL &&
            (!check_keys(reader, version, "a version", version_keys) ||
             !read_text(reader, version, "run", &shape.run) ||
             !read_number(reader, version, "replicas", REPLICAS_MAX, &replicas)))
            return false;
        if (!is_label(version->key))
            return fail_at(reader, version,
                           "a version's name has lower-case letters, digits and dashes");
    }
    if (!shape.run)
        return fail_at(reader, service, "service %s has nothing to run", common->service);
    for (uint64_t replica = 1; replica <= replicas; replica++) {
        if (spec->instance_count == SPEC_INSTANCES_MAX)
            return fail_at(reader, service, "more than %d instances", SPEC_INSTANCES_MAX);
        struct spec_instance *instance = &spec->instances[spec->instance_count];
        *instance = shape;
        instance->index = (unsigned)spec->instance_count++;
        instance->name = instance_name(reader, shape.service, shape.version, replica, replicas);
        instance->env = arena_calloc(&spec->arena, SPEC_ENV_MAX, sizeof(*instance->env));
        if (!add_env(reader, instance, value_get(service, "env")) ||
            (version && !add_env(reader, instance, value_get(version, "env"))))
            return false;
    }
    return true;
}

static bool read_service(struct reader *reader, const struct value *service)
{
    static const char *const keys[] = {"run",      "port",  "publish", "protocol", "env",
                                       "replicas", "ready", "account", "versions", NULL};
    uint64_t port = 0, publish = 0, replicas = 1;
    struct spec_instance common = {
        .service = service->key.data, .protocol = "http", .account = service->key.data};
    if (!is_label(service->key))
        return fail_at(reader, service,
                       "a service's name has lower-case letters, digits and dashes");
    if (!check_keys(reader, service, "a service", keys) ||
        !read_text(reader, service, "run", &common.run) ||
        !read_text(reader, service, "protocol", &common.protocol) ||
        !read_text(reader, service, "ready", &common.ready) ||
        !read_text(reader, service, "account", &common.account) ||
        !read_number(reader, service, "port", UINT16_MAX, &port) ||
        !read_number(reader, service, "publish", UINT16_MAX, &publish) ||
        !read_number(reader, service, "replicas", REPLICAS_MAX, &replicas))
        return false;
    if (port == 0)
        return fail_at(reader, service, "service %s says no port", common.service);
    if (strcmp(common.protocol, "http") != 0 && strcmp(common.protocol, "tcp") != 0)
        return fail_at(reader, value_get(service, "protocol"),
                       "protocol is http or tcp, not \"%s\"", common.protocol);
    common.port = (uint16_t)port;
    common.publish = (uint16_t)publish;
    const struct value *versions = value_get(service, "versions");
    if (!versions || versions->kind == VALUE_NULL)
        return add_instances(reader, service, &common, NULL, replicas);
    if (versions->kind != VALUE_OBJECT || versions->count == 0)
        return fail_at(reader, versions, "\"versions\" is a list of names, each with what differs");
    VALUE_EACH(version, versions)
    if (!add_instances(reader, service, &common, version, replicas))
        return false;
    return true;
}

static bool read_mesh(struct reader *reader, const struct value *mesh)
{
    static const char *const keys[] = {"name", "namespace", "mtls", "capture", "sockmap", NULL};
    const char *mtls = "STRICT", *capture = "auto", *sockmap = "false";
    if (!mesh)
        return true;
    if (!check_keys(reader, mesh, "mesh", keys) ||
        !read_text(reader, mesh, "name", &reader->spec->mesh) ||
        !read_text(reader, mesh, "namespace", &reader->spec->name_space) ||
        !read_text(reader, mesh, "mtls", &mtls) || !read_text(reader, mesh, "capture", &capture) ||
        !read_text(reader, mesh, "sockmap", &sockmap))
        return false;
    reader->spec->wants_sockmap = strcmp(sockmap, "true") == 0;
    if (!reader->spec->wants_sockmap && strcmp(sockmap, "false") != 0)
        return fail_at(reader, value_get(mesh, "sockmap"), "sockmap is true or false, not \"%s\"",
                       sockmap);
    if (strcmp(mtls, "STRICT") != 0)
        return fail_at(reader, value_get(mesh, "mtls"), "mtls is STRICT here, not \"%s\"", mtls);
    if (strcmp(capture, "auto") != 0 && strcmp(capture, "namespace") != 0)
        return fail_at(reader, value_get(mesh, "capture"),
                       "capture is auto or namespace, not \"%s\"", capture);
    if (!is_label(slice_str(reader->spec->name_space)))
        return fail_at(reader, value_get(mesh, "namespace"),
                       "a namespace has lower-case letters, digits and dashes");
    return true;
}

static bool read_config(struct reader *reader, const struct value *config)
{
    if (!config || config->kind == VALUE_NULL)
        return true;
    if (config->kind != VALUE_LIST || config->count > SPEC_CONFIG_MAX)
        return fail_at(reader, config, "\"config\" is a list of at most %d files and directories",
                       SPEC_CONFIG_MAX);
    VALUE_EACH(item, config)
    {
        if (item->kind != VALUE_STRING || item->text.size == 0)
            return fail_at(reader, item, "\"config\" holds paths");
        reader->spec->config[reader->spec->config_count++] = item->text.data;
    }
    return true;
}

static bool read_root(struct reader *reader, const struct value *root)
{
    static const char *const keys[] = {"mesh", "services", "config", NULL};
    if (!check_keys(reader, root, "the file", keys) || !read_mesh(reader, value_get(root, "mesh")))
        return false;
    const struct value *services = value_get(root, "services");
    if (!services || services->kind != VALUE_OBJECT || services->count == 0)
        return fail_at(reader, services ? services : root, "the file names no services");
    if (services->count > SPEC_SERVICES_MAX)
        return fail_at(reader, services, "more than %d services", SPEC_SERVICES_MAX);
    VALUE_EACH(service, services)
    if (!read_service(reader, service))
        return false;
    return read_config(reader, value_get(root, "config"));
}

static bool read_file(struct buffer *text, const char *path, struct error *error)
{
    int failure =
        buffer_read_file(text, strcmp(path, "-") == 0 ? "/dev/stdin" : path, SPEC_FILE_MAX);
    if (!failure)
        return true;
    error_set(error, "TUL1221", "cannot read %s: %s", path, strerror(-failure));
    return false;
}

static const char *directory_of(struct spec *spec, const char *path)
{
    char full[PATH_MAX];
    if (strcmp(path, "-") == 0)
        return arena_copy_str(&spec->arena, getcwd(full, sizeof(full)) ? full : "/");
    if (!realpath(path, full))
        return "/";
    return arena_copy_str(&spec->arena, dirname(full));
}

bool spec_read(struct spec *spec, const char *path, struct error *error)
{
    owned_buffer text = {0};
    struct documents documents;
    if (!read_file(&text, path, error))
        return false;
    *spec = (struct spec){.mesh = "default", .name_space = "default"};
    arena_init(&spec->arena, NULL);
    spec->instances = arena_calloc(&spec->arena, SPEC_INSTANCES_MAX, sizeof(*spec->instances));
    spec->config = arena_calloc(&spec->arena, SPEC_CONFIG_MAX, sizeof(*spec->config));
    spec->directory = directory_of(spec, path);
    struct reader reader = {.spec = spec, .file = path, .error = error};
    bool is_read =
        document_read_yaml(buffer_slice(&text), path, NULL, &spec->arena, &documents, error);
    if (is_read && documents.count != 1) {
        error_set(error, "TUL1220", "%s holds %zu documents instead of one", path, documents.count);
        is_read = false;
    }
    if (!is_read || !read_root(&reader, documents.items[0])) {
        spec_fini(spec);
        return false;
    }
    return true;
}

void spec_fini(struct spec *spec)
{
    arena_fini(&spec->arena);
    *spec = (struct spec){0};
}
