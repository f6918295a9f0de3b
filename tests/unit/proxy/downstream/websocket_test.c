#include "proxy/downstream/websocket.h"

#include "test.h"

TEST(a_key_is_answered_as_rfc_6455_shows)
{
    char accept[WEBSOCKET_ACCEPT_SIZE];
    websocket_accept(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    CHECK(slice_equals(slice_of(accept, sizeof(accept)), SLICE("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}
