#include "rpc/backoff.h"

#include "base/random.h"
#include "test.h"

TEST(backoff_doubles_to_its_ceiling_with_jitter_and_starts_again)
{
    struct random random;
    struct backoff backoff;
    random_seed(&random, 1);
    backoff_init(&backoff, 100, 1000);
    static const uint32_t ceilings[] = {100, 200, 400, 800, 1000, 1000};
    for (unsigned round = 0; round < 200; round++) {
        backoff_reset(&backoff);
        EACH (ceiling, ceilings) {
            uint32_t wait = backoff_next_ms(&backoff, &random);
            CHECK(wait >= *ceiling / 2 && wait <= *ceiling, "%u of %u", wait, *ceiling);
        }
    }
}

TEST(backoff_does_not_overflow)
{
    struct random random;
    struct backoff backoff;
    random_seed(&random, 1);
    backoff_init(&backoff, UINT32_MAX, UINT32_MAX);
    for (unsigned i = 0; i < 100; i++)
        CHECK(backoff_next_ms(&backoff, &random) >= UINT32_MAX / 2);
    backoff_init(&backoff, 0, 0);
    CHECK(backoff_next_ms(&backoff, &random) <= 1);
}
