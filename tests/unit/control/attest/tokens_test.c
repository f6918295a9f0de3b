#include "control/attest/tokens.h"

#include "base/memory.h"
#include "control/store/sqlite.h"
#include "io/loop.h"

#include "test.h"

struct fixture {
    struct loop *loop;
    struct store *store;
    struct tokens *tokens;
    bool answered;
    char token[80], spiffe_id[128], reason[128];
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){0};
    CHECK(loop_create(&(struct loop_options){.name = "test"}, &f->loop) == 0);
    CHECK(
        sqlite_store_open(f->loop, &(struct sqlite_options){.path = ":memory:"}, &f->store, NULL));
    f->tokens = tokens_open(f->loop, f->store, "cluster.local");
}

static void end(struct fixture *f)
{
    tokens_close(f->tokens);
    store_close(f->store);
    loop_settle(f->loop);
    loop_destroy(f->loop);
}

static void on_answer(void *owner, const struct token_answer *answer)
{
    struct fixture *f = owner;
    f->answered = true;
    snprintf(f->token, sizeof(f->token), "%s", answer->token);
    snprintf(f->spiffe_id, sizeof(f->spiffe_id), "%s", answer->spiffe_id);
    snprintf(f->reason, sizeof(f->reason), "%s", answer->reason ? answer->reason : "");
}

static void await(struct fixture *f)
{
    for (int i = 0; i < 2000 && !f->answered; i++)
        loop_turn(f->loop, 5);
    CHECK(f->answered);
    f->answered = false;
}

static void create(struct fixture *f, const char *name_space, const char *account)
{
    tokens_create(f->tokens, slice_str(name_space), slice_str(account), on_answer, f);
    CHECK(!f->answered, "never from inside the call");
    await(f);
}

static void consume(struct fixture *f, const char *token)
{
    tokens_consume(f->tokens, slice_str(token), on_answer, f);
    await(f);
}

TEST(a_token_is_good_once_for_its_identity)
{
    struct fixture f;
    begin(&f);
    create(&f, "shop", "cart");
    CHECK(!*f.reason && strlen(f.token) == 64, "%s", f.reason);
    owned_str token = str_copy(f.token);
    consume(&f, token);
    CHECK(!*f.reason, "%s", f.reason);
    CHECK(strcmp(f.spiffe_id, "spiffe://cluster.local/ns/shop/sa/cart") == 0, "%s", f.spiffe_id);
    consume(&f, token);
    CHECK(strstr(f.reason, "used"), "%s", f.reason);
    end(&f);
}

TEST(of_two_who_show_one_token_one_gets_in)
{
    struct fixture f, g;
    begin(&f);
    create(&f, "shop", "cart");
    owned_str token = str_copy(f.token);
    g = f;
    tokens_consume(f.tokens, slice_str(token), on_answer, &f);
    tokens_consume(f.tokens, slice_str(token), on_answer, &g);
    for (int i = 0; i < 2000 && !(f.answered && g.answered); i++)
        loop_turn(f.loop, 5);
    CHECK(f.answered && g.answered);
    CHECK((*f.reason == 0) != (*g.reason == 0), "%s, %s", f.reason, g.reason);
    end(&f);
}

TEST(nonsense_is_no_token)
{
    struct fixture f;
    begin(&f);
    consume(&f, "");
    CHECK(*f.reason);
    consume(&f, "0000000000000000000000000000000000000000000000000000000000000000");
    CHECK(*f.reason);
    create(&f, "Shop/x", "cart");
    CHECK(*f.reason && !*f.token);
    uint64_t ticket = tokens_create(f.tokens, SLICE("a"), SLICE("b"), on_answer, &f);
    tokens_cancel(f.tokens, ticket);
    tokens_cancel(f.tokens, ticket);
    end(&f);
}
