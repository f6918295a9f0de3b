#include "match/route_list.h"

#include "base/hash.h"
#include "match/table_memory.h"

/* Fewer exact paths in a row are compared one by one faster than hashed. */
enum { ROUTE_HASH_FROM = 6 };

/* The rules of one run by their exact path. Of those with the same path, `next` leads from each to the one behind it. */
struct exact_paths {
    uint32_t mask;
    const uint32_t *heads; /* rule index + 1; 0: free */
    const uint32_t *nexts; /* by rule within the run: rule index + 1; 0: the last */
};

/* A run of rules that are found in the same way. */
struct route_step {
    uint32_t first, end;
    const struct exact_paths *paths; /* NULL: one by one */
};

bool fraction_holds(struct fraction fraction, uint64_t random)
{
    if (fraction.denominator == 0)
        return true;
    return ((random >> 32) * fraction.denominator) >> 32 < fraction.numerator;
}

static bool is_hashed(const struct route_rule *rule)
{
    return rule->path.kind == PATH_MATCH_EXACT && !rule->path.ignore_case;
}

static struct exact_paths *hash_paths(const struct route_list *list, uint32_t first, uint32_t end,
                                      struct table_memory *memory)
{
    uint32_t size = 16;
    while (size < 2 * (end - first))
        size *= 2;
    struct exact_paths *paths = arena_new(&memory->arena, struct exact_paths);
    uint32_t *heads = arena_calloc(&memory->arena, size, sizeof(*heads));
    uint32_t *nexts = arena_calloc(&memory->arena, end - first, sizeof(*nexts));
    for (uint32_t rule = end; rule-- > first;) { /* back to front, so that chains lead forward */
        struct slice text = list->rules[rule].path.text;
        uint32_t i = (uint32_t)hash64(text, 0) & (size - 1);
        while (heads[i] && !slice_equals(list->rules[heads[i] - 1].path.text, text))
            i = (i + 1) & (size - 1);
        nexts[rule - first] = heads[i];
        heads[i] = rule + 1;
    }
    *paths = (struct exact_paths){size - 1, heads, nexts};
    return paths;
}

/* The end of the run of hashed, or of other rules that begins at `first`. Short hashed runs belong to the others. */
static uint32_t run_end(const struct route_list *list, uint32_t first, bool *hashed)
{
    uint32_t end = first;
    while (end < list->count && is_hashed(&list->rules[end]))
        end++;
    *hashed = end - first >= ROUTE_HASH_FROM;
    if (*hashed)
        return end;
    uint32_t in_a_row = end - first;
    for (; end < list->count; end++) {
        in_a_row = is_hashed(&list->rules[end]) ? in_a_row + 1 : 0;
        if (in_a_row == ROUTE_HASH_FROM)
            return end + 1 - in_a_row;
    }
    return end;
}

void route_list_build(struct route_list *list, const struct route_rule *rules, size_t count,
                      struct table_memory *memory)
{
    *list = (struct route_list){.rules = rules, .count = (uint32_t)count};
    bool hashed;
    for (uint32_t at = 0; at < list->count; at = run_end(list, at, &hashed))
        list->step_count++;
    if (list->step_count == 0)
        return;
    struct route_step *steps = arena_calloc(&memory->arena, list->step_count, sizeof(*steps));
    uint32_t at = 0;
    for (uint32_t i = 0; i < list->step_count; i++) {
        uint32_t end = run_end(list, at, &hashed);
        steps[i] = (struct route_step){at, end, hashed ? hash_paths(list, at, end, memory) : NULL};
        at = end;
    }
    list->steps = steps;
}

/* All conditions but the path. */
static inline enum route_miss test_rest(const struct route_rule *rule,
                                        const struct match_request *request, size_t *which)
{
    if (rule->grpc_only && !request->is_grpc)
        return ROUTE_MISS_GRPC;
    for (size_t i = 0; i < rule->header_count; i++) {
        if (!header_match_test(&rule->headers[i], request)) {
            *which = i;
            return ROUTE_MISS_HEADER;
        }
    }
    for (size_t i = 0; i < rule->query_count; i++) {
        if (!query_match_test(&rule->queries[i], request->query)) {
            *which = i;
            return ROUTE_MISS_QUERY;
        }
    }
    if (!fraction_holds(rule->fraction, request->random))
        return ROUTE_MISS_FRACTION;
    return ROUTE_HIT;
}

/* "/" as a prefix, which ends most lists of rules. */
static inline bool is_root(const struct path_match *path)
{
    return path->kind == PATH_MATCH_PREFIX && path->text.size == 1 && path->text.data[0] == '/';
}

static inline bool test_path(const struct route_rule *rule, const struct match_request *request)
{
    if (rule->path.kind == PATH_MATCH_CONNECT || request->is_connect)
        return rule->path.kind == PATH_MATCH_CONNECT && request->is_connect;
    if (LIKELY(is_root(&rule->path)))
        return request->path.size > 0 && request->path.data[0] == '/';
    return path_match_test(&rule->path, request->path);
}

static inline enum route_miss test_rule(const struct route_rule *rule,
                                        const struct match_request *request, size_t *which)
{
    return test_path(rule, request) ? test_rest(rule, request, which) : ROUTE_MISS_PATH;
}

enum route_miss route_rule_test(const struct route_rule *rule, const struct match_request *request,
                                size_t *which)
{
    size_t ignored;
    return test_rule(rule, request, which ? which : &ignored);
}

static int32_t find_hashed(const struct route_list *list, const struct route_step *step,
                           const struct match_request *request, uint64_t hash)
{
    const struct exact_paths *paths = step->paths;
    uint32_t i = (uint32_t)hash & paths->mask;
    while (paths->heads[i] &&
           !slice_equals(list->rules[paths->heads[i] - 1].path.text, request->path))
        i = (i + 1) & paths->mask;
    size_t ignored;
    for (uint32_t next = paths->heads[i]; next; next = paths->nexts[next - 1 - step->first]) {
        if (test_rest(&list->rules[next - 1], request, &ignored) == ROUTE_HIT)
            return (int32_t)(next - 1);
    }
    return ROUTE_NONE;
}

int32_t route_list_find(const struct route_list *list, const struct match_request *request)
{
    uint64_t hash = 0;
    bool is_hashed_yet = false;
    size_t ignored;
    for (uint32_t s = 0; s < list->step_count; s++) {
        const struct route_step *step = &list->steps[s];
        if (!step->paths) {
            for (uint32_t rule = step->first; rule < step->end; rule++) {
                if (test_rule(&list->rules[rule], request, &ignored) == ROUTE_HIT)
                    return (int32_t)rule;
            }
            continue;
        }
        if (request->is_connect)
            continue;
        if (!is_hashed_yet)
            hash = hash64(request->path, 0);
        is_hashed_yet = true;
        int32_t found = find_hashed(list, step, request, hash);
        if (found != ROUTE_NONE)
            return found;
    }
    return ROUTE_NONE;
}
