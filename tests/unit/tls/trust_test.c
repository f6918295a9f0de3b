#include "test.h"
#include "tls/pki.h"

#include "tls/trust_internal.h"

TEST(bundles_are_read_and_found_by_domain)
{
    struct pki a = pki_root("spiffe://a"), b = pki_root("spiffe://b"), web = pki_root("");
    struct buffer pem = {0};
    certificate_write_pem(buffer_slice(&b.der), &pem);
    certificate_write_pem(buffer_slice(&a.der), &pem);
    struct trust_source sources[] = {
        {.trust_domain = SLICE("a"), .roots = buffer_slice(&a.der)},
        {.trust_domain = SLICE("b"), .roots = buffer_slice(&pem)},
        {.roots = buffer_slice(&web.der)},
    };
    struct tls_trust *trust;
    CHECK(tls_trust_create(sources, 2, &trust, NULL));
    CHECK(trust_index_for(trust, SLICE("a")) == 0 && trust_index_for(trust, SLICE("b")) == 1);
    CHECK(trust->domains[1].root_count == 2);
    CHECK(trust_index_for(trust, SLICE("c")) == SIZE_MAX &&
          trust_index_for(trust, SLICE_NONE) == SIZE_MAX);
    tls_trust_unref(trust);
    CHECK(tls_trust_create(sources, 3, &trust, NULL));
    CHECK(trust_index_for(trust, SLICE("a")) == 0, "the own roots, not those for all");
    CHECK(trust_index_for(trust, SLICE("c")) == 2 && trust_index_for(trust, SLICE_NONE) == 2);
    tls_trust_unref(trust);
    buffer_fini(&pem);
    pki_fini(&a);
    pki_fini(&b);
    pki_fini(&web);
}

TEST(the_generation_is_of_the_content)
{
    struct pki a = pki_root("spiffe://a"), b = pki_root("spiffe://b");
    struct tls_trust *first = pki_trust(&a, "td"), *same = pki_trust(&a, "td"),
                     *other = pki_trust(&b, "td"), *renamed = pki_trust(&a, "td2"),
                     *nameless = pki_trust(&a, NULL);
    CHECK(hash128_equals(tls_trust_generation(first), tls_trust_generation(same)));
    CHECK(!hash128_equals(tls_trust_generation(first), tls_trust_generation(other)));
    CHECK(!hash128_equals(tls_trust_generation(first), tls_trust_generation(renamed)));
    CHECK(!hash128_equals(tls_trust_generation(first), tls_trust_generation(nameless)));
    struct tls_trust *all[] = {first, same, other, renamed, nameless};
    EACH (one, all)
        tls_trust_unref(*one);
    pki_fini(&a);
    pki_fini(&b);
}

TEST(what_is_no_bundle_is_refused)
{
    struct pki a = pki_root("spiffe://a");
    struct slice good = buffer_slice(&a.der);
    const struct {
        struct trust_source sources[2];
        size_t count;
        const char *says;
    } rows[] = {
        {{{.trust_domain = SLICE("a"), .roots = SLICE_NONE}}, 1, "no CERTIFICATE"},
        {{{.trust_domain = SLICE("a"), .roots = SLICE("hello")}}, 1, "no CERTIFICATE"},
        {{{.trust_domain = SLICE("a"), .roots = SLICE("\x30\x02\x05\x00")}}, 1, "malformed"},
        {{{.trust_domain = SLICE("A"), .roots = good}}, 1, "trust domain is not one"},
        {{{.trust_domain = SLICE("a"), .roots = good}, {.trust_domain = SLICE("a"), .roots = good}},
         2,
         "two sources"},
        {{{.roots = good}, {.roots = good}}, 2, "two sources"},
        {{{.trust_domain = SLICE("a"), .roots = good, .revoked = SLICE("hello")}},
         1,
         "no X509 CRL"},
        {{{.trust_domain = SLICE("a"), .roots = good, .revoked = SLICE("\x30\x02\x05\x00")}},
         1,
         "malformed"},
        {{{.roots = good}}, 0, "1 to 100 sources"},
    };
    EACH (row, rows) {
        struct tls_trust *trust = NULL;
        struct error error = {0};
        CHECK(!tls_trust_create(row->sources, row->count, &trust, &error), "%s", row->says);
        CHECK(strstr(error.what, row->says), "'%s' in '%s'", row->says, error.what);
        error_fini(&error);
    }
    pki_fini(&a);
}

TEST(a_root_too_many_is_refused)
{
    struct pki a = pki_root("spiffe://a");
    struct buffer pem = {0}, many = {0};
    struct tls_trust *trust;
    struct error error = {0};
    certificate_write_pem(buffer_slice(&a.der), &pem);
    for (int i = 0; i < TRUST_ROOTS_MAX; i++)
        buffer_append_slice(&many, buffer_slice(&pem));
    struct trust_source source = {.roots = buffer_slice(&many)};
    CHECK(tls_trust_create(&source, 1, &trust, &error), "%s", error.what);
    tls_trust_unref(trust);
    buffer_append_slice(&many, buffer_slice(&pem));
    source.roots = buffer_slice(&many);
    CHECK(!tls_trust_create(&source, 1, &trust, &error) && strstr(error.what, "more than 1000"),
          "%s", error.what);
    error_fini(&error);
    buffer_fini(&pem);
    buffer_fini(&many);
    pki_fini(&a);
}

TEST(the_systems_roots_are_read_or_missed_with_a_remedy)
{
    struct tls_trust *trust = NULL;
    struct error error = {0};
    if (tls_trust_create_system(&trust, &error))
        CHECK(trust->count == 1 && trust->domains[0].root_count > 10 && !trust->domains[0].domain);
    else
        CHECK(error.where && strstr(error.fix, "ca-certificates"), "%s", error.what);
    tls_trust_unref(trust);
    error_fini(&error);
}
