#include "http/chunked.h"

#include "http/message.h"
#include "http/scan_internal.h"

enum { SIZE_DIGITS_MAX = 16 };

void chunked_init(struct chunked *chunked)
{
    *chunked = (struct chunked){.state = CHUNK_AT_SIZE};
}

static bool move(struct chunked *chunked, enum chunk_state state)
{
    chunked->state = (uint8_t)state;
    return true;
}

static bool refuse(struct chunked *chunked, enum http_refusal refusal)
{
    chunked->refusal = (uint8_t)refusal;
    return false;
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    uint8_t lower = digit | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool read_size(struct chunked *chunked, uint8_t byte)
{
    int digit = hex_value(byte);
    if (digit >= 0) {
        /* Sizes past 2^60 would be no size but an attempt to make somebody's sum wrap. */
        if (++chunked->digits > SIZE_DIGITS_MAX || chunked->left >> 56)
            return refuse(chunked, HTTP_REFUSAL_CHUNK_SIZE);
        chunked->left = chunked->left << 4 | (uint64_t)digit;
        return move(chunked, CHUNK_IN_SIZE);
    }
    if (chunked->digits == 0)
        return refuse(chunked, HTTP_REFUSAL_CHUNK_SIZE);
    if (byte == '\r')
        return move(chunked, CHUNK_AT_SIZE_LF);
    if (byte == ';')
        return move(chunked, CHUNK_IN_EXTENSION);
    return refuse(chunked, HTTP_REFUSAL_CHUNK_SIZE);
}

/* Extensions mean nothing to us, but a line may not end inside them by a trick. */
static bool read_extension(struct chunked *chunked, const struct http_limits *limits, uint8_t byte)
{
    if (++chunked->extension > limits->max_chunk_extension_bytes)
        return refuse(chunked, HTTP_REFUSAL_CHUNK_OVERHEAD);
    if (chunked->state == CHUNK_IN_EXTENSION && byte == '\r')
        return move(chunked, CHUNK_AT_SIZE_LF);
    bool is_quoted = chunked->state != CHUNK_IN_EXTENSION;
    if (is_control(byte) || (byte >= 0x80 && !is_quoted))
        return refuse(chunked, HTTP_REFUSAL_CHUNK_EXTENSION);
    if (chunked->state == CHUNK_AT_QUOTED)
        return move(chunked, CHUNK_IN_QUOTED);
    if (byte == '"')
        return move(chunked,
                    chunked->state == CHUNK_IN_QUOTED ? CHUNK_IN_EXTENSION : CHUNK_IN_QUOTED);
    if (byte == '\\' && chunked->state == CHUNK_IN_QUOTED)
        return move(chunked, CHUNK_AT_QUOTED);
    return true;
}

static bool end_size_line(struct chunked *chunked, uint8_t byte)
{
    if (byte != '\n')
        return refuse(chunked, HTTP_REFUSAL_BARE_CR);
    chunked->digits = 0;
    chunked->extension = 0;
    return move(chunked, chunked->left > 0 ? CHUNK_IN_DATA : CHUNK_AT_END);
}

/* One byte of framing moves the machine; false means that the peer broke the rules. */
static bool read_framing(struct chunked *chunked, const struct http_limits *limits, uint8_t byte)
{
    switch ((enum chunk_state)chunked->state) {
    case CHUNK_AT_SIZE:
    case CHUNK_IN_SIZE: return read_size(chunked, byte);
    case CHUNK_IN_EXTENSION:
    case CHUNK_IN_QUOTED:
    case CHUNK_AT_QUOTED: return read_extension(chunked, limits, byte);
    case CHUNK_AT_SIZE_LF: return end_size_line(chunked, byte);
    case CHUNK_AT_DATA_CR:
        return byte == '\r' ? move(chunked, CHUNK_AT_DATA_LF)
                            : refuse(chunked, HTTP_REFUSAL_CHUNK_END);
    case CHUNK_AT_DATA_LF:
        return byte == '\n' ? move(chunked, CHUNK_AT_SIZE)
                            : refuse(chunked, HTTP_REFUSAL_CHUNK_END);
    case CHUNK_IN_DATA:
    case CHUNK_AT_END: break; /* chunked_read brings none of these here */
    }
    return refuse(chunked, HTTP_REFUSAL_CHUNK_SIZE);
}

/* A body that is mostly framing costs more than it is worth: 16 KiB and 16 times the payload are enough for any. */
static bool is_worth_it(struct chunked *chunked, const struct http_limits *limits)
{
    uint64_t most = limits->chunk_overhead_bytes + chunked->payload * limits->chunk_overhead_ratio;
    return ++chunked->framing <= most || refuse(chunked, HTTP_REFUSAL_CHUNK_OVERHEAD);
}

enum chunked_status chunked_read(struct chunked *chunked, const struct http_limits *limits,
                                 struct slice *in, size_t *size)
{
    while (in->size > 0) {
        if (chunked->state == CHUNK_IN_DATA) {
            *size = MIN((uint64_t)in->size, chunked->left);
            chunked->left -= *size;
            chunked->payload += *size;
            if (chunked->left == 0)
                chunked->state = CHUNK_AT_DATA_CR;
            return CHUNKED_BYTES;
        }
        if (!read_framing(chunked, limits, slice_take_byte(in)) || !is_worth_it(chunked, limits))
            return CHUNKED_BAD;
        if (chunked->state == CHUNK_AT_END)
            return CHUNKED_END;
    }
    return CHUNKED_MORE;
}

size_t chunk_head(char text[CHUNK_HEAD_MAX], uint64_t size)
{
    static const char digits[] = "0123456789abcdef";
    unsigned shift = size == 0 ? 0 : (unsigned)(63 - __builtin_clzll(size)) & ~3u;
    size_t at = 0;
    for (;; shift -= 4) {
        text[at++] = digits[size >> shift & 15];
        if (shift == 0)
            break;
    }
    text[at++] = '\r';
    text[at++] = '\n';
    return at;
}
