#include "http/h1_head.h"

#include "http/scan_internal.h"

struct walk {
    struct head_scan *scan;
    const char *data;
    size_t size;
    size_t lf; /* where an LF is due; SIZE_MAX: nowhere */
    uint32_t max_bytes, max_lines;
    uint32_t *ends;
    enum http_refusal refusal;
    bool whole;
};

/* A line ends by the CR at `cr`, counted from the head's start. */
static bool end_line(struct walk *walk, uint32_t cr)
{
    struct head_scan *scan = walk->scan;
    if (cr == scan->line) {
        scan->size = cr + 2;
        walk->whole = true;
        return false;
    }
    if (UNLIKELY(scan->lines >= walk->max_lines)) {
        walk->refusal = HTTP_REFUSAL_HEAD_COUNT;
        return false;
    }
    if (walk->ends)
        walk->ends[scan->lines] = cr;
    scan->lines++;
    scan->line = cr + 2;
    return true;
}

/* One control character at `at`; false ends the walk. */
static inline bool take_control(struct walk *walk, size_t at)
{
    char byte = walk->data[at];
    if (LIKELY(byte == '\r')) {
        if (UNLIKELY(at + 1 == walk->size)) {
            walk->scan->after_cr = true;
            return true;
        }
        if (UNLIKELY(walk->data[at + 1] != '\n')) {
            walk->refusal = HTTP_REFUSAL_BARE_CR;
            return false;
        }
        walk->lf = at + 1;
        return end_line(walk, walk->scan->size + (uint32_t)at);
    }
    if (LIKELY(at == walk->lf))
        return true;
    walk->refusal = byte == '\n' ? HTTP_REFUSAL_BARE_LF : HTTP_REFUSAL_CONTROL;
    return false;
}

#ifdef __SSE2__
static inline unsigned controls_at(const char *data)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)data);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    low = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')), low);
    low = _mm_or_si128(low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
    return (unsigned)_mm_movemask_epi8(low);
}

static bool take_controls(struct walk *walk, size_t base, unsigned hits)
{
    for (; hits; hits &= hits - 1)
        if (!take_control(walk, base + (size_t)__builtin_ctz(hits)))
            return false;
    return true;
}

/* The last load overlaps the one before, so that no byte is looked at alone. */
static void walk_piece(struct walk *walk, size_t at)
{
    for (; at + 16 <= walk->size; at += 16) {
        unsigned hits = controls_at(walk->data + at);
        if (hits && !take_controls(walk, at, hits))
            return;
    }
    if (at == walk->size)
        return;
    if (walk->size >= 16) {
        size_t base = walk->size - 16;
        take_controls(walk, base, controls_at(walk->data + base) & ~0u << (at - base));
        return;
    }
    for (; at < walk->size; at++)
        if (is_control((uint8_t)walk->data[at]) && !take_control(walk, at))
            return;
}
#else
static void walk_piece(struct walk *walk, size_t at)
{
    for (; at < walk->size; at++)
        if (is_control((uint8_t)walk->data[at]) && !take_control(walk, at))
            return;
}
#endif

static enum http_refusal too_long(const struct head_scan *scan)
{
    return scan->lines == 0 ? HTTP_REFUSAL_TARGET_SIZE : HTTP_REFUSAL_HEAD_SIZE;
}

enum head_scan_status head_scan(struct head_scan *scan, const char *data, size_t size,
                                uint32_t max_bytes, uint32_t max_headers, uint32_t *ends,
                                enum http_refusal *refusal)
{
    /* What lies beyond the limit cannot belong to a good head, so it need not be looked at. */
    size_t room = max_bytes - scan->size + 1;
    struct walk walk = {.scan = scan,
                        .data = data,
                        .size = MIN(size, room),
                        .lf = SIZE_MAX,
                        .max_bytes = max_bytes,
                        .max_lines = MIN(max_headers + 1, (uint32_t)HEAD_LINES_MAX),
                        .ends = ends};
    if (walk.size == 0)
        return HEAD_MORE;
    size_t from = 0;
    if (scan->after_cr) {
        scan->after_cr = false;
        if (data[0] != '\n')
            walk.refusal = HTTP_REFUSAL_BARE_CR;
        else
            end_line(&walk, scan->size - 1);
        from = 1;
    }
    if (!walk.whole && !walk.refusal)
        walk_piece(&walk, from);
    if (!walk.whole && !walk.refusal) {
        scan->size += (uint32_t)walk.size;
        if (scan->size <= max_bytes)
            return HEAD_MORE;
    }
    if (!walk.refusal && scan->size > max_bytes)
        walk.refusal = too_long(scan);
    *refusal = walk.refusal;
    return walk.refusal ? HEAD_BAD : HEAD_WHOLE;
}
