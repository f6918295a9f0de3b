#include "match/table_memory.h"

#include "base/memory.h"
#include "match/regex.h"

void table_memory_init(struct table_memory *memory)
{
    *memory = (struct table_memory){0};
    arena_init(&memory->arena, NULL);
}

void table_memory_fini(struct table_memory *memory)
{
    VECTOR_EACH(regex, &memory->regexes)
    regex_destroy(*regex);
    vector_fini(&memory->regexes);
    arena_fini(&memory->arena);
}

struct slice table_memory_copy(struct table_memory *memory, struct slice text)
{
    if (text.size == 0)
        return SLICE("");
    return slice_of(arena_copy(&memory->arena, text), text.size);
}

struct slice table_memory_copy_lower(struct table_memory *memory, struct slice text)
{
    if (text.size == 0)
        return SLICE("");
    char *copy = arena_copy(&memory->arena, text);
    for (size_t i = 0; i < text.size; i++) {
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] | 0x20);
    }
    return slice_of(copy, text.size);
}

const struct regex *table_memory_regex(struct table_memory *memory, struct slice pattern,
                                       bool ignore_case, struct error *error)
{
    VECTOR_EACH(known, &memory->regexes)
    {
        if (regex_ignores_case(*known) == ignore_case &&
            slice_equals(regex_pattern(*known), pattern))
            return *known;
    }
    struct regex *regex;
    if (!regex_compile(pattern, ignore_case, &regex, error))
        return NULL;
    vector_push(&memory->regexes, regex);
    return regex;
}
