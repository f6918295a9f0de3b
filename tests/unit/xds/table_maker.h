/* Tables from "name=body" words, for the tests of this room. */
#pragma once

#include "base/memory.h"
#include "base/vector.h"
#include "xds/blob.h"
#include "xds/blob_table.h"
#include "xds/view.h"

#include <stdlib.h>
#include <string.h>

static inline int compare_edits(const void *a, const void *b)
{
    return slice_compare(((const struct blob_edit *)a)->name, ((const struct blob_edit *)b)->name);
}

/* "a=1 b=2 -c": sets a and b, removes c. Returns a table that the caller owns; `from` may be NULL. */
UNUSED static struct blob_table *table_edit(enum resource_type type, const struct blob_table *from,
                                            const char *words)
{
    struct blob_edit edits[512];
    size_t count = 0;
    char *copy = str_copy(words), *rest = copy, *word;
    while ((word = strsep(&rest, " "))) {
        char *equals = strchr(word, '=');
        if (*word == '\0')
            continue;
        if (*word == '-') {
            edits[count++] = (struct blob_edit){slice_str(word + 1), NULL};
            continue;
        }
        *equals = '\0';
        struct slice name = slice_str(word), body = slice_str(equals + 1);
        edits[count++] = (struct blob_edit){name, blob_create(type, name, body)};
    }
    qsort(edits, count, sizeof(edits[0]), compare_edits);
    struct blob_table *empty = blob_table_create();
    struct blob_table *table = blob_table_edit(from ? from : empty, edits, count);
    blob_table_unref(empty);
    for (size_t i = 0; i < count; i++)
        blob_unref(edits[i].blob);
    mem_free(copy);
    return table;
}

UNUSED static char *table_text(const struct blob_table *table)
{
    size_t capacity = 65536, size = 0;
    char *text = mem_alloc(capacity);
    struct blob_cursor cursor = {0};
    struct blob *blob;
    text[0] = '\0';
    while ((blob = blob_table_next(table, &cursor)))
        size += (size_t)snprintf(text + size, capacity - size, "%s%.*s=%.*s", size ? " " : "",
                                 SLICE_ARG(blob_name(blob)), SLICE_ARG(blob_body(blob)));
    return text;
}
