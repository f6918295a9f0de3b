#include "h2_pump.h"

#include "poller.h"

#include <string.h>

enum { FRAME_MOST = 16384 + 9 };

/* False when there is no more. */
static bool gather(nghttp2_session *session, uint8_t *out, size_t *out_size, size_t room)
{
    while (room - *out_size > FRAME_MOST) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(session, &bytes);
        if (size <= 0)
            return false;
        memcpy(out + *out_size, bytes, (size_t)size);
        *out_size += (size_t)size;
    }
    return true;
}

bool h2_pump(nghttp2_session *session, int fd, uint8_t *out, size_t *out_size, size_t room)
{
    bool has_more = true;
    while (has_more || *out_size > 0) {
        has_more = gather(session, out, out_size, room);
        if (!send_some(fd, out, out_size))
            return false;
        if (*out_size > 0)
            return true;
    }
    return nghttp2_session_want_read(session) || nghttp2_session_want_write(session);
}
