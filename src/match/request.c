#include "match/request.h"

#include "match/table_memory.h"

static bool is_token(char c)
{
    static const char specials[] = "!#$%&'*+-.^_`|~";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(specials, c));
}

static bool is_name(struct slice name)
{
    if (name.size == 0 || name.size > HEADER_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (!is_token(name.data[i]))
            return false;
    }
    return true;
}

bool header_key_build(struct header_key *key, struct slice name, struct table_memory *memory)
{
    static const struct {
        struct slice name;
        enum header_source source;
    } others[] = {
        {SLICE(":method"), HEADER_KEY_METHOD},       {SLICE(":path"), HEADER_KEY_PATH},
        {SLICE(":authority"), HEADER_KEY_AUTHORITY}, {SLICE("host"), HEADER_KEY_AUTHORITY},
        {SLICE(":scheme"), HEADER_KEY_SCHEME},
    };
    for (size_t i = 0; i < COUNT(others); i++) {
        if (slice_equals_nocase(name, others[i].name)) {
            *key = (struct header_key){.name = others[i].name, .source = others[i].source};
            return true;
        }
    }
    if (!is_name(name))
        return false;
    *key = (struct header_key){.name = table_memory_copy_lower(memory, name),
                               .source = HEADER_KEY_FIELD};
    return true;
}

static enum header_lookup found_unless_null(struct slice value, struct slice *out)
{
    if (!value.data)
        return HEADER_LOOKUP_ABSENT;
    *out = value;
    return HEADER_LOOKUP_FOUND;
}

enum header_lookup match_request_header(const struct match_request *request,
                                        const struct header_key *key, struct slice *value)
{
    switch (key->source) {
    case HEADER_KEY_METHOD: return found_unless_null(request->method, value);
    case HEADER_KEY_PATH: return found_unless_null(request->target, value);
    case HEADER_KEY_AUTHORITY: return found_unless_null(request->authority, value);
    case HEADER_KEY_SCHEME: return found_unless_null(request->scheme, value);
    case HEADER_KEY_FIELD: break;
    }
    if (!request->header)
        return HEADER_LOOKUP_ABSENT;
    enum header_lookup lookup = request->header(request, key, value);
    if (lookup == HEADER_LOOKUP_LOST && request->lost)
        *request->lost = true;
    return lookup;
}
