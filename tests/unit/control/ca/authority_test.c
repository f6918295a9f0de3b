#include "test.h"

#include "base/memory.h"
#include "control/ca/authority.h"
#include "tls/certificate.h"
#include "tls/identity.h"
#include "tls/key_pair.h"
#include "tls/trust.h"

#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* An authority in a folder of its own. */
struct place {
    char folder[64];
    int64_t now_s;
    struct key_pair *key;
    struct buffer request;
};

static void place_start(struct place *place)
{
    *place = (struct place){.now_s = (int64_t)time(NULL), .key = key_pair_generate()};
    snprintf(place->folder, sizeof(place->folder), "/tmp/tulle-ca-XXXXXX");
    CHECK(mkdtemp(place->folder) != NULL);
    CHECK(key_pair_request(place->key, SLICE("spiffe://cluster.local/ns/evil/sa/evil"),
                           &place->request, NULL));
}

static void remove_file(const struct place *place, const char *name)
{
    owned_str path = str_format("%s/%s", place->folder, name);
    unlink(path);
}

static void place_stop(struct place *place)
{
    static const char *const names[] = {"root.pem", "intermediate.pem", "roots.pem", "kept.pem"};
    EACH (name, names)
        remove_file(place, *name);
    CHECK(rmdir(place->folder) == 0, "nothing else was left there");
    key_pair_destroy(place->key);
    buffer_fini(&place->request);
}

static struct authority *open_at(const struct place *place, int64_t now_s)
{
    struct authority *authority = NULL;
    struct error error = {0};
    CHECK(authority_open(place->folder, "cluster.local", now_s, &authority, &error), "%s",
          error.what);
    return authority;
}

static void check_refused(const struct place *place, const char *domain, int64_t now_s,
                          const char *what, const char *fix)
{
    struct authority *authority = NULL;
    struct error error = {0};
    CHECK(!authority_open(place->folder, domain, now_s, &authority, &error), "%s", what);
    CHECK(strstr(error.what, what), "'%s' in '%s'", what, error.what);
    CHECK(!fix || (error.fix && strstr(error.fix, fix)), "'%s' in '%s'", fix, error.fix);
    error_fini(&error);
}

static struct buffer content(const struct place *place, const char *name)
{
    owned_str path = str_format("%s/%s", place->folder, name);
    struct buffer text = {0};
    CHECK(buffer_read_file(&text, path, 1 << 20) == 0, "%s", path);
    return text;
}

static mode_t mode_of(const struct place *place, const char *name)
{
    owned_str path = str_format("%s/%s", place->folder, name);
    struct stat about;
    CHECK(stat(path, &about) == 0);
    return about.st_mode & 0777;
}

static X509 *first_certificate(struct slice pem)
{
    struct buffer der = {0};
    size_t cursor = 0;
    CHECK(certificate_next(pem, &cursor, &der, NULL));
    const unsigned char *at = (const unsigned char *)der.data;
    X509 *certificate = d2i_X509(NULL, &at, (long)der.size);
    buffer_fini(&der);
    return certificate;
}

/* OpenSSL's own opinion. */
static void check_path(const struct authority *authority, struct slice leaf_der, int64_t now_s)
{
    const unsigned char *at = (const unsigned char *)leaf_der.data;
    X509 *leaf = d2i_X509(NULL, &at, (long)leaf_der.size),
         *middle = first_certificate(authority_chain(authority)),
         *root = first_certificate(authority_roots(authority));
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *path = X509_STORE_CTX_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    sk_X509_push(others, middle);
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(path, store, leaf, others);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(path);
    X509_VERIFY_PARAM_set_time(param, now_s);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    CHECK(X509_verify_cert(path) == 1, "%s",
          X509_verify_cert_error_string(X509_STORE_CTX_get_error(path)));
    X509_STORE_CTX_free(path);
    X509_STORE_free(store);
    sk_X509_free(others);
    X509_free(leaf);
    X509_free(middle);
    X509_free(root);
}

TEST(the_first_start_makes_keys_that_only_the_owner_reads)
{
    struct place place;
    place_start(&place);
    struct authority *authority = open_at(&place, place.now_s);
    CHECK(mode_of(&place, "root.pem") == 0600 && mode_of(&place, "intermediate.pem") == 0600);
    CHECK(mode_of(&place, "roots.pem") == 0644);
    struct buffer roots = content(&place, "roots.pem");
    CHECK(slice_equals(buffer_slice(&roots), authority_roots(authority)));
    CHECK(slice_find(buffer_slice(&roots), SLICE("PRIVATE")) == SIZE_MAX);
    CHECK(authority_expiry_s(authority) == place.now_s + AUTHORITY_INTERMEDIATE_LIFETIME_S);
    CHECK(!authority_warning(authority));
    X509 *root = first_certificate(authority_roots(authority));
    CHECK(X509_check_ca(root) == 1);
    ASN1_TIME *end = ASN1_TIME_set(NULL, place.now_s + AUTHORITY_ROOT_LIFETIME_S);
    CHECK(ASN1_TIME_compare(X509_get0_notAfter(root), end) == 0);
    ASN1_TIME_free(end);
    X509_free(root);
    buffer_fini(&roots);
    authority_destroy(authority);
    place_stop(&place);
}

TEST(a_restart_makes_no_second_root)
{
    struct place place;
    place_start(&place);
    authority_destroy(open_at(&place, place.now_s));
    struct buffer root = content(&place, "root.pem"), middle = content(&place, "intermediate.pem");
    for (int day = 0; day < 200; day += 10) {
        struct authority *authority = open_at(&place, place.now_s + day * 86400);
        struct buffer again = content(&place, "root.pem"),
                      now = content(&place, "intermediate.pem");
        CHECK(slice_equals(buffer_slice(&root), buffer_slice(&again)), "day %d", day);
        CHECK(slice_equals(buffer_slice(&middle), buffer_slice(&now)) == (day < 15), "day %d", day);
        CHECK(authority_expiry_s(authority) >= place.now_s + (day + 15) * 86400 - 60, "day %d",
              day);
        authority_destroy(authority);
        buffer_fini(&again);
        buffer_fini(&now);
    }
    buffer_fini(&root);
    buffer_fini(&middle);
    place_stop(&place);
}

TEST(what_is_not_whole_is_refused_and_nothing_is_made_in_its_stead)
{
    struct place place;
    place_start(&place);
    authority_destroy(open_at(&place, place.now_s));
    struct buffer root = content(&place, "root.pem"), middle = content(&place, "intermediate.pem");
    owned_str path = str_format("%s/root.pem", place.folder);
    check_refused(&place, "other.local", place.now_s,
                  "is of spiffe://cluster.local, not of spiffe://other.local",
                  "another data directory");
    check_refused(&place, "Cluster.local", place.now_s, "is no trust domain", NULL);
    CHECK(chmod(path, 0640) == 0);
    check_refused(&place, "cluster.local", place.now_s, "may be read by others", "chmod 600");
    CHECK(chmod(path, 0600) == 0);
    check_refused(&place, "cluster.local", place.now_s + AUTHORITY_ROOT_LIFETIME_S + 1,
                  "root certificate in", "clock");

    /* Every length that a torn write could leave, though writes are not torn. */
    for (size_t size = 0; size < root.size; size += 97) {
        CHECK(truncate(path, 0) == 0);
        FILE *file = fopen(path, "w");
        CHECK(fwrite(root.data, 1, size, file) == size && fclose(file) == 0);
        check_refused(&place, "cluster.local", place.now_s, "root.pem", "restore");
        struct buffer still = content(&place, "root.pem");
        CHECK(still.size == size, "it was not touched");
        buffer_fini(&still);
    }
    FILE *file = fopen(path, "w");
    CHECK(fwrite(middle.data, 1, middle.size, file) == middle.size && fclose(file) == 0);
    check_refused(&place, "cluster.local", place.now_s, "holds no root", NULL);
    CHECK(chmod(place.folder, 0777) == 0);
    check_refused(&place, "cluster.local", place.now_s, "others may write", "chmod 700");
    CHECK(chmod(place.folder, 0700) == 0);
    buffer_fini(&root);
    buffer_fini(&middle);
    place_stop(&place);
}

TEST(the_root_may_be_away_until_the_intermediate_is_due)
{
    struct place place;
    place_start(&place);
    authority_destroy(open_at(&place, place.now_s));
    owned_str path = str_format("%s/root.pem", place.folder);
    owned_str kept = str_format("%s/kept.pem", place.folder);
    CHECK(rename(path, kept) == 0);
    struct authority *authority = open_at(&place, place.now_s + 10 * 86400);
    CHECK(!authority_warning(authority));
    authority_destroy(authority);
    authority = open_at(&place, place.now_s + 20 * 86400);
    CHECK(authority_warning(authority) != NULL);
    authority_destroy(authority);
    check_refused(&place, "cluster.local", place.now_s + 31 * 86400,
                  "has expired, and the root is not there", "put root.pem back");
    CHECK(access(path, F_OK) != 0, "no new root");
    CHECK(rename(kept, path) == 0);
    authority = open_at(&place, place.now_s + 31 * 86400);
    CHECK(!authority_warning(authority));
    authority_destroy(authority);

    CHECK(rename(path, kept) == 0);
    remove_file(&place, "roots.pem");
    check_refused(&place, "cluster.local", place.now_s, "roots.pem is needed", NULL);
    remove_file(&place, "intermediate.pem");
    CHECK(rename(kept, path) == 0);
    authority_destroy(open_at(&place, place.now_s));
    place_stop(&place);
}

TEST(the_bundle_may_hold_other_roots_and_always_ours)
{
    struct place place, other;
    place_start(&place);
    place_start(&other);
    authority_destroy(open_at(&place, place.now_s));
    authority_destroy(open_at(&other, place.now_s));
    struct buffer ours = content(&place, "roots.pem"), theirs = content(&other, "roots.pem");
    owned_str path = str_format("%s/roots.pem", place.folder);
    FILE *file = fopen(path, "w");
    CHECK(fwrite(theirs.data, 1, theirs.size, file) == theirs.size && fclose(file) == 0);
    struct authority *authority = open_at(&place, place.now_s);
    CHECK(slice_starts_with(authority_roots(authority), buffer_slice(&ours)));
    CHECK(slice_ends_with(authority_roots(authority), buffer_slice(&theirs)));
    CHECK(authority_roots(authority).size == ours.size + theirs.size);
    authority_destroy(authority);
    buffer_fini(&ours);
    buffer_fini(&theirs);
    place_stop(&place);
    place_stop(&other);
}

TEST(a_leaf_says_who_was_authenticated_and_not_what_was_asked)
{
    struct place place;
    place_start(&place);
    struct authority *authority = open_at(&place, place.now_s);
    struct slice names[] = {SLICE("istiod.istio-system.svc"), SLICE("*.example.com")};
    struct authority_order order = {.request = buffer_slice(&place.request),
                                    .spiffe_id = SLICE("spiffe://cluster.local/ns/shop/sa/cart"),
                                    .dns_names = names,
                                    .dns_count = 2};
    struct authority_issued issued = {0};
    struct error error = {0};
    CHECK(authority_sign(authority, &order, place.now_s, &issued, &error), "%s", error.what);
    check_path(authority, buffer_slice(&issued.der), place.now_s);
    struct certificate_summary summary;
    CHECK(certificate_summarize(buffer_slice(&issued.der), &summary, NULL));
    CHECK(summary.san_count == 3 &&
          slice_equals_str(summary.sans[0].text, "spiffe://cluster.local/ns/shop/sa/cart"));
    CHECK(slice_equals(summary.sans[1].text, names[0]) &&
          slice_equals(summary.sans[2].text, names[1]));
    CHECK(summary.not_before_s == place.now_s - 60 && summary.not_after_s == place.now_s + 86400);
    CHECK(summary.not_before_s == issued.not_before_s && summary.not_after_s == issued.not_after_s);
    char serial[33];
    for (size_t i = 0; i < 16; i++)
        snprintf(serial + 2 * i, 3, "%02x", issued.serial[i]);
    CHECK(strcmp(serial, summary.serial) == 0, "%s and %s", serial, summary.serial);
    struct buffer certified = {0}, own = {0};
    CHECK(certificate_public_key(buffer_slice(&issued.der), &certified));
    key_pair_write_public_der(place.key, &own);
    CHECK(slice_equals(buffer_slice(&certified), buffer_slice(&own)), "the key of the request");
    certificate_summary_fini(&summary);
    buffer_fini(&certified);
    buffer_fini(&own);
    buffer_fini(&issued.der);
    authority_destroy(authority);
    place_stop(&place);
}

TEST(lifetimes_have_a_default_and_limits)
{
    static const struct {
        int64_t asked, given;
    } rows[] = {{0, 86400},
                {-1, 86400},
                {INT64_MIN, 86400},
                {1, 1},
                {3600, 3600},
                {20 * 86400, 20 * 86400},
                {89 * 86400, 30 * 86400}, /* the intermediate ends before */
                {INT64_MAX, 30 * 86400}};
    struct place place;
    place_start(&place);
    struct authority *authority = open_at(&place, place.now_s);
    EACH (row, rows) {
        struct authority_order order = {.request = buffer_slice(&place.request),
                                        .spiffe_id = SLICE("spiffe://cluster.local/a"),
                                        .lifetime_s = row->asked};
        struct authority_issued issued = {0};
        CHECK(authority_sign(authority, &order, place.now_s, &issued, NULL));
        CHECK(issued.not_after_s == place.now_s + row->given, "%lld", (long long)row->asked);
        buffer_fini(&issued.der);
    }
    struct authority_order late = {.request = buffer_slice(&place.request),
                                   .spiffe_id = SLICE("spiffe://cluster.local/a")};
    struct authority_issued issued = {0};
    CHECK(!authority_sign(authority, &late, place.now_s + 31 * 86400, &issued, NULL),
          "the intermediate has ended");
    buffer_fini(&issued.der);
    authority_destroy(authority);
    place_stop(&place);
}

TEST(orders_that_cannot_be_filled_say_why)
{
    struct place place;
    place_start(&place);
    struct authority *authority = open_at(&place, place.now_s);
    struct slice bad[] = {SLICE("a b")}, many[AUTHORITY_DNS_NAMES_MAX + 1];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = SLICE("a.example");
    struct slice request = buffer_slice(&place.request), id = SLICE("spiffe://cluster.local/a");
    const struct {
        struct authority_order order;
        const char *what;
    } rows[] = {
        {{.request = request, .spiffe_id = SLICE("spiffe://other.local/a")},
         "trust domain other.local"},
        {{.request = request, .spiffe_id = SLICE("cart")}, "no SPIFFE ID"},
        {{.request = SLICE("hello"), .spiffe_id = id}, "CERTIFICATE REQUEST"},
        {{.request = request, .spiffe_id = id, .dns_names = bad, .dns_count = 1}, "DNS name 1"},
        {{.request = request, .spiffe_id = id, .dns_names = many, .dns_count = COUNT(many)},
         "more than 20"},
    };
    EACH (row, rows) {
        struct authority_issued issued = {0};
        struct error error = {0};
        CHECK(!authority_sign(authority, &row->order, place.now_s, &issued, &error), "%s",
              row->what);
        CHECK(strstr(error.what, row->what), "'%s' in '%s'", row->what, error.what);
        error_fini(&error);
        buffer_fini(&issued.der);
    }
    authority_destroy(authority);
    place_stop(&place);
}
