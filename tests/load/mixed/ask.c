#include "ask.h"

#include <stdio.h>
#include <string.h>

enum { TABLE = 2 * ASK_BODY_MOST };

static uint8_t table[TABLE];

uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

uint32_t random_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(((random_next(state) >> 32) * limit) >> 32);
}

void ask_make_table(void)
{
    uint64_t state = 20260101;
    for (size_t at = 0; at < TABLE; at += sizeof(uint64_t)) {
        uint64_t eight = random_next(&state);
        memcpy(table + at, &eight, sizeof(eight));
    }
}

static uint32_t draw_size(uint64_t *random)
{
    static const struct {
        uint32_t share, most; /* of ten thousand */
    } sizes[] = {{1500, 0}, {6000, 1024}, {2200, 8192}, {290, 65536}, {8, 262144}};
    uint32_t at = random_below(random, 10000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (at < sizes[i].share)
            return random_below(random, sizes[i].most + 1);
        at -= sizes[i].share;
    }
    return ASK_BODY_MOST;
}

struct ask ask_draw(uint64_t *random, uint64_t id)
{
    uint64_t coins = random_next(random) >> 16;
    struct ask ask = {.id = id, .down = draw_size(random), .is_down_open = coins & 2};
    if (coins & 1) {
        ask.up = draw_size(random);
        ask.is_up_open = ask.up > 0 && coins & 4;
        ask.is_early = ask.up > 0 && (coins & 0xf0) == 0;
    }
    return ask;
}

void ask_path(const struct ask *ask, char path[static ASK_PATH_MOST])
{
    snprintf(path, ASK_PATH_MOST, "/m/%llu/%u/%u/%u", (unsigned long long)ask->id, ask->up,
             ask->down, ask->is_up_open | ask->is_down_open << 1 | ask->is_early << 2);
}

bool ask_parse(const char *path, size_t size, struct ask *out)
{
    char text[ASK_PATH_MOST];
    unsigned long long id;
    unsigned flags;
    if (size >= sizeof(text))
        return false;
    memcpy(text, path, size);
    text[size] = '\0';
    if (sscanf(text, "/m/%llu/%u/%u/%u", &id, &out->up, &out->down, &flags) != 4)
        return false;
    out->id = id;
    out->is_up_open = flags & 1;
    out->is_down_open = flags & 2;
    out->is_early = flags & 4;
    return out->up <= ASK_BODY_MOST && out->down <= ASK_BODY_MOST;
}

static const uint8_t *body_at(uint64_t seed)
{
    uint64_t state = seed + 1;
    return table + random_below(&state, ASK_BODY_MOST);
}

const uint8_t *ask_up_body(const struct ask *ask)
{
    return body_at(ask->id * 2 * 0x9E3779B97F4A7C15ull);
}

const uint8_t *ask_down_body(const struct ask *ask)
{
    return body_at((ask->id * 2 + 1) * 0x9E3779B97F4A7C15ull);
}
