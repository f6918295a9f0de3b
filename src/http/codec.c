#include "http/codec.h"

const char *http_reset_text(enum http_reset_reason reason)
{
    switch (reason) {
    case HTTP_RESET_NO_ERROR: return "no_error";
    case HTTP_RESET_CANCEL: return "cancel";
    case HTTP_RESET_REFUSED: return "refused";
    case HTTP_RESET_PROTOCOL: return "protocol";
    case HTTP_RESET_LIMIT: return "limit";
    case HTTP_RESET_INTERNAL: return "internal";
    case HTTP_RESET_TRUNCATED: return "truncated";
    case HTTP_RESET_DISCONNECTED: return "disconnected";
    case HTTP_RESET_IDLE_TIMEOUT: return "idle_timeout";
    case HTTP_RESET_REASONS: break;
    }
    return "";
}
