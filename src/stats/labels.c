#include "stats/registry_internal.h"

#include "base/buffer.h"
#include "base/hash.h"
#include "base/memory.h"

static bool shape_is(const struct stats_shape *shape, const struct stats_label *names, size_t count)
{
    if (shape->count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(shape->names[i], names[i].name) != 0 || shape->open[i] != names[i].open)
            return false;
    }
    return true;
}

static void shape_destroy(struct stats_shape *shape)
{
    for (size_t i = 0; i < shape->count; i++)
        mem_free(shape->names[i]);
    mem_free(shape->names);
    mem_free(shape->open);
    mem_free(shape);
}

/* NULL beyond the limit. Configuration chooses names, so there are few. */
static const struct stats_shape *shape_of(struct stats_registry *registry,
                                          const struct stats_label *names, size_t count)
{
    for (size_t i = registry->shapes.count; i > 0; i--) {
        if (shape_is(registry->shapes.items[i - 1], names, count))
            return registry->shapes.items[i - 1];
    }
    if (registry->shapes.count == STATS_SHAPES_MAX)
        return NULL;
    struct stats_shape *shape = mem_new(struct stats_shape);
    shape->count = count;
    shape->names = mem_calloc(count, sizeof(*shape->names));
    shape->open = mem_calloc(count, sizeof(*shape->open));
    for (size_t i = 0; i < count; i++) {
        shape->names[i] = str_copy(names[i].name);
        shape->open[i] = names[i].open;
    }
    vector_push(&registry->shapes, shape);
    return shape;
}

void stats_shapes_fini(struct stats_registry *registry)
{
    for (size_t i = 0; i < registry->shapes.count; i++)
        shape_destroy(registry->shapes.items[i]);
    vector_fini(&registry->shapes);
}

/* Valid UTF-8 without NUL, at most STATS_LABEL_BYTES_MAX of it, and a NUL. */
static void append_value(struct buffer *values, struct slice value)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t most = values->size + STATS_LABEL_BYTES_MAX;
    while (value.size > 0) {
        size_t length = slice_utf8_length(value);
        bool good = length > 0 && value.data[0] != '\0';
        struct slice piece = slice_take(&value, length ? length : 1);
        if (!good)
            piece = slice_of(replacement, 3);
        if (values->size + piece.size > most)
            break;
        buffer_append_slice(values, piece);
    }
    buffer_append_byte(values, '\0');
}

static struct slice hash_key(const uint64_t *hash)
{
    return slice_of(hash, sizeof(*hash));
}

struct stats_labels *stats_labels_intern(struct stats_registry *registry,
                                         const struct stats_shape *shape, struct slice values)
{
    uint64_t hash = hash_hostile(values) ^ hash64(slice_of(&shape, sizeof(shape)), 0);
    struct stats_labels *first = map_get(registry->labels, hash_key(&hash));
    for (struct stats_labels *labels = first; labels; labels = labels->next) {
        if (labels->shape == shape &&
            slice_equals(slice_of(labels->values, labels->size), values)) {
            labels->holds++;
            return labels;
        }
    }
    struct stats_labels *labels = mem_alloc(sizeof(*labels) + values.size);
    *labels = (struct stats_labels){
        .next = first, .shape = shape, .hash = hash, .holds = 1, .size = values.size};
    memcpy(labels->values, values.data, values.size);
    map_put(registry->labels, hash_key(&hash), labels);
    return labels;
}

void stats_labels_drop(struct stats_registry *registry, struct stats_labels *labels)
{
    if (!labels || --labels->holds > 0)
        return;
    struct stats_labels *first = map_get(registry->labels, hash_key(&labels->hash)), **at = &first;
    while (*at != labels)
        at = &(*at)->next;
    *at = labels->next;
    if (first)
        map_put(registry->labels, hash_key(&labels->hash), first);
    else
        map_remove(registry->labels, hash_key(&labels->hash));
    mem_free(labels);
}

struct stats_labels *stats_labels_fold(struct stats_registry *registry,
                                       const struct stats_labels *labels)
{
    owned_buffer values = {0};
    const char *value = labels->values;
    for (size_t i = 0; i < labels->shape->count; i++, value += strlen(value) + 1)
        append_value(&values, labels->shape->open[i] ? SLICE("other") : slice_str(value));
    return stats_labels_intern(registry, labels->shape, buffer_slice(&values));
}

struct stats_labels *stats_labels_hold(struct stats_registry *registry,
                                       const struct stats_label *names, const struct slice *values,
                                       size_t count)
{
    if (count == 0)
        return NULL;
    assert(count <= STATS_LABELS_MAX);
    owned_buffer joined = {0};
    for (size_t i = 0; i < count; i++)
        append_value(&joined, values[i]);
    pthread_mutex_lock(&registry->lock);
    const struct stats_shape *shape = shape_of(registry, names, count);
    struct stats_labels *labels =
        shape ? stats_labels_intern(registry, shape, buffer_slice(&joined)) : NULL;
    pthread_mutex_unlock(&registry->lock);
    return labels;
}

void stats_labels_release(struct stats_registry *registry, struct stats_labels *labels)
{
    pthread_mutex_lock(&registry->lock);
    stats_labels_drop(registry, labels);
    pthread_mutex_unlock(&registry->lock);
}
