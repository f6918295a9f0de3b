#include "proxy/filter/base64_stream.h"

enum { GROUP = 4 };

static void end_group(struct base64_reader *reader, struct buffer *out)
{
    const char bytes[] = {(char)(reader->bits >> 16), (char)(reader->bits >> 8),
                          (char)reader->bits};
    buffer_append(out, bytes, sizeof(bytes) - reader->padding);
    *reader = (struct base64_reader){0};
}

bool base64_read(struct base64_reader *reader, struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        int value = c == '=' ? 0 : base64_value(c, false);
        bool is_pad = c == '=';
        if (value < 0 || (is_pad ? reader->count < 2 : reader->padding > 0))
            return false;
        reader->bits = reader->bits << 6 | (uint32_t)value;
        reader->padding = (uint8_t)(reader->padding + is_pad);
        if (++reader->count == GROUP)
            end_group(reader, out);
    }
    return true;
}
