#include "test.h"
#include "tls/pki.h"

#include "tls/context_internal.h"

static struct tls_context *try(const struct tls_context_spec *spec, struct error *error)
{
    struct tls_context *context = NULL;
    return tls_context_create(spec, pki_now(), &context, error) ? context : NULL;
}

/* The leaf's PEM with an end that is no time: what stands there is not looked at before it is needed. */
static void write_endless(const struct pki *leaf, struct buffer *pem)
{
    owned_buffer der = {0};
    buffer_append_slice(&der, buffer_slice(&leaf->der));
    size_t times = 0;
    for (size_t i = 0; i + 15 <= der.size && times < 2; i++) {
        if (memcmp(der.data + i, "\x17\x0d", 2) == 0 && ++times == 2)
            der.data[i + 14] = '?';
    }
    CHECK(times == 2);
    certificate_write_pem(buffer_slice(&der), pem);
}

TEST(mistakes_are_told_with_their_remedy)
{
    struct pki root = pki_root("spiffe://td"), leaf = pki_leaf(&root, "spiffe://td/a"),
               other = pki_leaf(&root, "spiffe://td/b");
    struct certificate_spec past_spec = pki_spec(CERTIFICATE_LEAF, "spiffe://td/a");
    past_spec.not_before_s = pki_now() - 2 * DAY_S;
    past_spec.not_after_s = pki_now() - DAY_S;
    struct pki past = pki_issue(&root, past_spec);
    struct buffer wrong_order = {0}, many = {0}, endless = {0};
    write_endless(&leaf, &endless);
    certificate_write_pem(buffer_slice(&root.der), &wrong_order);
    buffer_append_slice(&wrong_order, buffer_slice(&leaf.chain));
    for (int i = 0; i <= TLS_CHAIN_MAX; i++)
        buffer_append_slice(&many, buffer_slice(&leaf.chain));
    struct slice leaf_pem = buffer_slice(&leaf.chain), key_pem = buffer_slice(&leaf.key_pem);
    struct {
        struct tls_certificate certificate;
        const char *what, *fix;
    } rows[] = {
        {{leaf_pem, buffer_slice(&other.key_pem)},
         "does not belong to the certificate",
         "requested with"},
        {{buffer_slice(&wrong_order), key_pem}, "belongs to certificate 2", "leaf first"},
        {{buffer_slice(&past.chain), buffer_slice(&past.key_pem)}, "has expired on 20", "renew"},
        {{buffer_slice(&endless), key_pem}, "has expired on 0001-01-01", "renew"},
        {{SLICE("not PEM"), key_pem}, "no certificate in PEM", "PEM text with the leaf"},
        {{SLICE_NONE, key_pem}, "no certificate in PEM", "PEM text with the leaf"},
        {{leaf_pem, SLICE("not PEM")}, "no private key", "PEM text with a private key"},
        {{leaf_pem, SLICE_NONE}, "no private key", "PEM text with a private key"},
        {{SLICE("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"), key_pem},
         "malformed",
         NULL},
        {{buffer_slice(&many), key_pem}, "more than 10 certificates", NULL},
    };
    EACH (row, rows) {
        struct error error = {0};
        struct tls_context_spec spec = {.role = TLS_SERVER,
                                        .name = "secret default",
                                        .certificates = &row->certificate,
                                        .certificate_count = 1};
        CHECK(!try(&spec, &error), "%s", row->what);
        CHECK(strstr(error.what, row->what), "'%s' in '%s'", row->what, error.what);
        CHECK(slice_starts_with(slice_str(error.what), SLICE("secret default: ")), "%s",
              error.what);
        CHECK(!row->fix || strstr(error.fix, row->fix), "'%s' in '%s'", row->fix, error.fix);
        error_fini(&error);
    }
    buffer_fini(&wrong_order);
    buffer_fini(&many);
    buffer_fini(&endless);
    pki_fini(&root);
    pki_fini(&leaf);
    pki_fini(&other);
    pki_fini(&past);
}

TEST(parameters_are_checked)
{
    struct pki root = pki_root("spiffe://td"), leaf = pki_leaf(&root, "spiffe://td/a");
    struct tls_certificate certificate = {buffer_slice(&leaf.chain), buffer_slice(&leaf.key_pem)};
    char long_name[300];
    memset(long_name, 'x', sizeof(long_name));
    struct slice empty[] = {SLICE("")}, overlong[] = {slice_of(long_name, TLS_ALPN_BYTES_MAX + 1)},
                 longest[] = {slice_of(long_name, TLS_ALPN_BYTES_MAX)}, many[TLS_ALPN_MAX + 1];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = SLICE("h2");
    const struct {
        struct tls_context_spec spec;
        const char *what; /* NULL: good */
    } rows[] = {
        {{.role = TLS_SERVER}, "needs a certificate"},
        {{.role = TLS_CLIENT}, NULL},
        {{.role = TLS_CLIENT, .min_version = TLS_1_3, .max_version = TLS_1_2},
         "lowest TLS version"},
        {{.role = TLS_CLIENT, .min_version = TLS_1_2, .max_version = TLS_1_2}, NULL},
        {{.role = TLS_CLIENT, .ciphers = "ECDHE-RSA-AES128-SHA:AES256-SHA"},
         "none of the TLS 1.2 cipher suites"},
        {{.role = TLS_CLIENT,
          .ciphers = "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:AES256-SHA"},
         NULL},
        {{.role = TLS_CLIENT, .clock_skew_s = 61}, "skew"},
        {{.role = TLS_CLIENT, .clock_skew_s = 60}, NULL},
        {{.role = TLS_CLIENT, .alpn = empty, .alpn_count = 1}, "ALPN"},
        {{.role = TLS_CLIENT, .alpn = overlong, .alpn_count = 1}, "ALPN"},
        {{.role = TLS_CLIENT, .alpn = longest, .alpn_count = 1}, NULL},
        {{.role = TLS_CLIENT, .alpn = many, .alpn_count = TLS_ALPN_MAX + 1}, "ALPN"},
        {{.role = TLS_CLIENT, .alpn = many, .alpn_count = TLS_ALPN_MAX}, NULL},
        {{.role = TLS_SERVER,
          .certificates = &certificate,
          .certificate_count = 1,
          .peer_certificate = TLS_PEER_REQUIRED},
         "no trust bundle"},
        {{.role = TLS_SERVER, .certificates = &certificate, .certificate_count = 1}, NULL},
    };
    EACH (row, rows) {
        struct error error = {0};
        struct tls_context *context = try(&row->spec, &error);
        CHECK((context != NULL) == (row->what == NULL), "%s", error.what ? error.what : "accepted");
        CHECK(!row->what || strstr(error.what, row->what), "'%s' in '%s'", row->what, error.what);
        tls_context_unref(context);
        error_fini(&error);
    }
    pki_fini(&root);
    pki_fini(&leaf);
}

TEST(certificates_may_come_in_der_and_expiry_is_the_first_of_the_chain)
{
    struct pki root = pki_root("spiffe://td");
    struct certificate_spec middle_spec = pki_spec(CERTIFICATE_INTERMEDIATE, "spiffe://td");
    middle_spec.not_after_s = pki_now() + 1000;
    struct pki middle = pki_issue(&root, middle_spec), leaf = pki_leaf(&middle, "spiffe://td/a");
    struct buffer key = {0};
    key_pair_write_der(leaf.key, &key);
    struct tls_certificate forms[] = {{buffer_slice(&leaf.der), buffer_slice(&key)},
                                      {buffer_slice(&leaf.chain), buffer_slice(&leaf.key_pem)}};
    struct tls_context_spec spec = {
        .role = TLS_SERVER, .certificates = &forms[0], .certificate_count = 1};
    struct tls_context *context = try(&spec, NULL);
    CHECK(context && tls_context_expiry_s(context) == pki_now() + DAY_S);
    tls_context_unref(context);
    spec.certificates = &forms[1];
    context = try(&spec, NULL);
    CHECK(context && tls_context_expiry_s(context) == pki_now() + 1000);
    CHECK(tls_context_role(context) == TLS_SERVER);
    tls_context_unref(context);
    key_buffer_fini(&key);
    pki_fini(&root);
    pki_fini(&middle);
    pki_fini(&leaf);
}

TEST(the_policy_follows_what_decides_about_peers_and_nothing_else)
{
    struct pki root = pki_root("spiffe://td"), leaf = pki_leaf(&root, "spiffe://td/a"),
               renewed = pki_leaf(&root, "spiffe://td/a"), second = pki_root("spiffe://td");
    struct tls_trust *trust = pki_trust(&root, "td"), *same = pki_trust(&root, "td"),
                     *other = pki_trust(&second, "td"), *elsewhere = pki_trust(&root, "td2");
    struct tls_context *first = pki_context(TLS_SERVER, &leaf, trust, NULL),
                       *again = pki_context(TLS_SERVER, &renewed, same, NULL),
                       *changed = pki_context(TLS_SERVER, &leaf, other, NULL),
                       *moved = pki_context(TLS_SERVER, &leaf, elsewhere, NULL),
                       *client = pki_context(TLS_CLIENT, &leaf, trust, NULL);
    struct hash128 policy = tls_context_policy(first);
    CHECK(hash128_equals(policy, tls_context_policy(again)),
          "a rotation of the leaf, and an equal bundle");
    CHECK(!hash128_equals(policy, tls_context_policy(changed)), "another root");
    CHECK(!hash128_equals(policy, tls_context_policy(moved)), "another domain");
    CHECK(!hash128_equals(policy, tls_context_policy(client)), "another role");
    struct tls_context *all[] = {first, again, changed, moved, client};
    EACH (one, all)
        tls_context_unref(*one);
    struct tls_trust *sets[] = {trust, same, other, elsewhere};
    EACH (one, sets)
        tls_trust_unref(*one);
    pki_fini(&root);
    pki_fini(&leaf);
    pki_fini(&renewed);
    pki_fini(&second);
}

TEST(ticket_keys_are_random_renewed_and_dropped)
{
    struct tls_ticket_keys *keys = tls_ticket_keys_create(), *others = tls_ticket_keys_create();
    struct ticket_key first = ticket_keys_current(keys, 1000),
                      other = ticket_keys_current(others, 1000), found;
    static const struct ticket_key zero;
    CHECK(memcmp(&first, &zero, sizeof(zero)) != 0 && memcmp(&first, &other, sizeof(first)) != 0);
    struct ticket_key same = ticket_keys_current(keys, 1000 + 6 * 3600 - 1);
    CHECK(memcmp(&first, &same, sizeof(first)) == 0);
    struct ticket_key second = ticket_keys_current(keys, 1000 + 6 * 3600);
    CHECK(memcmp(&first, &second, sizeof(first)) != 0);
    CHECK(ticket_keys_find(keys, 1000 + 6 * 3600, first.name, &found) &&
          memcmp(&found, &first, sizeof(first)) == 0);
    CHECK(!ticket_keys_find(keys, 1000 + 12 * 3600, first.name, &found), "twelve hours at most");
    CHECK(ticket_keys_find(keys, 1000 + 12 * 3600, second.name, &found));
    CHECK(!ticket_keys_find(keys, 1000 + 40 * 3600, second.name, &found), "after a long sleep");
    CHECK(!ticket_keys_find(keys, 1000 + 40 * 3600, other.name, &found));
    tls_ticket_keys_unref(keys);
    tls_ticket_keys_unref(others);
}
