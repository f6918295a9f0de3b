/* JSON as machines send it: what decodes, encodes to something that decodes to the same message. */
#include "base/arena.h"
#include "base/buffer.h"
#include "pb/message.h"
#include "pb/text_in.h"
#include "pb/text_out.h"

#include "tulle/every_type.pb-c.h"

#include <stdlib.h>

#define EVERY_TYPE &tulle__every_type__descriptor

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_jansson(const struct value *value, struct arena *arena)
{
    owned_buffer before = {0}, after = {0};
    json_t *json = value_to_json(value);
    if (!json)
        return;
    struct value *back = value_from_json(json, arena);
    json_decref(json);
    value_write_json(value, false, &before);
    if (back)
        value_write_json(back, false, &after);
    if (!slice_equals(buffer_slice(&before), buffer_slice(&after)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, NULL);
    owned_error error = {0};
    struct value *value;
    if (document_read_json(slice_of(data, size), "fuzz", NULL, &arena, &value, &error)) {
        check_jansson(value, &arena);
        struct problems problems = {.arena = &arena};
        ProtobufCMessage *message = text_decode(value, EVERY_TYPE, TEXT_STRICT, &problems);
        if (message) {
            struct text_style style = {.show_secrets = true, .one_line = true};
            owned_buffer text = {0};
            text_write_json(message, &style, &text);
            ProtobufCMessage *again = text_read_json(buffer_slice(&text), "again", EVERY_TYPE,
                                                     TEXT_STRICT, &arena, &error);
            if (!again || !pb_equal(message, again))
                abort();
        }
    } else if (!error.what || !error.where) {
        abort();
    }
    arena_fini(&arena);
    return 0;
}
