/* Hosts, URLs and paths: one canonical form, which stays as it is when it is made canonical again. */
#include "http/date.h"
#include "http/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool claim)
{
    if (!claim)
        abort();
}

static void check_authority(struct slice text, struct arena *arena)
{
    struct authority authority, again;
    if (!authority_parse(text, &authority)) {
        require(!authority_normalise(text, SLICE("http"), false, arena).data);
        return;
    }
    require(authority.host.size > 0 && authority_is_valid(text));
    for (int strip = 0; strip < 2; strip++) {
        struct slice form = authority_normalise(text, SLICE("https"), strip, arena);
        require(authority_parse(form, &again) && again.is_ip6 == authority.is_ip6);
        require(again.port == (strip || authority.port == 443 ? 0 : authority.port));
        struct slice twice = authority_normalise(form, SLICE("https"), strip, arena);
        /* One trailing dot goes at a time; that of the root itself stays. */
        require(twice.size <= form.size && twice.size + 1 >= form.size);
        for (size_t i = 0; i < form.size; i++)
            require(form.data[i] < 'A' || form.data[i] > 'Z');
    }
}

/* No dot segment, no broken escape, nothing above the root. */
static void check_canonical(struct slice path, const struct path_rules *rules)
{
    struct slice only = path_only(path);
    require(only.size > 0 && only.data[0] == '/');
    for (size_t i = 0; i < only.size; i++) {
        struct slice rest = slice_from(only, i);
        require(!slice_starts_with(rest, SLICE("/./")) && !slice_starts_with(rest, SLICE("/../")));
        require(!slice_equals(rest, SLICE("/.")) && !slice_equals(rest, SLICE("/..")));
        require(rest.data[0] != '\\' && rest.data[0] != '#');
        require(!rules->merge_slashes || !slice_starts_with(rest, SLICE("//")));
        if (rest.data[0] == '%')
            require(rest.size >= 3);
        require(rules->escaped_slashes == ESCAPED_SLASH_KEEP ||
                !slice_starts_with(rest, SLICE("%2F")));
    }
}

static void check_path(struct slice path, struct arena *arena)
{
    struct path_rules keep = path_rules_base;
    keep.escaped_slashes = ESCAPED_SLASH_KEEP;
    const struct path_rules *const rules[] = {&path_rules_base, &path_rules_merge_slashes,
                                              &path_rules_decode_and_merge_slashes, &keep};
    for (size_t i = 0; i < COUNT(rules); i++) {
        struct slice form, again;
        if (path_normalise(path, rules[i], arena, &form) != PATH_OK)
            continue;
        require(form.size <= path.size);
        if (slice_equals(path, SLICE("*")))
            continue;
        check_canonical(form, rules[i]);
        require(path_normalise(form, rules[i], arena, &again) == PATH_OK);
        require(slice_equals(form, again));
        require(slice_equals(path_query(form), path_query(path)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct arena arena;
    struct url url;
    int64_t wall_s;
    arena_init(&arena, NULL);
    check_authority(text, &arena);
    check_path(text, &arena);
    if (url_parse(text, &url)) {
        require(authority_is_valid(url.authority) && url.path.data[0] == '/');
        check_path(url.path, &arena);
    }
    struct slice query = path_query(text);
    query_parameter(query, SLICE("a"));
    if (http_date_parse(text, &wall_s))
        require(wall_s >= 0);
    /* The fast search and the plain one agree. */
    bool is_valid = true;
    for (size_t i = 0; i < size; i++)
        is_valid = is_valid && target_is_valid(slice_of(data + i, 1));
    require(target_is_valid(text) == is_valid);
    arena_fini(&arena);
    return 0;
}
