#include "proxy/observe/grpc_calls.h"

#include "test.h"

TEST(messages_are_counted_however_they_are_cut)
{
    static const char wire[] = "\0\0\0\0\3abc" /* three bytes */
                               "\0\0\0\0\0"    /* none */
                               "\1\0\0\1\0"    /* 256, not whole */
                               "0123456789";
    for (size_t piece = 1; piece < sizeof(wire); piece++) {
        struct grpc_messages messages = {0};
        for (size_t at = 0; at < sizeof(wire) - 1; at += piece) {
            struct chain bytes = {0};
            chain_append_static(&bytes, slice_of(wire + at, MIN(piece, sizeof(wire) - 1 - at)));
            grpc_messages_count(&messages, &bytes);
            chain_fini(&bytes);
        }
        CHECK(messages.count == 3, "by %zu: %llu", piece, (unsigned long long)messages.count);
        CHECK(messages.left == 246);
    }
}
