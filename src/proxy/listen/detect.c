#include "proxy/listen/detect.h"

#include "http/header.h"
#include "http/message.h"

#include <string.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* A request line is METHOD SP TARGET SP HTTP/1.x; one that is not whole yet may still become one. */
static enum detected_http judge_line(struct slice line, bool is_whole)
{
    struct slice method, rest;
    if (!slice_cut(line, ' ', &method, &rest))
        return !is_whole && (line.size == 0 || header_name_is_valid(line)) ? DETECTED_MORE
                                                                           : DETECTED_OTHER;
    if (!header_name_is_valid(method) || (!is_whole && rest.size == 0))
        return header_name_is_valid(method) ? DETECTED_MORE : DETECTED_OTHER;
    if (!is_whole)
        return DETECTED_MORE;
    if (slice_ends_with(rest, SLICE(" HTTP/1.1")))
        return DETECTED_HTTP_11;
    if (slice_ends_with(rest, SLICE(" HTTP/1.0")))
        return DETECTED_HTTP_10;
    return DETECTED_OTHER;
}

/* Empty lines before a request line are allowed (RFC 9112 2.2); one is skipped, as the parser does. */
static struct slice skip_empty_line(struct slice text)
{
    if (slice_starts_with(text, SLICE("\r\n")))
        return slice_from(text, 2);
    return text;
}

enum detected_http detect_http(const struct chain *bytes)
{
    char scratch[DETECT_HTTP_BYTES];
    size_t size = MIN(bytes->size, sizeof(scratch));
    struct slice text = chain_peek(bytes, size, scratch);
    size_t same = MIN(size, sizeof(preface) - 1);
    if (same > 0 && memcmp(text.data, preface, same) == 0 && (same >= 3))
        return same == sizeof(preface) - 1 ? DETECTED_HTTP_2 : DETECTED_MORE;
    if (size == 1 && text.data[0] == '\r')
        return DETECTED_MORE;
    text = skip_empty_line(text);
    size_t end = slice_find_byte(text, '\n');
    if (end == text.size)
        return size == sizeof(scratch) ? DETECTED_OTHER : judge_line(text, false);
    struct slice line = slice_first(text, end);
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    return judge_line(line, true);
}
