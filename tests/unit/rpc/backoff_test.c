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

/*
 * RES-14: a control plane that 1,000 proxies watch is away for a while and comes back. Nobody is back later than the longest
 * wait, and after the first second, in which they all have just lost it, they never come in a crowd.
 */
TEST(a_thousand_that_lost_one_server_come_back_one_after_the_other)
{
    enum { PROXIES = 1000, AWAY_MS = 60000, MOST_MS = 30000, LONGEST_MS = AWAY_MS + MOST_MS };
    static unsigned tries[LONGEST_MS / 100 + 1];
    struct random random;
    uint64_t last_ms = 0;
    random_seed(&random, 1);
    for (unsigned i = 0; i < PROXIES; i++) {
        struct backoff backoff;
        backoff_init(&backoff, 500, MOST_MS); /* as ads_client has it */
        uint64_t at_ms = 0;
        while (at_ms < AWAY_MS) {
            at_ms += backoff_next_ms(&backoff, &random);
            tries[MIN(at_ms / 100, COUNT(tries) - 1)]++;
        }
        last_ms = MAX(last_ms, at_ms);
    }
    CHECK(last_ms <= LONGEST_MS, "%llu ms", (unsigned long long)last_ms);
    unsigned after_return = 0;
    for (unsigned at = AWAY_MS / 100; at < COUNT(tries); at++) {
        CHECK(tries[at] <= PROXIES / 50, "%u in the tenth of a second %u", tries[at], at);
        after_return += tries[at];
    }
    CHECK(after_return == PROXIES, "%u", after_return);
}
