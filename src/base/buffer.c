#include "base/buffer.h"

#include "base/decimal.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void buffer_fini(struct buffer *buffer)
{
    mem_free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_reset(struct buffer *buffer)
{
    buffer->size = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

char *buffer_reserve(struct buffer *buffer, size_t extra)
{
    size_t need; /* and one for the NUL */
    if (__builtin_add_overflow(buffer->size, extra, &need) ||
        __builtin_add_overflow(need, 1, &need))
        need = SIZE_MAX; /* more than there is: the allocation aborts */
    if (need > buffer->capacity) {
        size_t capacity = MAX(need, buffer->capacity + buffer->capacity / 2);
        capacity = MAX(capacity, (size_t)64);
        buffer->data = mem_realloc(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
    char *at = buffer_reserve(buffer, size);
    if (size > 0)
        memcpy(at, bytes, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void buffer_append_slice(struct buffer *buffer, struct slice bytes)
{
    buffer_append(buffer, bytes.data, bytes.size);
}

void buffer_append_str(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_byte(struct buffer *buffer, char byte)
{
    buffer_append(buffer, &byte, 1);
}

void buffer_append_u64(struct buffer *buffer, uint64_t value)
{
    char digits[DECIMAL_MAX];
    buffer_append(buffer, digits, decimal_write(value, digits));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buffer_format_v(buffer, format, args);
    va_end(args);
}

void buffer_format_v(struct buffer *buffer, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    char *at = buffer_reserve(buffer, 64);
    size_t room = buffer->capacity - buffer->size;
    int size = vsnprintf(at, room, format, args);
    if (size > 0 && (size_t)size >= room) {
        at = buffer_reserve(buffer, (size_t)size);
        size = vsnprintf(at, (size_t)size + 1, format, again);
    }
    va_end(again);
    if (size > 0)
        buffer->size += (size_t)size;
    buffer->data[buffer->size] = '\0';
}

static void append_json_byte(struct buffer *buffer, uint8_t byte)
{
    static const char short_names[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    static const char hex[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        char escape[2] = {'\\', (char)byte};
        buffer_append(buffer, escape, 2);
    } else if (byte < 32 && short_names[byte]) {
        char escape[2] = {'\\', short_names[byte]};
        buffer_append(buffer, escape, 2);
    } else {
        char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
        buffer_append(buffer, escape, 6);
    }
}

/* How many bytes at the front need no escape. */
static size_t json_plain_run(struct slice text)
{
    size_t run = 0;
    while (run < text.size) {
        uint8_t byte = (uint8_t)text.data[run];
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f)
            break;
        size_t length = byte < 0x80 ? 1 : slice_utf8_length(slice_from(text, run));
        if (length == 0)
            break;
        run += length;
    }
    return run;
}

void buffer_append_json(struct buffer *buffer, struct slice text)
{
    buffer_reserve(buffer, text.size);
    for (;;) {
        size_t run = json_plain_run(text);
        buffer_append(buffer, text.data, run);
        text = slice_from(text, run);
        if (text.size == 0)
            return;
        uint8_t byte = slice_take_byte(&text);
        if (byte < 0x80)
            append_json_byte(buffer, byte);
        else
            buffer_append_str(buffer, "\xef\xbf\xbd"); /* U+FFFD */
    }
}

void buffer_append_base64(struct buffer *buffer, struct slice bytes, bool url)
{
    static const char standard[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char for_urls[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *alphabet = url ? for_urls : standard;
    buffer_reserve(buffer, bytes.size / 3 * 4 + 4);
    while (bytes.size > 0) {
        struct slice piece = slice_take(&bytes, MIN(bytes.size, (size_t)3));
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < piece.size ? (uint8_t)piece.data[i] : 0);
        char text[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63], alphabet[bits >> 6 & 63],
                        alphabet[bits & 63]};
        for (size_t i = piece.size + 1; i < 4; i++)
            text[i] = '=';
        buffer_append(buffer, text, url ? piece.size + 1 : 4);
    }
    buffer_append(buffer, NULL, 0);
}

int base64_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == (url ? '-' : '+') ? 62 : c == (url ? '_' : '/') ? 63 : -1;
}

bool buffer_equals(const struct buffer *buffer, const char *text)
{
    return slice_equals(buffer_slice(buffer), slice_str(text));
}

char *buffer_take(struct buffer *buffer)
{
    buffer_append(buffer, NULL, 0);
    char *text = buffer->data;
    *buffer = (struct buffer){0};
    return text;
}

/* Reads to the end of the file, which may be a pipe or a proc file that tells no size. */
static int read_all(struct buffer *buffer, int fd, size_t limit)
{
    enum { READ_STEP = 16384, PIPE_WAIT_MS = 10000 };
    size_t start = buffer->size;
    for (;;) {
        char *at = buffer_reserve(buffer, READ_STEP);
        ssize_t count = read(fd, at, READ_STEP);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN) {
            struct pollfd more = {.fd = fd, .events = POLLIN};
            if (poll(&more, 1, PIPE_WAIT_MS) == 0)
                return -ETIMEDOUT;
            continue;
        }
        if (count < 0)
            return -errno;
        if (count == 0)
            return 0;
        if ((size_t)count > limit - (buffer->size - start))
            return -EFBIG;
        buffer->size += (size_t)count;
    }
}

int buffer_read_file(struct buffer *buffer, const char *path, size_t limit)
{
    /* A pipe that nobody writes to must not hold us up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    size_t start = buffer->size;
    int error = read_all(buffer, fd, limit);
    close(fd);
    if (error)
        buffer->size = start;
    buffer->data[buffer->size] = '\0';
    return error;
}
