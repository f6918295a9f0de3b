#include "pb/problem.h"

const char *problem_code(enum problem_kind kind)
{
    switch (kind) {
    case PROBLEM_UNKNOWN_FIELD: return "TUL0007";
    case PROBLEM_WRONG_TYPE: return "TUL0008";
    case PROBLEM_BAD_VALUE: return "TUL0009";
    case PROBLEM_TWICE: return "TUL0010";
    case PROBLEM_REFUSED: return "TUL0011";
    case PROBLEM_MISSING: return "TUL0012";
    case PROBLEM_LIMIT: return "TUL0013";
    }
    return NULL;
}

const char *problem_where(const struct problems *problems, const struct problem *problem)
{
    const char *name = problems->name;
    if (problem->line)
        return arena_format(problems->arena, "%s:%u:%u", name ? name : "line", problem->line,
                            problem->column);
    if (name && *problem->path)
        return arena_format(problems->arena, "%s: %s", name, problem->path);
    return name ? name : problem->path;
}

struct problem *problems_add(struct problems *problems, const struct problem *problem)
{
    problems->fatal_count += problem->fatal;
    size_t index = problems->count++;
    /* A fatal one is worth more than one that was merely skipped. */
    if (index >= PROBLEMS_MAX && problem->fatal && problems->fatal_count == 1)
        index = PROBLEMS_MAX - 1;
    if (index >= PROBLEMS_MAX)
        return NULL;
    problems->items[index] = *problem;
    return &problems->items[index];
}

bool problems_are_none(const struct problems *problems, struct error *error)
{
    if (problems->fatal_count == 0)
        return true;
    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_MAX); i++) {
        const struct problem *problem = &problems->items[i];
        if (!problem->fatal)
            continue;
        if (problems->fatal_count > 1)
            error_set(error, problem_code(problem->kind), "%s (and %zu more %s)", problem->what,
                      problems->fatal_count - 1,
                      problems->fatal_count == 2 ? "problem" : "problems");
        else
            error_set(error, problem_code(problem->kind), "%s", problem->what);
        error_at(error, "%s", problem_where(problems, problem));
        if (problem->fix)
            error_fix(error, "%s", problem->fix);
        return false;
    }
    return false;
}
