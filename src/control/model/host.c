#include "control/model/host.h"

struct slice host_of_service(struct slice name, struct slice name_space, struct arena *arena)
{
    return slice_str(
        arena_format(arena, "%.*s.%.*s." HOST_DOMAIN, SLICE_ARG(name), SLICE_ARG(name_space)));
}

struct slice host_resolve(struct slice host, struct slice name_space, struct arena *arena)
{
    char *lower = arena_copy(arena, host);
    for (size_t i = 0; i < host.size; i++) {
        if (lower[i] >= 'A' && lower[i] <= 'Z')
            lower[i] = (char)(lower[i] + 32);
    }
    struct slice name = slice_of(lower, host.size);
    if (slice_equals_str(name, "*") || slice_find_byte(name, '.') < name.size ||
        slice_find_byte(name, ':') < name.size)
        return name;
    return host_of_service(name, name_space, arena);
}

struct slice host_name_space(struct slice host)
{
    if (!slice_ends_with(host, SLICE("." HOST_DOMAIN)))
        return SLICE_NONE;
    struct slice name, rest = slice_first(host, host.size - strlen("." HOST_DOMAIN));
    if (!slice_cut(rest, '.', &name, &rest) || slice_find_byte(rest, '.') < rest.size)
        return SLICE_NONE;
    return rest;
}

bool host_next_wildcard(struct slice host, size_t *at, char text[256], struct slice *wildcard)
{
    if (*at > host.size || host.size > 253)
        return false;
    struct slice rest = slice_from(host, *at);
    size_t dot = slice_find_byte(rest, '.');
    if (dot == rest.size) {
        *at = host.size + 1;
        *wildcard = SLICE("*");
        return true;
    }
    text[0] = '*';
    memcpy(text + 1, rest.data + dot, rest.size - dot);
    *wildcard = slice_of(text, 1 + rest.size - dot);
    *at += dot + 1;
    return true;
}
