#include "tls/known_certificates_internal.h"

#include "base/memory.h"
#include "base/slice.h"
#include "tls/x509_internal.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

struct known_certificate {
    struct list node;
    X509 *parsed; /* a reference */
    int64_t end_s;
    size_t size;
    char der[];
};

static __thread struct known_certificates *in_use;

void known_certificates_use(struct known_certificates *known)
{
    in_use = known;
}

void known_certificates_init(struct known_certificates *known)
{
    list_init(&known->recent);
    known->count = 0;
    known->found = 0;
}

static void forget(struct known_certificates *known, struct known_certificate *certificate)
{
    list_remove(&certificate->node);
    X509_free(certificate->parsed);
    mem_free(certificate);
    known->count--;
}

void known_certificates_trim(struct known_certificates *known, int64_t now_s)
{
    LIST_EACH_SAFE(node, after, &known->recent)
    {
        struct known_certificate *certificate = LIST_ENTRY(node, struct known_certificate, node);
        if (certificate->end_s < now_s)
            forget(known, certificate);
    }
}

void known_certificates_clear(struct known_certificates *known)
{
    LIST_EACH_SAFE(node, after, &known->recent)
    forget(known, LIST_ENTRY(node, struct known_certificate, node));
}

static void move_to_front(struct known_certificates *known, struct known_certificate *certificate)
{
    list_remove(&certificate->node);
    list_push_front(&known->recent, &certificate->node);
}

static X509 *find(struct known_certificates *known, struct slice der)
{
    LIST_EACH(node, &known->recent)
    {
        struct known_certificate *certificate = LIST_ENTRY(node, struct known_certificate, node);
        if (!slice_equals(der, slice_of(certificate->der, certificate->size)))
            continue;
        move_to_front(known, certificate);
        return certificate->parsed;
    }
    return NULL;
}

/* True, and it is the most recent, when it is kept already. */
static bool has(struct known_certificates *known, const X509 *parsed)
{
    LIST_EACH(node, &known->recent)
    {
        struct known_certificate *certificate = LIST_ENTRY(node, struct known_certificate, node);
        if (certificate->parsed != parsed)
            continue;
        move_to_front(known, certificate);
        return true;
    }
    return false;
}

static void keep(struct known_certificates *known, X509 *parsed)
{
    int size = i2d_X509(parsed, NULL);
    if (size <= 0 || size > KNOWN_CERTIFICATE_BYTES_MAX)
        return;
    while (known->count >= KNOWN_CERTIFICATES_MAX)
        forget(known, LIST_ENTRY(known->recent.prev, struct known_certificate, node));
    struct known_certificate *certificate = mem_alloc(sizeof(*certificate) + (size_t)size);
    unsigned char *to = (unsigned char *)certificate->der;
    certificate->size = (size_t)i2d_X509(parsed, &to);
    certificate->parsed = parsed;
    certificate->end_s = x509_time_s(X509_get0_notAfter(parsed));
    X509_up_ref(parsed);
    list_push_front(&known->recent, &certificate->node);
    known->count++;
}

void known_certificates_keep(struct known_certificates *known, const STACK_OF(X509) * chain)
{
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (!has(known, sk_X509_value(chain, i)))
            keep(known, sk_X509_value(chain, i));
}

/* --- in the place of libcrypto's ----------------------------------------------------------------------------- */

typedef X509 *parse_fn(X509 **to, const unsigned char **in, long size);
static parse_fn *parse;

static void find_parser(void)
{
    *(void **)&parse = dlsym(RTLD_NEXT, "d2i_X509");
    if (!parse)
        abort();
}

X509 *d2i_X509(X509 **to, const unsigned char **in, long size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    X509 *known = in_use && to && size > 0 ? find(in_use, slice_of(*in, (size_t)size)) : NULL;
    if (!known) {
        pthread_once(&once, find_parser);
        return parse(to, in, size);
    }
    in_use->found++;
    X509_up_ref(known);
    X509_free(*to);
    *to = known;
    *in += size;
    return known;
}
