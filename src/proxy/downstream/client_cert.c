#include "proxy/downstream/client_cert.h"

#include "base/arena.h"
#include "http/header.h"
#include "tls/identity.h"

#include <string.h>

/* Measures when `text` is NULL, so that one pass sizes what the next one writes. */
struct element {
    char *text;
    size_t size;
};

static void put(struct element *element, struct slice bytes)
{
    if (element->text && bytes.size > 0)
        memcpy(element->text + element->size, bytes.data, bytes.size);
    element->size += bytes.size;
}

/* Between quotes, with what would end them escaped. */
static void put_quoted(struct element *element, struct slice bytes)
{
    put(element, SLICE("\""));
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] == '"' || bytes.data[i] == '\\')
            put(element, SLICE("\\"));
        put(element, slice_of(bytes.data + i, 1));
    }
    put(element, SLICE("\""));
}

static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c >= 0x7f || c == ',' || c == ';' || c == '=' || c == '"')
            return false;
    }
    return true;
}

static bool is_field_text(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < ' ' || c == 0x7f)
            return false;
    }
    return true;
}

static void put_names(struct element *element, const struct peer_identity *peer, enum san_kind kind,
                      struct slice key)
{
    bool any = false;
    for (uint32_t i = 0; i < peer->san_count; i++) {
        const struct san *san = &peer->sans[i];
        if (san->kind != kind || !is_field_text(san->text))
            continue;
        any = true;
        put(element, key);
        if (is_plain(san->text))
            put(element, san->text);
        else
            put_quoted(element, san->text);
    }
    if (!any && kind == SAN_URI)
        put(element, key);
}

static void write_element(struct element *element, const struct hcm *hcm,
                          const struct peer_identity *peer)
{
    static const char digits[] = "0123456789abcdef";
    put(element, SLICE("Hash="));
    for (size_t i = 0; i < CERTIFICATE_HASH_BYTES; i++) {
        uint8_t byte = peer->certificate_hash[i];
        const char hex[] = {digits[byte >> 4], digits[byte & 15]};
        put(element, slice_of(hex, 2));
    }
    if (hcm->cert_subject && is_field_text(peer->subject)) {
        put(element, SLICE(";Subject="));
        put_quoted(element, peer->subject);
    }
    if (hcm->cert_uri)
        put_names(element, peer, SAN_URI, SLICE(";URI="));
    if (hcm->cert_dns)
        put_names(element, peer, SAN_DNS, SLICE(";DNS="));
}

__attribute__((noinline)) static bool set_element(const struct hcm *hcm,
                                                  const struct peer_identity *peer,
                                                  struct headers *headers, struct arena *arena)
{
    struct slice before = hcm->client_cert == HCM_CERT_APPEND
                              ? headers_joined(headers, SLICE("x-forwarded-client-cert"), arena)
                              : SLICE_NONE;
    struct element element = {0};
    write_element(&element, hcm, peer);
    size_t comma = before.size > 0 ? 1 : 0;
    char *text = arena_try_alloc(arena, before.size + comma + element.size);
    if (!text)
        return false;
    element = (struct element){.text = text};
    put(&element, before);
    put(&element, slice_first(SLICE(","), comma));
    write_element(&element, hcm, peer);
    return headers_set_id(headers, arena, HEADER_X_FORWARDED_CLIENT_CERT,
                          slice_of(text, element.size));
}

bool client_cert_forward(const struct hcm *hcm, const struct peer_identity *peer,
                         struct headers *headers, struct arena *arena)
{
    if (hcm->client_cert == HCM_CERT_ALWAYS_FORWARD ||
        (peer && hcm->client_cert == HCM_CERT_FORWARD))
        return true;
    if (peer && (hcm->client_cert == HCM_CERT_APPEND || hcm->client_cert == HCM_CERT_SET))
        return set_element(hcm, peer, headers, arena);
    headers_remove_id(headers, HEADER_X_FORWARDED_CLIENT_CERT);
    return true;
}
