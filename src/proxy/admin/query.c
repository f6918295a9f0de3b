#include "proxy/admin/query.h"

#include <string.h>

enum { LEVEL_NAME_MAX = 16 };

struct slice query_value(struct slice query, const char *name)
{
    struct slice part, key, value;
    while (query.size > 0) {
        slice_cut(query, '&', &part, &query);
        bool has_value = slice_cut(part, '=', &key, &value);
        if (slice_equals_str(key, name))
            return has_value && value.data ? value : slice_of("", 0);
    }
    return SLICE_NONE;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool query_plain(struct slice text, char *plain, size_t most, struct slice *out)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        int high = c == '%' && i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
        if (size == most)
            return false;
        if (low >= 0) {
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        plain[size++] = c;
    }
    *out = slice_of(plain, size);
    return true;
}

static bool read_level(struct slice name, enum log_level *level)
{
    char text[LEVEL_NAME_MAX];
    if (name.size >= sizeof(text))
        return false;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    return log_level_of(text, level);
}

/* tell NULL: only sees whether it is understood. */
static bool each_level(struct slice query, query_level *tell, void *to)
{
    struct slice part, key, value, one;
    while (query.size > 0) {
        slice_cut(query, '&', &part, &query);
        if (!slice_cut(part, '=', &key, &value))
            return false;
        bool is_list = slice_equals(key, SLICE("paths"));
        while (value.size > 0) {
            struct slice room = slice_equals(key, SLICE("level")) ? slice_of("", 0) : key;
            enum log_level level;
            slice_cut(value, ',', &one, &value);
            if ((is_list && !slice_cut(one, ':', &room, &one)) || !read_level(one, &level))
                return false;
            if (tell)
                tell(room, level, to);
        }
    }
    return true;
}

bool query_levels(struct slice query, query_level *tell, void *to)
{
    return each_level(query, NULL, NULL) && each_level(query, tell, to);
}
