#include "control/ca/authority.h"

#include "base/memory.h"
#include "base/random.h"
#include "control/ca/key_file_internal.h"
#include "tls/certificate.h"
#include "tls/identity.h"
#include "tls/key_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

struct authority {
    char *trust_domain;
    struct key_file intermediate;
    struct buffer chain; /* the intermediate, PEM */
    struct buffer roots;
    const char *warning;
};

void authority_destroy(struct authority *authority)
{
    if (!authority)
        return;
    key_file_fini(&authority->intermediate);
    buffer_fini(&authority->chain);
    buffer_fini(&authority->roots);
    mem_free(authority->trust_domain);
    mem_free(authority);
}

struct slice authority_chain(const struct authority *authority)
{
    return buffer_slice(&authority->chain);
}

struct slice authority_roots(const struct authority *authority)
{
    return buffer_slice(&authority->roots);
}

int64_t authority_expiry_s(const struct authority *authority)
{
    return authority->intermediate.not_after_s;
}

int64_t authority_renew_s(const struct authority *authority)
{
    return authority->intermediate.not_before_s +
           (authority->intermediate.not_after_s - authority->intermediate.not_before_s) / 2;
}

const char *authority_warning(const struct authority *authority)
{
    return authority->warning;
}

/* Making keys. */

/* A key pair and its certificate; issuer NULL: signed by itself. */
static bool make(enum certificate_kind kind, const char *trust_domain,
                 const struct key_file *issuer, int64_t now_s, struct key_file *made,
                 struct error *error)
{
    owned_str uri = str_format("spiffe://%s", trust_domain);
    owned_str name = str_format("Tulle %s of %s", issuer ? "intermediate" : "root", trust_domain);
    owned_buffer public_key = {0};
    made->key = key_pair_generate();
    key_pair_write_public_der(made->key, &public_key);
    struct certificate_spec spec = {
        .kind = kind,
        .common_name =
            slice_first(slice_str(name), MIN(strlen(name), (size_t)64)), /* X.520's limit */
        .organization = SLICE("Tulle"),
        .uri = slice_str(uri),
        .public_key = buffer_slice(&public_key),
        .not_before_s = now_s - AUTHORITY_BACKDATE_S,
        .not_after_s =
            now_s + (issuer ? AUTHORITY_INTERMEDIATE_LIFETIME_S : AUTHORITY_ROOT_LIFETIME_S),
    };
    if (issuer)
        spec.not_after_s = MIN(spec.not_after_s, issuer->not_after_s);
    random_secret(spec.serial, sizeof(spec.serial));
    made->not_before_s = spec.not_before_s;
    made->not_after_s = spec.not_after_s;
    return certificate_issue(&spec, issuer ? buffer_slice(&issuer->der) : SLICE_NONE,
                             issuer ? issuer->key : made->key, &made->der, error);
}

static bool make_root(const char *folder, const char *trust_domain, int64_t now_s,
                      struct key_file *root, struct error *error)
{
    return make(CERTIFICATE_ROOT, trust_domain, NULL, now_s, root, error) &&
           key_file_write(root, folder, "root.pem", error);
}

/* The root is opened here and wiped before anything else happens. */
static bool replace_intermediate(struct authority *authority, const char *folder,
                                 const struct key_file *root, int64_t now_s, struct error *error)
{
    struct key_file fresh = {0};
    if (!make(CERTIFICATE_INTERMEDIATE, authority->trust_domain, root, now_s, &fresh, error) ||
        !key_file_write(&fresh, folder, "intermediate.pem", error)) {
        key_file_fini(&fresh);
        return false;
    }
    key_file_fini(&authority->intermediate);
    authority->intermediate = fresh;
    return true;
}

/* The bundle. */

static bool holds(struct slice bundle, struct slice der)
{
    struct buffer one = {0};
    size_t cursor = 0;
    bool found = false;
    while (!found && certificate_next(bundle, &cursor, &one, NULL))
        found = slice_equals(buffer_slice(&one), der);
    buffer_fini(&one);
    return found;
}

/* roots.pem, which is made from the root when it is not there and completed when ours is missing in it. */
static bool read_roots(struct authority *authority, const char *folder, const struct key_file *root,
                       struct error *error)
{
    owned_str path = str_format("%s/roots.pem", folder);
    int failed = buffer_read_file(&authority->roots, path, KEY_FILE_BYTES_MAX);
    if (failed && failed != -ENOENT)
        return key_file_complain(error, path, "cannot be read", failed);
    if (!root || (!failed && holds(buffer_slice(&authority->roots), buffer_slice(&root->der))))
        return !failed ||
               key_file_complain(error, path, "is needed while the root is away", failed);
    struct buffer all = {0};
    certificate_write_pem(buffer_slice(&root->der), &all);
    buffer_append_slice(&all, buffer_slice(&authority->roots));
    buffer_fini(&authority->roots);
    authority->roots = all;
    return key_file_write_public(folder, "roots.pem", buffer_slice(&all), error);
}

/* Opening. */

static bool check_domain(const struct key_file *file, const char *trust_domain, const char *folder,
                         struct error *error)
{
    struct certificate_summary summary;
    if (!certificate_summarize(buffer_slice(&file->der), &summary, error))
        return false;
    owned_str wanted = str_format("spiffe://%s", trust_domain);
    bool same = false;
    for (size_t i = 0; i < summary.san_count; i++)
        same |= summary.sans[i].kind == SAN_URI && slice_equals_str(summary.sans[i].text, wanted);
    if (!same) {
        struct slice seen = summary.san_count > 0 ? summary.sans[0].text : SLICE("no trust domain");
        error_set(error, NULL, "the authority in %s is of %.*s, not of %s", folder, SLICE_ARG(seen),
                  wanted);
        error_why(error, "every certificate that was issued would become worthless");
        error_fix(
            error,
            "start with the trust domain that it was made for, or with another data directory");
    }
    certificate_summary_fini(&summary);
    return same;
}

static bool check_root(const struct key_file *root, const char *trust_domain, const char *folder,
                       int64_t now_s, struct error *error)
{
    if (!check_domain(root, trust_domain, folder, error))
        return false;
    if (!certificate_is_signed_by(buffer_slice(&root->der), buffer_slice(&root->der)))
        return error_set(error, NULL, "root.pem in %s holds no root: another key signed it",
                         folder);
    if (root->not_after_s > now_s)
        return true;
    error_set(error, NULL, "the root certificate in %s has expired", folder);
    error_fix(
        error,
        "check this machine's clock; if it is right, a new root has to be made and distributed");
    return false;
}

static bool read_optional(struct key_file *file, const char *folder, const char *name, bool *there,
                          struct error *error)
{
    enum key_file_read read = key_file_read(file, folder, name, error);
    *there = read == KEY_FILE_READ;
    return read != KEY_FILE_BAD;
}

/* Without the root nothing can be made, so what is there must do. */
static bool accept_without_root(struct authority *authority, const char *folder,
                                bool has_intermediate, int64_t now_s, struct error *error)
{
    if (has_intermediate && authority->intermediate.not_after_s > now_s) {
        if (authority_renew_s(authority) <= now_s)
            authority->warning = "the root is away and the intermediate is past half its life";
        return true;
    }
    error_set(error, NULL,
              "the intermediate certificate in %s %s, and the root is not there to make a new one",
              folder, has_intermediate ? "has expired" : "is missing");
    error_why(error, "no certificate can be issued");
    error_fix(error, "put root.pem back into %s and start again", folder);
    return false;
}

static bool is_signed_by(const struct key_file *intermediate, const struct key_file *root)
{
    struct certificate_summary child, parent;
    if (!certificate_summarize(buffer_slice(&intermediate->der), &child, NULL))
        return false;
    bool same = certificate_summarize(buffer_slice(&root->der), &parent, NULL);
    if (same) {
        same = strcmp(child.issuer, parent.subject) == 0 &&
               certificate_is_signed_by(buffer_slice(&intermediate->der), buffer_slice(&root->der));
        certificate_summary_fini(&parent);
    }
    certificate_summary_fini(&child);
    return same;
}

static bool open_keys(struct authority *authority, const char *folder, int64_t now_s,
                      struct error *error)
{
    struct key_file root = {0};
    bool has_root, has_intermediate, good;
    if (!read_optional(&root, folder, "root.pem", &has_root, error) ||
        !read_optional(&authority->intermediate, folder, "intermediate.pem", &has_intermediate,
                       error)) {
        key_file_fini(&root);
        return false;
    }
    bool is_new = !has_root && !has_intermediate && !key_file_exists(folder, "roots.pem");
    if (is_new)
        has_root = good = make_root(folder, authority->trust_domain, now_s, &root, error);
    else
        good = !has_root || check_root(&root, authority->trust_domain, folder, now_s, error);
    good = good && (!has_intermediate ||
                    check_domain(&authority->intermediate, authority->trust_domain, folder, error));
    good = good && read_roots(authority, folder, has_root ? &root : NULL, error);
    if (good && !has_root)
        good = accept_without_root(authority, folder, has_intermediate, now_s, error);
    else if (good && (!has_intermediate || authority_renew_s(authority) <= now_s ||
                      !is_signed_by(&authority->intermediate, &root)))
        good = replace_intermediate(authority, folder, &root, now_s, error);
    key_file_fini(&root);
    return good;
}

bool authority_open(const char *folder, const char *trust_domain, int64_t now_s,
                    struct authority **out, struct error *error)
{
    if (!trust_domain_is_valid(slice_str(trust_domain)))
        return error_set(error, NULL,
                         "\"%s\" is no trust domain: lower-case letters, digits, '.', '-' and '_'",
                         trust_domain);
    owned(authority) authority = mem_new(struct authority);
    authority->trust_domain = str_copy(trust_domain);
    int lock;
    if (!key_file_lock(folder, &lock, error))
        return false;
    bool good = open_keys(authority, folder, now_s, error);
    close(lock);
    if (!good)
        return false;
    certificate_write_pem(buffer_slice(&authority->intermediate.der), &authority->chain);
    *out = give(authority);
    return true;
}

/* Signing. */

static bool is_dns_name(struct slice name)
{
    if (name.size == 0 || name.size > 253 || name.data[0] == '.' || name.data[name.size - 1] == '.')
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool plain =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!plain && !(c == '*' && i == 0))
            return false;
    }
    return true;
}

static bool check_names(const struct authority *authority, const struct authority_order *order,
                        struct error *error)
{
    struct spiffe_id id;
    const char *why;
    if (!spiffe_id_parse(order->spiffe_id, &id, &why))
        return error_set(error, NULL, "the identity to certify is no SPIFFE ID: %s", why);
    if (!slice_equals_str(id.trust_domain, authority->trust_domain))
        return error_set(error, NULL, "the identity to certify is of trust domain %.*s, ours is %s",
                         SLICE_ARG(id.trust_domain), authority->trust_domain);
    if (order->dns_count > AUTHORITY_DNS_NAMES_MAX)
        return error_set(error, NULL, "more than %d DNS names are asked for",
                         AUTHORITY_DNS_NAMES_MAX);
    for (size_t i = 0; i < order->dns_count; i++) {
        if (!is_dns_name(order->dns_names[i]))
            return error_set(error, NULL, "DNS name %zu is none", i + 1);
    }
    return true;
}

static int64_t end_of(const struct authority *authority, int64_t asked_s, int64_t now_s)
{
    int64_t lifetime_s = asked_s > 0 ? MIN(asked_s, (int64_t)AUTHORITY_LEAF_LIFETIME_MAX_S)
                                     : AUTHORITY_LEAF_LIFETIME_S;
    return MIN(now_s + lifetime_s, authority->intermediate.not_after_s);
}

bool authority_sign(const struct authority *authority, const struct authority_order *order,
                    int64_t now_s, struct authority_issued *issued, struct error *error)
{
    struct certificate_request request = {0};
    if (authority->intermediate.not_after_s <= now_s) {
        error_set(error, NULL, "the intermediate certificate has expired");
        error_fix(error, "put root.pem back so that a new one can be made");
        return false;
    }
    if (!check_names(authority, order, error) ||
        !certificate_request_parse(order->request, &request, error))
        return false;
    struct certificate_spec spec = {
        .kind = CERTIFICATE_LEAF,
        .uri = order->spiffe_id,
        .dns_names = order->dns_names,
        .dns_count = order->dns_count,
        .public_key = buffer_slice(&request.public_key),
        .not_before_s = now_s - AUTHORITY_BACKDATE_S,
        .not_after_s = end_of(authority, order->lifetime_s, now_s),
    };
    random_secret(spec.serial, sizeof(spec.serial));
    bool good = certificate_issue(&spec, buffer_slice(&authority->intermediate.der),
                                  authority->intermediate.key, &issued->der, error);
    certificate_request_fini(&request);
    issued->not_before_s = spec.not_before_s;
    issued->not_after_s = spec.not_after_s;
    certificate_serial(spec.serial, issued->serial);
    return good;
}
