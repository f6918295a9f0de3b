#include "control/api/status.h"

#include "base/memory.h"
#include "control/api/tree.h"

#include <stdarg.h>

bool fail(struct failure *failure, struct arena *arena, unsigned code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    owned_str text = str_format_v(format, args);
    va_end(args);
    *failure = (struct failure){.code = code, .message = arena_copy_str(arena, text)};
    return false;
}

static const char *usual_reason(unsigned code)
{
    switch (code) {
    case 400: return "BadRequest";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "NotFound";
    case 405: return "MethodNotAllowed";
    case 406: return "NotAcceptable";
    case 409: return "Conflict";
    case 410: return "Expired";
    case 413: return "RequestEntityTooLarge";
    case 415: return "UnsupportedMediaType";
    case 422: return "Invalid";
    case 500: return "InternalError";
    case 503: return "ServiceUnavailable";
    case 504: return "Timeout";
    }
    return "Unknown";
}

const char *status_resource(const struct pb_kind *kind, struct arena *arena)
{
    return kind->group[0] ? arena_format(arena, "%s.%s", kind->plural, kind->group) : kind->plural;
}

static const char *cause_reason(enum problem_kind kind)
{
    switch (kind) {
    case PROBLEM_UNKNOWN_FIELD: return "FieldValueUnknown";
    case PROBLEM_WRONG_TYPE: return "FieldValueTypeInvalid";
    case PROBLEM_BAD_VALUE: return "FieldValueInvalid";
    case PROBLEM_TWICE: return "FieldValueDuplicate";
    case PROBLEM_REFUSED: return "FieldValueNotSupported";
    case PROBLEM_MISSING: return "FieldValueRequired";
    case PROBLEM_LIMIT: return "FieldValueInvalid";
    }
    return "FieldValueInvalid";
}

static const char *problem_text(const struct problem *problem, struct arena *arena)
{
    return problem->fix
               ? arena_format(arena, "%s; %s (%s)", problem->what, problem->fix,
                              problem_code(problem->kind))
               : arena_format(arena, "%s (%s)", problem->what, problem_code(problem->kind));
}

bool fail_invalid(struct failure *failure, const struct pb_kind *kind, struct slice name,
                  const struct problems *problems, struct arena *arena)
{
    owned_buffer text = {0};
    size_t shown = 0;
    buffer_format(&text, "%s%s%s \"%.*s\" is invalid: ", kind->kind, kind->group[0] ? "." : "",
                  kind->group, SLICE_ARG(name));
    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_MAX); i++) {
        const struct problem *problem = &problems->items[i];
        if (!problem->fatal)
            continue;
        buffer_format(&text, "%s%s%s%s", shown ? ", " : "", problem->path,
                      problem->path[0] ? ": " : "", problem_text(problem, arena));
        shown++;
    }
    if (problems->fatal_count > shown)
        buffer_format(&text, ", and %zu more", problems->fatal_count - shown);
    fail(failure, arena, 422, "%s", text.data);
    failure->problems = problems;
    return false;
}

static void put_causes(struct value *details, const struct problems *problems, struct arena *arena)
{
    struct value *causes = tree_put_list(details, "causes", arena);
    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_MAX); i++) {
        const struct problem *problem = &problems->items[i];
        if (!problem->fatal)
            continue;
        struct value *cause = value_new(arena, VALUE_OBJECT);
        tree_put_str(cause, "reason", cause_reason(problem->kind), arena);
        tree_put_str(cause, "message", problem_text(problem, arena), arena);
        tree_put_str(cause, "field", problem->path, arena);
        value_append(causes, cause);
    }
}

static struct value *begin(const char *status, struct arena *arena)
{
    struct value *object = value_new(arena, VALUE_OBJECT);
    tree_put_str(object, "kind", "Status", arena);
    tree_put_str(object, "apiVersion", "v1", arena);
    tree_put_object(object, "metadata", arena);
    tree_put_str(object, "status", status, arena);
    return object;
}

static struct value *put_details(struct value *object, const struct pb_kind *kind,
                                 struct slice name, const char *kind_word, struct arena *arena)
{
    struct value *details = tree_put_object(object, "details", arena);
    if (name.size > 0)
        tree_put_slice(details, "name", name, arena);
    if (kind && kind->group[0])
        tree_put_str(details, "group", kind->group, arena);
    if (kind_word)
        tree_put_str(details, "kind", kind_word, arena);
    return details;
}

struct value *status_of_failure(const struct failure *failure, const struct pb_kind *kind,
                                struct slice name, struct arena *arena)
{
    struct value *object = begin("Failure", arena);
    tree_put_str(object, "message", failure->message, arena);
    tree_put_str(object, "reason", failure->reason ? failure->reason : usual_reason(failure->code),
                 arena);
    /* kubectl shows the kind of an invalid object and the resource of any other. */
    const char *word = !kind ? NULL : failure->code == 422 ? kind->kind : kind->plural;
    struct value *details = put_details(object, kind, name, word, arena);
    if (failure->problems)
        put_causes(details, failure->problems, arena);
    if (failure->code == 503 || failure->code == 429)
        tree_put_i64(details, "retryAfterSeconds", 1, arena);
    tree_put_i64(object, "code", failure->code, arena);
    return object;
}

struct value *status_of_success(const struct pb_kind *kind, struct slice name, struct slice uid,
                                struct arena *arena)
{
    struct value *object = begin("Success", arena);
    struct value *details = put_details(object, kind, name, kind ? kind->plural : NULL, arena);
    if (uid.size > 0)
        tree_put_slice(details, "uid", uid, arena);
    return object;
}
