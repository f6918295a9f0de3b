#include "control/api/access_internal.h"

#include "base/memory.h"
#include "base/random.h"
#include "tls/certificate.h"
#include "tls/context.h"
#include "tls/key_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 64 << 10,
    LIFE_S = 10 * 365 * 86400,
    SPARE_S = 30 * 86400, /* renewed at a start that close to the end */
    TOKEN_BYTES = 32,
    TOKEN_TEXT = 43,
};

/* Whole and in one step, so that nobody reads half of it; 0600 from the beginning. */
static bool write_private(const char *path, struct slice text, struct error *error)
{
    owned_str next = str_format("%s.new", path);
    unlink(next);
    int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (size_t done = 0; good && done < text.size;) {
        ssize_t wrote = write(fd, text.data + done, text.size - done);
        if (wrote > 0)
            done += (size_t)wrote;
        else
            good = wrote < 0 && errno == EINTR;
    }
    good = good && fsync(fd) == 0;
    int failure = errno;
    if (fd >= 0)
        close(fd);
    if (good && rename(next, path) == 0)
        return true;
    failure = good ? errno : failure;
    return error_set(error, NULL, "cannot write %s: %s", path, strerror(failure));
}

/* --- the certificate --------------------------------------------------------------------------------------------- */

static bool issue(enum certificate_kind kind, const struct key_pair *key, const char *name,
                  struct slice issuer, const struct key_pair *issuer_key, int64_t now_s,
                  struct buffer *der, struct error *error)
{
    owned_buffer public_key = {0};
    struct slice dns = SLICE("localhost");
    struct certificate_spec spec = {.kind = kind,
                                    .common_name = slice_str(name),
                                    .dns_names = &dns,
                                    .dns_count = kind == CERTIFICATE_LEAF ? 1 : 0,
                                    .not_before_s = now_s - 60,
                                    .not_after_s = now_s + LIFE_S};
    key_pair_write_public_der(key, &public_key);
    spec.public_key = buffer_slice(&public_key);
    random_secret(spec.serial, sizeof(spec.serial));
    return certificate_issue(&spec, issuer, issuer_key, der, error);
}

/* The leaf, its authority, and the leaf's key; the authority's own key is forgotten. */
static bool make_certificate(int64_t now_s, struct buffer *pem, struct error *error)
{
    owned(key_pair) root_key = key_pair_generate();
    owned(key_pair) key = key_pair_generate();
    owned_buffer root = {0}, leaf = {0};
    owned_key_buffer secret = {0};
    if (!issue(CERTIFICATE_ROOT, root_key, "tulled API", SLICE_NONE, root_key, now_s, &root,
               error) ||
        !issue(CERTIFICATE_LEAF, key, "", buffer_slice(&root), root_key, now_s, &leaf, error))
        return false;
    certificate_write_pem(buffer_slice(&leaf), pem);
    certificate_write_pem(buffer_slice(&root), pem);
    key_pair_write_pem(key, &secret);
    buffer_append_slice(pem, buffer_slice(&secret));
    return true;
}

/* The second certificate of the file, in PEM, and when the first ends; false when the file is none of ours. */
static bool read_certificate(struct slice pem, struct buffer *authority, int64_t *end_s)
{
    size_t cursor = 0;
    owned_buffer der = {0};
    owned_error error = {0};
    struct certificate_summary summary = {0};
    if (!certificate_next(pem, &cursor, &der, &error) ||
        !certificate_summarize(buffer_slice(&der), &summary, &error))
        return false;
    *end_s = summary.not_after_s;
    certificate_summary_fini(&summary);
    if (!certificate_next(pem, &cursor, &der, &error))
        return false;
    certificate_write_pem(buffer_slice(&der), authority);
    return true;
}

static bool load_certificate(const char *path, int64_t now_s, struct buffer *pem,
                             struct access *out, struct error *error)
{
    int64_t end_s = 0;
    if (buffer_read_file(pem, path, FILE_BYTES_MAX) == 0 &&
        read_certificate(buffer_slice(pem), &out->authority, &end_s) && end_s - now_s > SPARE_S)
        return true;
    buffer_reset(pem);
    buffer_reset(&out->authority);
    return make_certificate(now_s, pem, error) &&
           read_certificate(buffer_slice(pem), &out->authority, &end_s) &&
           write_private(path, buffer_slice(pem), error);
}

static bool open_tls(const char *data, int64_t now_s, struct access *out, struct error *error)
{
    owned_str path = str_format("%s/api.pem", data);
    owned_key_buffer pem = {0};
    static const struct slice alpn[] = {{"h2", 2}, {"http/1.1", 8}};
    if (!load_certificate(path, now_s, &pem, out, error))
        return false;
    struct slice text = buffer_slice(&pem);
    size_t key_at = slice_find(text, SLICE("-----BEGIN PRIVATE KEY"));
    if (key_at == SIZE_MAX)
        return error_set(error, NULL, "%s holds no private key; remove it", path);
    struct tls_certificate certificate = {.chain = slice_first(text, key_at),
                                          .key = slice_from(text, key_at)};
    struct tls_context_spec spec = {.role = TLS_SERVER,
                                    .name = "API",
                                    .certificates = &certificate,
                                    .certificate_count = 1,
                                    .min_version = TLS_1_2,
                                    .max_version = TLS_1_3,
                                    .alpn = alpn,
                                    .alpn_count = COUNT(alpn)};
    return tls_context_create(&spec, now_s, &out->tls, error);
}

/* --- the token --------------------------------------------------------------------------------------------------- */

static bool open_token(const char *data, struct access *out, struct error *error)
{
    owned_str path = str_format("%s/api.token", data);
    owned_key_buffer text = {0};
    if (buffer_read_file(&text, path, FILE_BYTES_MAX) != 0 || text.size != TOKEN_TEXT) {
        uint8_t secret[TOKEN_BYTES];
        random_secret(secret, sizeof(secret));
        buffer_reset(&text);
        buffer_append_base64(&text, slice_of(secret, sizeof(secret)), true);
        secret_wipe(secret, sizeof(secret));
        if (!write_private(path, buffer_slice(&text), error))
            return false;
    }
    memcpy(out->token, text.data, TOKEN_TEXT);
    out->token[TOKEN_TEXT] = '\0';
    return true;
}

bool access_open(const char *data, int64_t now_s, struct access *out, struct error *error)
{
    *out = (struct access){.tls = NULL};
    if (open_tls(data, now_s, out, error) && open_token(data, out, error))
        return true;
    access_fini(out);
    return false;
}

void access_fini(struct access *access)
{
    tls_context_unref(access->tls);
    buffer_fini(&access->authority);
    secret_wipe(access->token, sizeof(access->token));
    access->tls = NULL;
}

bool access_write_kubeconfig(const struct access *access, const char *data, uint16_t port,
                             struct error *error)
{
    owned_key_buffer text = {0};
    owned_str path = str_format("%s/kubeconfig", data);
    buffer_format(&text,
                  "apiVersion: v1\n"
                  "kind: Config\n"
                  "clusters:\n"
                  "- name: tulle\n"
                  "  cluster:\n"
                  "    server: https://127.0.0.1:%u\n"
                  "    tls-server-name: localhost\n"
                  "    certificate-authority-data: ",
                  port);
    buffer_append_base64(&text, buffer_slice(&access->authority), false);
    buffer_format(&text,
                  "\nusers:\n"
                  "- name: tulle\n"
                  "  user:\n"
                  "    token: %s\n"
                  "contexts:\n"
                  "- name: tulle\n"
                  "  context:\n"
                  "    cluster: tulle\n"
                  "    user: tulle\n"
                  "current-context: tulle\n",
                  access->token);
    return write_private(path, buffer_slice(&text), error);
}
