#include "rpc/grpc_status.h"

static const char *const names[GRPC_CODES] = {
    [GRPC_OK] = "OK",
    [GRPC_CANCELLED] = "CANCELLED",
    [GRPC_UNKNOWN] = "UNKNOWN",
    [GRPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [GRPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [GRPC_NOT_FOUND] = "NOT_FOUND",
    [GRPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [GRPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [GRPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [GRPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [GRPC_ABORTED] = "ABORTED",
    [GRPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [GRPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [GRPC_INTERNAL] = "INTERNAL",
    [GRPC_UNAVAILABLE] = "UNAVAILABLE",
    [GRPC_DATA_LOSS] = "DATA_LOSS",
    [GRPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *grpc_code_name(enum grpc_code code)
{
    return (unsigned)code < GRPC_CODES ? names[code] : names[GRPC_UNKNOWN];
}

enum grpc_code grpc_code_parse(struct slice value)
{
    uint64_t code;
    if (!slice_to_u64(value, GRPC_CODES - 1, &code))
        return GRPC_UNKNOWN;
    return (enum grpc_code)code;
}

enum grpc_code grpc_code_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400: return GRPC_INTERNAL;
    case 401: return GRPC_UNAUTHENTICATED;
    case 403: return GRPC_PERMISSION_DENIED;
    case 404: return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return GRPC_UNAVAILABLE;
    default: return GRPC_UNKNOWN;
    }
}

static const char hex_digits[] = "0123456789ABCDEF";

void grpc_message_encode(struct buffer *to, struct slice message)
{
    message.size = MIN(message.size, (size_t)GRPC_MESSAGE_MAX);
    for (size_t i = 0; i < message.size; i++) {
        unsigned char byte = (unsigned char)message.data[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
            buffer_append_byte(to, (char)byte);
            continue;
        }
        char escape[3] = {'%', hex_digits[byte >> 4], hex_digits[byte & 15]};
        buffer_append(to, escape, sizeof(escape));
    }
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

void grpc_message_decode(struct buffer *to, struct slice value)
{
    size_t end = to->size + GRPC_MESSAGE_MAX;
    for (size_t i = 0; i < value.size && to->size < end; i++) {
        int byte = (unsigned char)value.data[i];
        if (byte == '%' && value.size - i > 2) {
            int high = hex_value(value.data[i + 1]), low = hex_value(value.data[i + 2]);
            if (high >= 0 && low >= 0) {
                byte = high << 4 | low;
                i += 2;
            }
        }
        buffer_append_byte(to, byte < 0x20 || byte == 0x7f ? ' ' : (char)byte);
    }
}

/* Microseconds of a unit, 0 for what is none; nanoseconds are rounded up by the caller. */
static uint64_t unit_us(char unit)
{
    switch (unit) {
    case 'H': return 3600 * 1000000ull;
    case 'M': return 60 * 1000000ull;
    case 'S': return 1000000;
    case 'm': return 1000;
    case 'u': return 1;
    default: return 0;
    }
}

bool grpc_timeout_parse(struct slice value, uint64_t *timeout_us)
{
    uint64_t amount;
    if (value.size < 2 || value.size > 9 ||
        !slice_to_u64(slice_first(value, value.size - 1), 99999999, &amount))
        return false;
    char unit = value.data[value.size - 1];
    if (unit == 'n')
        *timeout_us = (amount + 999) / 1000;
    else if (unit_us(unit) > 0)
        *timeout_us = amount * unit_us(unit);
    else
        return false;
    return true;
}

size_t grpc_timeout_format(uint64_t timeout_us, char *text)
{
    static const char units[] = "umSMH";
    size_t unit = 0;
    while (timeout_us > 99999999 * unit_us(units[unit]) && units[unit + 1])
        unit++;
    uint64_t amount = (timeout_us + unit_us(units[unit]) - 1) / unit_us(units[unit]);
    amount = MIN(amount, (uint64_t)99999999);
    struct buffer digits = {0};
    buffer_append_u64(&digits, amount);
    memcpy(text, digits.data, digits.size);
    text[digits.size] = units[unit];
    text[digits.size + 1] = '\0';
    size_t size = digits.size + 1;
    buffer_fini(&digits);
    return size;
}
