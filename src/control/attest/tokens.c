#include "control/attest/tokens.h"

#include "base/buffer.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/random.h"
#include "control/model/validate.h"
#include "control/store/store.h"
#include "io/loop.h"
#include "pb/document.h"
#include "tls/identity.h"
#include "tls/key_pair.h"

#define PREFIX "tulle.dev/tokens//"

enum { TOKEN_BYTES = 32, TOKEN_TEXT = 2 * TOKEN_BYTES, KEY_TEXT = 96 };

struct tokens {
    struct loop *loop;
    struct store *store;
    char *trust_domain;
    struct list pending;
    size_t count;
    uint64_t next;
};

/* One that is being made or consumed. */
struct pending {
    struct list node;
    struct tokens *tokens;
    uint64_t number;
    uint64_t ticket; /* of the store */
    tokens_on_answer *on_answer;
    void *owner;
    char key[KEY_TEXT];
    char token[TOKEN_TEXT + 1]; /* empty when one is consumed */
    char *spiffe_id;
    const char *refusal; /* known from the start; told from the loop */
    struct task refuse;
};

static void write_hex(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = 0;
}

/* The store sees a hash, so that its file gives nobody an identity. */
static void write_key(struct slice token, char key[KEY_TEXT])
{
    uint8_t digest[32];
    sha256(token, digest);
    memcpy(key, PREFIX, strlen(PREFIX));
    write_hex(digest, sizeof(digest), key + strlen(PREFIX));
}

struct tokens *tokens_open(struct loop *loop, struct store *store, const char *trust_domain)
{
    struct tokens *tokens = mem_new(struct tokens);
    tokens->loop = loop;
    tokens->store = store;
    tokens->trust_domain = str_copy(trust_domain);
    list_init(&tokens->pending);
    return tokens;
}

static void pending_destroy(struct pending *pending)
{
    list_remove(&pending->node);
    pending->tokens->count--;
    if (pending->ticket)
        store_cancel(pending->tokens->store, pending->ticket);
    loop_task_cancel(&pending->refuse);
    mem_free(pending->spiffe_id);
    mem_free_secret(pending, sizeof(*pending));
}

void tokens_close(struct tokens *tokens)
{
    if (!tokens)
        return;
    LIST_EACH_SAFE(node, after, &tokens->pending)
    pending_destroy(LIST_ENTRY(node, struct pending, node));
    mem_free(tokens->trust_domain);
    mem_free(tokens);
}

static void answer(struct pending *pending, const char *reason, bool unavailable)
{
    pending->ticket = 0;
    struct token_answer told = {.token = pending->token,
                                .spiffe_id = pending->spiffe_id ? pending->spiffe_id : "",
                                .reason = reason,
                                .unavailable = unavailable};
    pending->on_answer(pending->owner, &told);
    pending_destroy(pending);
}

static void on_refuse(struct task *task)
{
    struct pending *pending = CONTAINER_OF(task, struct pending, refuse);
    answer(pending, pending->refusal, false);
}

static struct pending *pending_make(struct tokens *tokens, tokens_on_answer *on_answer, void *owner)
{
    struct pending *pending = mem_new(struct pending);
    pending->tokens = tokens;
    pending->number = ++tokens->next;
    pending->on_answer = on_answer;
    pending->owner = owner;
    task_init(&pending->refuse, on_refuse);
    list_push_back(&tokens->pending, &pending->node);
    if (++tokens->count > TOKENS_UNDER_WAY_MAX)
        pending->refusal = "too many tokens are being asked for";
    return pending;
}

static uint64_t refuse(struct pending *pending, const char *reason)
{
    pending->refusal = reason;
    loop_run_later(pending->tokens->loop, &pending->refuse);
    return pending->number;
}

/* --- making ---------------------------------------------------------------------------------------------------------- */

static void on_written(void *owner, const struct store_written *written)
{
    bool good = written->status == STORE_OK;
    answer(owner, good ? NULL : written->reason, !good);
}

static void on_leased(void *owner, const struct store_leased *leased)
{
    struct pending *pending = owner;
    if (leased->status != STORE_OK) {
        answer(pending, leased->reason, true);
        return;
    }
    owned_buffer value = {0};
    buffer_append_str(&value, "{\"spiffeId\":\"");
    buffer_append_json(&value, slice_str(pending->spiffe_id));
    buffer_format(
        &value, "\",\"expires\":%lld}",
        (long long)((loop_wall_us(pending->tokens->loop) / 1000 + TOKEN_LIFETIME_MS) / 1000));
    struct store_compare absent = {.key = slice_str(pending->key)};
    struct store_put put = {slice_str(pending->key), buffer_slice(&value), leased->lease};
    pending->ticket = store_txn(
        pending->tokens->store,
        &(struct store_txn){.compares = &absent, .compare_count = 1, .puts = &put, .put_count = 1},
        on_written, pending);
}

uint64_t tokens_create(struct tokens *tokens, struct slice name_space, struct slice account,
                       tokens_on_answer *on_answer, void *owner)
{
    struct pending *pending = pending_make(tokens, on_answer, owner);
    if (pending->refusal)
        return refuse(pending, pending->refusal);
    if (object_label_is_valid(name_space) && object_name_is_valid(account))
        pending->spiffe_id =
            spiffe_id_of_workload(slice_str(tokens->trust_domain), name_space, account);
    if (!pending->spiffe_id)
        return refuse(pending, "namespace or account cannot stand in a SPIFFE ID");
    uint8_t secret[TOKEN_BYTES];
    random_secret(secret, sizeof(secret));
    write_hex(secret, sizeof(secret), pending->token);
    secret_wipe(secret, sizeof(secret));
    write_key(slice_str(pending->token), pending->key);
    pending->ticket = store_grant(tokens->store, TOKEN_LIFETIME_MS, on_leased, pending);
    return pending->number;
}

/* --- consuming ------------------------------------------------------------------------------------------------------- */

static void on_consumed(void *owner, const struct store_written *written)
{
    if (written->status == STORE_OK)
        answer(owner, NULL, false);
    else if (written->status == STORE_CONFLICT)
        answer(owner, "the token has been used", false);
    else
        answer(owner, written->reason, true);
}

/* The identity of a token that has not ended, on the heap; else NULL. */
static char *read_value(struct slice value, int64_t now_s)
{
    struct arena arena = {0};
    struct value *document;
    int64_t expires = 0;
    char *spiffe_id = NULL;
    if (document_read_json(value, "token", NULL, &arena, &document, NULL) &&
        value_to_i64(value_get(document, "expires"), &expires) && expires > now_s)
        spiffe_id = str_copy(value_str(value_get(document, "spiffeId"), ""));
    arena_fini(&arena);
    return spiffe_id;
}

static void on_found(void *owner, const struct store_page *page)
{
    struct pending *pending = owner;
    if (page->status != STORE_OK) {
        answer(pending, page->reason, true);
        return;
    }
    if (page->count > 0)
        pending->spiffe_id =
            read_value(page->entries[0].value, loop_wall_us(pending->tokens->loop) / 1000000);
    if (!pending->spiffe_id) {
        answer(pending, "the token is unknown, used or too old", false);
        return;
    }
    struct store_compare same = {slice_str(pending->key), page->entries[0].revision};
    struct slice key = slice_str(pending->key);
    pending->ticket =
        store_txn(pending->tokens->store,
                  &(struct store_txn){
                      .compares = &same, .compare_count = 1, .deletes = &key, .delete_count = 1},
                  on_consumed, pending);
}

uint64_t tokens_consume(struct tokens *tokens, struct slice token, tokens_on_answer *on_answer,
                        void *owner)
{
    struct pending *pending = pending_make(tokens, on_answer, owner);
    if (pending->refusal)
        return refuse(pending, pending->refusal);
    if (token.size != TOKEN_TEXT)
        return refuse(pending, "this is no token");
    write_key(token, pending->key);
    pending->ticket = store_get(tokens->store, slice_str(pending->key), on_found, pending);
    return pending->number;
}

void tokens_cancel(struct tokens *tokens, uint64_t ticket)
{
    LIST_EACH(node, &tokens->pending)
    {
        struct pending *pending = LIST_ENTRY(node, struct pending, node);
        if (pending->number != ticket)
            continue;
        pending_destroy(pending);
        return;
    }
}
