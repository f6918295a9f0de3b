#include "http/refusal.h"

#include "test.h"

TEST(every_refusal_has_a_name_of_its_own_a_status_and_a_sentence)
{
    for (int i = 1; i < HTTP_REFUSAL_COUNT; i++) {
        enum http_refusal refusal = (enum http_refusal)i;
        CHECK(http_refusal_status(refusal) >= 400 && http_refusal_status(refusal) < 600);
        CHECK(strlen(http_refusal_text(refusal)) > 10, "%s", http_refusal_name(refusal));
        for (int other = 0; other < i; other++)
            CHECK(strcmp(http_refusal_name(refusal), http_refusal_name((enum http_refusal)other)) !=
                  0);
    }
    CHECK(http_refusal_status(HTTP_REFUSAL_NONE) == 0);
}
