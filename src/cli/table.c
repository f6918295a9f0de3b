#include "cli/table.h"

#include "base/memory.h"
#include "base/slice.h"
#include "base/vector.h"
#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS_MAX = 24, GAP = 3 };

struct table {
    char *titles;
    struct {
        const char *title;
        bool is_right;
    } columns[COLUMNS_MAX];
    size_t column_count;
    VECTOR(char *) cells;
};

struct table *table_create(const char *titles)
{
    struct table *table = mem_new(struct table);
    table->titles = str_copy(titles);
    char *rest = table->titles, *title;
    while ((title = strsep(&rest, "|")) && table->column_count < COLUMNS_MAX) {
        bool is_right = *title == '>';
        table->columns[table->column_count].title = is_right ? title + 1 : title;
        table->columns[table->column_count++].is_right = is_right;
    }
    return table;
}

void table_destroy(struct table *table)
{
    if (!table)
        return;
    VECTOR_EACH(cell, &table->cells)
    mem_free(*cell);
    vector_fini(&table->cells);
    mem_free(table->titles);
    mem_free(table);
}

void table_cell(struct table *table, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_format_v(format, args);
    va_end(args);
    if (*text == '\0') {
        mem_free(text);
        text = str_copy("-");
    }
    vector_push(&table->cells, text);
}

size_t table_rows(const struct table *table)
{
    return table->cells.count / table->column_count;
}

/* Code points, not bytes: marks such as √ are one wide. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const struct table *table, size_t column, const char *text, int width)
{
    int fill = width - width_of(text);
    bool is_last = column + 1 == table->column_count;
    if (table->columns[column].is_right)
        printf("%*s%s", fill, "", text);
    else
        printf("%s%*s", text, is_last ? 0 : fill, "");
    printf("%*s", is_last ? 0 : GAP, "");
}

static void print_names(const struct table *table)
{
    for (size_t column = 0; column < table->column_count; column++) {
        if (strcmp(table->columns[column].title, "NAME") != 0)
            continue;
        for (size_t i = column; i < table->cells.count; i += table->column_count)
            puts(table->cells.items[i]);
    }
}

void table_print(const struct table *table, const struct options *options)
{
    int widths[COLUMNS_MAX];
    if (options->output == OUTPUT_NAME) {
        print_names(table);
        return;
    }
    for (size_t column = 0; column < table->column_count; column++) {
        widths[column] = options->no_headers ? 0 : width_of(table->columns[column].title);
        for (size_t i = column; i < table->cells.count; i += table->column_count)
            widths[column] = MAX(widths[column], width_of(table->cells.items[i]));
    }
    for (size_t column = 0; column < table->column_count && !options->no_headers; column++)
        print_cell(table, column, table->columns[column].title, widths[column]);
    if (!options->no_headers)
        putchar('\n');
    for (size_t i = 0; i < table->cells.count; i++) {
        size_t column = i % table->column_count;
        print_cell(table, column, table->cells.items[i], widths[column]);
        if (column + 1 == table->column_count)
            putchar('\n');
    }
}
