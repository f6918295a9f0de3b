#include "http/url.h"

const struct path_rules path_rules_none = {.escaped_slashes = ESCAPED_SLASH_KEEP};
const struct path_rules path_rules_base = {.normalise = true,
                                           .escaped_slashes = ESCAPED_SLASH_REFUSE};
const struct path_rules path_rules_merge_slashes = {
    .normalise = true, .merge_slashes = true, .escaped_slashes = ESCAPED_SLASH_REFUSE};
const struct path_rules path_rules_decode_and_merge_slashes = {
    .normalise = true, .merge_slashes = true, .escaped_slashes = ESCAPED_SLASH_DECODE};

const char *path_status_text(enum path_status status)
{
    switch (status) {
    case PATH_OK: return "the path is fine";
    case PATH_MALFORMED: return "the path is malformed";
    case PATH_ESCAPED_SLASH: return "the path holds an escaped slash";
    case PATH_NO_MEMORY: return "there is no memory for the path";
    }
    return "";
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_unreserved(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') ||
           byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

/* Whether anything in it can change or be refused. Most paths hold nothing of the kind. */
static bool is_canonical(struct slice path)
{
    char last = 0;
    for (size_t i = 0; i < path.size; i++) {
        char byte = path.data[i];
        if (byte == '%' || byte == '\\' || byte == '#' ||
            (last == '/' && (byte == '.' || byte == '/')))
            return false;
        last = byte;
    }
    return path.size > 0 && path.data[0] == '/';
}

/* One escape at the front of *in, decoded or in its upper-case form. */
static enum path_status put_escape(struct slice *in, const struct path_rules *rules, char **out)
{
    static const char digits[] = "0123456789ABCDEF";
    int high = in->size >= 3 ? hex_value(in->data[1]) : -1;
    int low = in->size >= 3 ? hex_value(in->data[2]) : -1;
    if (high < 0 || low < 0)
        return PATH_MALFORMED;
    uint8_t byte = (uint8_t)(high << 4 | low);
    slice_take(in, 3);
    if (byte < 0x20 || byte == 0x7f)
        return PATH_MALFORMED;
    if (is_unreserved(byte)) {
        *(*out)++ = (char)byte;
        return PATH_OK;
    }
    if (byte == '/' || byte == '\\') {
        if (rules->escaped_slashes == ESCAPED_SLASH_REFUSE)
            return PATH_ESCAPED_SLASH;
        if (rules->escaped_slashes == ESCAPED_SLASH_DECODE) {
            *(*out)++ = '/';
            return PATH_OK;
        }
    }
    *(*out)++ = '%';
    *(*out)++ = digits[high];
    *(*out)++ = digits[low];
    return PATH_OK;
}

static enum path_status decode(struct slice in, const struct path_rules *rules, char **out)
{
    while (in.size > 0) {
        enum path_status status = PATH_OK;
        if (in.data[0] == '%') {
            status = put_escape(&in, rules, out);
        } else {
            char byte = (char)slice_take_byte(&in);
            if (byte == '#')
                return PATH_MALFORMED;
            *(*out)++ = byte == '\\' ? '/' : byte;
        }
        if (status != PATH_OK)
            return status;
    }
    return PATH_OK;
}

/* Resolves "." and ".." in place and returns the new size. Every segment is visited once, dropped at most once. */
static size_t resolve(char *path, size_t size, bool merge_slashes)
{
    size_t out = 0, in = 0;
    while (in < size) {
        size_t end = in + 1; /* path[in] is the slash before a segment */
        while (end < size && path[end] != '/')
            end++;
        size_t segment = end - in - 1;
        bool is_last = end == size;
        const char *text = path + in + 1;
        if (segment == 1 && text[0] == '.') {
            if (is_last)
                path[out++] = '/';
        } else if (segment == 2 && text[0] == '.' && text[1] == '.') {
            while (out > 0 && path[--out] != '/')
                ;
            if (is_last)
                path[out++] = '/';
        } else if (segment > 0 || is_last || !merge_slashes) {
            memmove(path + out, path + in, segment + 1);
            out += segment + 1;
        }
        in = end;
    }
    if (out == 0)
        path[out++] = '/';
    return out;
}

enum path_status path_normalise(struct slice path, const struct path_rules *rules,
                                struct arena *arena, struct slice *out)
{
    struct slice only = path_only(path);
    if (!rules->normalise || is_canonical(only) || slice_equals(path, SLICE("*"))) {
        *out = path;
        return PATH_OK;
    }
    if (only.size == 0 || (only.data[0] != '/' && only.data[0] != '\\'))
        return PATH_MALFORMED;
    char *copy = arena_try_alloc(arena, path.size), *end = copy;
    if (!copy)
        return PATH_NO_MEMORY;
    enum path_status status = decode(only, rules, &end);
    if (status != PATH_OK)
        return status;
    size_t size = resolve(copy, (size_t)(end - copy), rules->merge_slashes);
    struct slice query = slice_from(path, only.size);
    if (query.size > 0)
        memcpy(copy + size, query.data, query.size);
    *out = slice_of(copy, size + query.size);
    return PATH_OK;
}
