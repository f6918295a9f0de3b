#include "control/ca/signer_wire_internal.h"

void wire_put_number(struct buffer *message, uint64_t number)
{
    buffer_append(message, &number, sizeof(number)); /* both ends are one machine */
}

void wire_start(struct buffer *message, enum signer_message kind)
{
    buffer_reset(message);
    wire_put_number(message, (uint64_t)kind);
}

void wire_put_text(struct buffer *message, struct slice text)
{
    wire_put_number(message, text.size);
    buffer_append_slice(message, text);
}

static struct slice take(struct wire_reader *reader, size_t size)
{
    if (!reader->good || reader->left.size < size) {
        reader->good = false;
        return SLICE_NONE;
    }
    return slice_take(&reader->left, size);
}

uint64_t wire_take_number(struct wire_reader *reader)
{
    uint64_t number = 0;
    struct slice bytes = take(reader, sizeof(number));
    if (bytes.size > 0)
        memcpy(&number, bytes.data, sizeof(number));
    return number;
}

struct slice wire_take_text(struct wire_reader *reader)
{
    return take(reader, wire_take_number(reader));
}

enum signer_message wire_read(struct wire_reader *reader, struct slice message)
{
    *reader = (struct wire_reader){message, true};
    return (enum signer_message)wire_take_number(reader);
}
