#include "cli/print.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "pb/document.h"

#include <stdio.h>
#include <stdlib.h>

enum { REAL_DIGITS = 5 }; /* of what is measured */

bool print_wants_document(const struct options *options)
{
    return options->output == OUTPUT_JSON || options->output == OUTPUT_YAML;
}

static void print_yaml(const json_t *document)
{
    struct arena arena;
    owned_buffer text = {0};
    arena_init(&arena, NULL);
    const struct value *value = value_from_json(document, &arena);
    if (value)
        value_write_yaml(value, &text);
    fputs(text.data ? text.data : "", stdout);
    arena_fini(&arena);
}

void print_document(const json_t *document, const struct options *options)
{
    if (options->output == OUTPUT_YAML) {
        print_yaml(document);
        return;
    }
    char *text =
        json_dumps(document, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(REAL_DIGITS));
    puts(text ? text : "null");
    free(text);
}

void print_document_new(json_t *document, const struct options *options)
{
    print_document(document, options);
    json_decref(document);
}
