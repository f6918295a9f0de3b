#include "cli/options.h"

#include "base/memory.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void options_init(struct options *options)
{
    const char *name_space = getenv("TULLE_NAMESPACE");
    *options = (struct options){.name_space = name_space && *name_space ? name_space : "default",
                                .server = getenv("TULLE_SERVER"),
                                .timeout_s = 30};
}

/* The common flags, in the shape of a command's own. */
enum common {
    COMMON_NAMESPACE,
    COMMON_ALL,
    COMMON_SELECTOR,
    COMMON_OUTPUT,
    COMMON_FILE,
    COMMON_SERVER,
    COMMON_TIMEOUT,
    COMMON_NO_HEADERS,
    COMMON_QUIET,
    COMMON_VERBOSE,
    COMMON_COLOR,
    COMMON_COUNT
};
static const struct flag common_flags[COMMON_COUNT] = {
    [COMMON_NAMESPACE] = {'n', "namespace", "NAME", "namespace of the objects (default)", 0, 0},
    [COMMON_ALL] = {'A', "all-namespaces", NULL, "objects of every namespace", 0, 0},
    [COMMON_SELECTOR] = {'l', "selector", "KEY=VALUE", "only objects with these labels", 0, 0},
    [COMMON_OUTPUT] = {'o', "output", "FORMAT", "table, wide, json, yaml or name", 0, 0},
    [COMMON_FILE] = {'f', "filename", "PATH", "a file, a directory, or - for standard input", 0, 0},
    [COMMON_SERVER] = {0, "server", "ADDRESS", "where tulled listens: unix:PATH ($TULLE_SERVER)", 0,
                       0},
    [COMMON_TIMEOUT] = {0, "timeout", "SECONDS", "give up after so long (30)", 0, 0},
    [COMMON_NO_HEADERS] = {0, "no-headers", NULL, "tables without their first line", 0, 0},
    [COMMON_QUIET] = {'q', "quiet", NULL, "say nothing but results", 0, 0},
    [COMMON_VERBOSE] = {'v', "verbose", NULL, "say what goes on beneath; -vv for all of it", 0, 0},
    [COMMON_COLOR] = {0, "color", "WHEN", "auto, always or never", 0, 0},
};

/* 0: every command takes it. */
static const unsigned common_takes[COMMON_COUNT] = {
    [COMMON_NAMESPACE] = TAKES_NAMESPACE, [COMMON_ALL] = TAKES_ALL,
    [COMMON_SELECTOR] = TAKES_SELECTOR,   [COMMON_OUTPUT] = TAKES_OUTPUT,
    [COMMON_FILE] = TAKES_FILES,          [COMMON_SERVER] = TAKES_API,
    [COMMON_TIMEOUT] = TAKES_API,         [COMMON_NO_HEADERS] = TAKES_TABLE,
};

static bool is_taken(unsigned takes, size_t common)
{
    return common_takes[common] == 0 || (takes & common_takes[common]);
}

static bool read_output(struct options *options, const char *value, struct error *error)
{
    static const char *const names[] = {"table", "wide", "json", "yaml", "name"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            options->output = (enum output_format)i;
            return true;
        }
    }
    const char *near = nearest_word(slice_str(value), names, COUNT(names));
    error_set(error, "TUL1003", "there is no output format \"%s\"", value);
    error_fix(error, "%s%s", near ? "did you mean " : "-o table|wide|json|yaml|name",
              near ? near : "");
    return false;
}

static bool read_color(struct options *options, const char *value, struct error *error)
{
    static const char *const names[] = {"auto", "always", "never"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            options->color = (enum color_mode)i;
            return true;
        }
    }
    return error_set(error, "TUL1003", "--color is auto, always or never, not \"%s\"", value);
}

static bool add_file(struct options *options, const char *value, struct error *error)
{
    if (options->file_count == OPTIONS_FILES_MAX)
        return error_set(error, "TUL1004", "more than %d files", OPTIONS_FILES_MAX);
    options->files[options->file_count++] = value;
    return true;
}

static bool read_timeout(struct options *options, const char *value, struct error *error)
{
    uint64_t seconds;
    struct slice digits = slice_str(value);
    if (digits.size > 1 && digits.data[digits.size - 1] == 's')
        digits.size--;
    if (!slice_to_u64(digits, 86400, &seconds) || seconds == 0)
        return error_set(error, "TUL1003",
                         "--timeout is a number of seconds up to 86400, not \"%s\"", value);
    options->timeout_s = (unsigned)seconds;
    return true;
}

static bool set_common(struct options *options, enum common which, const char *value,
                       struct error *error)
{
    switch (which) {
    case COMMON_NAMESPACE: options->name_space = value; return true;
    case COMMON_ALL: options->all_namespaces = true; return true;
    case COMMON_SELECTOR: options->selector = value; return true;
    case COMMON_OUTPUT: return read_output(options, value, error);
    case COMMON_FILE: return add_file(options, value, error);
    case COMMON_SERVER: options->server = value; return true;
    case COMMON_TIMEOUT: return read_timeout(options, value, error);
    case COMMON_NO_HEADERS: options->no_headers = true; return true;
    case COMMON_QUIET: options->quiet = true; return true;
    case COMMON_VERBOSE: options->verbose++; return true;
    case COMMON_COLOR: return read_color(options, value, error);
    case COMMON_COUNT: break;
    }
    return true;
}

struct reader {
    struct options *options;
    unsigned takes;
    const struct flag *flags;
    size_t flag_count;
    int argc;
    char **argv;
    int at;
    struct error *error;
};

static bool is_called(const struct flag *flag, char letter, struct slice name)
{
    return letter ? flag->letter == letter : slice_equals_str(name, flag->name);
}

static const struct flag *find_flag(const struct reader *reader, char letter, struct slice name)
{
    for (size_t i = 0; i < reader->flag_count; i++)
        if (is_called(&reader->flags[i], letter, name))
            return &reader->flags[i];
    for (size_t i = 0; i < COMMON_COUNT; i++)
        if (is_taken(reader->takes, i) && is_called(&common_flags[i], letter, name))
            return &common_flags[i];
    return NULL;
}

static bool unknown_flag(const struct reader *reader, const char *word, struct slice name)
{
    const char *names[COMMON_COUNT + 32];
    size_t count = 0;
    for (size_t i = 0; i < reader->flag_count && count < COUNT(names); i++)
        names[count++] = reader->flags[i].name;
    for (size_t i = 0; i < COMMON_COUNT && count < COUNT(names); i++)
        if (is_taken(reader->takes, i))
            names[count++] = common_flags[i].name;
    error_set(reader->error, "TUL1001", "there is no flag %s", word);
    const char *near = nearest_word(name, names, count);
    if (near)
        error_fix(reader->error, "did you mean --%s?", near);
    return false;
}

static bool set_flag(struct reader *reader, const struct flag *flag, const char *word,
                     const char *value)
{
    if (flag->value && !value) {
        if (reader->at + 1 >= reader->argc)
            return error_set(reader->error, "TUL1002", "%s needs a value: %s", word, flag->value);
        value = reader->argv[++reader->at];
    } else if (!flag->value && value) {
        return error_set(reader->error, "TUL1002", "--%s takes no value", flag->name);
    }
    if (flag >= common_flags && flag < common_flags + COMMON_COUNT)
        return set_common(reader->options, (enum common)(flag - common_flags), value,
                          reader->error);
    if (flag->text)
        *flag->text = value;
    if (flag->is_on)
        *flag->is_on = true;
    return true;
}

static bool read_long(struct reader *reader, const char *word)
{
    struct slice name, value;
    bool has_value = slice_cut(slice_str(word + 2), '=', &name, &value);
    const struct flag *flag = find_flag(reader, 0, name);
    if (!flag)
        return unknown_flag(reader, word, name);
    return set_flag(reader, flag, word, has_value ? value.data : NULL);
}

/* -qA, -nshop and -n shop. */
static bool read_short(struct reader *reader, const char *word)
{
    for (const char *letter = word + 1; *letter; letter++) {
        const struct flag *flag = find_flag(reader, *letter, SLICE_NONE);
        if (!flag)
            return unknown_flag(reader, word, slice_of(letter, 1));
        if (flag->value)
            return set_flag(reader, flag, word, letter[1] ? letter + 1 : NULL);
        if (!set_flag(reader, flag, word, NULL))
            return false;
    }
    return true;
}

bool options_read(struct options *options, unsigned takes, const struct flag *flags,
                  size_t flag_count, int *argc, char **argv, struct error *error)
{
    struct reader reader = {options, takes, flags, flag_count, *argc, argv, 0, error};
    int kept = 0;
    for (; reader.at < reader.argc; reader.at++) {
        char *word = argv[reader.at];
        if (strcmp(word, "--") == 0) {
            while (reader.at < reader.argc)
                argv[kept++] = argv[reader.at++];
            break;
        }
        if (word[0] != '-' || word[1] == '\0')
            argv[kept++] = word;
        else if (!(word[1] == '-' ? read_long(&reader, word) : read_short(&reader, word)))
            return false;
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

static void help_line(const struct flag *flag)
{
    char left[64], dash[8] = "    ";
    if (flag->letter)
        snprintf(dash, sizeof(dash), "-%c, ", flag->letter);
    snprintf(left, sizeof(left), "%s--%s%s%s", dash, flag->name, flag->value ? " " : "",
             flag->value ? flag->value : "");
    printf("  %-28s %s\n", left, flag->help);
}

void options_help(unsigned takes, const struct flag *flags, size_t flag_count)
{
    if (flag_count > 0 || takes)
        printf("\nFlags:\n");
    for (size_t i = 0; i < flag_count; i++)
        help_line(&flags[i]);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        if (common_takes[i] & takes)
            help_line(&common_flags[i]);
    printf("\nFlags of every command:\n");
    for (size_t i = 0; i < COMMON_COUNT; i++)
        if (common_takes[i] == 0)
            help_line(&common_flags[i]);
}

static void list_line(const struct flag *flag, const char *prefix)
{
    owned_str name = str_format("--%s", flag->name);
    if (strncmp(name, prefix, strlen(prefix)) == 0)
        puts(name);
}

void options_list(unsigned takes, const struct flag *flags, size_t flag_count, const char *prefix)
{
    for (size_t i = 0; i < flag_count; i++)
        list_line(&flags[i], prefix);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        if (is_taken(takes, i))
            list_line(&common_flags[i], prefix);
}

bool options_want_color(const struct options *options, int fd)
{
    if (options->color != COLOR_AUTO)
        return options->color == COLOR_ALWAYS;
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no_color && *no_color) && term && strcmp(term, "dumb") != 0 && isatty(fd);
}

bool options_want_unicode(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}
