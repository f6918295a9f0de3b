#include "base/error.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <stdarg.h>

bool error_set(struct error *error, const char *code, const char *format, ...)
{
    if (!error || error->what)
        return false;
    va_list args;
    va_start(args, format);
    error->what = str_format_v(format, args);
    va_end(args);
    if (code && !error->code)
        error->code = str_copy(code);
    return false;
}

static void fill(char **field, const char *format, va_list args)
{
    if (!*field)
        *field = str_format_v(format, args);
}

void error_at(struct error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (error)
        fill(&error->where, format, args);
    va_end(args);
}

void error_why(struct error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (error)
        fill(&error->why, format, args);
    va_end(args);
}

void error_fix(struct error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (error)
        fill(&error->fix, format, args);
    va_end(args);
}

void error_prefix(struct error *error, const char *format, ...)
{
    if (!error_is_set(error))
        return;
    va_list args;
    va_start(args, format);
    owned_str outer = str_format_v(format, args);
    va_end(args);
    owned_str inner = give(error->what);
    error->what = str_format("%s: %s", outer, inner);
}

void error_move(struct error *to, struct error *from)
{
    if (to && to != from) {
        error_fini(to);
        *to = *from;
        *from = (struct error){0};
    } else if (!to) {
        error_fini(from);
    }
}

void error_fini(struct error *error)
{
    mem_free(error->code);
    mem_free(error->what);
    mem_free(error->where);
    mem_free(error->why);
    mem_free(error->fix);
    *error = (struct error){0};
}

static void append_part(struct buffer *text, const char *before, const char *part)
{
    if (part) {
        buffer_append_str(text, before);
        buffer_append_str(text, part);
    }
}

char *error_text(const struct error *error, bool brief)
{
    owned_buffer text = {0};
    buffer_append_str(&text, "error");
    append_part(&text, " ", error->code);
    append_part(&text, ": ", error->what ? error->what : "no error");
    append_part(&text, brief ? " --> " : "\n --> ", error->where);
    append_part(&text, brief ? "  why: " : "\nwhy: ", error->why);
    append_part(&text, brief ? "  fix: " : "\nfix: ", error->fix);
    for (size_t i = 0; brief && i < text.size; i++) {
        if (text.data[i] == '\n' || text.data[i] == '\r')
            text.data[i] = ' ';
    }
    return buffer_take(&text);
}

enum { NEAREST_LONGEST = 128 };

/* Levenshtein's distance over one row; both words are at most NEAREST_LONGEST. */
static size_t edit_distance(struct slice a, struct slice b)
{
    size_t row[NEAREST_LONGEST + 1];
    for (size_t j = 0; j <= b.size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t change = diagonal + (a.data[i - 1] != b.data[j - 1]);
            size_t insert_or_drop = MIN(row[j], row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = MIN(change, insert_or_drop);
        }
    }
    return row[b.size];
}

const char *nearest_word(struct slice word, const char *const *candidates, size_t count)
{
    if (word.size == 0 || word.size > NEAREST_LONGEST)
        return NULL;
    /* A third of the letters may be wrong, so that short words do not match everything. */
    size_t best = word.size / 3 + 2;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        struct slice candidate = slice_str(candidates[i]);
        if (candidate.size > NEAREST_LONGEST)
            continue;
        size_t distance = slice_equals_nocase(word, candidate) ? 0 : edit_distance(word, candidate);
        if (distance < best && distance < MAX(word.size, candidate.size)) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
