#include "http/refusal.h"

static const struct {
    const char *name;
    const char *text;
    unsigned status;
} refusals[HTTP_REFUSAL_COUNT] = {
#define ROW(id, name, status, text) {#name, text, status},
    HTTP_REFUSALS(ROW)
#undef ROW
};

unsigned http_refusal_status(enum http_refusal refusal)
{
    return refusals[refusal].status;
}

const char *http_refusal_name(enum http_refusal refusal)
{
    return refusals[refusal].name;
}

const char *http_refusal_text(enum http_refusal refusal)
{
    return refusals[refusal].text;
}
