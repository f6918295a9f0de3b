#include "control/model/validate.h"

#include "build/format.h"
#include "build/options.h"
#include "http/header.h"
#include "match/ip.h"
#include "match/regex.h"
#include "match/table_memory.h"
#include "pb/admit.h"
#include "pb/text_in.h"

static bool add(struct problems *problems, enum problem_kind kind, const struct value *at,
                const char *path, const char *what, const char *fix)
{
    problems_add(problems, &(struct problem){.kind = kind,
                                             .fatal = true,
                                             .path = path,
                                             .line = at ? at->line : 0,
                                             .column = at ? at->column : 0,
                                             .what = what,
                                             .fix = fix});
    return false;
}

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool object_label_is_valid(struct slice name)
{
    if (name.size == 0 || name.size > 63 || name.data[0] == '-' || name.data[name.size - 1] == '-')
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (!is_label_byte(name.data[i]))
            return false;
    }
    return true;
}

bool object_name_is_valid(struct slice name)
{
    if (name.size == 0 || name.size > 253)
        return false;
    struct slice label;
    do {
        bool more = slice_cut(name, '.', &label, &name);
        if (!object_label_is_valid(label))
            return false;
        if (!more)
            return true;
    } while (true);
}

/* --- hosts ------------------------------------------------------------------------------------------------------ */

/* A DNS name, an IP address, or a wildcard where the leftmost label is "*". */
static bool host_is_valid(struct slice host, bool wildcard)
{
    struct ip ip;
    if (ip_parse(host, &ip))
        return true;
    if (wildcard && slice_equals_str(host, "*"))
        return true;
    if (wildcard && slice_starts_with(host, SLICE("*.")))
        host = slice_from(host, 2);
    char lower[254];
    if (host.size == 0 || host.size >= sizeof(lower))
        return false;
    for (size_t i = 0; i < host.size; i++) {
        char c = host.data[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c == '_' ? '-' : c);
    }
    return object_name_is_valid(slice_of(lower, host.size));
}

static void check_host(const struct value *value, bool wildcard, const char *path,
                       struct problems *problems)
{
    if (value && value->kind == VALUE_STRING && !host_is_valid(value->text, wildcard))
        add(problems, PROBLEM_BAD_VALUE, value, path,
            arena_format(problems->arena, "\"%.*s\" is no host name", SLICE_ARG(value->text)),
            wildcard ? "use a name such as cart, cart.shop.svc.cluster.local or *.example.com"
                     : "use a name such as cart or cart.shop.svc.cluster.local");
}

/* --- VirtualService ---------------------------------------------------------------------------------------------- */

static void check_regex(const struct value *match, const char *path, struct problems *problems)
{
    const struct value *pattern = value_get(match, "regex");
    if (!pattern || pattern->kind != VALUE_STRING)
        return;
    owned(regex) regex = NULL;
    owned_error error = {0};
    if (!regex_compile(pattern->text, false, &regex, &error))
        add(problems, PROBLEM_BAD_VALUE, pattern, arena_format(problems->arena, "%s.regex", path),
            arena_copy_str(problems->arena, error.what),
            error.fix ? arena_copy_str(problems->arena, error.fix) : NULL);
}

static void check_match(const struct value *match, const char *path, struct problems *problems)
{
    check_regex(value_get(match, "uri"), arena_format(problems->arena, "%s.uri", path), problems);
    VALUE_EACH(header, value_get(match, "headers"))
    check_regex(header,
                arena_format(problems->arena, "%s.headers.%.*s", path, SLICE_ARG(header->key)),
                problems);
}

static void check_header_name(const struct value *place, struct slice name, const char *path,
                              struct problems *problems)
{
    if (!header_name_is_valid(name) && !slice_equals_str(name, ":authority"))
        add(problems, PROBLEM_BAD_VALUE, place, path,
            arena_format(problems->arena, "\"%.*s\" is no header name", SLICE_ARG(name)),
            "use letters, digits and dashes");
}

/* Operators such as %REQ(x-id)% act in a value; what a proxy keeps to itself is for no tenant (CFG-11). */
static void check_header_value(const struct value *value, const char *path,
                               struct problems *problems)
{
    static const struct build_options options = {.hides_environment = true};
    if (value->kind != VALUE_STRING || value->text.size == 0)
        return;
    if (!header_value_is_valid(value->text)) {
        add(problems, PROBLEM_BAD_VALUE, value, path,
            "a header's value has no control characters and no blank at either end", "remove them");
        return;
    }
    struct table_memory memory;
    struct format format = {0};
    owned_error error = {0};
    table_memory_init(&memory);
    if (!format_build_text(&format, value->text, &options, &memory, &error))
        add(problems, PROBLEM_BAD_VALUE, value, path, arena_copy_str(problems->arena, error.what),
            error.fix ? arena_copy_str(problems->arena, error.fix) : "write %% for a percent sign");
    table_memory_fini(&memory);
}

static void check_operations(const struct value *operations, const char *path,
                             struct problems *problems)
{
    static const char *const maps[] = {"set", "add"};
    for (size_t i = 0; i < COUNT(maps); i++) {
        VALUE_EACH(header, value_get(operations, maps[i]))
        {
            const char *at = arena_format(problems->arena, "%s.%s[\"%.*s\"]", path, maps[i],
                                          SLICE_ARG(header->key));
            check_header_name(header, header->key, at, problems);
            check_header_value(header, at, problems);
        }
    }
    size_t index = 0;
    VALUE_EACH(name, value_get(operations, "remove"))
    check_header_name(name, name->text,
                      arena_format(problems->arena, "%s.remove[%zu]", path, index++), problems);
}

static void check_headers(const struct value *holder, const char *path, struct problems *problems)
{
    const struct value *headers = value_get(holder, "headers");
    check_operations(value_get(headers, "request"),
                     arena_format(problems->arena, "%s.headers.request", path), problems);
    check_operations(value_get(headers, "response"),
                     arena_format(problems->arena, "%s.headers.response", path), problems);
}

static void check_destinations(const struct value *rule, const char *path,
                               struct problems *problems)
{
    const struct value *routes = value_get(rule, "route");
    int64_t sum = 0;
    size_t index = 0;
    VALUE_EACH(route, routes)
    {
        const char *at =
            arena_format(problems->arena, "%s.route[%zu].destination.host", path, index++);
        check_host(value_get(value_get(route, "destination"), "host"), false, at, problems);
        check_headers(route, arena_format(problems->arena, "%s.route[%zu]", path, index - 1),
                      problems);
        int64_t weight = 0;
        if (value_get(route, "weight") && !value_to_i64(value_get(route, "weight"), &weight))
            weight = 0;
        sum += weight;
    }
    if (routes && routes->count > 1 && sum <= 0)
        add(problems, PROBLEM_BAD_VALUE, routes, arena_format(problems->arena, "%s.route", path),
            "several destinations whose weights sum up to 0 get no requests",
            "give at least one destination a weight");
    if (sum > UINT32_MAX)
        add(problems, PROBLEM_LIMIT, routes, arena_format(problems->arena, "%s.route", path),
            "the weights sum up to more than 4294967295", "use smaller weights");
}

static void check_http_rule(const struct value *rule, const char *path, struct problems *problems)
{
    const struct value *route = value_get(rule, "route");
    bool forwards = route && route->count > 0;
    bool answers = value_get(rule, "directResponse") || value_get(rule, "direct_response");
    int actions = forwards + (value_get(rule, "redirect") != NULL) + answers;
    if (actions != 1)
        add(problems, PROBLEM_BAD_VALUE, rule, path,
            actions == 0 ? "the rule does not say what to do"
                         : "the rule has more than one of route, redirect and directResponse",
            "give it exactly one of route, redirect and directResponse");
    if (value_get(rule, "rewrite") && !forwards)
        add(problems, PROBLEM_BAD_VALUE, value_get(rule, "rewrite"),
            arena_format(problems->arena, "%s.rewrite", path),
            "a rewrite needs a route to forward to", "remove rewrite, or add a route");
    size_t index = 0;
    VALUE_EACH(match, value_get(rule, "match"))
    check_match(match, arena_format(problems->arena, "%s.match[%zu]", path, index++), problems);
    check_headers(rule, path, problems);
    check_destinations(rule, path, problems);
}

static void check_virtual_service(const struct value *spec, struct problems *problems)
{
    size_t index = 0;
    VALUE_EACH(host, value_get(spec, "hosts"))
    check_host(host, true, arena_format(problems->arena, "spec.hosts[%zu]", index++), problems);
    index = 0;
    VALUE_EACH(rule, value_get(spec, "http"))
    check_http_rule(rule, arena_format(problems->arena, "spec.http[%zu]", index++), problems);
}

/* --- the others -------------------------------------------------------------------------------------------------- */

/* No two items of the list have the same string at `member`. */
static void check_unique(const struct value *list, const char *member, const char *path,
                         struct problems *problems)
{
    size_t index = 0;
    VALUE_EACH(item, list)
    {
        const struct value *name = value_get(item, member);
        for (const struct value *other = list->first; name && other != item; other = other->next) {
            const struct value *twin = value_get(other, member);
            if (!twin || !slice_equals(twin->text, name->text))
                continue;
            add(problems, PROBLEM_BAD_VALUE, name,
                arena_format(problems->arena, "%s[%zu].%s", path, index, member),
                arena_format(problems->arena, "\"%.*s\" is there twice", SLICE_ARG(name->text)),
                "choose another");
            break;
        }
        index++;
    }
}

static void check_destination_rule(const struct value *spec, struct problems *problems)
{
    check_host(value_get(spec, "host"), true, "spec.host", problems);
    check_unique(value_get(spec, "subsets"), "name", "spec.subsets", problems);
    size_t index = 0;
    VALUE_EACH(subset, value_get(spec, "subsets"))
    {
        const struct value *name = value_get(subset, "name");
        if (name && !object_name_is_valid(name->text))
            add(problems, PROBLEM_BAD_VALUE, name,
                arena_format(problems->arena, "spec.subsets[%zu].name", index),
                arena_format(problems->arena, "\"%.*s\" is no name of a subset",
                             SLICE_ARG(name->text)),
                "use lower-case letters, digits and dashes");
        index++;
    }
}

static void check_service(const struct value *spec, struct problems *problems)
{
    const struct value *ports = value_get(spec, "ports");
    check_unique(ports, "name", "spec.ports", problems);
    check_unique(ports, "port", "spec.ports", problems);
    if (!ports || ports->count == 0)
        add(problems, PROBLEM_MISSING, spec, "spec.ports", "a service needs a port",
            "add one under spec.ports");
    size_t index = 0;
    VALUE_EACH(port, ports)
    {
        if (ports->count > 1 && !value_get(port, "name"))
            add(problems, PROBLEM_MISSING, port,
                arena_format(problems->arena, "spec.ports[%zu].name", index),
                "each of several ports needs a name", "add a name such as http or tcp-db");
        index++;
    }
    const struct value *address = value_get(spec, "clusterIP"),
                       *addresses = value_get(spec, "clusterIPs");
    if (!address && addresses)
        address = addresses->first;
    struct ip ip;
    if (address && address->text.size > 0 && !slice_equals_str(address->text, "None") &&
        !(ip_parse(address->text, &ip) && ip_is_v4(&ip)))
        add(problems, PROBLEM_BAD_VALUE, address, "spec.clusterIP",
            arena_format(problems->arena, "\"%.*s\" is no IPv4 address", SLICE_ARG(address->text)),
            "leave it out: an address is allocated");
}

static void check_service_entry(const struct value *spec, struct problems *problems)
{
    size_t index = 0;
    VALUE_EACH(host, value_get(spec, "hosts"))
    {
        check_host(host, true, arena_format(problems->arena, "spec.hosts[%zu]", index++), problems);
    }
    index = 0;
    VALUE_EACH(address, value_get(spec, "addresses"))
    {
        struct ip_prefix prefix;
        if (!ip_prefix_parse(address->text, &prefix) || !ip_is_v4(&prefix.ip) || prefix.bits != 128)
            add(problems, PROBLEM_BAD_VALUE, address,
                arena_format(problems->arena, "spec.addresses[%zu]", index),
                arena_format(problems->arena, "\"%.*s\" is no single IPv4 address",
                             SLICE_ARG(address->text)),
                "list single IPv4 addresses, or leave addresses out: one is allocated");
        index++;
    }
    check_unique(value_get(spec, "ports"), "number", "spec.ports", problems);
    check_unique(value_get(spec, "ports"), "name", "spec.ports", problems);
    const struct value *endpoints = value_get(spec, "endpoints");
    if (endpoints && endpoints->count > 0 &&
        (value_get(spec, "workloadSelector") || value_get(spec, "workload_selector")))
        add(problems, PROBLEM_BAD_VALUE, endpoints, "spec.endpoints",
            "endpoints and workloadSelector exclude each other", "remove one of them");
    const char *resolution = value_str(value_get(spec, "resolution"), "NONE");
    index = 0;
    VALUE_EACH(endpoint, endpoints)
    {
        const struct value *address = value_get(endpoint, "address");
        struct ip ip;
        if (strcmp(resolution, "STATIC") == 0 && address && !ip_parse(address->text, &ip))
            add(problems, PROBLEM_BAD_VALUE, address,
                arena_format(problems->arena, "spec.endpoints[%zu].address", index),
                "an endpoint of resolution STATIC needs an IP address",
                "use an IP address, or resolution DNS");
        index++;
    }
    if (strcmp(resolution, "NONE") == 0 && endpoints && endpoints->count > 0)
        add(problems, PROBLEM_BAD_VALUE, endpoints, "spec.endpoints",
            "endpoints are not used with resolution NONE", "use resolution STATIC or DNS");
}

static void check_workload_entry(const struct value *spec, struct problems *problems)
{
    const struct value *address = value_get(spec, "address");
    if (!address || address->text.size == 0)
        add(problems, PROBLEM_MISSING, spec, "spec.address", "a workload needs an address",
            "add its IP address");
    else
        check_host(address, false, "spec.address", problems);
}

/* --- the envelope ------------------------------------------------------------------------------------------------ */

static bool check_kind(const struct value *document, struct problems *problems,
                       struct admitted *out)
{
    const struct value *version = value_get(document, "apiVersion");
    const struct value *kind = value_get(document, "kind");
    if (document->kind != VALUE_OBJECT || !version || !kind || version->kind != VALUE_STRING ||
        kind->kind != VALUE_STRING)
        return add(problems, PROBLEM_MISSING, document, "", "apiVersion and kind are missing",
                   "begin with apiVersion: networking.istio.io/v1 and kind: VirtualService, say");
    if (kind_find(version->text, kind->text, &out->kind))
        return true;
    const struct pb_kind *near = pb_kind_by_name(kind->text);
    return add(problems, PROBLEM_BAD_VALUE, near ? version : kind, near ? "apiVersion" : "kind",
               arena_format(problems->arena, "%.*s of %.*s is not served", SLICE_ARG(kind->text),
                            SLICE_ARG(version->text)),
               near ? arena_format(problems->arena, "use apiVersion: %s%s%s and kind: %s",
                                   near->group, near->group[0] ? "/" : "", near->versions[0],
                                   near->kind)
                    : "see `tulle explain` for the kinds that are");
}

static void check_name(const struct value *metadata, struct problems *problems,
                       struct admitted *out)
{
    const struct value *name = value_get(metadata, "name");
    const struct value *generate = value_get(metadata, "generateName");
    if (!name || name->text.size == 0) {
        if (!generate)
            add(problems, PROBLEM_MISSING, metadata, "metadata.name", "the object has no name",
                "add metadata.name");
        return;
    }
    bool label = out->kind == KIND_NAMESPACE || out->kind == KIND_SERVICE;
    if (label ? !object_label_is_valid(name->text) : !object_name_is_valid(name->text))
        add(problems, PROBLEM_BAD_VALUE, name, "metadata.name",
            arena_format(problems->arena, "\"%.*s\" is no name", SLICE_ARG(name->text)),
            "use lower-case letters, digits and dashes, and begin and end with a letter or digit");
    else
        out->name = name->text;
}

static void check_namespace(const struct value *metadata, struct slice implied,
                            struct problems *problems, struct admitted *out)
{
    if (kind_schema(out->kind)->cluster_scoped)
        return;
    const struct value *written = value_get(metadata, "namespace");
    out->name_space = written && written->text.size > 0 ? written->text : implied;
    if (out->name_space.size == 0)
        out->name_space = SLICE("default");
    if (implied.size > 0 && !slice_equals(implied, out->name_space))
        add(problems, PROBLEM_BAD_VALUE, written, "metadata.namespace",
            arena_format(problems->arena, "the object says namespace %.*s, the request %.*s",
                         SLICE_ARG(out->name_space), SLICE_ARG(implied)),
            "use the same in both");
    else if (!object_label_is_valid(out->name_space))
        add(problems, PROBLEM_BAD_VALUE, written, "metadata.namespace",
            arena_format(problems->arena, "\"%.*s\" is no name of a namespace",
                         SLICE_ARG(out->name_space)),
            "use lower-case letters, digits and dashes");
}

static void check_meaning(const struct value *document, enum kind kind, struct problems *problems)
{
    const struct value *spec = value_get(document, "spec");
    if (!spec && kind != KIND_NAMESPACE) {
        add(problems, PROBLEM_MISSING, document, "spec", "the object has no spec", "add one");
        return;
    }
    switch (kind) {
    case KIND_SERVICE: check_service(spec, problems); break;
    case KIND_VIRTUAL_SERVICE: check_virtual_service(spec, problems); break;
    case KIND_DESTINATION_RULE: check_destination_rule(spec, problems); break;
    case KIND_SERVICE_ENTRY: check_service_entry(spec, problems); break;
    case KIND_WORKLOAD_ENTRY: check_workload_entry(spec, problems); break;
    case KIND_NAMESPACE:
    case KINDS: break;
    }
}

static bool admit(const struct value *document, struct slice name_space, enum text_mode mode,
                  struct problems *problems, struct admitted *out)
{
    *out = (struct admitted){0};
    if (!check_kind(document, problems, out))
        return false;
    const struct pb_type *type = kind_schema(out->kind)->type;
    bool read = text_decode(document, type->descriptor, mode, problems) != NULL;
    if (read)
        admit_check(document, type->descriptor, TEXT_STRICT, problems);
    const struct value *metadata = value_get(document, "metadata");
    check_name(metadata, problems, out);
    check_namespace(metadata, name_space, problems, out);
    if (read)
        check_meaning(document, out->kind, problems);
    /* The key is told for a bad object too: whoever keeps the last good one has to know which. */
    if (out->name.size > 0)
        out->key = object_key_make(out->kind, out->name_space, out->name, problems->arena);
    return read && problems->fatal_count == 0;
}

bool object_admit(const struct value *document, struct slice name_space, struct problems *problems,
                  struct admitted *out)
{
    return admit(document, name_space, TEXT_STRICT, problems, out);
}

bool object_admit_lenient(const struct value *document, struct slice name_space,
                          struct problems *problems, struct admitted *out)
{
    (void)admit(document, name_space, TEXT_LENIENT, problems, out);
    /* A lenient reader skips a wrong type as well; here only an unknown field may pass. */
    problems->fatal_count = 0;
    for (size_t i = 0; i < MIN(problems->count, (size_t)PROBLEMS_MAX); i++) {
        struct problem *problem = &problems->items[i];
        problem->fatal = problem->kind != PROBLEM_UNKNOWN_FIELD;
        problems->fatal_count += problem->fatal;
    }
    /* What was not kept may be anything. */
    if (problems->count > PROBLEMS_MAX)
        problems->fatal_count += problems->count - PROBLEMS_MAX;
    return problems->fatal_count == 0;
}
