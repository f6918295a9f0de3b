#include "tls/record_internal.h"

#include "base/memory.h"

#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdlib.h>

enum { RECORD_IV_FIXED = 4, SEAL_TOGETHER_MAX = 4096 };

struct cipher_loan {
    struct list node; /* in pool->lent */
    EVP_CIPHER_CTX *object;
    struct record_key *borrower;
    bool used; /* since the last trim */
};

void cipher_pool_init(struct cipher_pool *pool, OSSL_LIB_CTX *library)
{
    static const char *const names[RECORD_CIPHERS] = {"AES-128-GCM", "AES-256-GCM",
                                                      "ChaCha20-Poly1305"};
    *pool = (struct cipher_pool){0};
    list_init(&pool->lent);
    for (int i = 0; i < RECORD_CIPHERS; i++) {
        pool->kinds[i] = EVP_CIPHER_fetch(library, names[i], NULL);
        if (!pool->kinds[i])
            abort();
    }
}

static void free_loan(struct cipher_pool *pool, struct cipher_loan *loan)
{
    if (loan->borrower)
        loan->borrower->loan = NULL;
    list_remove(&loan->node);
    EVP_CIPHER_CTX_free(loan->object); /* wipes */
    mem_free(loan);
    pool->count--;
}

void cipher_pool_trim(struct cipher_pool *pool)
{
    LIST_EACH_SAFE(node, after, &pool->lent)
    {
        struct cipher_loan *loan = LIST_ENTRY(node, struct cipher_loan, node);
        if (!loan->used)
            free_loan(pool, loan);
        else
            loan->used = false;
    }
}

void cipher_pool_fini(struct cipher_pool *pool)
{
    LIST_EACH_SAFE(node, after, &pool->lent)
    free_loan(pool, LIST_ENTRY(node, struct cipher_loan, node));
    for (int i = 0; i < RECORD_CIPHERS; i++)
        EVP_CIPHER_free(pool->kinds[i]);
}

static struct cipher_loan *new_loan(struct cipher_pool *pool)
{
    if (pool->count == CIPHERS_LENT_MAX) {
        struct cipher_loan *oldest = LIST_ENTRY(pool->lent.prev, struct cipher_loan, node);
        if (oldest->borrower)
            oldest->borrower->loan = NULL;
        return oldest;
    }
    struct cipher_loan *loan = mem_new(struct cipher_loan);
    loan->object = EVP_CIPHER_CTX_new();
    if (!loan->object)
        abort();
    list_init(&loan->node);
    pool->count++;
    return loan;
}

/*
 * OpenSSL looks every parameter of a cipher up by its name, and asks the nonce's size so for each nonce: 630 instructions.
 * For opening, AES-GCM takes the part of the nonce that changes and the tag together, once the fixed part is known.
 */
static bool takes_nonce_in_parts(const struct record_key *key)
{
    return !key->seals && key->cipher != RECORD_CHACHA20_POLY1305;
}

/* The cipher object with this key in it. */
static EVP_CIPHER_CTX *borrow(struct cipher_pool *pool, struct record_key *key)
{
    struct cipher_loan *loan = key->loan;
    if (!loan) {
        loan = new_loan(pool);
        loan->borrower = key;
        key->loan = loan;
        if (!EVP_CipherInit_ex2(loan->object, pool->kinds[key->cipher], key->key, NULL, key->seals,
                                NULL))
            abort(); /* a fixed algorithm and a key of its size */
        if (takes_nonce_in_parts(key) &&
            !EVP_CIPHER_CTX_ctrl(loan->object, EVP_CTRL_AEAD_SET_IV_FIXED, RECORD_IV_FIXED,
                                 key->iv))
            abort();
    }
    loan->used = true;
    if (pool->lent.next != &loan->node) {
        list_remove(&loan->node);
        list_push_front(&pool->lent, &loan->node);
    }
    return loan->object;
}

size_t record_key_size(enum record_cipher cipher)
{
    return cipher == RECORD_AES_128_GCM ? 16 : 32;
}

void record_key_renew(struct record_key *key, struct cipher_pool *pool)
{
    if (key->loan)
        free_loan(pool, key->loan);
    key->sequence = 0;
}

void record_key_fini(struct record_key *key, struct cipher_pool *pool)
{
    record_key_renew(key, pool);
    OPENSSL_cleanse(key, sizeof(*key));
}

static void put_u16(uint8_t *to, size_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static void put_u64(uint8_t *to, uint64_t value)
{
    value = htobe64(value);
    memcpy(to, &value, sizeof(value));
}

static bool has_explicit_nonce(const struct record_key *key)
{
    return !key->is_13 && key->cipher != RECORD_CHACHA20_POLY1305;
}

static size_t overhead(const struct record_key *key)
{
    size_t fixed = RECORD_HEADER + RECORD_TAG;
    return fixed + (key->is_13 ? 1U : 0U) + (has_explicit_nonce(key) ? 8U : 0U);
}

/* TLS 1.3 and ChaCha20 exor the sequence number into the IV; AES-GCM in TLS 1.2 puts an explicit part behind the salt. */
static void make_nonce(const struct record_key *key, const uint8_t *explicit_part,
                       uint8_t nonce[RECORD_IV])
{
    memcpy(nonce, key->iv, RECORD_IV);
    if (explicit_part) {
        memcpy(nonce + RECORD_IV_FIXED, explicit_part, 8);
        return;
    }
    uint64_t part;
    memcpy(&part, nonce + RECORD_IV_FIXED, sizeof(part));
    part ^= htobe64(key->sequence);
    memcpy(nonce + RECORD_IV_FIXED, &part, sizeof(part));
}

/* RFC 8446 5.2: the header. RFC 5246 6.2.3.3: sequence, type, version and the length of the plaintext. */
static size_t make_additional(const struct record_key *key, const uint8_t *header,
                              size_t plain_size, uint8_t aad[13])
{
    if (key->is_13) {
        memcpy(aad, header, RECORD_HEADER);
        return RECORD_HEADER;
    }
    put_u64(aad, key->sequence);
    memcpy(aad + 8, header, 3);
    put_u16(aad + 11, plain_size);
    return 13;
}

static void set_nonce(EVP_CIPHER_CTX *cipher, const uint8_t nonce[RECORD_IV])
{
    if (!EVP_CipherInit_ex2(cipher, NULL, NULL, nonce, -1, NULL))
        abort(); /* no input of a peer can make this fail, nor what follows */
}

static void set_nonce_and_tag(EVP_CIPHER_CTX *cipher, uint8_t nonce[RECORD_IV],
                              uint8_t tag[RECORD_TAG])
{
    const OSSL_PARAM both[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, nonce + RECORD_IV_FIXED,
                                RECORD_IV - RECORD_IV_FIXED),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, RECORD_TAG), OSSL_PARAM_END};
    if (!EVP_CIPHER_CTX_set_params(cipher, both))
        abort();
}

static void add_header(EVP_CIPHER_CTX *cipher, const struct record_key *key, const uint8_t *header,
                       size_t plain_size)
{
    uint8_t aad[13];
    int ignored;
    if (!EVP_CipherUpdate(cipher, NULL, &ignored, aad,
                          (int)make_additional(key, header, plain_size, aad)))
        abort();
}

static void update(EVP_CIPHER_CTX *cipher, uint8_t *to, const void *from, size_t size)
{
    int done;
    if (!EVP_CipherUpdate(cipher, to, &done, from, (int)size))
        abort();
}

/*
 * Seals the chain's first `size` bytes, and behind them the inner type that TLS 1.3 has. A call of the cipher costs as much
 * as to copy several KB, and more where the part before did not end with a block: what is small is put together first.
 */
static uint8_t *seal_chain(EVP_CIPHER_CTX *cipher, const struct chain *plain, size_t size,
                           const uint8_t *inner_type, uint8_t *to)
{
    if (size <= SEAL_TOGETHER_MAX) {
        chain_copy_out(plain, 0, (char *)to, size);
        if (inner_type)
            to[size++] = *inner_type;
        update(cipher, to, to, size);
        return to + size;
    }
    for (uint32_t i = 0; size > 0; i++) {
        const struct segment *segment = chain_segment(plain, i);
        size_t part = MIN(segment->size, size);
        update(cipher, to, segment->data, part);
        to += part;
        size -= part;
    }
    if (inner_type)
        update(cipher, to++, inner_type, 1);
    return to;
}

bool record_seal(struct record_key *key, struct cipher_pool *ciphers, enum record_type type,
                 struct chain *plain, size_t size, struct chain *out, struct block_pool *blocks)
{
    size_t total = size + overhead(key);
    uint8_t *record = (uint8_t *)chain_reserve(out, blocks, total);
    if (!record)
        return false;
    record[0] = key->is_13 ? RECORD_DATA : (uint8_t)type;
    put_u16(record + 1, TLS_1_2);
    put_u16(record + 3, total - RECORD_HEADER);
    uint8_t *to = record + RECORD_HEADER, *explicit_part = NULL, nonce[RECORD_IV];
    if (has_explicit_nonce(key)) {
        put_u64(to, key->explicit_nonce++);
        explicit_part = to;
        to += 8;
    }
    EVP_CIPHER_CTX *cipher = borrow(ciphers, key);
    make_nonce(key, explicit_part, nonce);
    set_nonce(cipher, nonce);
    add_header(cipher, key, record, size);
    const uint8_t inner_type = (uint8_t)type;
    to = seal_chain(cipher, plain, size, key->is_13 ? &inner_type : NULL, to);
    OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, to, RECORD_TAG),
                        OSSL_PARAM_END};
    int ignored;
    if (!EVP_CipherFinal_ex(cipher, to, &ignored) || !EVP_CIPHER_CTX_get_params(cipher, tag))
        abort();
    key->sequence++;
    chain_commit(out, total);
    chain_consume(plain, size);
    return true;
}

static void open_in_place(EVP_CIPHER_CTX *cipher, const struct chain *body)
{
    for (uint32_t i = 0; i < body->count; i++) {
        const struct segment *segment = chain_segment(body, i);
        /* The block is ours alone by the contract of tls_session_feed. */
        update(cipher, (uint8_t *)(uintptr_t)segment->data, segment->data, segment->size);
    }
}

/* TLS 1.3: the type is the last byte that is not zero; false when there is none. */
static bool find_inner_type(const struct chain *body, size_t *content, enum record_type *type)
{
    size_t behind = body->size;
    for (uint32_t i = body->count; i-- > 0;) {
        const struct segment *segment = chain_segment(body, i);
        for (size_t at = segment->size; at-- > 0;) {
            behind--;
            if (segment->data[at] != 0) {
                *type = (enum record_type)(uint8_t)segment->data[at];
                *content = behind;
                return true;
            }
        }
    }
    return false;
}

/* What the header alone tells. */
static enum record_open check_header(const struct record_key *key, const uint8_t *header,
                                     size_t *length)
{
    *length = (size_t)header[3] << 8 | header[4];
    if (header[1] != 3)
        return RECORD_BAD_TYPE;
    if (key->is_13 ? header[0] != RECORD_DATA : header[0] < RECORD_ALERT || header[0] > RECORD_DATA)
        return RECORD_BAD_TYPE;
    size_t around = overhead(key) - RECORD_HEADER;
    /* RFC 8446 5.2: 256 bytes more than the plaintext; the same roof serves for the AEADs of TLS 1.2. */
    if (*length > RECORD_PLAIN_MAX + 256)
        return RECORD_TOO_LONG;
    return *length < around ? RECORD_FORGED : RECORD_OPENED;
}

static bool open_body(struct record_key *key, struct cipher_pool *ciphers, const uint8_t *header,
                      const uint8_t *explicit_part, struct chain *body, uint8_t tag[RECORD_TAG])
{
    uint8_t nonce[RECORD_IV], none[16];
    EVP_CIPHER_CTX *cipher = borrow(ciphers, key);
    make_nonce(key, explicit_part, nonce);
    if (takes_nonce_in_parts(key)) {
        set_nonce_and_tag(cipher, nonce, tag);
    } else {
        set_nonce(cipher, nonce);
        if (!EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, RECORD_TAG, tag))
            abort();
    }
    add_header(cipher, key, header, body->size);
    open_in_place(cipher, body);
    int ignored;
    if (EVP_CipherFinal_ex(cipher, none, &ignored))
        return true;
    ERR_clear_error();
    return false;
}

enum record_open record_open(struct record_key *key, struct cipher_pool *ciphers, struct chain *in,
                             struct chain *plain, enum record_type *type)
{
    uint8_t header[RECORD_HEADER + 8];
    size_t head = has_explicit_nonce(key) ? RECORD_HEADER + 8 : RECORD_HEADER, length;
    if (in->size < RECORD_HEADER)
        return RECORD_PARTIAL;
    size_t copied = chain_copy_out(in, 0, (char *)header, head);
    enum record_open verdict = check_header(key, header, &length);
    if (verdict != RECORD_OPENED)
        return verdict;
    if (in->size < RECORD_HEADER + length || copied < head)
        return RECORD_PARTIAL;

    size_t body_size = RECORD_HEADER + length - head - RECORD_TAG;
    uint8_t tag[RECORD_TAG];
    struct chain body = {0};
    chain_consume(in, head);
    chain_move_n(&body, in, body_size);
    chain_copy_out(in, 0, (char *)tag, RECORD_TAG);
    chain_consume(in, RECORD_TAG);

    size_t content = body_size;
    *type = (enum record_type)header[0];
    if (!open_body(key, ciphers, header, head > RECORD_HEADER ? header + RECORD_HEADER : NULL,
                   &body, tag))
        verdict = RECORD_FORGED;
    else if (key->is_13 && !find_inner_type(&body, &content, type))
        verdict = RECORD_BAD_TYPE;
    else if (content > RECORD_PLAIN_MAX)
        verdict = RECORD_TOO_LONG;
    if (verdict == RECORD_OPENED) {
        key->sequence++;
        chain_move_n(plain, &body, content);
    }
    chain_fini(&body);
    return verdict;
}
