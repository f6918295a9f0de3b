#include "http/header.h"

#include "http/header_internal.h"

/* clang-format off */
#define IS_OWN(id)                                                                                 \
    ((id) == HEADER_CONNECTION || (id) == HEADER_CONTENT_LENGTH || (id) == HEADER_HOST ||          \
     (id) == HEADER_HTTP2_SETTINGS || (id) == HEADER_KEEP_ALIVE ||                                 \
     (id) == HEADER_PROXY_CONNECTION || (id) == HEADER_TE || (id) == HEADER_TRANSFER_ENCODING ||   \
     (id) == HEADER_UPGRADE)
#define FIRST(size) (uint16_t)((1u << ((size) < 16 ? (size) : 16)) - 1)
#define ENTRY(ID, name)                                                                            \
    [HEADER_##ID] = {.text = name,                                                                 \
                     .size = sizeof(name) - 1,                                                     \
                     .is_own = IS_OWN(HEADER_##ID),                                                \
                     .id = HEADER_##ID,                                                            \
                     .first = FIRST(sizeof(name) - 1)},
const struct header_entry header_entries[HEADER_IDS] = {HEADER_NAMES(ENTRY)};
const uint8_t header_slots[1u << (32 - HEADER_HASH_SHIFT)] = {HEADER_SLOTS};
/* clang-format on */
_Static_assert(HEADER_IDS <= 128, "a list has a bit for each id");

const uint8_t token_bytes[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

enum { FIRST_CAPACITY = 16 };

enum header_id header_id_of(struct slice name)
{
    return header_id_find(name.data, name.size, NAME_ANY_CASE);
}

struct slice header_id_name(enum header_id id)
{
    return slice_of(header_entries[id].text, header_entries[id].size);
}

bool header_is_twin(const char *name, size_t size)
{
    char plain[HEADER_NAME_ROOM];
    if (size > sizeof(plain) || !memchr(name, '_', size))
        return false;
    for (size_t i = 0; i < size; i++)
        plain[i] = name[i] == '_' ? '-' : name[i];
    return header_id_find(plain, size, NAME_ANY_CASE) != HEADER_OTHER;
}

bool header_name_is_valid(struct slice name)
{
    return is_token(name.data, name.size);
}

bool header_value_is_valid(struct slice value)
{
    if (value.size == 0)
        return true;
    if (is_blank(value.data[0]) || is_blank(value.data[value.size - 1]))
        return false;
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = (uint8_t)value.data[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

bool header_is_hop_by_hop(enum header_id id)
{
    switch ((int)id) {
    case HEADER_CONNECTION:
    case HEADER_HOST:
    case HEADER_HTTP2_SETTINGS:
    case HEADER_KEEP_ALIVE:
    case HEADER_PROXY_CONNECTION:
    case HEADER_TRANSFER_ENCODING:
    case HEADER_UPGRADE: return true;
    default: return false;
    }
}

bool header_is_protected(const struct header *header)
{
    struct slice name = header_name(header);
    if (header->id != HEADER_OTHER)
        return true;
    return name.size >= 8 &&
           (slice_equals_nocase(slice_first(name, 8), SLICE("x-tulle-")) ||
            slice_equals_nocase(slice_first(name, 8), SLICE("x-envoy-")) ||
            (name.size >= 12 && slice_equals_nocase(slice_first(name, 12), SLICE("x-forwarded-"))));
}

bool trailer_is_allowed(const struct header *header)
{
    switch ((int)header->id) {
    case HEADER_OTHER: return !header_is_protected(header);
    case HEADER_ETAG:
    case HEADER_EXPIRES:
    case HEADER_GRPC_MESSAGE:
    case HEADER_GRPC_STATUS:
    case HEADER_GRPC_STATUS_DETAILS_BIN:
    case HEADER_SERVER_TIMING:
    case HEADER_VIA:
    case HEADER_WARNING: return true;
    default: return false;
    }
}

struct header *headers_find(const struct headers *headers, enum header_id id)
{
    if (!headers_has(headers, id))
        return NULL;
    HEADERS_EACH (header, headers)
        if (header->id == id)
            return header;
    return NULL;
}

static bool is_named(const struct header *header, enum header_id id, struct slice name)
{
    if (id != HEADER_OTHER)
        return header->id == id;
    return header->id == HEADER_OTHER && slice_equals_nocase(header_name(header), name);
}

struct header *headers_find_name(const struct headers *headers, struct slice name)
{
    enum header_id id = header_id_of(name);
    if (id != HEADER_OTHER)
        return headers_find(headers, id);
    HEADERS_EACH (header, headers)
        if (is_named(header, id, name))
            return header;
    return NULL;
}

struct header *headers_find_next(const struct headers *headers, const struct header *header)
{
    for (struct header *next = headers->items + (header - headers->items) + 1;
         next < headers->items + headers->count; next++)
        if (is_named(next, (enum header_id)header->id, header_name(header)))
            return next;
    return NULL;
}

struct slice headers_value(const struct headers *headers, enum header_id id)
{
    const struct header *header = headers_find(headers, id);
    return header ? header_value(header) : SLICE_NONE;
}

struct slice headers_joined(const struct headers *headers, struct slice name, struct arena *arena)
{
    const struct header *first = headers_find_name(headers, name);
    if (!first)
        return SLICE_NONE;
    if (!headers_find_next(headers, first))
        return header_value(first);
    bool is_cookie = first->id == HEADER_COOKIE;
    struct slice comma = is_cookie ? SLICE("; ") : SLICE(",");
    size_t size = 0;
    for (const struct header *one = first; one; one = headers_find_next(headers, one))
        size += one->value_size + comma.size;
    char *joined = arena_try_alloc(arena, size), *at = joined;
    if (!joined)
        return SLICE_NONE;
    for (const struct header *one = first; one; one = headers_find_next(headers, one)) {
        if (is_cookie && one->value_size == 0)
            continue;
        if (is_cookie ? at != joined : one != first)
            at = mempcpy(at, comma.data, comma.size);
        at = mempcpy(at, one->value, one->value_size);
    }
    return slice_of(joined, (size_t)(at - joined));
}

bool headers_reserve(struct headers *headers, struct arena *arena, size_t count)
{
    if (count <= headers->capacity)
        return true;
    if (count > UINT16_MAX)
        return false;
    struct header *items = arena_try_alloc(arena, count * sizeof(*items));
    if (!items)
        return false;
    if (headers->count > 0)
        memcpy(items, headers->items, headers->count * sizeof(*items));
    headers->items = items;
    headers->capacity = (uint16_t)count;
    return true;
}

static struct header *push(struct headers *headers, struct arena *arena)
{
    if (headers->count == headers->capacity) {
        size_t more = headers->capacity ? (size_t)headers->capacity * 2 : FIRST_CAPACITY;
        if (!headers_reserve(headers, arena, more))
            return NULL;
    }
    return &headers->items[headers->count++];
}

static bool add(struct headers *headers, struct arena *arena, enum header_id id, struct slice name,
                struct slice value)
{
    if (name.size > UINT16_MAX || value.size > UINT32_MAX)
        return false;
    struct header *header = push(headers, arena);
    if (!header)
        return false;
    *header = (struct header){.name = name.data,
                              .value = value.data,
                              .value_size = (uint32_t)value.size,
                              .name_size = (uint16_t)name.size,
                              .id = (uint8_t)id};
    headers_mark(headers, id);
    return true;
}

bool headers_add(struct headers *headers, struct arena *arena, struct slice name,
                 struct slice value)
{
    return add(headers, arena, header_id_of(name), name, value);
}

bool headers_add_id(struct headers *headers, struct arena *arena, enum header_id id,
                    struct slice value)
{
    return add(headers, arena, id, header_id_name(id), value);
}

bool headers_add_copy(struct headers *headers, struct arena *arena, struct slice name,
                      struct slice value)
{
    char *copy = arena_try_alloc(arena, name.size + value.size);
    if (!copy)
        return false;
    char *value_copy = mempcpy(copy, name.data, name.size);
    if (value.size > 0)
        memcpy(value_copy, value.data, value.size);
    return headers_add(headers, arena, slice_of(copy, name.size), slice_of(value_copy, value.size));
}

/* Closes the gaps that `keep` leaves; the first `from` fields stay. */
static size_t remove_named(struct headers *headers, size_t from, enum header_id id,
                           struct slice name)
{
    size_t kept = from;
    for (size_t i = from; i < headers->count; i++)
        if (!is_named(&headers->items[i], id, name))
            headers->items[kept++] = headers->items[i];
    size_t removed = headers->count - kept;
    headers->count = (uint16_t)kept;
    if (id != HEADER_OTHER && from == 0)
        headers->known[(unsigned)id / 64] &= ~((uint64_t)1 << ((unsigned)id % 64));
    return removed;
}

static bool set(struct headers *headers, struct arena *arena, enum header_id id, struct slice name,
                struct slice value)
{
    struct header *header =
        id == HEADER_OTHER ? headers_find_name(headers, name) : headers_find(headers, id);
    if (!header)
        return add(headers, arena, id, name, value);
    if (value.size > UINT32_MAX)
        return false;
    header->value = value.data;
    header->value_size = (uint32_t)value.size;
    header->flags = 0;
    remove_named(headers, (size_t)(header - headers->items) + 1, id, name);
    return true;
}

bool headers_set(struct headers *headers, struct arena *arena, struct slice name,
                 struct slice value)
{
    return set(headers, arena, header_id_of(name), name, value);
}

bool headers_set_id(struct headers *headers, struct arena *arena, enum header_id id,
                    struct slice value)
{
    return set(headers, arena, id, header_id_name(id), value);
}

bool headers_set_line(struct headers *headers, struct arena *arena, enum header_id id,
                      struct slice line)
{
    struct slice name = slice_first(line, header_entries[id].size);
    struct slice value = slice_of(line.data + name.size + 2, line.size - name.size - 4);
    if (UNLIKELY(headers_has(headers, id)))
        return set(headers, arena, id, name, value);
    if (!add(headers, arena, id, name, value))
        return false;
    headers->items[headers->count - 1].flags = HEADER_WHOLE_LINE;
    return true;
}

size_t headers_remove(struct headers *headers, struct slice name)
{
    enum header_id id = header_id_of(name);
    if (id != HEADER_OTHER)
        return headers_remove_id(headers, id);
    return remove_named(headers, 0, id, name);
}

size_t headers_remove_id(struct headers *headers, enum header_id id)
{
    return headers_has(headers, id) ? remove_named(headers, 0, id, SLICE_NONE) : 0;
}

void headers_remove_at(struct headers *headers, struct header *header)
{
    enum header_id id = (enum header_id)header->id;
    size_t after = (size_t)(headers->items + headers->count - header) - 1;
    memmove(header, header + 1, after * sizeof(*header));
    headers->count--;
    if (id == HEADER_OTHER)
        return;
    HEADERS_EACH (other, headers)
        if (other->id == id)
            return;
    headers->known[(unsigned)id / 64] &= ~((uint64_t)1 << ((unsigned)id % 64));
}

bool headers_copy(struct headers *to, struct arena *arena, const struct headers *from)
{
    struct headers copy = *from;
    copy.capacity = 0;
    copy.items = NULL;
    size_t spare = 8; /* what an attempt usually adds */
    struct headers empty = {0};
    if (!headers_reserve(&empty, arena, MIN(from->count + spare, (size_t)UINT16_MAX)))
        return false;
    if (from->count > 0)
        memcpy(empty.items, from->items, from->count * sizeof(*from->items));
    copy.items = empty.items;
    copy.capacity = empty.capacity;
    *to = copy;
    return true;
}
