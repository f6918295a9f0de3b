#include "base/wheel.h"

#include "base/memory.h"

/*
 * The level of a timer is the highest byte in which its due time differs from now, its slot the value of that byte.
 * Every occupied slot therefore lies ahead of now, each timer of a level is due before each of the level above, and
 * none changes its place until now reaches the start of its slot. What differs above the fourth byte waits in `far`.
 */
enum { LEVELS = 4, SLOTS = 256, SLOT_BITS = 8, WORDS = SLOTS / 64 };

struct wheel {
    uint64_t now_ms;
    uint64_t occupied[LEVELS][WORDS]; /* a bit a slot */
    struct list due;                  /* were due already when they were started */
    struct list far;
    struct list slots[LEVELS * SLOTS];
};

struct wheel *wheel_create(uint64_t now_ms)
{
    struct wheel *wheel = mem_new(struct wheel);
    wheel->now_ms = now_ms;
    list_init(&wheel->due);
    list_init(&wheel->far);
    for (size_t i = 0; i < COUNT(wheel->slots); i++)
        list_init(&wheel->slots[i]);
    return wheel;
}

static void stop_all(struct list *timers)
{
    while (!list_is_empty(timers))
        list_remove(timers->next);
}

void wheel_destroy(struct wheel *wheel)
{
    if (!wheel)
        return;
    stop_all(&wheel->due);
    stop_all(&wheel->far);
    for (size_t i = 0; i < COUNT(wheel->slots); i++)
        stop_all(&wheel->slots[i]);
    mem_free(wheel);
}

/* Puts a timer where it belongs seen from now; what is due now goes to `due`. */
static void place(struct wheel *wheel, struct timer *timer, struct list *due)
{
    if (timer->due_ms <= wheel->now_ms) {
        list_push_back(due, &timer->node);
        return;
    }
    unsigned level = (unsigned)(63 - __builtin_clzll(timer->due_ms ^ wheel->now_ms)) / SLOT_BITS;
    if (level >= LEVELS) {
        list_push_back(&wheel->far, &timer->node);
        return;
    }
    unsigned slot = (unsigned)(timer->due_ms >> (level * SLOT_BITS)) & (SLOTS - 1);
    wheel->occupied[level][slot / 64] |= (uint64_t)1 << (slot % 64);
    list_push_back(&wheel->slots[level * SLOTS + slot], &timer->node);
}

static inline void mark_empty(struct wheel *wheel, size_t index)
{
    wheel->occupied[index / SLOTS][index % SLOTS / 64] &= ~((uint64_t)1 << (index % 64));
}

void wheel_start(struct wheel *wheel, struct timer *timer, uint64_t due_ms,
                 void (*on_due)(struct timer *))
{
    wheel_stop(wheel, timer);
    timer->due_ms = due_ms;
    timer->on_due = on_due;
    place(wheel, timer, &wheel->due);
}

void wheel_stop(struct wheel *wheel, struct timer *timer)
{
    if (!timer_is_running(timer))
        return;
    /* The last timer of a slot has the slot's head on both sides. */
    struct list *next = timer->node.next, *prev = timer->node.prev;
    list_remove(&timer->node);
    uintptr_t offset = (uintptr_t)next - (uintptr_t)wheel->slots;
    if (next == prev && offset < sizeof(wheel->slots))
        mark_empty(wheel, offset / sizeof(struct list));
}

/* The first occupied slot of the lowest level that has one; false when there is none. */
static bool first_slot(const struct wheel *wheel, unsigned *level, unsigned *slot)
{
    for (*level = 0; *level < LEVELS; (*level)++) {
        for (unsigned word = 0; word < WORDS; word++) {
            uint64_t bits = wheel->occupied[*level][word];
            if (bits) {
                *slot = word * 64 + (unsigned)__builtin_ctzll(bits);
                return true;
            }
        }
    }
    return false;
}

static uint64_t slot_start_ms(const struct wheel *wheel, unsigned level, unsigned slot)
{
    unsigned shift = level * SLOT_BITS;
    return (wheel->now_ms >> (shift + SLOT_BITS) << (shift + SLOT_BITS)) | (uint64_t)slot << shift;
}

/* Far timers are looked at when the wheel has turned once, every 49 days. */
static uint64_t next_turn_ms(const struct wheel *wheel)
{
    return ((wheel->now_ms >> (LEVELS * SLOT_BITS)) + 1) << (LEVELS * SLOT_BITS);
}

/* The first due time of a slot, looking at so many timers; the slot's start when it holds more. */
enum { LOOK_MAX = 16 };
static uint64_t first_due_ms(const struct wheel *wheel, unsigned level, unsigned slot)
{
    uint64_t first_ms = UINT64_MAX;
    int looked = 0;
    LIST_EACH(node, &wheel->slots[level * SLOTS + slot])
    {
        if (++looked > LOOK_MAX)
            return slot_start_ms(wheel, level, slot);
        first_ms = MIN(first_ms, LIST_ENTRY(node, struct timer, node)->due_ms);
    }
    return first_ms;
}

uint64_t wheel_next_ms(const struct wheel *wheel)
{
    unsigned level, slot;
    if (!list_is_empty(&wheel->due))
        return wheel->now_ms;
    if (first_slot(wheel, &level, &slot))
        return first_due_ms(wheel, level, slot);
    return list_is_empty(&wheel->far) ? UINT64_MAX : next_turn_ms(wheel);
}

static size_t fire(struct list *due)
{
    size_t fired = 0;
    while (!list_is_empty(due)) {
        struct timer *timer = LIST_ENTRY(due->next, struct timer, node);
        list_remove(&timer->node);
        timer->on_due(timer);
        fired++;
    }
    return fired;
}

/* Now has reached the list's time: its timers are due or move to lower levels. */
static void open_list(struct wheel *wheel, struct list *timers, struct list *due)
{
    struct list moving;
    list_init(&moving);
    list_splice(&moving, timers);
    while (!list_is_empty(&moving)) {
        struct list *node = moving.next;
        list_remove(node);
        place(wheel, LIST_ENTRY(node, struct timer, node), due);
    }
}

size_t wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    struct list due;
    list_init(&due);
    list_splice(&due, &wheel->due);
    size_t fired = fire(&due);
    for (;;) {
        unsigned level, slot;
        bool in_slot = first_slot(wheel, &level, &slot);
        if (!in_slot && list_is_empty(&wheel->far))
            break;
        uint64_t at_ms = in_slot ? slot_start_ms(wheel, level, slot) : next_turn_ms(wheel);
        if (at_ms > now_ms)
            break;
        wheel->now_ms = at_ms;
        if (in_slot) {
            mark_empty(wheel, level * SLOTS + slot);
            open_list(wheel, &wheel->slots[level * SLOTS + slot], &due);
        } else {
            open_list(wheel, &wheel->far, &due);
        }
        fired += fire(&due);
    }
    wheel->now_ms = MAX(wheel->now_ms, now_ms);
    return fired;
}
