#include "cli/metrics.h"

#include <math.h>
#include <stdlib.h>

enum { NUMBER_MAX = 64 };

static bool read_number(struct slice text, double *value)
{
    char digits[NUMBER_MAX];
    if (text.size == 0 || text.size >= sizeof(digits))
        return false;
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    char *end;
    *value = strtod(digits, &end);
    return end != digits && *end == '\0' && !isnan(*value);
}

/* The offset of the brace that closes, past quoted values; SIZE_MAX when there is none. */
static size_t closing_brace(struct slice text)
{
    bool is_quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (is_quoted && c == '\\')
            i++;
        else if (c == '"')
            is_quoted = !is_quoted;
        else if (c == '}' && !is_quoted)
            return i;
    }
    return SIZE_MAX;
}

static bool read_line(struct slice line, struct metric *metric)
{
    line = slice_trim(line);
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0 || line.data[0] == '#')
        return false;
    size_t name = 0;
    while (name < line.size && line.data[name] != '{' && line.data[name] != ' ')
        name++;
    *metric = (struct metric){.name = slice_first(line, name)};
    struct slice rest = slice_from(line, name);
    if (rest.size > 0 && rest.data[0] == '{') {
        rest = slice_from(rest, 1);
        size_t end = closing_brace(rest);
        if (end == SIZE_MAX)
            return false;
        metric->labels = slice_first(rest, end);
        rest = slice_from(rest, end + 1);
    }
    struct slice number, time;
    slice_cut(slice_trim(rest), ' ', &number, &time);
    return name > 0 && read_number(number, &metric->value);
}

bool metric_next(struct slice *text, struct metric *metric)
{
    while (text->size > 0) {
        struct slice line, rest;
        slice_cut(*text, '\n', &line, &rest);
        *text = rest;
        if (read_line(line, metric))
            return true;
    }
    return false;
}

struct slice metric_label(const struct metric *metric, const char *name)
{
    struct slice rest = metric->labels;
    while (rest.size > 0) {
        struct slice key, value;
        if (!slice_cut(rest, '=', &key, &value) || value.size == 0 || value.data[0] != '"')
            return SLICE_NONE;
        size_t end = 1;
        while (end < value.size && value.data[end] != '"')
            end += value.data[end] == '\\' ? 2 : 1;
        if (end >= value.size)
            return SLICE_NONE;
        if (slice_equals_str(slice_trim(key), name))
            return slice_first(slice_from(value, 1), end - 1);
        rest = slice_from(value, end + 1);
        if (rest.size > 0 && rest.data[0] == ',')
            rest = slice_from(rest, 1);
    }
    return SLICE_NONE;
}

static bool label_is(const struct metric *metric, const char *name, const char *value)
{
    return slice_equals_str(metric_label(metric, name), value);
}

static void add_security(struct golden *golden, const struct metric *metric)
{
    if (label_is(metric, "connection_security_policy", "mutual_tls"))
        golden->secured += metric->value;
    else
        golden->plain += metric->value;
}

static void add_request(struct golden *golden, const struct metric *metric)
{
    struct slice code = metric_label(metric, "response_code");
    golden->requests += metric->value;
    if (code.size != 3 || code.data[0] == '5' || code.data[0] == '0')
        golden->failed += metric->value;
    add_security(golden, metric);
}

/* Buckets of different label sets have one ladder; a new step is put in its place. */
static void add_bucket(struct golden *golden, const struct metric *metric)
{
    double le;
    if (!read_number(metric_label(metric, "le"), &le))
        return;
    unsigned at = 0;
    while (at < golden->bucket_count && golden->buckets[at].le < le)
        at++;
    if (at == golden->bucket_count || golden->buckets[at].le > le) {
        if (golden->bucket_count == GOLDEN_BUCKETS)
            return;
        for (unsigned i = golden->bucket_count++; i > at; i--)
            golden->buckets[i] = golden->buckets[i - 1];
        golden->buckets[at].le = le;
        golden->buckets[at].count = 0;
    }
    golden->buckets[at].count += metric->value;
}

void golden_add(struct golden *golden, struct slice text)
{
    struct metric metric;
    while (metric_next(&text, &metric)) {
        if (!slice_starts_with(metric.name, SLICE("istio_")) ||
            !label_is(&metric, "reporter", "destination"))
            continue;
        if (slice_equals_str(metric.name, "istio_requests_total")) {
            add_request(golden, &metric);
        } else if (slice_equals_str(metric.name, "istio_tcp_connections_opened_total")) {
            golden->tcp_opened += metric.value;
            add_security(golden, &metric);
        } else if (slice_equals_str(metric.name, "istio_tcp_connections_closed_total")) {
            golden->tcp_closed += metric.value;
        } else if (slice_equals_str(metric.name, "istio_request_duration_milliseconds_bucket")) {
            add_bucket(golden, &metric);
        }
    }
}

static double grown(double after, double before)
{
    return after >= before ? after - before : after;
}

struct golden golden_since(const struct golden *after, const struct golden *before)
{
    struct golden since = *after;
    since.requests = grown(after->requests, before->requests);
    since.failed = grown(after->failed, before->failed);
    since.secured = grown(after->secured, before->secured);
    since.plain = grown(after->plain, before->plain);
    for (unsigned i = 0; i < since.bucket_count; i++)
        for (unsigned j = 0; j < before->bucket_count; j++)
            if (before->buckets[j].le == since.buckets[i].le ||
                (isinf(before->buckets[j].le) && isinf(since.buckets[i].le)))
                since.buckets[i].count = grown(since.buckets[i].count, before->buckets[j].count);
    return since;
}

double golden_quantile(const struct golden *golden, double q)
{
    if (golden->bucket_count == 0)
        return -1;
    double all = golden->buckets[golden->bucket_count - 1].count, rank = q * all, below = 0,
           from = 0;
    if (all <= 0)
        return -1;
    for (unsigned i = 0; i < golden->bucket_count; i++) {
        double count = golden->buckets[i].count, le = golden->buckets[i].le;
        if (count >= rank && count > below)
            return isinf(le) ? from : from + (le - from) * (rank - below) / (count - below);
        below = count;
        from = isinf(le) ? from : le;
    }
    return from;
}

double golden_secured(const struct golden *golden)
{
    double hops = golden->secured + golden->plain;
    return hops > 0 ? golden->secured / hops : -1;
}
