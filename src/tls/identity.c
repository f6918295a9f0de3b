#include "tls/identity.h"

#include "base/map.h"
#include "base/memory.h"
#include "tls/identity_internal.h"

static const struct slice scheme = {"spiffe://", 9};

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_segment_byte(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
}

static bool refuse(const char **why, const char *phrase)
{
    if (why)
        *why = phrase;
    return false;
}

static bool check_trust_domain(struct slice text, const char **why)
{
    if (text.size == 0)
        return refuse(why, "the trust domain is empty");
    if (text.size > TRUST_DOMAIN_MAX)
        return refuse(why, "the trust domain is longer than 255 bytes");
    if (text.data[0] == '.' || text.data[text.size - 1] == '.')
        return refuse(why, "the trust domain begins or ends with a dot");
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!is_lower_or_digit(c) && c != '.' && c != '-' && c != '_')
            return refuse(why,
                          c >= 'A' && c <= 'Z'
                              ? "the trust domain holds an upper-case letter"
                              : "the trust domain holds a byte other than a-z, 0-9, '.', '-', '_'");
    }
    return true;
}

bool trust_domain_is_valid(struct slice text)
{
    return check_trust_domain(text, NULL);
}

static bool check_segment(struct slice segment, const char **why)
{
    if (segment.size == 0)
        return refuse(why, "the path holds an empty segment");
    if (slice_equals_str(segment, ".") || slice_equals_str(segment, ".."))
        return refuse(why, "the path holds a dot segment");
    for (size_t i = 0; i < segment.size; i++) {
        if (!is_segment_byte(segment.data[i]))
            return refuse(why, "the path holds a byte other than a-z, A-Z, 0-9, '.', '-', '_'");
    }
    return true;
}

/* The path without its first slash; every segment is checked, the first four are kept. */
static bool check_path(struct slice rest, struct slice first[4], size_t *count, const char **why)
{
    *count = 0;
    for (bool more = true; more; (*count)++) {
        struct slice segment, tail;
        more = slice_cut(rest, '/', &segment, &tail);
        if (!check_segment(segment, why))
            return false;
        if (*count < 4)
            first[*count] = segment;
        rest = tail;
    }
    return true;
}

bool spiffe_id_parse(struct slice text, struct spiffe_id *id, const char **why)
{
    if (text.size > SPIFFE_ID_MAX)
        return refuse(why, "it is longer than 2048 bytes");
    if (!slice_starts_with(text, scheme))
        return refuse(why, "it does not begin with spiffe://");
    struct slice rest = slice_from(text, scheme.size), domain, path;
    bool has_path = slice_cut(rest, '/', &domain, &path);
    if (!check_trust_domain(domain, why))
        return false;
    if (!has_path)
        return refuse(why, "it has no path, so it names an authority and no workload");

    struct slice segments[4];
    size_t count;
    if (!check_path(path, segments, &count, why))
        return false;
    *id = (struct spiffe_id){
        .text = text, .trust_domain = domain, .path = slice_of(path.data - 1, path.size + 1)};
    if (count == 4 && slice_equals_str(segments[0], "ns") && slice_equals_str(segments[2], "sa")) {
        id->name_space = segments[1];
        id->account = segments[3];
    }
    return true;
}

char *spiffe_id_of_workload(struct slice trust_domain, struct slice name_space,
                            struct slice account)
{
    if (trust_domain.size > TRUST_DOMAIN_MAX || name_space.size > SPIFFE_ID_MAX ||
        account.size > SPIFFE_ID_MAX)
        return NULL;
    owned_str text = str_format("spiffe://%.*s/ns/%.*s/sa/%.*s", SLICE_ARG(trust_domain),
                                SLICE_ARG(name_space), SLICE_ARG(account));
    struct spiffe_id id;
    /* A part with a slash or a NUL of its own would parse as something else. */
    if (!spiffe_id_parse(slice_str(text), &id, NULL) || !slice_equals(id.name_space, name_space) ||
        !slice_equals(id.account, account) || !slice_equals(id.trust_domain, trust_domain))
        return NULL;
    return give(text);
}

/* RFC 6125 6.4.3: a wildcard is the whole leftmost label and stands for exactly one label. */
static bool dns_name_covers(struct slice certified, struct slice wanted)
{
    if (slice_equals_nocase(certified, wanted))
        return true;
    if (!slice_starts_with(certified, SLICE("*.")))
        return false;
    size_t dot = slice_find_byte(wanted, '.');
    struct slice parent = slice_from(certified, 1);
    if (dot == 0 || dot == wanted.size ||
        slice_find_byte(slice_from(parent, 1), '.') == parent.size - 1)
        return false; /* "*.com" covers nothing */
    return slice_equals_nocase(parent, slice_from(wanted, dot));
}

static bool equals(struct slice a, struct slice b, bool ignore_case)
{
    return ignore_case ? slice_equals_nocase(a, b) : slice_equals(a, b);
}

static bool contains(struct slice text, struct slice part, bool ignore_case)
{
    for (size_t at = 0; at + part.size <= text.size; at++) {
        if (equals(slice_first(slice_from(text, at), part.size), part, ignore_case))
            return true;
    }
    return false;
}

static bool san_fulfils(const struct san *san, const struct san_match *match)
{
    struct slice text = san->text, value = match->value;
    if (match->kind != SAN_ANY_KIND && match->kind != (int)san->kind)
        return false;
    if (match->how != SAN_MATCH_EXACT && text.size < value.size)
        return false;
    switch (match->how) {
    case SAN_MATCH_EXACT:
        return san->kind == SAN_DNS ? dns_name_covers(text, value)
                                    : equals(text, value, match->ignore_case);
    case SAN_MATCH_PREFIX: return equals(slice_first(text, value.size), value, match->ignore_case);
    case SAN_MATCH_SUFFIX:
        return equals(slice_from(text, text.size - value.size), value, match->ignore_case);
    case SAN_MATCH_CONTAINS: return contains(text, value, match->ignore_case);
    }
    return false;
}

bool peer_identity_matches(const struct peer_identity *identity, const struct san_match *matches,
                           size_t count)
{
    for (size_t m = 0; m < count; m++) {
        for (size_t s = 0; identity && s < identity->san_count; s++) {
            if (san_fulfils(&identity->sans[s], &matches[m]))
                return true;
        }
    }
    return count == 0;
}

struct slice identity_names_text(const struct peer_identity *identity, char *to, size_t size)
{
    if (!identity || identity->san_count == 0)
        return SLICE("a certificate without names");
    if (identity->id.text.size > 0)
        return identity->id.text;
    size_t used = 0;
    for (size_t i = 0; i < identity->san_count; i++) {
        struct slice name = identity->sans[i].text;
        if (used + name.size + 8 > size) {
            memcpy(to + used, ", ...", 5);
            used += 5;
            break;
        }
        if (i > 0) {
            memcpy(to + used, ", ", 2);
            used += 2;
        }
        memcpy(to + used, name.data, name.size);
        used += name.size;
    }
    return slice_of(to, used);
}

/* One allocation holds the identity, its names and their texts. */
struct interned {
    struct peer_identity identity;
    struct map *home;
    uint32_t tickets;
    struct san sans[];
};

static struct slice copy_into(char **at, struct slice from)
{
    if (from.size > 0)
        memcpy(*at, from.data, from.size);
    struct slice copy = slice_of(*at, from.size);
    *at += from.size;
    return copy;
}

struct peer_identity *identity_intern(struct map *home, const struct peer_identity *model)
{
    struct slice key = slice_of(model->certificate_hash, CERTIFICATE_HASH_BYTES);
    struct interned *known = map_get(home, key);
    if (known)
        return peer_identity_ref(&known->identity);

    size_t texts = model->subject.size;
    for (size_t i = 0; i < model->san_count; i++)
        texts += model->sans[i].text.size;
    size_t names = sizeof(struct san) * model->san_count;
    struct interned *made = mem_alloc(sizeof(*made) + names + texts);
    *made = (struct interned){.identity = *model, .home = home};
    made->identity.refs = 1;
    made->identity.sans = made->sans;
    made->identity.id = (struct spiffe_id){0};
    char *at = (char *)made->sans + names;
    made->identity.subject = copy_into(&at, model->subject);
    for (size_t i = 0; i < model->san_count; i++) {
        made->sans[i] = (struct san){model->sans[i].kind, copy_into(&at, model->sans[i].text)};
        if (made->sans[i].kind == SAN_URI && model->id.text.size > 0 &&
            !spiffe_id_parse(made->sans[i].text, &made->identity.id, NULL))
            made->identity.id = (struct spiffe_id){0};
    }
    map_put(home, key, made);
    return &made->identity;
}

uint32_t *identity_tickets(struct peer_identity *identity)
{
    return &CONTAINER_OF(identity, struct interned, identity)->tickets;
}

void peer_identity_unref(struct peer_identity *identity)
{
    if (!identity || --identity->refs > 0)
        return;
    struct interned *interned = CONTAINER_OF(identity, struct interned, identity);
    map_remove(interned->home, slice_of(identity->certificate_hash, CERTIFICATE_HASH_BYTES));
    mem_free(interned);
}
