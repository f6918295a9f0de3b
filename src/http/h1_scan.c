#include "http/h1_head.h"

#include "http/scan_internal.h"

/* False when the scan is over, for good or bad. */
static bool end_line(struct head_scan *scan, uint32_t cr, uint32_t max_lines,
                     enum http_refusal *refusal)
{
    if (cr == scan->line) {
        scan->size = cr + 2;
        return false;
    }
    if (scan->lines >= max_lines) {
        *refusal = HTTP_REFUSAL_HEAD_COUNT;
        return false;
    }
    scan->lines++;
    scan->line = cr + 2;
    return true;
}

static enum http_refusal fault_of(char byte, bool after_cr)
{
    if (after_cr)
        return HTTP_REFUSAL_BARE_CR;
    return byte == '\n' ? HTTP_REFUSAL_BARE_LF : HTTP_REFUSAL_CONTROL;
}

enum head_status head_scan(struct head_scan *scan, struct slice piece, uint32_t max_bytes,
                           uint32_t max_headers, enum http_refusal *refusal)
{
    uint32_t base = scan->size;
    /* What lies beyond the limit cannot belong to a good head, so it need not be looked at. */
    size_t size = MIN(piece.size, (size_t)max_bytes - base + 1);
    uint32_t max_lines = MIN(max_headers, (uint32_t)HEAD_FIELDS_MAX) + 1;
    size_t at = 0;
    *refusal = HTTP_REFUSAL_NONE;
    while (!*refusal && at < size) {
        if (scan->after_cr) {
            scan->after_cr = false;
            if (piece.data[at] != '\n')
                *refusal = HTTP_REFUSAL_BARE_CR;
            else if (!end_line(scan, base + (uint32_t)at - 1, max_lines, refusal) && !*refusal)
                break;
            at++;
            continue;
        }
        at += scan_control(piece.data + at, size - at);
        if (at == size)
            break;
        if (piece.data[at] == '\r')
            scan->after_cr = true;
        else
            *refusal = fault_of(piece.data[at], false);
        at++;
    }
    bool is_whole = scan->size != base;
    if (!is_whole)
        scan->size = base + (uint32_t)size;
    if (!*refusal && scan->size > max_bytes)
        *refusal = scan->lines == 0 ? HTTP_REFUSAL_TARGET_SIZE : HTTP_REFUSAL_HEAD_SIZE;
    if (*refusal)
        return HEAD_BAD;
    return is_whole ? HEAD_WHOLE : HEAD_MORE;
}
