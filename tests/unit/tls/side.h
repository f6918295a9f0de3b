/* side: one of our own sessions with everything around it, for tests of two that talk to each other. */
#pragma once

#include "test.h"
#include "tls/pki.h"

#include "base/block.h"
#include "tls/session.h"

struct side {
    struct tls_engine *engine;
    struct block_pool *pool;
    struct tls_context *context;
    struct tls_session *session;
    struct chain in, out, plain;
    enum tls_feed last;
};

UNUSED static void side_start(struct side *side)
{
    *side = (struct side){0};
    side->engine = tls_engine_create(NULL);
    tls_engine_turn(side->engine, pki_now(), 0);
    side->pool = block_pool_create(NULL);
}

UNUSED static void side_reset(struct side *side)
{
    tls_session_destroy(side->session);
    side->session = NULL;
    chain_fini(&side->in);
    chain_fini(&side->out);
    chain_fini(&side->plain);
}

UNUSED static void side_stop(struct side *side)
{
    side_reset(side);
    tls_context_unref(side->context);
    tls_engine_destroy(side->engine);
    block_pool_destroy(side->pool);
}

/* Takes the context over. */
UNUSED static void side_use(struct side *side, struct tls_context *context)
{
    tls_context_unref(side->context);
    side->context = context;
}

UNUSED static void side_begin(struct side *side, const struct tls_session_spec *more)
{
    struct tls_session_spec spec = more ? *more : (struct tls_session_spec){0};
    spec.context = side->context;
    side_reset(side);
    side->session = tls_session_create(side->engine, side->pool, &spec);
    side->last = TLS_FEED_MORE;
}

UNUSED static void side_say(struct side *side, struct slice bytes)
{
    struct chain chain = {0};
    CHECK(chain_append_copy(&chain, side->pool, bytes));
    tls_session_write(side->session, &chain);
}

UNUSED static bool side_heard(struct side *side, struct slice bytes)
{
    char *got = mem_alloc(side->plain.size + 1);
    size_t size = chain_copy_out(&side->plain, 0, got, side->plain.size);
    bool equal = slice_equals(slice_of(got, size), bytes);
    mem_free(got);
    chain_fini(&side->plain);
    return equal;
}

UNUSED static void side_feed(struct side *side)
{
    side->last = tls_session_feed(side->session, &side->in, &side->plain, 0);
}

/* Carries what one side has to say to the other, at most `piece` bytes at a time (0 = all at once). */
UNUSED static bool side_carry(struct side *from, struct side *to, size_t piece)
{
    bool moved = false;
    CHECK(tls_session_flush(from->session, &from->out, 0) == TLS_FLUSH_DONE);
    while (from->out.size > 0) {
        chain_move_n(&to->in, &from->out, piece ? MIN(piece, from->out.size) : from->out.size);
        side_feed(to);
        moved = true;
    }
    return moved;
}

UNUSED static void sides_talk(struct side *a, struct side *b, size_t piece)
{
    while ((int)side_carry(a, b, piece) | (int)side_carry(b, a, piece))
        continue;
}
