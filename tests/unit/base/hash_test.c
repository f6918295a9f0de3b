#include "test.h"

#include "base/hash.h"

/* XXH3's own published values (empty input) and values that must never change: they are stored and compared. */
TEST(hash_is_stable)
{
    CHECK(hash64(SLICE(""), 0) == 0x2d06800538d394c2u);
    struct hash128 empty = hash128(SLICE(""));
    CHECK(empty.high == 0x99aa06d3014798d8u && empty.low == 0x6001c324468d497fu);
    char text[33];
    hash128_hex(empty, text);
    CHECK(strcmp(text, "99aa06d3014798d86001c324468d497f") == 0, "%s", text);
    CHECK(hash64(SLICE("tulle"), 0) != hash64(SLICE("tulle"), 1));
    CHECK(hash128_equals(hash128(SLICE("tulle")), hash128(SLICE("tulle"))));
    CHECK(!hash128_equals(hash128(SLICE("tulle")), hash128(SLICE("tullf"))));
    CHECK(hash64(SLICE_NONE, 0) == hash64(SLICE(""), 0));
}

/* SipHash-1-3 under the key 0, as CPython computes hash(b"...") with PYTHONHASHSEED=0. */
TEST(hash_keyed_is_siphash_1_3)
{
    static const uint64_t zero[2];
    static const struct {
        const char *text;
        int64_t hash;
    } cases[] = {
        {"a", 4644417185603328019},
        {"ab", 6148830537548944441},
        {"abc", -4594863902769663758},
        {"abcd", -2030606670787596663},
        {"abcde", 2674923165546153122},
        {"abcdef", 7070790388344807208},
        {"abcdefg", 7904145750247929094},
        {"abcdefgh", 4574395652268504554},
        {"abcdefghi", -532774252720507163},
        {"abcdefghij", -829746140550000655},
        {"abcdefghijk", 1450545860578130900},
        {"abcdefghijkl", -8996131201539021375},
        {"abcdefghijklm", -7689147164244908826},
        {"abcdefghijklmn", -162833645092072998},
        {"abcdefghijklmno", 2293029479765367930},
        {"abcdefghijklmnop", -7712962755478248686},
        {"abcdefghijklmnopq", 7044894726457044172},
    };
    EACH (c, cases)
        CHECK((int64_t)hash_keyed(slice_str(c->text), zero) == c->hash, "%s", c->text);
    /* The reference key and the empty message. */
    uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    CHECK(hash_keyed(SLICE(""), key) == 0xabac0158050fc4dcu);
}

TEST(hash_hostile_is_stable_in_a_process)
{
    CHECK(hash_hostile(SLICE("a")) == hash_hostile(SLICE("a")));
    CHECK(hash_hostile(SLICE("a")) != hash_hostile(SLICE("b")));
    static const uint64_t zero[2];
    CHECK(hash_hostile(SLICE("a")) != hash_keyed(SLICE("a"), zero), "the secret is drawn");
}
