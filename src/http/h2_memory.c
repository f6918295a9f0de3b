/*
 * h2_memory: where a session's memory comes from: its worker's slab heap, so that in steady state no request costs an
 * allocation.
 *
 * Two pieces are large, and hold nothing while the session has nothing to do: the buffer in which frames are packed, and
 * the table of streams. A connection that waits lets them rest, which is 20 KB of the 28 that a session takes.
 */
#include "http/h2_internal.h"

static struct slab_heap *heap_of(void *user)
{
    return ((struct h2 *)user)->heap;
}

/* What a session takes of that size while it is made, it keeps. */
static bool is_made(const struct h2 *h2)
{
    return h2->session != NULL;
}

static void *take(size_t size, void *user)
{
    struct h2 *h2 = user;
    void *piece = slab_heap_take(h2->heap, size);
    if (UNLIKELY(slab_heap_can_rest(size)) && !is_made(h2))
        h2->frame_buffer = piece;
    return piece;
}

static void *take_zeroed(size_t count, size_t size, void *user)
{
    struct h2 *h2 = user;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *piece = slab_heap_take_zeroed(h2->heap, bytes);
    if (UNLIKELY(slab_heap_can_rest(bytes)) && !is_made(h2)) {
        h2->stream_table = piece;
        h2->stream_table_bytes = (uint32_t)bytes;
    }
    return piece;
}

static void forget(struct h2 *h2, const void *piece)
{
    if (piece == h2->frame_buffer)
        h2->frame_buffer = NULL;
    if (piece == h2->stream_table)
        h2->stream_table = NULL; /* it has outgrown that one */
}

static void give_back(void *piece, void *user)
{
    if (UNLIKELY(!piece))
        return;
    forget(user, piece);
    slab_heap_give_back(heap_of(user), piece);
}

static void *resize(void *old, size_t size, void *user)
{
    if (!old)
        return take(size, user);
    void *piece = slab_heap_resize(heap_of(user), old, size);
    if (piece && piece != old)
        forget(user, old);
    return piece;
}

nghttp2_mem h2_memory(struct h2 *h2)
{
    return (nghttp2_mem){.mem_user_data = h2,
                         .malloc = take,
                         .free = give_back,
                         .calloc = take_zeroed,
                         .realloc = resize};
}

/* Frames that were packed are out when the session wants to write no more: they were copied as they came. */
static bool has_work(const struct h2 *h2)
{
    return h2->is_failed || h2->in_session || h2->busy > 0 || h2->pending || h2->open > 0 ||
           !list_is_empty(&h2->codec.streams) || nghttp2_session_want_write(h2->session);
}

void h2_rest(struct http_codec *codec)
{
    struct h2 *h2 = h2_of(codec);
    if (h2->is_resting || has_work(h2))
        return;
    h2->is_resting = true;
    if (h2->frame_buffer)
        slab_heap_rest(h2->heap, h2->frame_buffer);
    if (h2->stream_table)
        slab_heap_rest_if_zero(h2->heap, h2->stream_table, h2->stream_table_bytes);
}

bool h2_wake_memory(struct h2 *h2)
{
    if ((h2->frame_buffer && !slab_heap_wake(h2->heap, h2->frame_buffer)) ||
        (h2->stream_table && !slab_heap_wake(h2->heap, h2->stream_table)))
        return false;
    h2->is_resting = false;
    return true;
}
