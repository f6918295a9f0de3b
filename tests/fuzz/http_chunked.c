/* A chunked body: the same payload however it is cut, and back again through our own framing. */
#include "base/buffer.h"
#include "http/chunked.h"
#include "http/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool claim)
{
    if (!claim)
        abort();
}

static enum chunked_status decode(struct slice all, size_t cut, struct buffer *body, size_t *rest)
{
    struct http_limits limits = http_limits_default;
    limits.max_chunk_extension_bytes = 100;
    limits.chunk_overhead_bytes = 1000;
    struct chunked chunked;
    enum chunked_status status = CHUNKED_MORE;
    chunked_init(&chunked);
    while (all.size > 0) {
        struct slice in = slice_take(&all, MIN(cut, all.size));
        size_t size = 0;
        while ((status = chunked_read(&chunked, &limits, &in, &size)) == CHUNKED_BYTES) {
            require(size > 0 && size <= in.size);
            buffer_append_slice(body, slice_take(&in, size));
        }
        require((chunked.refusal != 0) == (status == CHUNKED_BAD));
        *rest = all.size + in.size;
        if (status != CHUNKED_MORE)
            return status;
        require(in.size == 0);
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size);
    struct buffer whole = {0};
    size_t rest = 0;
    enum chunked_status status = decode(all, SIZE_MAX, &whole, &rest);
    for (size_t cut = 1; cut <= 3; cut++) {
        struct buffer body = {0};
        size_t left = 0;
        require(decode(all, cut, &body, &left) == status);
        require(slice_equals(buffer_slice(&body), buffer_slice(&whole)));
        require(status != CHUNKED_END || left == rest);
        buffer_fini(&body);
    }
    if (status == CHUNKED_END && whole.size > 0) {
        char head[CHUNK_HEAD_MAX];
        struct buffer again = {0}, body = {0};
        buffer_append(&again, head, chunk_head(head, whole.size));
        buffer_append_slice(&again, buffer_slice(&whole));
        buffer_append_str(&again, "\r\n0\r\n");
        require(decode(buffer_slice(&again), SIZE_MAX, &body, &rest) == CHUNKED_END && rest == 0);
        require(slice_equals(buffer_slice(&body), buffer_slice(&whole)));
        buffer_fini(&again);
        buffer_fini(&body);
    }
    buffer_fini(&whole);
    return 0;
}
